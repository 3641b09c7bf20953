//! A request as the templates write it, HTTP/1.1, in the form in which h2 takes it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, uri};

/// A request without its body's framing: that is HTTP/2's own.
#[derive(Clone, Debug)]
pub struct Translated {
    pub request: Request<()>,
    pub body: Bytes,
}

/// Translates one whole request. None if it is not one that HTTP/2 can carry: a target that is no URI.
pub fn translate(bytes: &[u8], scheme: &str) -> Option<Translated> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut start = lines.next()?.split(|byte| *byte == b' ');
    let method = Method::from_bytes(start.next()?).ok()?;
    let path = start.next()?;
    let mut authority: &[u8] = b"";
    let mut request = Request::new(());
    for line in lines {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            authority = value;
            continue;
        }
        let name = HeaderName::from_bytes(name).ok()?;
        // What speaks of the connection has no place in HTTP/2 (RFC 9113 section 8.2.2).
        if !CONNECTIONS.contains(&name.as_str()) {
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(uri::PathAndQuery::try_from(path).ok()?).build().ok()?;
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    Some(Translated { request, body: Bytes::copy_from_slice(&bytes[end + 4..]) })
}

/// What speaks of a connection of HTTP/1.1.
const CONNECTIONS: [&str; 5] = ["connection", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_becomes_the_authority_and_the_body_keeps_its_length() {
        let text = b"POST /a?b=1 HTTP/1.1\r\nHost: example.org:81\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let translated = translate(text, "https").unwrap();
        let request = &translated.request;
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "https://example.org:81/a?b=1"));
        assert_eq!(request.headers().get_all("x-a").iter().count(), 2);
        assert_eq!((request.headers().get("content-length").unwrap(), &translated.body[..]), (&HeaderValue::from_static("3"), &b"abc"[..]));
        assert!(request.headers().get("host").is_none() && request.headers().get("connection").is_none());
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        assert!(translate(b"GET /a\"b^ HTTP/1.1\r\nHost: a b\r\n\r\n", "http").is_none());
        for request in [
            &b"GET / HTTP/1.1\r\nHost: a"[..],
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        ] {
            assert!(translate(request, "http").is_none(), "{}", String::from_utf8_lossy(request));
        }
    }
}
