//! A request's and a response's head as lines, whatever they hold: no panic in any decision, and what follows from the rules themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pumasi_httpcache::{Answered, Asked, Exchange, Reuse, Rules, Terms, invalidation, storing, validation, vary};

const NOW_MS: u64 = 1_800_000_000_000;

fuzz_target!(|input: (u16, u32, &[u8], &[u8])| {
    let (status, later_s, request, response) = input;
    let asked = Asked::of(b"GET", lines(request));
    let answered = Answered::of(status, lines(response));
    let named = |wanted: &'static [u8]| lines(response).filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
    if let Ok(names) = vary::names(named(b"vary")) {
        assert!(names.len() <= vary::NAMES_MAX && names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        vary::select(&names, lines(request), &mut one);
        vary::select(&names, lines(request), &mut other);
        assert_eq!(one, other);
    }
    let _ = validation::not_modified(&asked, answered.etag, answered.last_modified, (NOW_MS / 1000) as i64);
    for target in invalidation::also(&answered, b"example.org", b"/dir/page?query") {
        assert!(target.starts_with(b"/"), "{}", target.escape_ascii());
    }
    let rules = Rules { stale_while_revalidate_s: 5, negative_s: 5, ..Rules::default() };
    if let Ok(terms) = storing(&asked, &answered, false, &rules, Exchange { request_ms: NOW_MS, response_ms: NOW_MS }) {
        assert_eq!(Terms::from_bytes(terms.to_bytes()), terms);
        assert!(!answered.vary_all && !answered.directives.private);
        // What is no longer fresh does not become fresh by waiting.
        let at = |ms: u64| terms.reuse(&asked, NOW_MS + ms);
        let later_ms = u64::from(later_s) * 1000;
        if at(later_ms) == Reuse::Fresh {
            assert_eq!(at(later_ms / 2), Reuse::Fresh);
        }
    }
});

/// `name: value` by lines.
fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    head.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}
