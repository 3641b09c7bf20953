//! What changes in a head on its way through: hop-by-hop fields go, framing is written anew, and the upstream is told who asked.

use std::net::{IpAddr, SocketAddr};

use pumasi_config::Network;
use pumasi_http1::{Fields, Framing, Known, RequestHead, ResponseHead, Version, write};

use crate::request_id::RequestId;

/// What we call ourselves in Via (RFC 9110 §7.6.3).
const VIA: &[u8] = b"Via: 1.1 pumasi\r\n";

/// The client as upstreams are told of it. Formatted once per connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The address as X-Forwarded-For writes it.
    pub ip: String,
    /// The address as Forwarded writes it: IPv6 in brackets and quotes (RFC 7239 §6).
    forwarded_for: String,
    /// What upstreams are told of a stranger before its host comes in: X-Forwarded-For and X-Forwarded-Proto.
    lines: Box<[u8]>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// What it says about who came before is believed.
    trusted: bool,
}

impl Client {
    /// `trusted`: it is one of `edge.trusted_proxies`.
    pub fn new(address: SocketAddr, scheme: &'static str, trusted: bool) -> Client {
        let ip = address.ip().to_canonical();
        let forwarded_for = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        let lines = format!("X-Forwarded-For: {ip}\r\nX-Forwarded-Proto: {scheme}\r\n").into_bytes().into();
        Client { ip: ip.to_string(), forwarded_for, lines, scheme, trusted }
    }

    /// Who asked: the last address of X-Forwarded-For that is no trusted proxy's, if the connection is one's; else who has connected.
    pub fn address_of<'a>(&'a self, fields: &'a Fields, proxies: &[Network]) -> &'a str {
        if !self.trusted {
            return &self.ip;
        }
        let lines: Vec<&[u8]> = fields.all(Known::XForwardedFor).collect();
        let told = lines.into_iter().rev().flat_map(|line| line.rsplit(|&b| b == b',')).map(<[u8]>::trim_ascii);
        let mut last = self.ip.as_str();
        for entry in told {
            // What is no address was written by somebody who is not to be believed, and so was everything before it.
            let Some((text, ip)) = address_in(entry) else { break };
            last = text;
            if !proxies.iter().any(|network| network.contains(ip)) {
                break;
            }
        }
        last
    }
}

/// An entry of X-Forwarded-For: `192.0.2.1`, `2001:db8::1`, or with a port as some balancers write it.
fn address_in(entry: &[u8]) -> Option<(&str, IpAddr)> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None if text.matches(':').count() == 1 => text.split(':').next()?,
        None => text,
    };
    Some((bare, bare.parse::<IpAddr>().ok()?.to_canonical()))
}

/// How a request is changed beyond the usual, by the page store.
#[derive(Debug, Default)]
pub struct RequestEdit {
    /// Fields of these names are left out.
    pub leave_out: &'static [Known],
    /// Whole field lines, each with its CR LF, that are added.
    pub add: Vec<u8>,
}

