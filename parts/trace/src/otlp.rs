//! Spans as OpenTelemetry's collectors take them: OTLP over HTTP with a JSON body (opentelemetry-proto, trace service; ids in hexadecimal,
//! 64-bit numbers as strings, as its JSON mapping asks for).
use serde_json::{Value, json};

use crate::{Exchange, Statement, context::hex};

/// Where collectors take traces, when only host and port are written.
pub const PATH: &str = "/v1/traces";

/// One export request. Exchanges without a context have no place in a trace and are left out. Query strings and the values of statements are
/// left out as well: they may hold what a trace store must not.
pub fn body(exchanges: &[Exchange], statements: &[Statement], version: &str) -> String {
    let scope = |name: &str, spans: Vec<Value>| json!({ "scope": { "name": name, "version": version }, "spans": spans });
    let mut scopes = vec![scope("pumasi-edge", exchanges.iter().filter_map(span).collect())];
    if !statements.is_empty() {
        scopes.push(scope("pumasi-sql", statements.iter().map(statement_span).collect()));
    }
    let resource = json!({ "attributes": [text("service.name", "pumasi"), text("service.version", version)] });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": scopes }] }).to_string()
}

fn statement_span(statement: &Statement) -> Value {
    let context = &statement.context;
    let operation = statement.text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
    let end_ns = u128::from(statement.ended_unix_us) * 1000;
    let mut span = json!({
        "traceId": hex(&context.trace),
        "spanId": hex(&context.span),
        "flags": 1,
        "name": format!("{operation} {}", statement.database).trim(),
        "kind": CLIENT,
        "startTimeUnixNano": end_ns.saturating_sub(u128::from(statement.took_us) * 1000).to_string(),
        "endTimeUnixNano": end_ns.to_string(),
        "attributes": [
            text("db.system.name", "mysql"),
            text("db.namespace", &statement.database),
            text("db.operation.name", &operation),
            text("db.query.text", &statement.text),
            number("db.response.returned_rows", statement.rows),
            text("pumasi.results", if statement.kept { "hit" } else { "asked" }),
        ],
        "status": if statement.ok { json!({}) } else { json!({ "code": ERROR }) },
    });
    if let Some(parent) = context.parent {
        span["parentSpanId"] = hex(&parent).into();
    }
    span
}

fn span(exchange: &Exchange) -> Option<Value> {
    let context = exchange.context?;
    let path = exchange.target.split('?').next().unwrap_or_default();
    let mut attributes = vec![
        text("http.request.method", &exchange.method),
        text("url.path", path),
        text("http.route", &exchange.route),
        text("server.address", &exchange.host),
        text("client.address", &exchange.client),
        number("http.response.status_code", u64::from(exchange.status)),
        number("http.response.size", exchange.sent_bytes),
        text("pumasi.pages", exchange.pages),
        text("pumasi.upstream", &exchange.upstream),
    ];
    attributes.retain(|attribute| attribute["value"]["stringValue"] != "");
    let end_ns = u128::from(exchange.ended_unix_us) * 1000;
    let start_ns = end_ns.saturating_sub(u128::from(exchange.took_us) * 1000);
    let mut span = json!({
        "traceId": hex(&context.trace),
        "spanId": hex(&context.span),
        "flags": 1,
        "name": format!("{} {}", exchange.method, exchange.route),
        "kind": SERVER,
        "startTimeUnixNano": start_ns.to_string(),
        "endTimeUnixNano": end_ns.to_string(),
        "attributes": attributes,
        // 4xx are the client's fault and no error of the server's (semantic conventions for HTTP spans).
        "status": if exchange.status >= 500 || exchange.status == 0 { json!({ "code": ERROR }) } else { json!({}) },
    });
    if let Some(parent) = context.parent {
        span["parentSpanId"] = hex(&parent).into();
    }
    Some(span)
}

/// SPAN_KIND_SERVER.
const SERVER: u8 = 2;
/// SPAN_KIND_CLIENT: the one who asks the database.
const CLIENT: u8 = 3;
/// STATUS_CODE_ERROR.
const ERROR: u8 = 2;

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    #[test]
    fn a_span_says_what_was_asked_and_answered_and_no_secret() {
        let header = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let exchange = Exchange {
            ended_unix_us: 2_000_000,
            took_us: 500_000,
            status: 503,
            method: "GET".into(),
            target: "/items?token=s3cret".into(),
            route: "/*".into(),
            context: Some(Context::of(Some(header), 0xff, 1, 0)),
            ..Exchange::default()
        };
        let text = body(&[exchange, Exchange::default()], &[], "0.1.0");
        assert!(!text.contains("s3cret"));
        let json: Value = serde_json::from_str(&text).unwrap();
        let spans = json["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 1, "without a context there is no span");
        let span = &spans[0];
        assert_eq!(
            (span["traceId"].as_str(), span["parentSpanId"].as_str()),
            (Some("4bf92f3577b34da6a3ce929d0e0e4736"), Some("00f067aa0ba902b7"))
        );
        assert_eq!((span["startTimeUnixNano"].as_str(), span["endTimeUnixNano"].as_str()), (Some("1500000000"), Some("2000000000")));
        assert_eq!((span["name"].as_str(), span["status"]["code"].as_u64(), span["kind"].as_u64()), (Some("GET /*"), Some(2), Some(2)));
        assert!(span["attributes"].as_array().unwrap().contains(&super::number("http.response.status_code", 503)));
    }

    #[test]
    fn a_statement_is_a_child_without_its_values() {
        let context = Context { trace: [1; 16], parent: Some([2; 8]), span: [3; 8], sampled: true };
        let (database, sql) = ("main".into(), "select a from t where b = ?".into());
        let statement = Statement { context, ended_unix_us: 30, took_us: 10, database, text: sql, rows: 4, ok: false, kept: true };
        let json: Value = serde_json::from_str(&body(&[], &[statement], "0.1.0")).unwrap();
        let span = &json["resourceSpans"][0]["scopeSpans"][1]["spans"][0];
        assert_eq!((span["parentSpanId"].as_str(), span["name"].as_str()), (Some("0202020202020202"), Some("SELECT main")));
        assert_eq!((span["startTimeUnixNano"].as_str(), span["status"]["code"].as_u64()), (Some("20000"), Some(2)));
        assert!(span["attributes"].as_array().unwrap().contains(&super::text("pumasi.results", "hit")));
    }
}
