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

#[test]
fn a_hash_checks_a_proof_and_yields_what_answers_another_salt() {
    let hash = |password: &[u8]| Sha1::digest(Sha1::digest(password)).into();
    let (secret, elsewhere) = (hash(b"secret"), Salt(*b"another server's own"));
    let key = NativeKey::proven(&native_proof(b"secret", &SALT), &secret, &SALT).expect("the right password");
    assert_eq!(key.proof(&elsewhere).to_vec(), native_proof(b"secret", &elsewhere));
    for wrong in [native_proof(b"Secret", &SALT), native_proof(b"secret", &elsewhere), secret.to_vec(), vec![], vec![0], vec![0; 21]] {
        assert_eq!(NativeKey::proven(&wrong, &secret, &SALT), None, "{wrong:?}");
    }
    assert_eq!(NativeKey::proven(&[], &hash(b""), &SALT), None, "the hash of an empty password opens nothing");
}

/// The public key is what MariaDB's SHOW CREATE USER shows of an account IDENTIFIED VIA ed25519 USING PASSWORD('secret').
#[test]
fn a_signature_is_of_the_key_that_mariadb_derives() {
    let public = VerifyingKey::from_bytes(&ED25519_SECRET).expect("a point of the curve");
    let nonce = *b"0123456789abcdefghij0123456789ab";
    let signed = |password: &[u8], nonce| ed25519_dalek::Signature::from_bytes(&ed25519_proof(password, nonce));
    assert!(public.verify_strict(&nonce, &signed(b"secret", &nonce)).is_ok());
    assert!(public.verify_strict(&nonce, &signed(b"Secret", &nonce)).is_err());
    assert!(public.verify_strict(&[0; 32], &signed(b"secret", &nonce)).is_err());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const NATIVE_SECRET: &str = "f5cac3f3b3df2133feb57db682c71e6ed433a988";
const SHA2_SECRET: &str = "7e4adda2f2d5ef09b4147518becb0cee2939376203650a8c2bb2815959364bd0";
const ED25519_SECRET: [u8; 32] = [
    0x64, 0x88, 0x14, 0x44, 0x45, 0x20, 0xe4, 0xf5, 0x60, 0x43, 0xa2, 0xec, 0x92, 0x15, 0xe6, 0x3b, 0xe7, 0x99, 0x2d, 0x2d, 0x27, 0x0b,
    0xc6, 0xde, 0xe8, 0x73, 0xe3, 0x61, 0x64, 0x78, 0x60, 0x96,
];