/// Writes the head of the request as the upstream gets it. `upstream` stands in for the Host of an HTTP/1.0 request without one.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    head: &RequestHead,
    client: &Client,
    id: RequestId,
    upstream: &SocketAddr,
    edit: Option<&RequestEdit>,
    trace: Option<pumasi_trace::Context>,
) {
    // Once for all that is written here: the head as it came, its host twice more, and our own lines.
    out.reserve(head.bytes().len() + 2 * head.authority().len() + OWN_LINES);
    write::request_line(out, head.method(), head.path_and_query());
    let authority = head.authority();
    match authority.is_empty() {
        true => write::field(out, "Host", upstream.to_string().as_bytes()),
        false => write::clean_field(out, "Host", authority),
    }
    let tunnel = forwards_upgrade(head);
    copy_fields(out, &head.fields, head.nominates, |known, name| match known {
        Known::Host | Known::XForwardedProto | Known::XForwardedHost | Known::XRequestId => false,
        Known::XForwardedFor | Known::Forwarded => false,
        Known::XRealIp => client.trusted, // we send none, but many applications believe one
        Known::Expect => head.expects_continue,
        // Our own span stands between the client's and the upstream's.
        Known::Other if trace.is_some() && name.eq_ignore_ascii_case(b"traceparent") => false,
        Known::Other => !name.contains(&b'_') || !imitates(name),
        known => edit.is_none_or(|edit| !edit.leave_out.contains(&known)),
    });
    write_forwarded(out, head, client);
    out.extend_from_slice(VIA);
    write_request_id(out, head, client, id);
    if let Some(trace) = trace {
        write::field(out, "traceparent", trace.header().as_bytes());
    }
    if let Some(edit) = edit {
        out.extend_from_slice(&edit.add);
    }
    // We read and pass on trailers, so a client that asks for them (gRPC insists) may have them (RFC 9110 §10.1.4).
    let trailers = head.fields.has_token(Known::Te, "trailers");
    match (tunnel, trailers) {
        (true, _) => {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
            head.fields.all(Known::Upgrade).for_each(|protocol| write::field(out, "Upgrade", protocol));
        }
        (false, true) => out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n"),
        (false, false) => {}
    }
    if head.framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    write::head_end(out);
}

/// Room for the lines we add to a request: who asked, Via, its name, and the framing.
const OWN_LINES: usize = 512;

/// Whether the request's Upgrade goes on to the upstream. Never `h2c`: it would take the connection out of our sight.
pub(crate) fn forwards_upgrade(head: &RequestHead) -> bool {
    head.upgrade && head.framing == Framing::Empty && !head.fields.has_token(Known::Upgrade, "h2c")
}

/// The end-to-end field lines of a response, each with its CR LF: what a store keeps and every client gets. Framing fields are not
/// among them; see [`Length`].
pub(crate) fn write_response_lines(out: &mut Vec<u8>, head: &ResponseHead, date: &[u8; 29]) {
    copy_fields(out, &head.fields, head.nominates, |known, _| known != Known::ContentLength);
    if !head.fields.has(Known::Date) {
        write::clean_field(out, "Date", date); // RFC 9110 §6.6.1
    }
}

/// How long a response's content is, independent of any protocol version's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No content follows. The number, if any, is what Content-Length says it would have been (HEAD, 304).
    None(Option<u64>),
    Known(u64),
    /// Ends when it ends: chunked, or by closing.
    Open,
}

impl Length {
    pub(crate) fn of(head: &ResponseHead) -> Length {
        match head.framing {
            Framing::Empty if matches!(head.status, 100..=199 | 204) => Length::None(None), // RFC 9110 §8.6
            Framing::Empty => Length::None(head.length),
            Framing::Length(length) => Length::Known(length),
            Framing::Chunked | Framing::UntilClose | Framing::Tunnel => Length::Open,
        }
    }
}

// === helpers ===

/// Copies field lines as they are, in as few pieces as possible: `keep` decides, hop-by-hop and nominated ones never pass.
fn copy_fields(out: &mut Vec<u8>, fields: &Fields, nominates: bool, keep: impl Fn(Known, &[u8]) -> bool) {
    let bytes = fields.raw_lines();
    let Some(first) = fields.fields().first() else { return };
    let base = fields.line_start(first);
    let mut run: Option<usize> = None;
    for field in fields.fields() {
        let at = fields.line_start(field) - base;
        let name = fields.name(field);
        let kept = !field.known.hop_by_hop() && keep(field.known, name) && !(nominates && nominated(fields, name));
        match (kept, run) {
            (true, None) => run = Some(at),
            (false, Some(start)) => {
                out.extend_from_slice(&bytes[start..at]);
                run = None;
            }
            _ => {}
        }
    }
    if let Some(start) = run {
        out.extend_from_slice(&bytes[start..]);
    }
}

