use super::*;
use proptest::prelude::*;

/// What an answer was read as: status, body, bytes used, and whether the connection may go on.
fn read(expect: Expect, slices: &[&[u8]]) -> Result<(u16, Vec<u8>, usize, bool), String> {
    let mut reader = Reader::default();
    reader.begin(Expect { keep_body: true, ..expect });
    let mut before = 0;
    for slice in slices {
        match reader.feed(slice) {
            Progress::More => before += slice.len(),
            Progress::Done { used } => return Ok((reader.status(), reader.body().to_vec(), before + used, reader.reusable())),
            Progress::Refused(reason) => return Err(reason),
        }
    }
    if reader.end() { Ok((reader.status(), reader.body().to_vec(), before, reader.reusable())) } else { Err("cut off".into()) }
}

fn check(answer: &str, expected: Result<(u16, &str, bool), &str>) {
    let got = read(Expect::default(), &[answer.as_bytes()]);
    match (got, expected) {
        (Ok((status, body, used, reusable)), Ok((wanted, text, reuse))) => {
            assert_eq!((status, body.as_slice(), reusable), (wanted, text.as_bytes(), reuse), "{answer:?}");
            assert_eq!(used, answer.len(), "{answer:?}");
        }
        (Err(reason), Err(wanted)) => assert!(reason.contains(wanted), "{answer:?}: {reason}"),
        (got, expected) => panic!("{answer:?}: {got:?} instead of {expected:?}"),
    }
}

#[test]
fn answers_end_where_their_framing_says() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, "hello", true)));
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok((200, "", true)));
    check("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", Ok((204, "", true)));
    check("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Ok((304, "", true)));
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n, worlds!!\r\n0\r\nX: y\r\n\r\n",
        Ok((200, "hello, worlds!!", true)),
    );
    check("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", Ok((200, "until the end", false)));
    check("HTTP/1.1 200 OK\r\n\r\nuntil the end", Ok((200, "until the end", false)));
    check("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Ok((200, "ok", false)));
    check("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Ok((200, "ok", true)));
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Ok((200, "ok", true)),
    );
}

#[test]
fn contradictions_are_refused() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err(""));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Err(""));
    check("HTTP/1.1 101 Switching Protocols\r\n\r\n", Err(""));
    check("SSH-2.0-OpenSSH_9.2\r\n", Err(""));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", Err("cut off"));
}

#[test]
fn the_answer_to_head_has_no_body() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let got = read(Expect { no_body: true, ..Expect::default() }, &[answer]);
    assert_eq!(got, Ok((200, Vec::new(), answer.len(), true)));
}

#[test]
fn a_head_that_never_ends_is_refused_in_pieces_too() {
    let mut reader = Reader::default();
    reader.begin(Expect::default());
    assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nX: "), Progress::More);
    for _ in 0..LIMITS.head_bytes_max / 1024 + 1 {
        match reader.feed(&[b'y'; 1024]) {
            Progress::More => {}
            Progress::Refused(_) => return,
            done => panic!("{done:?}"),
        }
    }
    panic!("an endless head was buffered");
}

#[test]
fn headers_are_found_by_name() {
    let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nLocation:  /x \r\nset-cookie: b=2\r\n\r\n";
    assert_eq!(header(head, "location"), Some(b"/x".as_slice()));
    assert_eq!(headers(head, "Set-Cookie").collect::<Vec<_>>(), [b"a=1".as_slice(), b"b=2".as_slice()]);
    assert_eq!(header(head, "ETag"), None);
}

proptest! {
    #[test]
    fn slices_do_not_change_what_is_read(cuts in proptest::collection::vec(0usize..400, 0..12), which in 0usize..4) {
        let answers: [&str; 4] = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n, worlds!!\r\n0\r\nX: y\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
        ];
        let answer = answers[which].as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % answer.len()).chain([0, answer.len()]).collect();
        cuts.sort();
        let slices: Vec<&[u8]> = cuts.windows(2).map(|w| &answer[w[0]..w[1]]).filter(|slice| !slice.is_empty()).collect();
        prop_assert_eq!(read(Expect::default(), &slices), read(Expect::default(), &[answer]));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(Expect::default(), &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes]);
        let _ = read(Expect::default(), &[&bytes]);
    }
}
