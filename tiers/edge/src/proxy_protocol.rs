//! The PROXY protocol, versions 1 and 2: a balancer's word about who the client is, in front of everything else on a connection.
//! (HAProxy's specification "The PROXY protocol", sections 2.1 and 2.2.)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// Section 2.1: the longest line of version 1, CR LF included.
const V1_BYTES_MAX: usize = 107;

/// What a header of version 2 may carry behind the addresses that we do not read. More than any balancer sends; a bound all the same.
const V2_BYTES_MAX: usize = 4096;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header at the start of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub length: usize,
    /// Who connected. `None`: the balancer speaks for itself (a health check) or does not know; the socket's own peer stands.
    pub source: Option<SocketAddr>,
}

/// These bytes are no PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection does not begin with a PROXY protocol header")]
pub(crate) struct NoHeader;

/// Reads a header from the start of `input`; `None` while it is not complete.
pub(crate) fn parse(input: &[u8]) -> Result<Option<Header>, NoHeader> {
    let begins = |signature: &[u8]| input.iter().zip(signature).all(|(a, b)| a == b);
    if begins(V2_SIGNATURE) {
        parse_v2(input)
    } else if begins(b"PROXY ") {
        parse_v1(input)
    } else {
        Err(NoHeader)
    }
}

/// Writes the line of version 1.
pub(crate) fn write_v1(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    let (source, destination) = canonical(source, destination);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!("PROXY {family} {} {} {} {}\r\n", source.ip(), destination.ip(), source.port(), destination.port());
    out.extend_from_slice(line.as_bytes());
}

/// Writes a header of version 2 without extensions.
pub(crate) fn write_v2(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    out.extend_from_slice(V2_SIGNATURE);
    out.push(0x21); // version 2, PROXY
    match canonical(source, destination) {
        (SocketAddr::V4(s), SocketAddr::V4(d)) => {
            out.extend_from_slice(&[0x11, 0, 12]); // TCP over IPv4
            out.extend_from_slice(&s.ip().octets());
            out.extend_from_slice(&d.ip().octets());
        }
        (s, d) => {
            out.extend_from_slice(&[0x21, 0, 36]); // TCP over IPv6
            out.extend_from_slice(&as_v6(s.ip()).octets());
            out.extend_from_slice(&as_v6(d.ip()).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

// === helpers ===

fn parse_v1(input: &[u8]) -> Result<Option<Header>, NoHeader> {
    let window = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(end) = window.windows(2).position(|w| w == b"\r\n") else {
        return if input.len() >= V1_BYTES_MAX { Err(NoHeader) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&window[..end]).map_err(|_| NoHeader)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let source = match parts[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, _, port, _] => {
            let ip: IpAddr = source.parse().map_err(|_| NoHeader)?;
            if ip.is_ipv4() != (family == "TCP4") {
                return Err(NoHeader);
            }
            Some(SocketAddr::new(ip, port.parse().map_err(|_| NoHeader)?))
        }
        _ => return Err(NoHeader),
    };
    Ok(Some(Header { length: end + 2, source }))
}

fn parse_v2(input: &[u8]) -> Result<Option<Header>, NoHeader> {
    let [.., command, family, high, low] = match input.get(..16) {
        Some(head) => <[u8; 16]>::try_from(head).map_err(|_| NoHeader)?,
        None => return Ok(None),
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || rest > V2_BYTES_MAX {
        return Err(NoHeader);
    }
    let Some(addresses) = input.get(16..16 + rest) else { return Ok(None) };
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    let source = match (command & 15, family) {
        (0, _) => None, // LOCAL
        (1, 0x11) if rest >= 12 => {
            let ip = <[u8; 4]>::try_from(&addresses[..4]).map_err(|_| NoHeader)?;
            Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port(8)))
        }
        (1, 0x21) if rest >= 36 => {
            let ip = <[u8; 16]>::try_from(&addresses[..16]).map_err(|_| NoHeader)?;
            Some(SocketAddr::new(Ipv6Addr::from(ip).into(), port(32)))
        }
        (1, 0x11 | 0x21) => return Err(NoHeader),
        (1, _) => None, // UNSPEC, UDP, UNIX: nothing we could tell an upstream
        _ => return Err(NoHeader),
    };
    Ok(Some(Header { length: 16 + rest, source }))
}

/// Both of one family: IPv4 if both are, however they were written.
fn canonical(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (s, d) = (source.ip().to_canonical(), destination.ip().to_canonical());
    match s.is_ipv4() == d.is_ipv4() {
        true => (SocketAddr::new(s, source.port()), SocketAddr::new(d, destination.port())),
        false => (SocketAddr::new(as_v6(s).into(), source.port()), SocketAddr::new(as_v6(d).into(), destination.port())),
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests;
