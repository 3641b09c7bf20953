//! Where to listen, where to connect to, and who is trusted.

use std::net::SocketAddr;

use super::{Count, Text, Wrong, read_text};
use crate::{
    declare::{Reader, Value},
    network::{BadNetwork, Network},
    tree::{Data, Node},
};

/// Where to listen. `localhost` is 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(pub SocketAddr);

impl Text for Address {
    const KIND: &'static str = "an address such as \"127.0.0.1:8080\"";
    fn remedy_for_number(number: i64) -> String {
        format!("Write \"127.0.0.1:{number}\" for this machine only, or \"0.0.0.0:{number}\" for every interface.")
    }
    fn parse(text: &str) -> Result<Address, Wrong> {
        let (host, _) = split_port(text, "Write 127.0.0.1:8080, 0.0.0.0:8080 for every interface, or [::1]:8080.", 0)?;
        let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
        numeric.parse().map(Address).map_err(|_| {
            let remedy = "Listening needs an address of this machine in figures: 127.0.0.1, 0.0.0.0 for every interface, [::1], [::].";
            Wrong::part(format!("{host:?} is not an IP address"), remedy)
        })
    }
}

/// Where to connect to: `host:port`, resolved by whoever connects.
#[derive(Clone, Debug)]
pub(crate) struct HostPort(pub String);

impl Text for HostPort {
    const KIND: &'static str = "host:port";
    fn parse(text: &str) -> Result<HostPort, Wrong> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(Wrong::new(
                format!("has a scheme ({scheme}://)"),
                "Write host:port only, such as \"10.0.0.5:8000\"; for https add tls = {} to the pool.",
            ));
        }
        let (host, _) = split_port(text, "Write host:port, such as \"10.0.0.5:8000\".", 1)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.[]:".contains(c);
        match host.is_empty() || !host.chars().all(allowed) {
            true => Err(Wrong::new("has no valid host", "Write host:port, such as \"10.0.0.5:8000\".")),
            false => Ok(HostPort(text.to_owned())),
        }
    }
}

pub(super) fn split_port<'a>(text: &'a str, remedy: &str, port_min: u16) -> Result<(&'a str, u16), Wrong> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| Wrong::new("has no port", remedy))?;
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::part(format!("{port:?} is not a port"), remedy));
    }
    match port.parse() {
        Ok(number) if number >= port_min => Ok((host, number)),
        _ => Err(Wrong::part(
            format!("port {port} is out of range"),
            match port_min {
                0 => "Choose a port from 1 to 65535, or 0 for any free one.",
                _ => "Choose a port from 1 to 65535.",
            },
        )),
    }
}

/// A listening address, or `"off"`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AddressOrOff {
    Off,
    Address(SocketAddr),
}

impl Text for AddressOrOff {
    const KIND: &'static str = "an address such as \"127.0.0.1:8090\", or \"off\"";
    fn remedy_for_number(number: i64) -> String {
        Address::remedy_for_number(number)
    }
    fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "off" => Ok(AddressOrOff::Off),
            _ => Address::parse(text).map(|address| AddressOrOff::Address(address.0)),
        }
    }
}

/// `"10.0.0.5:8000"`, or a table with more.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamSpec {
    pub address: String,
    pub weight: u32,
}

crate::declare::section! {
    /// One upstream, when it needs more than its address.
    pub(crate) struct UpstreamTable {
        /// Where it listens: `host:port`.
        address: HostPort = crate::declare::Given::Required { example: "\"10.0.0.5:8000\"" },
        /// Its share of the requests beside the others'. From 1 to 1000.
        weight: Count<1, 1000> = crate::declare::Given::Default("1"),
    }
}

impl Value for UpstreamSpec {
    const KIND: &'static str = "\"host:port\", or { address = \"host:port\", weight = 2 }";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        match &node.data {
            Data::Table(_) => {
                // Its keys are shown as parts of the list, not one by one.
                let shown = reader.settings.len();
                let table = UpstreamTable::read(node, path, reader);
                reader.settings.truncate(shown);
                table.map(|table| UpstreamSpec { address: table.address.value.0, weight: table.weight.value.0 })
            }
            _ => read_text::<HostPort>(node, path, reader).map(|address| UpstreamSpec { address: address.0, weight: 1 }),
        }
    }
}

impl Text for Network {
    const KIND: &'static str = "a network such as \"10.0.0.0/8\"";
    fn parse(text: &str) -> Result<Network, Wrong> {
        text.parse().map_err(|bad| match bad {
            BadNetwork::Address => {
                Wrong::new("is no IP address", "Write an address, or a network such as \"10.0.0.0/8\" or \"2001:db8::/32\".")
            }
            BadNetwork::Prefix => {
                Wrong::new("has no valid prefix length", "Write the number of leading bits that count: 0 to 32, or 0 to 128 for IPv6.")
            }
            BadNetwork::HostBits => Wrong::new(
                "has bits set behind its prefix",
                "Write the first address of the network, such as \"10.0.0.0/8\", or one address alone.",
            ),
        })
    }
}

/// Where a collector listens: `http://HOST:PORT/PATH`.
#[derive(Clone, Debug)]
pub(crate) struct CollectorUrl {
    /// `HOST:PORT`.
    pub authority: String,
    /// Empty if none was written.
    pub path: String,
}

impl Text for CollectorUrl {
    const KIND: &'static str = "a URL such as \"http://127.0.0.1:4318\"";
    fn parse(text: &str) -> Result<CollectorUrl, Wrong> {
        let remedy = "Write it as http://127.0.0.1:4318; a collector beside Pumasi passes on to others, with TLS where it is needed.";
        let rest = text.strip_prefix("http://").ok_or_else(|| Wrong::new("is no http:// URL", remedy))?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, _) = split_port(authority, remedy, 0)?;
        if host.is_empty() || rest.contains([' ', '@', '#']) {
            return Err(Wrong::new("has no host and port", remedy));
        }
        Ok(CollectorUrl { authority: authority.to_owned(), path: path.trim_end_matches('/').to_owned() })
    }
}

written_as_string!(Address, HostPort, AddressOrOff, Network, CollectorUrl);