/// Connection names this field as one of its own (RFC 9110 §7.6.1). Fields we frame and route by cannot be taken away like this.
fn nominated(fields: &Fields, name: &[u8]) -> bool {
    fields.tokens(Known::Connection).any(|option| option.eq_ignore_ascii_case(name))
        && !matches!(Known::of(name), Known::ContentLength | Known::Host | Known::CacheControl | Known::Authorization | Known::Cookie)
}

/// `X_Forwarded_For` and the like: many applications read `_` and `-` as the same, and would believe the client's word for ours.
fn imitates(name: &[u8]) -> bool {
    let dashed: Vec<u8> = name.iter().map(|&b| if b == b'_' { b'-' } else { b }).collect();
    matches!(
        Known::of(&dashed),
        Known::XForwardedFor
            | Known::XForwardedProto
            | Known::XForwardedHost
            | Known::XRequestId
            | Known::XRealIp
            | Known::ContentLength
            | Known::TransferEncoding
            | Known::Host
    )
}

/// X-Forwarded-For, -Proto, -Host and Forwarded (RFC 7239). A stranger's own claims are dropped: applications take the first address
/// of the list for the client's.
fn write_forwarded(out: &mut Vec<u8>, head: &RequestHead, client: &Client) {
    if !client.trusted {
        return write_forwarded_of_a_stranger(out, head, client);
    }
    let believed = |known: Known| head.fields.get(known);
    out.extend_from_slice(b"X-Forwarded-For: ");
    for earlier in head.fields.all(Known::XForwardedFor).filter(|v| !v.is_empty()) {
        out.extend_from_slice(earlier);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(client.ip.as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(believed(Known::XForwardedProto).unwrap_or(client.scheme.as_bytes()));
    out.extend_from_slice(b"\r\n");
    let host = head.authority();
    if let Some(host) = believed(Known::XForwardedHost).or((!host.is_empty()).then_some(host)) {
        write::field(out, "X-Forwarded-Host", host);
    }
    out.extend_from_slice(b"Forwarded: ");
    for earlier in head.fields.all(Known::Forwarded).filter(|v| !v.is_empty()) {
        out.extend_from_slice(earlier);
        out.extend_from_slice(b", ");
    }
    write_forwarded_element(out, host, client);
}

/// The same where nothing that was said before counts.
fn write_forwarded_of_a_stranger(out: &mut Vec<u8>, head: &RequestHead, client: &Client) {
    out.extend_from_slice(&client.lines);
    let host = head.authority();
    if !host.is_empty() {
        write::clean_field(out, "X-Forwarded-Host", host);
    }
    out.extend_from_slice(b"Forwarded: ");
    write_forwarded_element(out, host, client);
}

/// What Forwarded says of this client, with the line's end.
fn write_forwarded_element(out: &mut Vec<u8>, host: &[u8], client: &Client) {
    out.extend_from_slice(b"for=");
    out.extend_from_slice(client.forwarded_for.as_bytes());
    if !host.is_empty() {
        // Always quoted: a port's colon and an IP literal's brackets are no token characters (RFC 7239 §4). A valid Host has no quote.
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(client.scheme.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_request_id(out: &mut Vec<u8>, head: &RequestHead, client: &Client, id: RequestId) {
    let given = head.fields.get(Known::XRequestId).filter(|v| client.trusted && (1..=64).contains(&v.len()));
    match given {
        Some(given) => write::field(out, "X-Request-Id", given),
        None => write::clean_field(out, "X-Request-Id", &id.text()),
    }
}

/// What goes between status line and empty line besides the end-to-end lines, for an HTTP/1 client.
pub(crate) fn write_framing(out: &mut Vec<u8>, length: Length, client_version: Version, keep_alive: bool) {
    match length {
        Length::None(None) => {}
        Length::None(Some(length)) | Length::Known(length) => write::number_field(out, "Content-Length", length),
        Length::Open if client_version == Version::Http11 => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Length::Open => {}
    }
    match (keep_alive, client_version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}
