use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn what_is_written_is_read_again() {
    for (source, destination) in [("1.2.3.4:5", "6.7.8.9:80"), ("[2001:db8::1]:65535", "[::1]:1"), ("[::ffff:1.2.3.4]:5", "6.7.8.9:80")] {
        let (source, destination) = (address(source), address(destination));
        for write in [write_v1, write_v2] {
            let mut out = Vec::new();
            write(&mut out, source, destination);
            let length = out.len();
            let expected = SocketAddr::new(source.ip().to_canonical(), source.port());
            for cut in 0..length {
                assert_eq!(parse(&out[..cut]), Ok(None), "{cut} of {}", out.escape_ascii());
            }
            out.extend_from_slice(b"GET /");
            assert_eq!(parse(&out), Ok(Some(Header { length, source: Some(expected) })));
        }
    }
}

#[test]
fn the_examples_of_the_specification() {
    let check = |text: &str, expected| assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
    let read = |length, source| Ok(Some(Header { length, source }));
    check("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", read(56, Some(address("255.255.255.255:65535"))));
    check("PROXY UNKNOWN\r\n", read(15, None));
    check("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", read(43, None));
    check("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", Err(NoHeader));
    check("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", Err(NoHeader));
    check("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", Err(NoHeader));
    check("PROXY TCP4 1.2.3.4 5.6.7.8 70000 2\r\n", Err(NoHeader));
    check("GET / HTTP/1.1\r\n", Err(NoHeader));
    check(&format!("PROXY UNKNOWN {}", "x".repeat(200)), Err(NoHeader));
}

#[test]
fn version_2_has_local_connections_and_extensions() {
    let with = |command: u8, family: u8, rest: &[u8]| {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family]);
        bytes.extend_from_slice(&(rest.len() as u16).to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    };
    let v4 = [&[1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 0, 81][..], &[4, 0, 1, 9]].concat(); // and one extension
    assert_eq!(parse(&with(0x21, 0x11, &v4)), Ok(Some(Header { length: 32, source: Some(address("1.2.3.4:80")) })));
    assert_eq!(parse(&with(0x20, 0x00, &[])), Ok(Some(Header { length: 16, source: None })));
    assert_eq!(parse(&with(0x21, 0x31, &[0; 216])), Ok(Some(Header { length: 232, source: None })));
    assert_eq!(parse(&with(0x21, 0x11, &[1, 2, 3])), Err(NoHeader));
    assert_eq!(parse(&with(0x11, 0x11, &v4)), Err(NoHeader));
    assert_eq!(parse(&with(0x21, 0x11, &[0; 5000])), Err(NoHeader));
}
