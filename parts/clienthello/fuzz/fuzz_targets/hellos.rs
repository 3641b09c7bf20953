//! The first bytes of a connection: no panic, no answer that more bytes could change, and a name that is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pumasi_clienthello::{INPUT_BYTES_MAX, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    assert!(whole != Ok(None) || bytes.len() <= INPUT_BYTES_MAX);
    if let Ok(Some(hello)) = &whole {
        assert!(hello.name.as_ref().is_none_or(|name| !name.is_empty() && name.is_ascii()));
    }
    for length in 0..bytes.len() {
        let part = parse(&bytes[..length]);
        assert!(part == Ok(None) || part == whole, "{length} bytes say {part:?}, all say {whole:?}");
    }
});
