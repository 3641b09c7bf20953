use proptest::prelude::*;

use super::*;

/// A key made for this test, and what Python's `pow` and hashlib make of it by the formulas of RFC 8017; Python's cryptography package
/// decrypted it to the password again.
const PEM: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCrUzk0EkcFTWNCr+ei7irbRVk7\n\
yjw+qzYw7hBDuk46ZSZEGQkfARvZp6Xn4jDMNSvPtTkyPWMrx01xA0O62wwLmMC1\n\
Rszsn/U0ODodQaBAXpLWcczlGxXIR2HPqGwqJSozfvxaCz8Ae64S/uXTiCdFrEtz\n\
OFyTwSWAu1c1Wd7p9wIDAQAB\n\
-----END PUBLIC KEY-----\n";

const ENCRYPTED: &str = "\
9579006cdf676129cf98e6563cf9c301c0147b0640571adb81053f3340f2f5363dbcf326ed09262b114ab45f01f43523f321\
be1bddbee51bd91f03673248c18774f6af080b8584d12b1115e8f99525b9ec66b8632bf77c13610930f942d607d3ae7cabfa\
a2ca370358759151895d3350e5660aa60f4208e0e5013bbad94838f3";

#[test]
fn a_password_is_encrypted_as_the_rfc_says() {
    let key = PublicKey::from_pem(PEM.as_bytes()).unwrap();
    let seed = std::array::from_fn(|i| i as u8);
    let encrypted = key.encrypt_password(b"a rather long secret", &Salt(*b"0123456789abcdefghij"), seed).unwrap();
    assert_eq!(encrypted.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), ENCRYPTED);
}

#[test]
fn a_password_longer_than_the_key_is_an_error() {
    let key = PublicKey::from_pem(PEM.as_bytes()).unwrap();
    let salt = Salt([b'x'; 20]);
    // 128 bytes carry 128 - 2 * 20 - 2 bytes, one of them the zero behind the password.
    assert!(key.encrypt_password(&[b'p'; 85], &salt, [1; 20]).is_ok());
    assert_eq!(key.encrypt_password(&[b'p'; 86], &salt, [1; 20]), Err(WireError::TooLarge { max: 128 }));
}

#[test]
fn a_key_cut_anywhere_is_an_error_not_a_panic() {
    let body = PEM.trim_start_matches("-----BEGIN PUBLIC KEY-----").trim_end_matches("-----END PUBLIC KEY-----\n");
    for length in 0..body.trim_end_matches(['=', '\n']).len() {
        let pem = format!("-----BEGIN PUBLIC KEY-----{}-----END PUBLIC KEY-----", &body[..length]);
        assert!(PublicKey::from_pem(pem.as_bytes()).is_err(), "{length}");
    }
    for pem in ["", "-----BEGIN PUBLIC KEY-----", PEM.replace("PUBLIC", "PRIVATE").as_str(), &PEM.replace('M', "*")] {
        assert!(PublicKey::from_pem(pem.as_bytes()).is_err(), "{pem}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_key_or_an_error(der in prop::collection::vec(any::<u8>(), 0..200)) {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let text: String = der.iter().map(|byte| char::from(alphabet[usize::from(byte % 64)])).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----");
        if let Ok(key) = PublicKey::from_pem(pem.as_bytes()) {
            let _ = key.encrypt_password(b"secret", &Salt([1; 20]), [2; 20]);
        }
        let _ = PublicKey::from_pem(&der);
    }
}
