//! Logging in at a MySQL 8 that has forgotten the password's hash. No MySQL can be had where the tests run (Debian has none), so the
//! server's side is played with the codec: it decrypts what it gets with a key made for this test.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use num_bigint::BigUint;
use pumasi_mysqlwire::{
    Column, ColumnFlags, ColumnType, EofPacket, ErrorPhase, FirstPacket, Inbox, OkPacket, Outbox, Sequence, ValueRef, put_error,
    put_text_row,
};
use sha1::{Digest, Sha1};

use super::*;

const PEM: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCpCw3gKqR5tteeiPYKiNR/IHRF\n\
ApV5NNpVLAhmrKE9hOFmU2MX5HN8T7fAZWkuTUQVHiOsjHU2HSxaG/bbKOFCLl9b\n\
cufRWkU4dPdB2xvVe5bCjGaQHEw1xb5tuEWGWqLORB3UKjIJQRFqv2AwnIYaFFKv\n\
7barhec2PBgoriPdaQIDAQAB\n\
-----END PUBLIC KEY-----\n";
const MODULUS: &str = "\
a90b0de02aa479b6d79e88f60a88d47f20744502957934da552c0866aca13d84e166536317e4737c4fb7c065692e4d44151e\
23ac8c75361d2c5a1bf6db28e1422e5f5b72e7d15a453874f741db1bd57b96c28c66901c4c35c5be6db845865aa2ce441dd4\
2a320941116abf60309c861a1452afedb6ab85e7363c1828ae23dd69";
const PRIVATE_EXPONENT: &str = "\
852d60512b47495cf3a2c2e494881861cf7fca9eae843f4f83aa9d33c6ed813a1f1a2eb7f32ad891277cece6f866b218e14a\
4d70b377e49a374706a10528bfcdcbbd7cc93e57acb242249b3d1f1ede118d41edc05f196e7ac954f04ec5c93ed83bf3549f\
3e8a95788ba82ffd18571e680b46322bf1443bf6271a2cdbc188cdc1";

const SALT: Salt = Salt(*b"abcdefghij0123456789");

/// A server for one connection whose user has `password`; returns its port.
fn mysql8(password: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || serve(listener.accept().unwrap().0, password));
    port
}

/// Greets as MySQL 8 does, preferring `caching_sha2_password`; returns the login.
fn greet(stream: &mut TcpStream, inbox: &mut Inbox, sequence: &mut Sequence) -> Login {
    let greeting = Greeting {
        version: "8.0.36".into(),
        connection_id: 7,
        capabilities: Capabilities(u32::MAX.into()),
        collation: 255,
        status: ServerStatus::AUTOCOMMIT,
        salt: SALT,
        plugin: CACHING_SHA2.into(),
    };
    send(stream, sequence, |out| greeting.encode(out));
    let Ok(FirstPacket::Login(login)) = FirstPacket::decode(&receive(stream, inbox, sequence)) else { panic!("no login") };
    login
}

fn serve(mut stream: TcpStream, password: &str) {
    let (mut inbox, mut sequence) = (Inbox::new(1 << 20), Sequence::default());
    let login = greet(&mut stream, &mut inbox, &mut sequence);
    assert_eq!((login.user.as_str(), login.plugin.as_str()), ("app", CACHING_SHA2));
    // The proof may be right: a server that has just started cannot know.
    send(&mut stream, &mut sequence, |out| AuthStep::More(&[auth::SHA2_FULL_AUTHENTICATION]).encode(out));
    assert_eq!(receive(&mut stream, &mut inbox, &mut sequence), [auth::SHA2_REQUEST_KEY]);
    send(&mut stream, &mut sequence, |out| AuthStep::More(PEM.as_bytes()).encode(out));
    if decrypt(&receive(&mut stream, &mut inbox, &mut sequence)) != format!("{password}\0").as_bytes() {
        return send(&mut stream, &mut sequence, |out| {
            put_error(out, &SqlError::new(1045, "28000", "Access denied"), ErrorPhase::AfterGreeting)
        });
    }
    let ok = |out: &mut Vec<u8>| OkPacket { status: ServerStatus::AUTOCOMMIT, ..OkPacket::default() }.encode(out, Capabilities(0));
    send(&mut stream, &mut sequence, ok);
    sequence.restart();
    assert_eq!(receive(&mut stream, &mut inbox, &mut sequence)[1..], *TRACK);
    send(&mut stream, &mut sequence, ok);
    sequence.restart();
    assert_eq!(receive(&mut stream, &mut inbox, &mut sequence)[1..], *b"SELECT @@sql_mode");
    let end = |out: &mut Vec<u8>| EofPacket { warnings: 0, status: ServerStatus::AUTOCOMMIT }.encode(out);
    send(&mut stream, &mut sequence, |out| out.push(1));
    let column = Column {
        schema: String::new(),
        table: String::new(),
        org_table: String::new(),
        name: "@@sql_mode".into(),
        org_name: String::new(),
        collation: 45,
        length: 2048,
        kind: ColumnType::VarString,
        flags: ColumnFlags::default(),
        decimals: 0,
    };
    send(&mut stream, &mut sequence, |out| column.encode(out));
    send(&mut stream, &mut sequence, end);
    send(&mut stream, &mut sequence, |out| put_text_row(out, &[ValueRef::Bytes(b"ANSI_QUOTES")]));
    send(&mut stream, &mut sequence, end);
}

