use crate::Known;

#[test]
fn every_known_name_is_found_in_any_case() {
    for name in ["te", "Host", "CONTENT-LENGTH", "if-unmodified-since", "Surrogate-Key", "cdn-cache-control", "vary", "X-Forwarded-For"] {
        assert_eq!(Known::of(name.as_bytes()).name(), name.to_ascii_lowercase());
    }
    for other in ["", "x", "hos", "hostt", "content_length", "if-unmodified-since-then-and-so-on"] {
        assert_eq!(Known::of(other.as_bytes()), Known::Other, "{other}");
    }
}

#[test]
fn a_byte_that_differs_from_a_letter_in_its_case_bit_only_is_no_other_letter() {
    // '-' is 0x2d, and 0x0d has only the case bit less; '@' and '`', '[' and '{' differ by it as well.
    for other in [&b"content\x0dlength"[..], b"content-lengt@", b"content-lengt`", b"\x08ost", b"hos\x14", b"hos\x54\x00", b"ho\xf3t"] {
        assert_eq!(Known::of(other), Known::Other, "{}", other.escape_ascii());
    }
}

#[test]
fn hop_by_hop_is_about_the_connection() {
    // RFC 9110 §7.6.1
    for name in ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"] {
        assert!(Known::of(name.as_bytes()).hop_by_hop(), "{name}");
    }
    for name in ["host", "trailer", "content-length", "cookie", "x-own"] {
        assert!(!Known::of(name.as_bytes()).hop_by_hop(), "{name}");
    }
}
