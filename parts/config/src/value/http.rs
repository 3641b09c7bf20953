//! Parts of a request: its host, its path, its cookies.

use super::{Text, Wrong};

/// The name of a cookie (RFC 6265 §4.1.1).
#[derive(Clone, Debug)]
pub(crate) struct CookieName(pub String);

impl Text for CookieName {
    const KIND: &'static str = "the name of a cookie";
    fn parse(text: &str) -> Result<CookieName, Wrong> {
        match is_token(text) {
            true => Ok(CookieName(text.to_owned())),
            false => Err(Wrong::new("is no name of a cookie", "Write letters, digits and _ or -, such as \"pumasi\".")),
        }
    }
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// `example.org` or `*.example.org`.
#[derive(Clone, Debug)]
pub(crate) struct HostPattern(pub String);

impl Text for HostPattern {
    const KIND: &'static str = "a host name such as \"example.org\"";
    fn parse(text: &str) -> Result<HostPattern, Wrong> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !name.split('.').all(label) {
            return Err(Wrong::new(
                "is not a host name",
                "Write a name without port, such as \"example.org\" or \"*.example.org\"; others in punycode (xn--...).",
            ));
        }
        Ok(HostPattern(text.to_ascii_lowercase()))
    }
}

/// `/api/*` or `/health`.
#[derive(Clone, Debug)]
pub(crate) struct PathPattern(pub String);

impl Text for PathPattern {
    const KIND: &'static str = "a path such as \"/api/*\"";
    fn parse(text: &str) -> Result<PathPattern, Wrong> {
        if !text.starts_with('/') {
            return Err(Wrong::new("does not start with /", format!("Write {:?}.", format!("/{text}"))));
        }
        let before_star = text.strip_suffix("/*").unwrap_or(text);
        if before_star.contains('*') {
            return Err(Wrong::new(
                "has a * elsewhere than at the end after a /",
                "Write /api/* for everything below /api, or a whole path.",
            ));
        }
        if text.contains(['?', '#', ' ']) || text.chars().any(char::is_control) {
            return Err(Wrong::new(
                "holds a character that no path has",
                "Write the path only, without query, percent-encoded as in the request.",
            ));
        }
        Ok(PathPattern(text.to_owned()))
    }
}

written_as_string!(CookieName, HostPattern, PathPattern);
