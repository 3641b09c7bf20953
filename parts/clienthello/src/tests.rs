use proptest::prelude::*;

use super::*;

/// A vector with a length of `bytes` bytes in front.
fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
    [&(content.len() as u64).to_be_bytes()[8 - bytes..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, content)].concat()
}

fn named(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(2, &[&[0][..], &vector(2, name)].concat()))
}

/// A whole handshake message with these extensions; `None`: without the field.
fn message(extensions: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend(vector(1, &[5; 32]));
    body.extend(vector(2, &[0x13, 0x01, 0x13, 0x02]));
    body.extend(vector(1, &[0]));
    body.extend(extensions.map(|all| vector(2, all)).unwrap_or_default());
    [&[1][..], &vector(3, &body)].concat()
}

fn records(message: &[u8], each: usize) -> Vec<u8> {
    message.chunks(each).flat_map(|fragment| [&[22, 3, 1][..], &vector(2, fragment)].concat()).collect()
}

fn read(extensions: Option<&[u8]>) -> Result<Option<Hello>, NoHello> {
    parse(&records(&message(extensions), 1 << 14))
}

fn name(name: &str) -> Result<Option<Hello>, NoHello> {
    Ok(Some(Hello { name: Some(name.into()) }))
}

#[test]
fn the_name_is_found_among_other_extensions() {
    assert_eq!(read(Some(&named(b"Shop.Example.org"))), name("shop.example.org"));
    let others = [extension(43, &[2, 3, 4]), named(b"a.b"), extension(0xff01, &[0])].concat();
    assert_eq!(read(Some(&others)), name("a.b"));
    assert_eq!(read(Some(&extension(43, &[2, 3, 4]))), Ok(Some(Hello { name: None })));
    assert_eq!(read(Some(&[])), Ok(Some(Hello { name: None })));
    assert_eq!(read(None), Ok(Some(Hello { name: None })));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let check = |extensions: &[u8]| assert_eq!(read(Some(extensions)), Err(NoHello::Malformed), "{extensions:?}");
    check(&[named(b"a.example"), named(b"b.example")].concat());
    check(&named(b""));
    check(&named(b"a\0b"));
    check(&named(b"a b"));
    check(&named(&[b'a'; 254]));
    check(&extension(0, &[]));
    check(&extension(0, &vector(2, &[])));
    check(&extension(0, &vector(2, &[&[1][..], &vector(2, b"a")].concat()))); // not a host name
    check(&extension(0, &vector(2, &[&[0][..], &vector(2, b"a"), &[0], &vector(2, b"b")].concat()))); // two in one list
    check(&extension(0, &[&vector(2, &[&[0][..], &vector(2, b"a")].concat())[..], &[0]].concat())); // more behind the list
    check(&[0, 0, 0]); // an extension cut short
    check(&[0, 43, 0, 9, 1]);
}

#[test]
fn the_rest_of_the_message_is_checked_as_well() {
    let whole = message(Some(&named(b"a")));
    let change = |at: usize, to: u8| {
        let mut changed = whole.clone();
        changed[at] = to;
        parse(&records(&changed, 1 << 14))
    };
    assert_eq!(change(4 + 34, 33), Err(NoHello::Malformed)); // a session id of 33 bytes
    assert_eq!(change(4 + 34 + 33 + 1, 3), Err(NoHello::Malformed)); // half a cipher suite
    assert_eq!(change(4 + 34 + 33 + 6, 0), Err(NoHello::Malformed)); // no compression method
    assert_eq!(change(0, 2), Err(NoHello::NotTls)); // a ServerHello
    assert_eq!(change(1, 1), Err(NoHello::TooLong));
}

#[test]
fn what_is_no_tls_shows_at_once() {
    let check = |bytes: &[u8], expected| assert_eq!(parse(bytes), expected, "{bytes:?}");
    check(b"", Ok(None));
    check(b"G", Err(NoHello::NotTls));
    check(b"SSH-2.0-x", Err(NoHello::NotTls));
    check(&[22], Ok(None));
    check(&[22, 2], Err(NoHello::NotTls));
    check(&[22, 3, 1, 0, 0], Err(NoHello::Malformed)); // an empty record
    check(&[22, 3, 1, 0x40, 1], Err(NoHello::Malformed)); // longer than a record may be
    check(&[21, 3, 1, 0, 2, 1, 0], Err(NoHello::NotTls)); // an alert
    // Records of one byte for ever.
    check(&[22, 3, 1, 0, 1, 1].repeat(RECORDS_MAX), Err(NoHello::TooLong));
}

proptest! {
    /// However it is cut into records and packets, the answer is the same, and comes with the last byte.
    #[test]
    fn slices_do_not_matter(each in 8usize..400, name_length in 1usize..253) {
        let text = vec![b'x'; name_length];
        let bytes = records(&message(Some(&named(&text))), each);
        for length in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..length]), Ok(None));
        }
        prop_assert_eq!(parse(&bytes), name(&"x".repeat(name_length)));
        prop_assert_eq!(parse(&[&bytes[..], b"more"].concat()), name(&"x".repeat(name_length)));
    }

    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&bytes);
        let _ = parse(&records(&[&[1][..], &vector(3, &bytes)].concat(), 100));
    }
}
