//! A free port for a worker to listen on.
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
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
    let listeners: Vec<Listener> = listeners().into_iter().filter(|listener| listener.address.port() == port).collect();
    let mut unseen = family.is_empty() || listeners.is_empty();
    for pid in family {
        match sockets_of(*pid) {
            Some(sockets) if sockets.iter().any(|inode| listeners.iter().any(|listener| listener.inode == *inode)) => return Some(true),
            Some(_) => {}
            None => unseen = true,
        }
    }
    if unseen { None } else { Some(false) }
}

/// Where `family` listens, as far as that can be seen.
pub fn listened_on_by(family: &[u32]) -> Vec<SocketAddr> {
    let sockets: Vec<u64> = family.iter().filter_map(|pid| sockets_of(*pid)).flatten().collect();
    let mut addresses: Vec<SocketAddr> =
        listeners().into_iter().filter(|listener| sockets.contains(&listener.inode)).map(|listener| listener.address).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// A socket in state LISTEN.
struct Listener {
    address: SocketAddr,
    inode: u64,
}

/// Every one of the machine: proc(5) "/proc/net/tcp": number, local address, remote address, state, ..., inode.
fn listeners() -> Vec<Listener> {
    const LISTEN: &str = "0A";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|table| std::fs::read_to_string(table).ok());
    let listener = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let listens = *fields.get(3)? == LISTEN;
        let listener = Listener { address: address(fields.get(1)?)?, inode: fields.get(9)?.parse().ok()? };
        listens.then_some(listener)
    };
    tables.flat_map(|table| table.lines().skip(1).filter_map(listener).collect::<Vec<_>>()).collect()
}

/// `0100007F:1F90`: 32-bit words in the machine's byte order, then the port.
fn address(field: &str) -> Option<SocketAddr> {
    let (ip, port) = field.split_once(':')?;
    let word = |i: usize| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => IpAddr::from(<[u8; 16]>::try_from([word(0)?, word(1)?, word(2)?, word(3)?].concat()).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Inodes of the sockets that a process has open; `None` if it is not ours to look at.
fn sockets_of(pid: u32) -> Option<Vec<u64>> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let inode = |target: PathBuf| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Some(files.flatten().filter_map(|file| inode(std::fs::read_link(file.path()).ok()?)).collect())
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
        assert!(listened_on_by(&[std::process::id()]).contains(&ours.local_addr().expect("bound")));
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().expect("sleep(1)");
        assert_eq!(belongs_to(port, &[stranger.id()]), Some(false));
        stranger.kill().expect("it runs");
        stranger.wait().expect("it ends");
        assert_eq!(belongs_to(port, &[]), None);
    }
}
