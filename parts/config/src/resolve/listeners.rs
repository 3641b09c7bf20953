//! No two listeners on one address, whichever tier they belong to.

use std::{net::IpAddr, net::SocketAddr};

use crate::{
    declare::{Reader, Set},
    keys::{File, Tcp},
    problem::Origin,
    value::AddressOrOff,
};

pub(super) fn check(file: &File, reader: &mut Reader) {
    let mut listeners: Vec<(SocketAddr, Origin, String)> = vec![];
    for address in file.edge.value.listen.value.0.iter().chain(&file.edge.value.tls.value.listen.value.0) {
        listeners.push((address.value.0, address.origin.clone(), address.path.clone()));
    }
    let ports = &file.edge.value.tcp.value.0;
    for (i, tcp) in ports.iter().enumerate() {
        let listen = &tcp.value.listen;
        // They share it by the name asked for; only one can have every other name.
        let others = || ports[..i].iter().filter(|other| other.value.listen.value.0 == listen.value.0);
        let for_every_name = |tcp: &Set<Tcp>| tcp.value.names.value.0.is_empty();
        if others().next().is_some() && !(for_every_name(tcp) && others().any(for_every_name)) {
            continue;
        }
        listeners.push((listen.value.0, listen.origin.clone(), listen.path.clone()));
    }
    for sql in file.sql.value.0.values().flatten() {
        let listen = &sql.value.listen;
        listeners.push((listen.value.0, listen.origin_or(&sql.origin), listen.path.clone()));
    }
    let console = &file.console.value.listen;
    if let AddressOrOff::Address(address) = console.value {
        listeners.push((address, console.origin.clone(), console.path.clone()));
    }
    for (i, (address, origin, path)) in listeners.iter().enumerate() {
        if let Some((other, other_origin, other_path)) = listeners[..i].iter().find(|(other, ..)| overlap(*address, *other)) {
            // A default collides with what was written: the mistake is shown where something was written.
            let (origin, path, other, other_path) = match origin {
                Origin::Default => (other_origin, other_path, address, path),
                _ => (origin, path, other, other_path),
            };
            let shown = if other == address { format!("\"{address}\"") } else { format!("\"{address}\" and \"{other}\" overlap:") };
            let what = match other == address {
                true => format!("{shown} is already the address of {other_path}"),
                false => format!("{shown} the other one is {other_path}"),
            };
            reader.problem(
                origin,
                path,
                what,
                format!("Choose another port for one of them, {} for example.", free_port_near(address.port())),
            );
        }
    }
}

/// Whether the kernel would refuse the second of these listeners.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wildcard = |ip: IpAddr| ip.is_unspecified();
    let takes_all = |a: SocketAddr, b: SocketAddr| wildcard(a.ip()) && (a.is_ipv6() || a.is_ipv4() == b.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || takes_all(a, b) || takes_all(b, a))
}

fn free_port_near(port: u16) -> u16 {
    port.checked_add(1).unwrap_or(port - 1)
}
