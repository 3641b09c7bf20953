//! Any byte stream is the content of frames or an error, no frame more than 16 MiB of it; and what one end sends is what the other gets.
#![no_main]
use libfuzzer_sys::fuzz_target;
use pumasi_mysqlwire::Compressor;

fuzz_target!(|bytes: &[u8]| {
    let mut hostile = Compressor::default();
    hostile.arriving().extend_from_slice(bytes);
    let mut out = Vec::new();
    while let Ok(true) = hostile.take(&mut out) {
        assert!(out.len() <= 0xff_ffff);
        out.clear();
    }
    let (mut here, mut there) = (Compressor::default(), Compressor::default());
    here.put(bytes, there.arriving());
    let mut got = Vec::new();
    while there.take(&mut got).expect("frames of our own") {}
    assert_eq!(got, bytes);
});
