//! Range and If-Range, whatever they say: what is served lies within the content, and nothing twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pumasi_httpcache::{Asked, range};

fuzz_target!(|input: (u16, &[u8], Option<&[u8]>)| {
    let (length, range_value, if_range) = input;
    let length = u64::from(length);
    let fields = [Some((&b"range"[..], range_value)), if_range.map(|value| (&b"if-range"[..], value))];
    let asked = Asked::of(b"GET", fields.into_iter().flatten());
    let within = |(first, last): (u64, u64)| assert!(first <= last && last < length, "{first}-{last}/{length}");
    match range::parts(&asked, length, Some(b"\"a\""), Some(b"Sun, 06 Nov 1994 08:49:37 GMT"), 1_800_000_000) {
        range::Parts::Whole | range::Parts::Unsatisfiable => {}
        range::Parts::One { first, last } => within((first, last)),
        range::Parts::Several(mut parts) => {
            assert!((2..=range::RANGES_MAX).contains(&parts.len()));
            parts.iter().copied().for_each(within);
            parts.sort_unstable();
            assert!(parts.windows(2).all(|pair| pair[0].1 < pair[1].0), "{parts:?} overlap");
        }
    }
});
