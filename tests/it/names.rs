//! Names of upstreams whose meaning changes: the resolver is the system's, with a hosts file of the test's own in a namespace of its own.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::service::{Service, binary};

#[test]
fn upstreams_follow_what_their_name_stands_for() {
    let one = Named::start(Ipv4Addr::new(127, 0, 0, 11), 0, "one");
    let two = Named::start(Ipv4Addr::new(127, 0, 0, 12), one.port(), "two");
    let home = tempfile::tempdir().expect("a folder");
    let hosts = home.path().join("hosts");
    let stands_for = |addresses: &[&Named]| {
        let lines: Vec<String> = addresses.iter().map(|named| format!("{} app.test\n", named.0.ip())).collect();
        std::fs::write(&hosts, lines.concat()).expect("written"); // in place: the mount is of this file
    };
    stands_for(&[&one]);
    // Asked in the file only, so that a name that is gone is gone at once.
    std::fs::write(home.path().join("nsswitch.conf"), "hosts: files\n").expect("written");
    let program = home.path().join("pumasi-with-hosts");
    let script = format!(
        "#!/bin/sh\nexec unshare {own} --mount sh -c 'mount --bind {home}/hosts /etc/hosts && \
         mount --bind {home}/nsswitch.conf /etc/nsswitch.conf && exec {} \"$@\"' sh \"$@\"\n",
        binary().display(),
        home = home.path().display(),
        // Who may not mount is given a namespace of users in which he may; root needs none, and in some places (a chroot) could not have one.
        own = if rustix::process::geteuid().is_root() { "" } else { "--map-root-user" },
    );
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let configuration = format!(
        "[edge]\nlisten = \"{{site}}\"\n[pool.app]\nupstreams = [\"app.test:{}\"]\nresolve_every = \"100ms\"\npolicy = \"round-robin\"\n\
         [console]\nlisten = \"{{console}}\"\n",
        one.port()
    );
    let mut service = Service::run_program(&program, &configuration, &[]);
    assert_eq!(service.get("/").body, "one");

    // Somebody asks all the time, and is always answered.
    let over = Arc::new(AtomicBool::new(false));
    let asking = {
        let (over, site) = (over.clone(), service.site.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let answer = ureq::get(&site).call().and_then(|mut answer| answer.body_mut().read_to_string());
                assert!(matches!(answer.as_deref(), Ok("one" | "two")), "{answer:?}");
            }
        })
    };
    stands_for(&[&one, &two]);
    service.wait_until("both answer", |service| [service.get("/").body, service.get("/").body].contains(&"two".to_owned()));
    stands_for(&[&two]);
    service.wait_until("the first has left", |service| (0..4).all(|_| service.get("/").body == "two"));
    stands_for(&[]);
    service.wait_until("the name is gone", |service| service.said().contains("upstream's name does not resolve"));
    assert_eq!(service.get("/").body, "two", "what it stood for last is still asked");
    stands_for(&[&one]);
    service.wait_until("it is back, and stands for another", |service| (0..4).all(|_| service.get("/").body == "one"));
    over.store(true, Ordering::SeqCst);
    asking.join().expect("every request was answered");
}

/// A server that answers with its name.
struct Named(SocketAddr);

impl Named {
    /// `port`: 0 for any.
    fn start(ip: Ipv4Addr, port: u16, name: &'static str) -> Named {
        let listener = TcpListener::bind((ip, port)).expect("the port is free on this address");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut writing = stream.try_clone().expect("a second handle");
                    for line in BufReader::new(stream).lines().map_while(Result::ok) {
                        if line.is_empty() && write!(writing, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Named(address)
    }

    fn port(&self) -> u16 {
        self.0.port()
    }
}
