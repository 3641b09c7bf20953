//! Workers that speak HTTP/2 inside TLS, as Node.js speaks it: probed in their own protocol, and WebSockets on streams of it.

use std::{net::TcpStream, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::service::Service;

#[test]
fn workers_behind_tls_and_http2_are_probed_before_they_serve() {
    let home = Arc::new(tempfile::tempdir().expect("a folder"));
    certificates(home.path());
    let app = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/apps/secure.js");
    let at = |name: &str| home.path().join(name).display().to_string();
    let service = Service::run_in(
        home.clone(),
        &format!(
            r#"
[edge]
listen = "{{site}}"
[pool.app]
command = ["node", "{}"]
env = {{ KEY = "{}", CHAIN = "{}" }}
workers = 1
protocol = "http2"
tls = {{ authorities = "ca.pem" }}
probe = {{ path = "/ready", contains = "ready to serve", every = "10s" }}
[console]
listen = "{{console}}"
"#,
            app.display(),
            at("worker.key"),
            at("worker.pem"),
        ),
        &[],
    );
    let answer = service.get("/");
    let asked: u32 = answer.body.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"));
    assert!(asked > 3, "it served although its probe had not been answered as wanted: {answer:?}");

    let site = service.site.trim_start_matches("http://");
    let stream = TcpStream::connect(site).expect("the edge listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a time-out");
    let (mut socket, _) = tungstenite::client(format!("ws://{site}/socket"), stream).expect("switched");
    for n in 0..20 {
        let message = tungstenite::Message::text(format!("안녕 {n}"));
        socket.send(message.clone()).expect("sent");
        assert_eq!(socket.read().expect("said back"), message);
    }
}

/// An authority, and a certificate of the address that workers listen on.
fn certificates(folder: &std::path::Path) {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let worker =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).and_then(|params| params.signed_by(&key, &authority)).expect("signed");
    for (name, text) in [("ca.pem", authority.pem()), ("worker.pem", worker.pem()), ("worker.key", key.serialize_pem())] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}
