//! What a request must bring before anything looks at it.
//!
//! The console usually listens on loopback, and every web page the operator has open can send requests there. So:
//! the `Host` must be an address or a name of this machine (a page that made its own name resolve to 127.0.0.1 has another one),
//! and whatever changes something must come from a page of this console or from no page at all.
use axum::http::{HeaderMap, Method, StatusCode, header};

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
}

/// Checks what every request must satisfy, whoever sends it. `machine` is the machine's own name.
pub fn check(method: &Method, headers: &HeaderMap, machine: &str) -> Result<(), Refusal> {
    let host = text(headers, header::HOST.as_str()).unwrap_or_default();
    if !ours(name_of(host), machine) {
        let reason = "The console answers to an IP address, to localhost and to this machine's own name. Open it by one of those.";
        return Err(Refusal { status: StatusCode::MISDIRECTED_REQUEST, reason });
    }
    if method != Method::GET && method != Method::HEAD && !same_origin(headers, host) {
        let reason = "This came from a page of another site. Changes are made from the console's own pages or by the command line.";
        return Err(Refusal { status: StatusCode::FORBIDDEN, reason });
    }
    Ok(())
}

/// Sent with every answer. Nothing is loaded from elsewhere, nothing frames the console, nothing of it is kept by a browser.
pub const SECURITY_HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"),
    ("x-content-type-options", "nosniff"),
    // Not `no-referrer`: with that, a browser hides the origin of our own forms as well (Fetch, "serializing a request origin").
    ("referrer-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// For a report in one file, whose style and pictures are inside it: nothing runs, nothing is fetched, nothing is sent.
pub const REPORT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// === helpers ===

/// Browsers say where a request comes from, other clients do not. `Sec-Fetch-Site` is believed first, because no page can set it
/// or hide it; over plain HTTP from another machine there is only `Origin`.
fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let site = text(headers, "sec-fetch-site");
    let origin = text(headers, header::ORIGIN.as_str());
    let own_origin = origin.is_none_or(|origin| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    });
    match site {
        Some("same-origin" | "none") => own_origin || origin == Some("null"),
        Some(_) => false,
        None => own_origin,
    }
}

fn ours(name: &str, machine: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    let local = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    let short = machine.split('.').next().unwrap_or_default();
    let machines = !short.is_empty() && [machine, short, &format!("{short}.local")].iter().any(|m| name.eq_ignore_ascii_case(m));
    address || local || machines
}

/// A `Host` without its port: `[::1]:8090`, `127.0.0.1:8090`, `localhost`.
fn name_of(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') && host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) => &host[..colon],
        _ => host,
    }
}

/// A header's text. One that is no text is not missing: it is the empty text, which matches nothing.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests;
