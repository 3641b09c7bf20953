//! TLS to upstreams: who they are is checked, and what is spoken is agreed on.

use std::{
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use pumasi_config::{CertificatePlan, ProbeAsks, UpstreamProtocol, UpstreamTlsPlan, WirePlan};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};

use crate::{harness::*, probes};

/// An authority and what it has signed, as files.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { folder, issuer }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn sign(&self, name: &str, file: &str) -> (CertificatePlan, Vec<rustls::pki_types::CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let plan =
            CertificatePlan { chain: self.folder.path().join(format!("{file}.pem")), key: self.folder.path().join(format!("{file}.key")) };
        std::fs::write(&plan.chain, made.pem()).unwrap();
        std::fs::write(&plan.key, key.serialize_pem()).unwrap();
        (plan, vec![made.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// A server behind TLS; remembers which names were asked for.
struct TlsOrigin {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsOrigin {
    fn start(authority: &Authority, name: &str, wants_client: bool) -> TlsOrigin {
        let (_, chain, key) = authority.sign(name, "server");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match wants_client {
            false => builder.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let names = asked.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (config, names) = (config.clone(), names.clone());
                std::thread::spawn(move || {
                    use std::io::{Read, Write};
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
                    let mut seen = Vec::new();
                    let mut piece = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut piece) {
                        seen.extend_from_slice(&piece[..count]);
                        if seen.ends_with(b"\r\n\r\n") {
                            names.lock().unwrap().push(stream.conn.server_name().map(str::to_owned));
                            seen.clear();
                            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        TlsOrigin { address, asked }
    }
}

fn ask(origin: &TlsOrigin, tls: UpstreamTlsPlan, protocol: UpstreamProtocol) -> Vec<(u16, String)> {
    let mut setup = setup(&[origin.address]);
    setup.pools[0].plan.wire = WirePlan { protocol, tls: Some(tls) };
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    (0..2)
        .map(|_| {
            client.write(GET);
            let answer = client.read_answer();
            (answer.status, answer.content)
        })
        .collect()
}

#[test]
fn the_upstream_is_asked_by_name_and_checked() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(&authority, "app.internal", false);
    let tls = |name: &str| UpstreamTlsPlan { authorities: Some(authority.path()), name: Some(name.into()), certificate: None };
    let good = ask(&origin, tls("app.internal"), UpstreamProtocol::Http1);
    assert!(good.iter().all(|(status, content)| (*status, content.as_str()) == (200, "secret")), "{good:?}");
    assert_eq!(*origin.asked.lock().unwrap(), [Some("app.internal".to_owned()), Some("app.internal".to_owned())]);
    // Somebody else's certificate, or a name it is not for.
    let other = Authority::new();
    let elsewhere = UpstreamTlsPlan { authorities: Some(other.path()), name: Some("app.internal".into()), certificate: None };
    assert_eq!(ask(&origin, elsewhere, UpstreamProtocol::Http1)[0].0, 502);
    assert_eq!(ask(&origin, tls("shop.internal"), UpstreamProtocol::Http1)[0].0, 502);
    // It does not speak what the pool is to speak.
    assert_eq!(ask(&origin, tls("app.internal"), UpstreamProtocol::Http2)[0].0, 502);
    assert_eq!(origin.asked.lock().unwrap().len(), 2, "nothing was sent where the handshake failed");
}

#[test]
fn an_address_is_a_name_too_where_the_certificate_is_for_it() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(&authority, "127.0.0.1", false);
    let tls = UpstreamTlsPlan { authorities: Some(authority.path()), name: None, certificate: None };
    assert_eq!(ask(&origin, tls, UpstreamProtocol::Http1)[1].0, 200);
}

#[test]
fn an_upstream_that_asks_for_a_certificate_gets_one() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(&authority, "app.internal", true);
    let (own, ..) = authority.sign("pumasi", "client");
    let tls = |certificate| UpstreamTlsPlan { authorities: Some(authority.path()), name: Some("app.internal".into()), certificate };
    assert_eq!(ask(&origin, tls(Some(own)), UpstreamProtocol::Http1)[1].0, 200);
    assert_eq!(ask(&origin, tls(None), UpstreamProtocol::Http1)[0].0, 502);
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_pool() {
    let mut setup = setup(&["127.0.0.1:1".parse().unwrap()]);
    let tls = UpstreamTlsPlan { authorities: Some("/there/is/none.pem".into()), name: None, certificate: None };
    setup.pools[0].plan.wire = WirePlan { protocol: UpstreamProtocol::Http1, tls: Some(tls) };
    let config = pumasi_edge::EdgeConfig { plan: setup.plan, pools: setup.pools, access_log: Box::new(std::io::sink()), freshness: None };
    let error = pumasi_edge::Edge::start(config).err().expect("refused").to_string();
    assert!(error.starts_with("pool.app.tls: /there/is/none.pem: cannot be read"), "{error}");
}

/// The handshake is part of every probe of such a pool, also of one that only opens a connection.
#[test]
fn a_probe_shakes_hands_and_checks_who_answers() {
    let (authority, other) = (Authority::new(), Authority::new());
    let origin = TlsOrigin::start(&authority, "app.internal", false);
    for asks in [ProbeAsks::Tcp, probes::get(Some("secret"))] {
        let probed = |trusted: &Authority| {
            let tls = UpstreamTlsPlan { authorities: Some(trusted.path()), name: Some("app.internal".into()), certificate: None };
            probes::watched(origin.address, |setup| {
                setup.pools[0].plan.wire = WirePlan { protocol: UpstreamProtocol::Http1, tls: Some(tls) };
                setup.pools[0].plan.probe = probes::often(asks.clone());
            })
        };
        let (_edge, health) = probed(&other);
        wait_until("who cannot be trusted is out", || health() != "up");
        let before = origin.asked.lock().unwrap().len();
        let (_edge, health) = probed(&authority);
        if asks != ProbeAsks::Tcp {
            wait_until("it was asked", || origin.asked.lock().unwrap().len() > before + 2);
        }
        assert_eq!(health(), "up");
    }
}
