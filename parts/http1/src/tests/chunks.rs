use super::*;

fn chunked(content: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", content)
}

#[test]
fn chunks_join() {
    assert_eq!(accepted(&chunked("1\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n"), 1).data, b"a0123456789"); // RFC 9112 §7.1
    let long = format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000));
    assert_eq!(whole(&chunked(&long)).data.len(), 70_000);
}

#[test]
fn a_chunk_size_is_hexadecimal_digits_and_nothing_else() {
    // RFC 9112 §7.1
    for bad in
        ["", "x", "-1", "+1", "0x1", " 1", "1 ", "1\t", "1 1", "g", "1\u{b}", "1_0", "1.0", "0000000000000001", "ffffffffffffffffffff"]
    {
        refused(&chunked(&format!("{bad}\r\na\r\n0\r\n\r\n")), Refusal::ChunkSize);
    }
    refused(&chunked("1\na\r\n0\r\n\r\n"), Refusal::ChunkSize); // a lone LF
    refused(&chunked("1\ra\r\n0\r\n\r\n"), Refusal::ChunkSize); // a lone CR
    refused(&chunked("1;a\n\r\na\r\n0\r\n\r\n"), Refusal::ChunkSize);
}

#[test]
fn a_chunk_is_as_long_as_it_says() {
    refused(&chunked("1\r\nab\r\n0\r\n\r\n"), Refusal::ChunkEnd);
    refused(&chunked("1\r\na\n0\r\n\r\n"), Refusal::ChunkEnd);
    refused(&chunked("1\r\na\r0\r\n\r\n"), Refusal::ChunkEnd);
    refused(&chunked("2\r\na\r\n0\r\n\r\n"), Refusal::ChunkEnd);
}

#[test]
fn extensions_are_read_and_dropped() {
    // RFC 9112 §7.1.1
    for good in [";a", ";a=b", ";a=\"b;\\\"c\"", " ; a = b ;c", ";a;b;c=1", "\t;a"] {
        assert_eq!(accepted(&chunked(&format!("1{good}\r\na\r\n0{good}\r\n\r\n")), 1).data, b"a", "{good}");
    }
    for bad in [";", ";=", ";a=", ";a b", ";a=\"b", ";a=\"b\"c", " a", ";a;", ";a =", ";\u{0}", ";a=\"\u{1}\"", ";a "] {
        refused(&chunked(&format!("1{bad}\r\na\r\n0\r\n\r\n")), Refusal::ChunkSize);
    }
    refused(&chunked(&format!("1;{}\r\na\r\n", "x".repeat(300))), Refusal::ChunkExtensionTooLong);
    let many = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(100);
    refused(&chunked(&many), Refusal::ChunkExtensionTooLong);
}

#[test]
fn trailers_are_fields_that_frame_nothing() {
    let seen = accepted(&chunked("1\r\na\r\n0\r\nX-Sum: 5\r\nY:\r\n\r\n"), 1); // RFC 9112 §7.1.2
    assert_eq!(seen.trailers, ["X-Sum 5", "Y "]);
    for name in ["Content-Length", "Transfer-Encoding", "Host", "Trailer", "Connection", "Authorization"] {
        refused(&chunked(&format!("0\r\n{name}: 1\r\n\r\n")), Refusal::TrailerForbidden); // RFC 9110 §6.5.1
    }
    refused(&chunked("0\r\nX : 1\r\n\r\n"), Refusal::SpaceInFieldName);
    refused(&chunked("0\r\n X: 1\r\n\r\n"), Refusal::Folded);
    refused(&chunked("0\r\nX: 1\n\r\n"), Refusal::LineEnd);
    refused(&chunked("0\r\nX: 1\r\n\n"), Refusal::LineEnd);
    refused(&chunked("0\r\n\n"), Refusal::LineEnd);
    refused(&chunked(&format!("0\r\nX: {}\r\n\r\n", "x".repeat(20_000))), Refusal::HeadTooLong);
    refused(&chunked(&format!("0\r\n{}\r\n", "X: 1\r\n".repeat(101))), Refusal::TooManyFields);
}
