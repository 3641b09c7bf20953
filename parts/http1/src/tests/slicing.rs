//! Whatever arrives in whatever slices gives the same events. Inputs are built from pieces that matter to a parser, so that
//! valid, nearly valid and broken messages all come up.

use proptest::prelude::*;

use super::*;
use crate::Asked;

const PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /x HTTP/1.1\r\n",
    "PUT http://a/ HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 304 x\r\n",
    "Host: a\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "X-Own:  v \r\n",
    " fold\r\n",
    "\r\n",
    "\r",
    "\n",
    "abc",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nX: 1\r\n\r\n",
    "5;e=\"q\"\r\nhello\r\n",
    "X : 1\r\n",
    "X: \u{1}\r\n",
    ":",
    " ",
    "\t",
    ";",
    "ffffffffffffffffffff\r\n",
    "\0",
];

pub(super) fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => prop::sample::select(PIECES).prop_map(|p| p.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    let loose = prop::collection::vec(piece, 0..12).prop_map(|p| p.concat());
    let request = (
        prop::sample::select(&PIECES[..3]),
        prop::collection::vec(prop::sample::select(&PIECES[6..14]), 0..4),
        prop::collection::vec(prop::sample::select(&PIECES[14..]), 0..5),
    )
        .prop_map(|(line, fields, rest)| format!("{line}Host: a\r\n{}\r\n{}", fields.concat(), rest.concat()).into_bytes());
    let response = (
        prop::sample::select(&PIECES[3..6]),
        prop::collection::vec(prop::sample::select(&PIECES[6..14]), 0..4),
        prop::collection::vec(prop::sample::select(&PIECES[14..]), 0..5),
    )
        .prop_map(|(line, fields, rest)| format!("{line}{}\r\n{}", fields.concat(), rest.concat()).into_bytes());
    prop_oneof![loose, request.clone(), response, (request.clone(), request).prop_map(|(a, b)| [a, b].concat())]
}

fn cut(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|w| bytes[w[0]..w[1]].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn requests_do_not_depend_on_slices(bytes in input(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let limits = Limits { head_bytes_max: 120, fields_max: 4 };
        let pieces = cut(&bytes, &cuts);
        let expected = requests([&bytes[..]], &limits);
        prop_assert_eq!(&requests(pieces.iter().map(|p| &p[..]), &limits), &expected);
        prop_assert_eq!(&requests(bytes.chunks(1), &limits), &expected);
    }

    #[test]
    fn responses_do_not_depend_on_slices(bytes in input(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8), head: bool, upgrade: bool) {
        let limits = Limits { head_bytes_max: 120, fields_max: 4 };
        let asked = Asked { head, upgrade };
        let pieces = cut(&bytes, &cuts);
        let expected = responses([&bytes[..]], asked, &limits);
        prop_assert_eq!(&responses(pieces.iter().map(|p| &p[..]), asked, &limits), &expected);
        prop_assert_eq!(&responses(bytes.chunks(1), asked, &limits), &expected);
    }
}
