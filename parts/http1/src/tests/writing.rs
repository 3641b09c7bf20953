use crate::{Fields, write};

fn written(f: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    f(&mut out);
    out.escape_ascii().to_string()
}

#[test]
fn heads_and_fields() {
    assert_eq!(written(|o| write::request_line(o, b"GET", b"/x?y")), r"GET /x?y HTTP/1.1\r\n");
    assert_eq!(written(|o| write::status_line(o, 204, b"No Content")), r"HTTP/1.1 204 No Content\r\n");
    assert_eq!(written(|o| write::number_field(o, "Age", 0)), r"Age: 0\r\n");
    assert_eq!(written(|o| write::number_field(o, "Age", u64::MAX)), r"Age: 18446744073709551615\r\n");
}

#[test]
fn a_value_never_becomes_a_second_field() {
    assert_eq!(written(|o| write::field(o, "X", b"a\r\nY: b\0\t")), r"X: a  Y: b \t\r\n");
}

#[test]
fn chunks_and_trailers() {
    for (size, text) in [(1, "1"), (9, "9"), (10, "a"), (15, "f"), (16, "10"), (255, "ff"), (256, "100"), (65_536, "10000")] {
        assert_eq!(written(|o| write::chunk_start(o, size)), format!(r"{text}\r\n"));
    }
    assert_eq!(written(|o| write::chunk(o, b"")), "");
    assert_eq!(written(|o| write::chunk(o, b"hello")), r"5\r\nhello\r\n");
    assert_eq!(written(|o| write::last_chunk(o, &Fields::default())), r"0\r\n\r\n");
    let mut trailers = Fields::default();
    assert_eq!(trailers.parse_trailers(b"X: 1\r\nY: 2\r\n\r\n", &Default::default()), Ok(Some(14)));
    assert_eq!(written(|o| write::last_chunk(o, &trailers)), r"0\r\nX: 1\r\nY: 2\r\n\r\n");
}

#[test]
fn trailers_from_elsewhere_hold_only_what_trailers_may() {
    let pairs: [(&[u8], &[u8]); 5] = [(b"grpc-status", b"0"), (b"content-length", b"5"), (b"x y", b"1"), (b"x", b"a\r\nb: c"), (b"y", b"")];
    let trailers = Fields::trailers(pairs);
    assert_eq!(written(|o| write::last_chunk(o, &trailers)), r"0\r\ngrpc-status: 0\r\ny: \r\n\r\n");
    assert_eq!(trailers.get_named("grpc-status"), Some(&b"0"[..]));
    assert_eq!(written(|o| write::last_chunk(o, &Fields::trailers([]))), r"0\r\n\r\n");
}
