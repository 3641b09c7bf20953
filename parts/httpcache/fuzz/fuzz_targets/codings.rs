//! Accept-Encoding, whatever it says: a coding is chosen only if it was accepted, and spaces around elements change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pumasi_httpcache::{Accepted, Coding};

fuzz_target!(|list: &[u8]| {
    let accepted = Accepted::of(Some(list));
    let best = accepted.best(Coding::ALL.into_iter());
    assert!(best.is_none_or(|coding| accepted.takes(coding)));
    if best.is_none() {
        // The page as it is was preferred to each of them.
        assert!(Coding::ALL.iter().all(|coding| !accepted.takes(*coding) || list.windows(8).any(|word| word.eq_ignore_ascii_case(b"identity"))));
    }
    let spaced = list.split(|byte| *byte == b',').collect::<Vec<_>>().join(&b" ,\t "[..]);
    assert_eq!(Accepted::of(Some(&spaced)), accepted);
});
