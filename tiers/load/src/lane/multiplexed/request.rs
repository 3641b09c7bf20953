//! A request as the templates write it, HTTP/1.1, as a header block of HTTP/2.

use pumasi_hpack::{Encoder, Indexing};

/// Writes the fields of a whole request and returns where its body begins. `repeated`: the same request will be sent again and again, so every
/// field is worth a place in the table.
///
/// None, and nothing is written: it is not one that HTTP/2 can carry - a target that is no path, a Host that is none.
pub fn encode(bytes: &[u8], scheme: &str, repeated: bool, encoder: &mut Encoder, name: &mut Vec<u8>, out: &mut Vec<u8>) -> Option<usize> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let start = lines.next()?;
    let mut words = start.split(|byte| *byte == b' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let authority = lines.clone().find_map(|line| value_of(line, b"host"))?;
    let visible = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    let target = visible(path) && (path[0] == b'/' || path == b"*");
    if !target || !visible(method) || !visible(authority) || !version.starts_with(b"HTTP/") || words.next().is_some() {
        return None;
    }
    if lines.clone().any(|line| !memchr::memchr(b':', line).is_some_and(|colon| token(&line[..colon]))) {
        return None;
    }
    encoder.begin(out);
    encoder.field(b":method", method, Indexing::Kept, out);
    encoder.field(b":scheme", scheme.as_bytes(), Indexing::Kept, out);
    encoder.field(b":authority", authority, Indexing::Kept, out);
    encoder.field(b":path", path, if repeated { Indexing::Kept } else { Indexing::Passing }, out);
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        name.clear();
        name.extend(line[..colon].iter().map(u8::to_ascii_lowercase));
        // What speaks of the connection has no place in HTTP/2 (RFC 9113 section 8.2.2).
        if CONNECTIONS.contains(&&name[..]) {
            continue;
        }
        let indexing = if !repeated && PASSING.contains(&&name[..]) { Indexing::Passing } else { Indexing::Kept };
        encoder.field(name, line[colon + 1..].trim_ascii(), indexing, out);
    }
    Some(end + 4)
}

fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let colon = memchr::memchr(b':', line)?;
    line[..colon].eq_ignore_ascii_case(name).then(|| line[colon + 1..].trim_ascii())
}

/// RFC 9110 section 5.6.2.
fn token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Host is said as :authority.
const CONNECTIONS: [&[u8]; 6] = [b"host", b"connection", b"transfer-encoding", b"keep-alive", b"proxy-connection", b"upgrade"];
/// Differ from request to request.
const PASSING: [&[u8]; 4] = [b"content-length", b"cookie", b"referer", b"if-none-match"];

#[cfg(test)]
mod tests {
    use super::*;
    use pumasi_hpack::Decoder;

    fn encoded(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
        let mut block = Vec::new();
        let body = encode(bytes, "https", false, &mut Encoder::default(), &mut Vec::new(), &mut block);
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Decoder::default().decode(&block, |name, value| fields.push(format!("{}={}", text(name), text(value)))).unwrap();
        assert!(body.is_some() || fields.is_empty(), "what is refused leaves no trace");
        body.map(|body| (fields, body))
    }

    #[test]
    fn host_becomes_the_authority_and_the_body_keeps_its_length() {
        let text = b"POST /a?b=1 HTTP/1.1\r\nHost: example.org:81\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let (fields, body) = encoded(text).unwrap();
        let expected = [":method=POST", ":scheme=https", ":authority=example.org:81", ":path=/a?b=1", "x-a=1", "x-a=2", "content-length=3"];
        assert_eq!((fields, &text[body..]), (expected.map(str::to_owned).to_vec(), &b"abc"[..]));
    }

    #[test]
    fn what_http2_cannot_carry_is_refused() {
        for request in [
            &b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET /a HTTP/1.1\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a",
        ] {
            assert_eq!(encoded(request), None, "{}", String::from_utf8_lossy(request));
        }
    }
}
