//! Whether the addresses of a configuration can be had, and who has one that cannot.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
};

use pumasi_config::{Loaded, Origin, Plan, Source};

/// One address that a configuration wants to listen on.
struct Wanted {
    key: String,
    address: SocketAddr,
}

/// Tries every address of the plan that is not among `held`, where we listen already. Errors: one line for each that cannot be had, naming the key, the
/// process that holds it where /proc tells, and the remedy.
///
/// Needed although the tiers would find out: the edge's listeners share their port by SO_REUSEPORT, so a second Pumasi on the same
/// port would start without complaint and take half of the connections.
pub fn check_free(source: &Source, loaded: &Loaded, held: &[SocketAddr]) -> Result<(), String> {
    let complaints: Vec<String> = wanted(&loaded.plan)
        .into_iter()
        .filter(|wanted| !held.contains(&wanted.address))
        .filter_map(|wanted| Some(complain(&wanted, source, loaded, TcpListener::bind(wanted.address).err()?)))
        .collect();
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

/// Every address that the plan listens on.
pub fn of(plan: &Plan) -> Vec<SocketAddr> {
    wanted(plan).into_iter().map(|wanted| wanted.address).collect()
}

fn wanted(plan: &Plan) -> Vec<Wanted> {
    let edge = plan.edge.listen.iter().map(|address| Wanted { key: "edge.listen".into(), address: *address });
    let tls = plan.edge.tls.iter().flat_map(|tls| &tls.listen).map(|address| Wanted { key: "edge.tls.listen".into(), address: *address });
    let tcp = plan.edge.tcp.iter().map(|tcp| Wanted { key: "edge.tcp.listen".into(), address: tcp.listen });
    let sql = plan.sql.values().map(|sql| Wanted { key: format!("sql.{}.listen", sql.name), address: sql.listen });
    let console = plan.console.iter().map(|console| Wanted { key: "console.listen".into(), address: console.listen });
    edge.chain(tls).chain(tcp).chain(sql).chain(console).collect()
}

fn complain(wanted: &Wanted, source: &Source, loaded: &Loaded, error: std::io::Error) -> String {
    let Wanted { key, address } = wanted;
    let origin = loaded.settings.iter().find(|setting| setting.path == *key).map_or(Origin::Default, |setting| setting.origin.clone());
    let place = match origin {
        Origin::Default => String::new(),
        origin => format!("{}: ", source.place(&origin)),
    };
    let flag = match key.as_str() {
        "edge.listen" => "--listen ADDRESS".to_owned(),
        "console.listen" => "--console ADDRESS".to_owned(),
        key => format!("--set {key}=ADDRESS"),
    };
    let (what, remedy) = match error.kind() {
        ErrorKind::AddrInUse => (
            match holder(*address) {
                Some(holder) => format!("is taken by {holder}"),
                None => "is taken by another process".into(),
            },
            format!("Stop it, or choose another address with {flag}"),
        ),
        ErrorKind::AddrNotAvailable => {
            ("is no address of this machine".into(), format!("Choose 127.0.0.1 or 0.0.0.0 with port {}", address.port()))
        }
        ErrorKind::PermissionDenied => (
            "is not allowed for this user: ports below 1024 are reserved".into(),
            format!("Choose a port from 1024 up with {flag}, or grant the capability CAP_NET_BIND_SERVICE"),
        ),
        _ => (format!("cannot be listened on: {error}"), format!("Choose another address with {flag}")),
    };
    format!("{place}{key}: {address} {what}. {remedy}.")
}

/// `nginx (process 1234)`: who listens where `address` wants to, if /proc shows it to this user.
fn holder(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, address))?;
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    processes.map(|entry| entry.path()).find(|process| has_open(process, &link)).map(|process| {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let number = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("{} (process {number})", name.trim())
    })
}

fn has_open(process: &Path, link: &str) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))
}

/// The inode of the listening socket in a table of proc(5) `/proc/net/tcp` that stands in the way of `address`.
fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let in_the_way = |ip: IpAddr| ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
        let same = u16::from_str_radix(port, 16).ok()? == address.port() && in_the_way(address_of(ip)?);
        (same && fields.get(3) == Some(&LISTEN)).then(|| fields.get(9)?.parse().ok())?
    })
}

/// The table's hexadecimal form: 32-bit words, each in the machine's byte order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |i: usize| u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for i in 0..4 {
        bytes[i * 4..i * 4 + 4].copy_from_slice(&word(i)?);
    }
    let ip = Ipv6Addr::from(bytes);
    Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let holder = holder(address).expect("this process holds it");
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
        drop(listener);
        assert_eq!(super::holder(address), None);
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        assert_eq!(address_of("0100007F"), Some("127.0.0.1".parse().expect("an address")));
        assert_eq!(address_of("00000000000000000000000001000000"), Some("::1".parse().expect("an address")));
        assert_eq!(address_of("0000000000000000FFFF00000100007F"), Some("127.0.0.1".parse().expect("an address")));
        assert_eq!(address_of("xyz"), None);
    }
}