fn send(stream: &mut TcpStream, sequence: &mut Sequence, write: impl FnOnce(&mut Vec<u8>)) {
    let mut outbox = Outbox::default();
    outbox.packet(sequence, write);
    stream.write_all(outbox.bytes()).unwrap();
}

fn receive(stream: &mut TcpStream, inbox: &mut Inbox, sequence: &mut Sequence) -> Vec<u8> {
    loop {
        if let Some(payload) = inbox.take(sequence).unwrap() {
            return payload.to_vec();
        }
        let count = stream.read(inbox.space()).unwrap();
        assert!(count > 0, "the client hung up");
        inbox.filled(count);
    }
}

/// RSAES-OAEP the other way round, and the salt taken off.
fn decrypt(encrypted: &[u8]) -> Vec<u8> {
    let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16).unwrap();
    let plain = BigUint::from_bytes_be(encrypted).modpow(&number(PRIVATE_EXPONENT), &number(MODULUS)).to_bytes_be();
    // The first byte is zero, and so is not among them.
    let (mut seed, mut block) = (plain[..20].to_vec(), plain[20..].to_vec());
    unmask(&mut seed, &plain[20..]);
    unmask(&mut block, &seed);
    let begin = 20 + block[20..].iter().position(|&byte| byte == 1).unwrap() + 1;
    block[begin..].iter().zip(SALT.0.iter().cycle()).map(|(byte, salt)| byte ^ salt).collect()
}

fn unmask(target: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(target.chunks_mut(20)) {
        let stream = Sha1::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize();
        chunk.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
    }
}

fn connect(port: u16, password: &str) -> Result<Backend, NoBackend> {
    connect_as(port, &Identity::new("app", password))
}

fn connect_as(port: u16, user: &Identity) -> Result<Backend, NoBackend> {
    let target = Target::parse(&format!("mysql://127.0.0.1:{port}")).unwrap();
    let capabilities = Capabilities::LONG_PASSWORD
        | Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::PLUGIN_AUTH
        | Capabilities::PLUGIN_AUTH_LENENC;
    let key = Arc::new(Key { user: "app".into(), capabilities, collation: 45, era: 0 });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Backend::connect(&target, &key, user))
}

#[test]
fn a_password_goes_over_encrypted_where_its_hash_is_not_known() {
    let backend = connect(mysql8("a secret"), "a secret").unwrap();
    assert_eq!((backend.server_id, backend.facts.version.as_str()), (7, "8.0.36"));
    assert_eq!(backend.facts.sql_mode, b"ANSI_QUOTES");
    assert!(!backend.resettable(), "what MySQL's reset leaves of the character set is not known");
}

#[test]
fn a_wrong_password_is_refused_in_the_servers_words() {
    let Err(NoBackend::Refused(error)) = connect(mysql8("a secret"), "a guess") else { panic!("let in") };
    assert_eq!((error.code, error.message.as_str()), (1045, "Access denied"));
}

#[test]
fn who_has_only_a_native_key_says_so_at_once_and_proves_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let (mut inbox, mut sequence) = (Inbox::new(1 << 20), Sequence::default());
        let login = greet(&mut stream, &mut inbox, &mut sequence);
        // The account has another plugin, as most of a MySQL 8 have.
        send(&mut stream, &mut sequence, |out| AuthStep::Switch { plugin: CACHING_SHA2, data: &SALT.0 }.encode(out));
        let mut further = Vec::new();
        stream.read_to_end(&mut further).unwrap();
        (login, further)
    });
    let hash = Sha1::digest(Sha1::digest(b"a secret")).into();
    let key = auth::NativeKey::proven(&auth::native_proof(b"a secret", &SALT), &hash, &SALT).unwrap();
    let Err(NoBackend::Refused(error)) = connect_as(port, &Identity { name: "app".into(), secret: Secret::NativeKey(key) }) else {
        panic!("let in")
    };
    assert_eq!(error.code, 2059);
    assert!(error.message.contains("caching_sha2_password") && error.message.contains("'app'"), "{}", error.message);
    let (login, further) = server.join().unwrap();
    assert_eq!((login.plugin.as_str(), login.auth_response), (NATIVE, auth::native_proof(b"a secret", &SALT)));
    assert!(further.is_empty(), "nothing of the key goes to a plugin that it is not for");
}
