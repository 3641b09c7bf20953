use super::*;

const SALT: Salt = Salt(*b"0123456789abcdefghij");

#[test]
fn an_empty_password_is_proven_by_nothing() {
    for plugin in [NATIVE, CACHING_SHA2] {
        assert!(proves(plugin, &[], b"", &SALT));
        assert!(proves(plugin, &[0], b"", &SALT), "{plugin}: some clients send one zero");
        assert!(!proves(plugin, &[], b"secret", &SALT));
        assert!(!proves(plugin, &[0], b"secret", &SALT));
    }
}

#[test]
fn the_right_password_proves_itself_and_no_other_does() {
    for (plugin, proof) in [(NATIVE, native_proof(b"secret", &SALT)), (CACHING_SHA2, sha2_proof(b"secret", &SALT))] {
        assert!(proves(plugin, &proof, b"secret", &SALT));
        assert!(!proves(plugin, &proof, b"Secret", &SALT));
        assert!(!proves(plugin, &proof, b"secret", &Salt(*b"1123456789abcdefghij")), "{plugin}: a proof replayed under another salt");
        assert!(!proves(plugin, &proof[1..], b"secret", &SALT));
        assert!(!proves(plugin, &proof, b"", &SALT));
    }
}

#[test]
fn a_plugin_we_do_not_have_proves_nothing() {
    assert!(!proves("mysql_clear_password", b"", b"", &SALT));
}

/// Computed with Python's hashlib from the formulas of the protocol's documentation.
#[test]
fn proofs_are_the_documented_formulas() {
    assert_eq!(hex(&native_proof(b"secret", &SALT)), NATIVE_SECRET);
    assert_eq!(hex(&sha2_proof(b"secret", &SALT)), SHA2_SECRET);
}

#[test]
fn a_salt_is_text_without_zero_and_dollar() {
    let mut random = [0; 20];
    for byte in 0..=255 {
        random.fill(byte);
        assert!(Salt::from_random(random).0.iter().all(|&b| b != 0 && b != b'$' && b < 0x80));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const NATIVE_SECRET: &str = "f5cac3f3b3df2133feb57db682c71e6ed433a988";
const SHA2_SECRET: &str = "7e4adda2f2d5ef09b4147518becb0cee2939376203650a8c2bb2815959364bd0";
