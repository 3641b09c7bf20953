use proptest::prelude::*;

use super::*;
use crate::auth::NATIVE;

fn greeting() -> Greeting {
    Greeting {
        version: "8.0.36-test".into(),
        connection_id: 0x0102_0304,
        capabilities: Capabilities::LONG_PASSWORD
            | Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::CONNECT_WITH_DB,
        collation: 45,
        status: ServerStatus::AUTOCOMMIT,
        salt: Salt(*b"ABCDEFGHIJKLMNOPQRST"),
        plugin: NATIVE.into(),
    }
}

/// Laid out by hand from Protocol::HandshakeV10.
#[test]
fn a_greeting_is_laid_out_as_documented() {
    let mut out = Vec::new();
    greeting().encode(&mut out);
    let mut expected = b"\x0a8.0.36-test\0\x04\x03\x02\x01ABCDEFGH\0".to_vec();
    expected.extend_from_slice(&[0x09, 0x82, 45, 2, 0, 0x08, 0x00, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend_from_slice(b"IJKLMNOPQRST\0mysql_native_password\0");
    assert_eq!(out, expected);
    assert_eq!(Greeting::decode(&out), Ok(greeting()));
}

#[test]
fn a_mariadb_greeting_carries_extended_capabilities() {
    let capabilities = (greeting().capabilities - Capabilities::LONG_PASSWORD) | Capabilities(0x1d << 32);
    let mut out = Vec::new();
    Greeting { capabilities, ..greeting() }.encode(&mut out);
    assert_eq!(Greeting::decode(&out).unwrap().capabilities, capabilities);
}

#[test]
fn a_greeting_cut_anywhere_is_an_error_not_a_panic() {
    let mut out = Vec::new();
    greeting().encode(&mut out);
    // From the last byte of the salt on, what is missing is a zero or the name of the default plugin.
    for length in 0..out.len() - 2 - NATIVE.len() {
        assert!(Greeting::decode(&out[..length]).is_err(), "{length}");
    }
}

/// Laid out by hand from Protocol::HandshakeResponse41: the parts in the order of the documentation.
#[test]
fn a_login_is_laid_out_as_documented() {
    let capabilities = Capabilities::LONG_PASSWORD
        | Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::CONNECT_WITH_DB
        | Capabilities::PLUGIN_AUTH
        | Capabilities::PLUGIN_AUTH_LENENC
        | Capabilities::CONNECT_ATTRS;
    let mut bytes = vec![0x09, 0x82, 0x38, 0x00, 0, 0, 0, 1, 45];
    bytes.extend_from_slice(&[0; 23]);
    bytes.extend_from_slice(b"root\0\x03abcshop\0mysql_native_password\0\x09\x04_pid\x0342!");
    let login = Login {
        capabilities,
        max_packet: 16 << 20,
        collation: 45,
        user: "root".into(),
        auth_response: b"abc".to_vec(),
        database: Some("shop".into()),
        plugin: NATIVE.into(),
        attributes: vec![("_pid".into(), "42!".into())],
    };
    assert_eq!(FirstPacket::decode(&bytes), Ok(FirstPacket::Login(login.clone())));
    let mut out = Vec::new();
    login.encode(&mut out);
    assert_eq!(out, bytes);
}

#[test]
fn a_client_without_plugins_sends_a_short_login() {
    let mut bytes = vec![0x00, 0x82, 0, 0, 0, 0, 0, 1, 33];
    bytes.extend_from_slice(&[0; 23]);
    bytes.extend_from_slice(b"root\0\0");
    let Ok(FirstPacket::Login(login)) = FirstPacket::decode(&bytes) else { panic!("not a login") };
    assert_eq!((login.user.as_str(), login.plugin.as_str(), login.database), ("root", "", None));
}

#[test]
fn a_login_older_than_4_1_is_refused() {
    assert!(FirstPacket::decode(&[0x85, 0x24, 0, 0, 0, b'o', b'l', b'd', 0]).is_err());
}

#[test]
fn a_tls_request_is_the_head_of_a_login() {
    let mut out = Vec::new();
    let capabilities = Capabilities::LONG_PASSWORD | Capabilities::PROTOCOL_41 | Capabilities::SSL;
    put_tls_request(&mut out, capabilities, 1 << 24, 45);
    assert_eq!(out.len(), 32);
    assert_eq!(FirstPacket::decode(&out), Ok(FirstPacket::TlsRequest(capabilities)));
}

#[test]
fn more_attributes_than_are_kept_do_no_harm() {
    let attributes = (0..200).map(|i| (format!("k{i}"), String::new())).collect();
    let capabilities =
        Capabilities::LONG_PASSWORD | Capabilities::PROTOCOL_41 | Capabilities::CONNECT_ATTRS | Capabilities::SECURE_CONNECTION;
    let mut out = Vec::new();
    Login { capabilities, attributes, ..Login::default() }.encode(&mut out);
    let Ok(FirstPacket::Login(login)) = FirstPacket::decode(&out) else { panic!("not a login") };
    assert_eq!(login.attributes.len(), ATTRIBUTES_MAX);
}

#[test]
fn a_change_of_user_round_trips() {
    let capabilities = Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH;
    let login = Login {
        capabilities,
        collation: 45,
        user: "ann".into(),
        auth_response: vec![7; 20],
        database: Some("shop".into()),
        plugin: NATIVE.into(),
        ..Login::default()
    };
    let mut out = Vec::new();
    put_change_user(&mut out, &login);
    assert_eq!(out[0], 0x11);
    assert_eq!(decode_change_user(&out[1..], capabilities), Ok(login));
    // The shortest form there is: no collation, no plugin.
    assert_eq!(decode_change_user(b"ann\0\0\0", Capabilities::SECURE_CONNECTION).unwrap().database, None);
}

#[test]
fn authentication_steps_round_trip() {
    for step in [
        AuthStep::Switch { plugin: "caching_sha2_password", data: &[1; 20] },
        AuthStep::Switch { plugin: "client_ed25519", data: &[0; 32] },
        AuthStep::More(&[3]),
        AuthStep::Accepted,
        AuthStep::Refused,
    ] {
        let mut out = Vec::new();
        step.encode(&mut out);
        assert_eq!(AuthStep::decode(&out), Ok(step));
    }
    assert!(AuthStep::decode(&[0xfe]).is_err());
    assert!(AuthStep::decode(&[]).is_err());
    assert!(AuthStep::decode(&[0x42]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_login_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = FirstPacket::decode(&bytes);
        let _ = Greeting::decode(&bytes);
        let _ = AuthStep::decode(&bytes);
        let _ = decode_change_user(&bytes, Capabilities(u64::MAX));
    }
}
