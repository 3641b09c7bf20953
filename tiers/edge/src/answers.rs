//! The answers that are the edge's own: what went wrong, for whom, and what to do.

use pumasi_http1::{Known, Refusal, RequestHead, write};

use crate::request_id::RequestId;

/// Why there is no answer from an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The request breaks a rule of HTTP.
    Malformed(Refusal),
    /// The head did not arrive in time.
    HeadTimeout,
    /// The content stopped or came too slowly.
    ContentTimeout,
    ContentTooLarge,
    /// CONNECT: this is not a forward proxy.
    Connect,
    NoRoute,
    /// The route's directory has no such file, or none that is shown.
    NoFile,
    /// Files can be read, not changed.
    MethodNotAllowed,
    /// No member of the pool can take requests.
    NoUpstream,
    /// More requests are waiting than may.
    QueueFull,
    /// No place became free in time.
    QueueTimeout,
    /// Connections to the upstream are refused or not accepted.
    Unreachable,
    /// It hung up, or what it sent is not HTTP.
    BadAnswer,
    /// It did not begin to answer in time.
    NoAnswer,
    /// The client wanted it from the store or not at all (RFC 9111 §5.2.1.7).
    OnlyIfCached,
}

impl Trouble {
    /// STYLE section 7: 400 the request; 502 the upstream's answer; 503 nobody can take it now; 504 it took too long.
    pub fn status(self) -> u16 {
        match self {
            Trouble::Malformed(refusal) => refusal.status(),
            Trouble::HeadTimeout | Trouble::ContentTimeout => 408,
            Trouble::ContentTooLarge => 413,
            Trouble::Connect => 501,
            Trouble::NoRoute | Trouble::NoFile => 404,
            Trouble::MethodNotAllowed => 405,
            Trouble::NoUpstream | Trouble::QueueFull | Trouble::QueueTimeout | Trouble::Unreachable => 503,
            Trouble::BadAnswer => 502,
            Trouble::NoAnswer | Trouble::OnlyIfCached => 504,
        }
    }

    /// One sentence for whoever reads the page.
    fn what(self) -> String {
        match self {
            Trouble::Malformed(refusal) => format!("The request was not understood: {refusal}."),
            Trouble::HeadTimeout => "The request did not arrive completely in time.".into(),
            Trouble::ContentTimeout => "The content of the request stopped, or came too slowly.".into(),
            Trouble::ContentTooLarge => "The content of the request is larger than this site accepts.".into(),
            Trouble::Connect => "This server does not open tunnels.".into(),
            Trouble::NoRoute => "Nothing is served under this address.".into(),
            Trouble::NoFile => "There is no such file.".into(),
            Trouble::MethodNotAllowed => "What is here can be read, not changed.".into(),
            Trouble::NoUpstream => "The application is not running at the moment.".into(),
            Trouble::QueueFull => "Too many requests are waiting for the application.".into(),
            Trouble::QueueTimeout => "The application was busy for too long.".into(),
            Trouble::Unreachable => "The application does not accept connections.".into(),
            Trouble::BadAnswer => "The application broke off, or its answer was not valid.".into(),
            Trouble::NoAnswer => "The application did not answer in time.".into(),
            Trouble::OnlyIfCached => "The page is not stored here, and the request asked for a stored one only.".into(),
        }
    }

    /// What the reader can do about it.
    fn remedy(self) -> &'static str {
        match self {
            Trouble::Malformed(_) | Trouble::Connect => "Trying again will not help; the program that sent it has to change.",
            Trouble::ContentTooLarge => "Send less at once.",
            Trouble::NoRoute => "Check the address. The routes are under [[edge.route]] in pumasi.toml.",
            Trouble::NoFile => "Check the address.",
            Trouble::MethodNotAllowed => "Ask with GET or HEAD.",
            Trouble::HeadTimeout | Trouble::ContentTimeout => "Check the connection, then try again.",
            Trouble::BadAnswer => "Try again; if it stays like this, the application's log says more under the request's name.",
            Trouble::OnlyIfCached => "Ask without Cache-Control: only-if-cached.",
            _ => "Try again in a moment.",
        }
    }

    /// Where the next request begins is not known, or not worth waiting for: the connection ends.
    pub fn closes(self) -> bool {
        matches!(self, Trouble::Malformed(_) | Trouble::HeadTimeout | Trouble::ContentTimeout | Trouble::ContentTooLarge | Trouble::Connect)
    }

    pub fn retry_after(self) -> bool {
        self.status() == 503
    }
}

/// An answer ready to be sent: status, field lines and content.
pub(crate) struct OwnAnswer {
    pub status: u16,
    pub lines: Vec<u8>,
    pub content: Vec<u8>,
}

/// Says `trouble` in HTML, or in JSON where the client would rather have that.
pub(crate) fn explain(trouble: Trouble, request: &RequestHead, id: RequestId, date: &[u8; 29]) -> OwnAnswer {
    let status = trouble.status();
    let json = prefers_json(request);
    let id = id.text();
    let content = match json {
        true => page_json(trouble, &id),
        false => page_html(trouble, &id),
    };
    let mut lines = Vec::with_capacity(256);
    write::field(&mut lines, "Date", date);
    write::field(&mut lines, "Content-Type", if json { b"application/json" } else { b"text/html; charset=utf-8" });
    write::field(&mut lines, "Cache-Control", b"no-store");
    write::field(&mut lines, "X-Request-Id", &id);
    if trouble == Trouble::MethodNotAllowed {
        write::field(&mut lines, "Allow", b"GET, HEAD"); // RFC 9110 §15.5.6
    }
    if trouble.retry_after() {
        write::field(&mut lines, "Retry-After", b"1");
    }
    OwnAnswer { status, lines, content }
}

/// The phrase of RFC 9110 §15 for the status codes we produce.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

// === helpers ===

/// JSON is named in Accept and HTML is not. Quality values are not weighed: nobody sends both and means it.
fn prefers_json(request: &RequestHead) -> bool {
    let mut json = false;
    for accepted in request.fields.tokens(Known::Accept) {
        let kind = accepted.split(|&b| b == b';').next().unwrap_or(accepted).trim_ascii();
        if kind.eq_ignore_ascii_case(b"text/html") {
            return false;
        }
        json |= kind.eq_ignore_ascii_case(b"application/json") || kind.to_ascii_lowercase().ends_with(b"+json");
    }
    json
}

fn page_json(trouble: Trouble, id: &[u8; 16]) -> Vec<u8> {
    // None of the texts holds a quote, a backslash or a control byte: they are all ours.
    let id = String::from_utf8_lossy(id);
    let (status, what, remedy) = (trouble.status(), trouble.what(), trouble.remedy());
    format!("{{\"status\":{status},\"error\":\"{what}\",\"remedy\":\"{remedy}\",\"request_id\":\"{id}\"}}\n").into_bytes()
}

fn page_html(trouble: Trouble, id: &[u8; 16]) -> Vec<u8> {
    let id = String::from_utf8_lossy(id);
    let (status, what, remedy) = (trouble.status(), trouble.what(), trouble.remedy());
    let title = reason(status);
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{status} {title}</title>\
         <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em}}small{{color:#666}}</style>\n\
         <h1>{title}</h1>\n<p>{what}</p>\n<p>{remedy}</p>\n<p><small>{status} &middot; request {id}</small></p>\n</html>\n"
    )
    .into_bytes()
}
