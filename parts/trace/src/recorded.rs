//! An exchange as a recording may keep it: enough to ask the same again, nothing that is somebody's secret.
use serde::{Deserialize, Serialize};

use crate::Exchange;

/// One request of a recording. Headers and cookies are not among it, and of a body only that there was one and how large, unless the recording
/// asked for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// A number for one address and browser; no address can be told from it.
    pub visitor: u64,
    pub ended_unix_us: u64,
    pub took_us: u64,
    pub method: String,
    /// Path and query; what may be a secret is [`MASK`].
    pub target: String,
    pub status: u16,
    pub content_type: String,
    pub read_bytes: u64,
    pub sent_bytes: u64,
    /// A form or JSON, whose secrets are [`MASK`]. None: not asked for, too large, or of another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Stands where a secret may have been.
pub const MASK: &str = "MASKED";

/// A word this long with digits and letters in it is more likely a key than a name.
const KEY_LENGTH: usize = 20;

/// Parameters whose values are nobody's business, by a part of their name.
const SECRET_NAMES: [&str; 15] =
    ["token", "key", "pass", "pwd", "secret", "auth", "session", "sid", "sig", "code", "otp", "mail", "phone", "card", "nonce"];

impl Exchange {
    /// As a recording keeps it. `salt` makes the visitors' numbers those of this recording only.
    pub fn recorded(&self, salt: u64) -> Recorded {
        Recorded {
            visitor: hashed(self.client.as_bytes(), salt ^ self.user_agent),
            ended_unix_us: self.ended_unix_us,
            took_us: self.took_us,
            method: self.method.to_string(),
            target: masked(&self.target),
            status: self.status,
            content_type: self.content_type.split(';').next().unwrap_or_default().trim().to_string(),
            read_bytes: self.read_bytes,
            sent_bytes: self.sent_bytes,
            body: self.content.as_ref().and_then(|content| masked_body(&self.content_type, content)),
        }
    }
}

/// A content without its secrets; None if it is not of a kind whose secrets can be told.
fn masked_body(content_type: &str, content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok().filter(|text| !text.is_empty())?;
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" => {
            let pairs = text.split('&').map(|pair| match pair.split_once('=') {
                Some((name, value)) if secret_name(name) || looks_secret(value) || long_number(value) => format!("{name}={MASK}"),
                None if looks_secret(pair) || long_number(pair) => MASK.to_string(),
                _ => pair.to_string(),
            });
            Some(pairs.collect::<Vec<_>>().join("&"))
        }
        kind if kind == "application/json" || kind.ends_with("+json") => {
            let mut value: serde_json::Value = serde_json::from_str(text).ok()?;
            mask_value(&mut value);
            Some(value.to_string())
        }
        _ => None,
    }
}

/// serde_json reads no deeper than 128 levels, so this ends.
fn mask_value(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) if looks_secret(text) || long_number(text) => *text = MASK.to_string(),
        Value::Number(number) if long_number(&number.to_string()) => *value = MASK.into(),
        Value::Array(values) => values.iter_mut().for_each(mask_value),
        Value::Object(fields) => {
            for (name, field) in fields {
                if secret_name(name) && !field.is_null() {
                    *field = MASK.into();
                } else {
                    mask_value(field);
                }
            }
        }
        _ => {}
    }
}

/// Cards, accounts and telephones: so many digits, however they are grouped.
fn long_number(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits >= NUMBER_DIGITS && word.bytes().all(|byte| byte.is_ascii_digit() || b" +-.()/%".contains(&byte))
}

/// A date and a price have fewer.
const NUMBER_DIGITS: usize = 9;

/// A target without its secrets.
fn masked(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path: Vec<&str> = path.split('/').map(|segment| if looks_secret(segment) { MASK } else { segment }).collect();
    let mut out = path.join("/");
    if let Some(query) = query {
        let parameters: Vec<String> = query
            .split('&')
            .map(|parameter| match parameter.split_once('=') {
                Some((name, value)) if secret_name(name) || looks_secret(value) => format!("{name}={MASK}"),
                None if looks_secret(parameter) => MASK.to_string(),
                _ => parameter.to_string(),
            })
            .collect();
        out = format!("{out}?{}", parameters.join("&"));
    }
    out
}

fn secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Long and mixed, or an address of somebody's mail.
fn looks_secret(word: &str) -> bool {
    let mixed = word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    word.len() >= KEY_LENGTH && mixed && !word.contains('.') || word.contains('@') || word.to_ascii_lowercase().contains("%40")
}

/// FNV-1a, started at the salt.
pub fn hashed(bytes: &[u8], salt: u64) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ salt, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_everything_else_stays() {
        for (target, kept) in [
            ("/items/42?page=3&sort=name", "/items/42?page=3&sort=name"),
            ("/reset/9f86d081884c7d659a2feaa0c55ad015", "/reset/MASKED"),
            ("/a?access_token=x&q=cats", "/a?access_token=MASKED&q=cats"),
            ("/a?PASSWORD=hunter2", "/a?PASSWORD=MASKED"),
            ("/unsubscribe/kim@example.org", "/unsubscribe/MASKED"),
            ("/a?who=kim%40example.org", "/a?who=MASKED"),
            ("/a?x=eyJhbGciOiJIUzI1NiJ9abc1", "/a?x=MASKED"),
            ("/static/application-0123456789.css", "/static/application-0123456789.css"),
            ("/the-long-name-of-an-article-about-cats", "/the-long-name-of-an-article-about-cats"),
        ] {
            assert_eq!(masked(target), kept);
        }
    }

    #[test]
    fn bodies_lose_their_secrets_too() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for (kind, content, kept) in [
            (FORM, "message=fighting+42&csrf_token=abc&who=kim", Some("message=fighting+42&csrf_token=MASKED&who=kim")),
            (FORM, "to=kim%40example.org&phone_number=1&n=4111+1111", Some("to=MASKED&phone_number=MASKED&n=4111+1111")),
            (FORM, "n=4111+1111+1111+1111&price=1200&day=2026-11-20", Some("n=MASKED&price=1200&day=2026-11-20")),
            (
                "application/json; charset=utf-8",
                r#"{"a":[1,"kim@example.org"],"Password":{"x":1},"n":123456789012}"#,
                Some(r#"{"Password":"MASKED","a":[1,"MASKED"],"n":"MASKED"}"#),
            ),
            ("application/vnd.api+json", r#"{"id":7}"#, Some(r#"{"id":7}"#)),
            ("application/json", "{broken", None),
            ("text/plain", "anything", None),
            ("multipart/form-data; boundary=x", "--x", None),
            (FORM, "", None),
        ] {
            assert_eq!(masked_body(kind, content.as_bytes()).as_deref(), kept, "{kind} {content}");
        }
        assert_eq!(masked_body(FORM, b"\xff=1"), None);
    }

    #[test]
    fn visitors_are_told_apart_and_not_known() {
        let visit =
            |client: &str, user_agent, salt| Exchange { client: client.into(), user_agent, ..Exchange::default() }.recorded(salt).visitor;
        assert_eq!(visit("10.0.0.1", 1, 7), visit("10.0.0.1", 1, 7));
        assert_ne!(visit("10.0.0.1", 1, 7), visit("10.0.0.2", 1, 7));
        assert_ne!(visit("10.0.0.1", 1, 7), visit("10.0.0.1", 2, 7));
        assert_ne!(visit("10.0.0.1", 1, 7), visit("10.0.0.1", 1, 8), "another recording, another number");
    }
}
