//! A free port for a worker to listen on.
use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which the kernel takes ports for outgoing connections (32768 and up, ip(7) "ip_local_port_range"): between our
/// look and the worker's bind, no connection of anybody's can take the port by accident.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on at this moment; never the same one twice until all were tried. `None`: every port of the range is taken.
/// The first try is at a random place, so that two Pumasis on one machine do not try the same ports in step.
///
/// Another program may still take it before the worker does. Then the worker ends with its own "address in use", and the next start
/// tries another; [`belongs_to`] keeps us from taking the stranger for the worker.
pub fn free() -> Option<u16> {
    let _ = NEXT.compare_exchange(0, FIRST + (random() % u64::from(LAST - FIRST)) as u16, Ordering::Relaxed, Ordering::Relaxed);
    for _ in FIRST..=LAST {
        let port = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(if now >= LAST { FIRST } else { now + 1 }));
        let port = port.expect("the closure always says Some");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Some(port);
        }
    }
    None
}

/// Does one of `family` hold the socket that listens on `port`? `None` where that cannot be seen (another user's processes).
pub fn belongs_to(port: u16, family: &[u32]) -> Option<bool> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let mut unseen = family.is_empty() || inodes.is_empty();
    for pid in family {
        match std::fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(files) => {
                let mut targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
                if targets.any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str())) {
                    return Some(true);
                }
            }
            Err(_) => unseen = true,
        }
    }
    if unseen { None } else { Some(false) }
}

/// Inodes of the sockets in state LISTEN on `port` (proc(5) "/proc/net/tcp": local address, remote address, state 0A, ..., inode).
fn listeners(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            (fields.get(1)?.ends_with(&ending) && *fields.get(3)? == "0A").then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

/// Good enough to spread first tries: the keys of the standard library's own hasher.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_given() {
        let taken: Vec<TcpListener> =
            (0..20).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free().expect("one"))).expect("free")).collect();
        let given: Vec<u16> = (0..20).filter_map(|_| free()).collect();
        assert!(taken.iter().all(|held| !given.contains(&held.local_addr().expect("bound").port())));
    }

    #[test]
    fn whose_port_it_is() {
        let ours = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = ours.local_addr().expect("bound").port();
        assert_eq!(belongs_to(port, &[std::process::id()]), Some(true));
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().expect("sleep(1)");
        assert_eq!(belongs_to(port, &[stranger.id()]), Some(false));
        stranger.kill().expect("it runs");
        stranger.wait().expect("it ends");
        assert_eq!(belongs_to(port, &[]), None);
    }
}
