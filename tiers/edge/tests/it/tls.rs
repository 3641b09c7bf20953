//! HTTPS: certificates by name, reload, mutual TLS.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use pumasi_config::{CertificatePlan, TlsPlan};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};

use crate::harness::*;

/// A certificate for `names` that signed itself, written to `directory`.
pub struct Certificate {
    pub plan: CertificatePlan,
    pub der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Certificate {
    /// What a server with it alone needs.
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        Arc::new(builder.with_single_cert(vec![self.der.clone()], key).unwrap())
    }
}

pub fn certificate(directory: &Path, file: &str, names: &[&str]) -> Certificate {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    let plan = CertificatePlan { chain: directory.join(format!("{file}.pem")), key: directory.join(format!("{file}.key")) };
    std::fs::write(&plan.chain, made.cert.pem()).unwrap();
    std::fs::write(&plan.key, made.signing_key.serialize_pem()).unwrap();
    Certificate { plan, der: made.cert.der().clone(), key: made.signing_key.serialize_der() }
}

pub fn tls_setup(origin: &Origin, certificates: &[&Certificate]) -> Setup {
    let mut setup = setup(&[origin.address]);
    setup.plan.tls = Some(TlsPlan {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        certificates: certificates.iter().map(|c| c.plan.clone()).collect(),
        client_authorities: None,
        http2: true,
    });
    setup
}

pub fn trusting(certificates: &[&Certificate], own: Option<&Certificate>, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    certificates.iter().for_each(|c| roots.add(c.der.clone()).unwrap());
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::try_from(own.key.clone()).unwrap();
            builder.with_client_auth_cert(vec![own.der.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = ClientConnection::new(config.clone(), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    StreamOwned::new(client, socket)
}

/// One GET; the answer's text, or why there is none.
fn get(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> Result<String, String> {
    stream.write_all(GET.as_bytes()).map_err(|e| e.to_string())?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(b"hello") {
        match stream.read(&mut buffer).map_err(|e| e.to_string())? {
            0 => return Err(format!("closed after {}", text.escape_ascii())),
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8(text).unwrap())
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) =
        (certificate(directory.path(), "a", &["a.example"]), certificate(directory.path(), "b", &["b.example", "*.b.example"]));
    let origin = Origin::saying("hello");
    let edge = tls_setup(&origin, &[&first, &second]).start();
    let address = edge.addresses()[1];
    let config = trusting(&[&first, &second], None, &[]);
    for (name, expected) in [("a.example", &first), ("b.example", &second), ("x.B.example", &second)] {
        let mut stream = connect(address, &config, name);
        for _ in 0..2 {
            assert!(get(&mut stream).unwrap().starts_with("HTTP/1.1 200"));
        }
        assert_eq!(stream.conn.peer_certificates().unwrap()[0], expected.der, "{name}");
    }
    let mut stranger = connect(address, &config, "unknown.example");
    assert!(get(&mut stranger).unwrap_err().contains("certificate"), "the first one answers, and is not for that name");
    drop(stranger);
    wait_until("the one that ended its handshake is counted", || edge.status().handshakes.failed == 1);
}

#[test]
fn the_upstream_is_told_that_it_was_https() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = certificate(directory.path(), "a", &["a.example"]);
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            assert_eq!(field(&head, "x-forwarded-proto").as_deref(), Some("https"));
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let edge = tls_setup(&origin, &[&certificate]).start();
    let mut stream = connect(edge.addresses()[1], &trusting(&[&certificate], None, &["http/1.1"]), "a.example");
    assert!(get(&mut stream).is_ok());
}

#[test]
fn a_new_certificate_is_taken_by_a_reload_and_connections_stay() {
    let directory = tempfile::tempdir().unwrap();
    let before = certificate(directory.path(), "a", &["a.example"]);
    let origin = Origin::saying("hello");
    let setup = tls_setup(&origin, &[&before]);
    let (plan, pools) = (setup.plan.clone(), setup.pools.clone());
    let edge = setup.start();
    let address = edge.addresses()[1];
    let mut old = connect(address, &trusting(&[&before], None, &[]), "a.example");
    get(&mut old).unwrap();
    let after = certificate(directory.path(), "a", &["a.example"]);
    edge.reload(&plan, pools.clone()).unwrap();
    get(&mut old).unwrap();
    let mut new = connect(address, &trusting(&[&after], None, &[]), "a.example");
    get(&mut new).unwrap();
    assert_eq!(new.conn.peer_certificates().unwrap()[0], after.der);

    std::fs::write(&plan.tls.as_ref().unwrap().certificates[0].chain, "nonsense").unwrap();
    let refused = edge.reload(&plan, pools).unwrap_err().to_string();
    assert!(refused.contains("a.pem: holds no certificate"), "{refused}");
    let mut still = connect(address, &trusting(&[&after], None, &[]), "a.example");
    get(&mut still).unwrap();
}

/// The keys of tickets outlive a reload: returning clients do not pay for a whole handshake because somebody changed a route.
#[test]
fn a_session_is_resumed_across_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    let own = certificate(directory.path(), "a", &["a.example"]);
    let origin = Origin::saying("hello");
    let setup = tls_setup(&origin, &[&own]);
    let (plan, pools) = (setup.plan.clone(), setup.pools.clone());
    let edge = setup.start();
    let config = trusting(&[&own], None, &[]);
    let ask = || {
        let mut stream = connect(edge.addresses()[1], &config, "a.example");
        get(&mut stream).unwrap(); // the ticket comes with the answer
        stream.conn.handshake_kind()
    };
    assert_eq!(ask(), Some(rustls::HandshakeKind::Full));
    assert_eq!(ask(), Some(rustls::HandshakeKind::Resumed));
    edge.reload(&plan, pools).unwrap();
    assert_eq!(ask(), Some(rustls::HandshakeKind::Resumed));
    let told = edge.status().handshakes;
    assert_eq!((told.full, told.resumed, told.failed), (1, 2, 0));
}

#[test]
fn with_mutual_tls_a_client_without_a_certificate_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let (own, friend, stranger) = (
        certificate(directory.path(), "a", &["a.example"]),
        certificate(directory.path(), "c", &["client"]),
        certificate(directory.path(), "s", &["client"]),
    );
    let origin = Origin::saying("hello");
    let mut setup = tls_setup(&origin, &[&own]);
    setup.plan.tls.as_mut().unwrap().client_authorities = Some(friend.plan.chain.clone());
    let edge = setup.start();
    let address = edge.addresses()[1];
    assert!(get(&mut connect(address, &trusting(&[&own], Some(&friend), &[]), "a.example")).is_ok());
    assert!(get(&mut connect(address, &trusting(&[&own], None, &[]), "a.example")).is_err());
    assert!(get(&mut connect(address, &trusting(&[&own], Some(&stranger), &[]), "a.example")).is_err());
}

#[test]
fn a_client_that_never_finishes_its_handshake_is_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let own = certificate(directory.path(), "a", &["a.example"]);
    let origin = Origin::saying("hello");
    let mut setup = tls_setup(&origin, &[&own]);
    setup.plan.limits.header_timeout = Duration::from_millis(200);
    let edge = setup.start();
    let mut silent = Peer::connect(edge.addresses()[1]);
    assert!(silent.closed());
    let mut plain = Peer::connect(edge.addresses()[1]);
    plain.write(GET);
    plain.read_to_end(); // an alert, and the end
}
