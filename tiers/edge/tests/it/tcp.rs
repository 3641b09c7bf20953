//! Connections passed on as they are, and the PROXY protocol on both ends.

use std::{net::Shutdown, sync::atomic::Ordering};

use pumasi_config::{ProxyProtocol, TcpPlan};

use crate::{harness::*, tls::*};

fn passed_on(members: &[std::net::SocketAddr], send: ProxyProtocol) -> Setup {
    let mut setup = setup(&[]);
    setup.plan.tcp = vec![TcpPlan { listen: "127.0.0.1:0".parse().unwrap(), names: vec![], pool: "raw".into(), send }];
    setup.pools.push(pool("raw", members));
    setup
}

fn echo() -> Origin {
    Origin::start(|mut peer| {
        let bytes = peer.read_to_end();
        peer.write(bytes);
    })
}

#[test]
fn bytes_pass_both_ways_and_half_closes_too() {
    let origin = echo();
    let edge = passed_on(&[origin.address], ProxyProtocol::Off).start();
    let mut client = Peer::connect(edge.addresses()[1]);
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
    client.write(&sent);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.read_to_end() == sent);
    wait_until("it is over", || edge.connections() == 0);
}

#[test]
fn connections_are_spread_and_a_dead_member_is_passed_over() {
    let (a, b) = (echo(), echo());
    let edge = passed_on(&[a.address, b.address], ProxyProtocol::Off).start();
    let ask = || {
        let mut client = Peer::connect(edge.addresses()[1]);
        client.write("x");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read_to_end(), b"x");
    };
    (0..4).for_each(|_| ask());
    assert_eq!((a.connections.load(Ordering::SeqCst), b.connections.load(Ordering::SeqCst)), (2, 2));
    a.die();
    (0..4).for_each(|_| ask());
}

#[test]
fn the_member_is_told_who_connected() {
    let origin = echo();
    for send in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let edge = passed_on(&[origin.address], send).start();
        let mut client = Peer::connect(edge.addresses()[1]);
        let (us, them) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
        client.write("hello");
        client.stream.shutdown(Shutdown::Write).unwrap();
        let seen = client.read_to_end();
        match send {
            ProxyProtocol::V1 => assert_eq!(
                String::from_utf8(seen).unwrap(),
                format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello", us.port(), them.port())
            ),
            _ => assert!(
                seen.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01") && seen.ends_with(b"hello"),
                "{}",
                seen.escape_ascii()
            ),
        }
    }
}

#[test]
fn a_proxy_protocol_header_names_the_client() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            let seen = field(&head, "x-forwarded-for").unwrap();
            assert_eq!(field(&head, "x-real-ip"), None);
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{seen}", seen.len()));
        }
    });
    let mut setup = setup(&[origin.address]);
    setup.plan.proxy_protocol = true;
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(format!("PROXY TCP4 203.0.113.9 127.0.0.1 5000 80\r\n{GET}"));
    assert_eq!(client.read_answer().content, "203.0.113.9");
    client.write("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n");
    assert_eq!(client.read_answer().content, "203.0.113.9", "a stranger's own claim is dropped");
    let mut without = Peer::connect(edge.addresses()[0]);
    without.write(GET);
    assert!(without.closed());
}

/// TLS is passed on by the name asked for, and the member answers the client itself.
#[test]
fn tls_is_passed_on_by_name_without_being_decrypted() {
    let directory = tempfile::tempdir().unwrap();
    let names = [("a", "a.example"), ("b", "deep.b.example"), ("c", "elsewhere.example")];
    let certificates = names.map(|(file, name)| certificate(directory.path(), file, &[name]));
    let members: Vec<_> = certificates.iter().map(tls_member).collect();
    let mut setup = setup(&[]);
    let listen = "127.0.0.1:0".parse().unwrap();
    let wanted: [&[&str]; 3] = [&["a.example"], &["*.b.example"], &[]];
    for (i, names) in wanted.iter().enumerate() {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        setup.plan.tcp.push(TcpPlan { listen, names, pool: format!("raw{i}"), send: ProxyProtocol::Off });
        setup.pools.push(pool(&format!("raw{i}"), &[members[i]]));
    }
    let edge = setup.start();
    assert_eq!(edge.addresses().len(), 2, "they share one address");
    for ((_, name), own) in names.iter().zip(&certificates) {
        let mut stream = connect(edge.addresses()[1], &trusting(&[own], None, &[]), name);
        std::io::Write::write_all(&mut stream, b"x").unwrap();
        let mut said = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut said).expect("its own certificate");
    }
    // Not TLS at all: closed, nothing answered.
    let mut client = Peer::connect(edge.addresses()[1]);
    client.write("GET / HTTP/1.1\r\n\r\n");
    assert!(client.closed());
}

/// A TLS server that sends back one byte.
fn tls_member(own: &Certificate) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = own.server();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let config = config.clone();
            std::thread::spawn(move || {
                let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), socket);
                let mut byte = [0; 1];
                if std::io::Read::read_exact(&mut stream, &mut byte).is_ok() {
                    let _ = std::io::Write::write_all(&mut stream, &byte);
                }
            });
        }
    });
    address
}

/// Bulk stays inside the kernel: both ways at once, whole, whether or not something was read ahead.
#[test]
fn bulk_passes_both_ways_at_once() {
    const BYTES: usize = 8 << 20;
    let origin = Origin::start(|mut peer| {
        let mut stream = peer.stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &pattern(BYTES, 3)).unwrap());
        assert!(peer.read_exact(BYTES) == pattern(BYTES, 5));
        writer.join().unwrap();
        peer.read_to_end();
    });
    for before in ["", "PROXY TCP4 203.0.113.9 10.0.0.1 1234 80\r\n"] {
        let mut setup = passed_on(&[origin.address], ProxyProtocol::Off);
        setup.plan.proxy_protocol = !before.is_empty();
        let edge = setup.start();
        let mut client = Peer::connect(edge.addresses()[1]);
        client.write(before);
        let mut stream = client.stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &pattern(BYTES, 5)).unwrap());
        assert!(client.read_exact(BYTES) == pattern(BYTES, 3));
        writer.join().unwrap();
        drop(client);
        wait_until("it is over", || edge.connections() == 0);
        drop(edge);
    }
}

fn pattern(bytes: usize, step: u32) -> Vec<u8> {
    (0..bytes as u32).map(|i| (i.wrapping_mul(step) >> 8) as u8).collect()
}
