//! A load test, resolved: every default filled in, every template compiled, every reference known to exist.

use crate::{
    data::Feed,
    profile::Profile,
    random::Weighted,
    reply::{self, Answer, Expect},
    slo::Objective,
    tally::ErrorKind,
    template::{Template, Values},
    tls::Tls,
};
use memchr::memmem;
use regex::bytes::Regex;
use std::{
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    sync::atomic::AtomicU64,
    time::Duration,
};

#[derive(Debug)]
pub struct Plan {
    pub target: Target,
    pub model: Model,
    /// Time at the start of the profile that counts for nothing but the series.
    pub warmup: Duration,
    /// Invariant: at least one, each with at least one step.
    pub scenarios: Vec<Scenario>,
    pub mix: Weighted,
    /// The steps of all scenarios, one scenario after the other.
    pub steps: Vec<Step>,
    pub feeds: Vec<Feed>,
    pub counters: Vec<AtomicU64>,
    /// Extracted values of a journey.
    pub slots: Vec<String>,
    pub limits: Limits,
    pub objectives: Vec<Objective>,
    /// End the run once an objective has been missed for [`crate::run::MISSED_FOR`].
    pub stop_when_missed: bool,
    pub seed: u64,
}

/// Where the requests go.
#[derive(Clone, Debug)]
pub struct Target {
    /// As the user wrote it, without a trailing slash: `http://127.0.0.1:8080`.
    pub url: String,
    /// The Host header.
    pub authority: String,
    /// The host without a port, for SNI.
    pub host: String,
    /// None for plain HTTP.
    pub tls: Option<Tls>,
    /// Connections are spread over them in turn. Invariant: not empty.
    pub addresses: Vec<SocketAddr>,
    /// HTTP/2: chosen by ALPN where there is TLS, by prior knowledge where there is none (RFC 9113 section 3). Otherwise HTTP/1.1.
    pub http2: bool,
}

/// Whose certificate is believed.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// What the system trusts.
    #[default]
    System,
    /// The certificates of a file in PEM form.
    File(PathBuf),
    /// Anybody's: for tests of one's own servers.
    Anybody,
}

#[derive(Clone, Debug)]
pub enum Model {
    /// Journeys arrive at planned instants, whatever the target does. Latency counts from the planned instant.
    Open(Profile),
    /// So many vusers, each waiting for its answer before it asks again. A stall of the target stops the vusers from asking, and so
    /// hides itself from the latencies.
    Closed(Profile),
}

impl Model {
    pub fn profile(&self) -> &Profile {
        match self {
            Model::Open(profile) | Model::Closed(profile) => profile,
        }
    }

    pub fn open(&self) -> bool {
        matches!(self, Model::Open(_))
    }
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Generator threads of one machine.
    pub threads: usize,
    /// Machines that generate the load together, this one among them unless it only controls.
    pub machines: usize,
    /// Requests at once on one connection: 1 with HTTP/1.1.
    pub streams_max: usize,
    /// Sockets, over all threads of all machines. Arrivals beyond them wait, and the wait counts into their latency.
    pub connections_max: usize,
    /// Requests sent or waiting for a connection, over all threads. An arrival beyond it is counted as shed.
    pub in_flight_max: usize,
    /// From sending (or connecting) to the last byte of the answer. Checked every [`crate::lane::TICK`].
    pub timeout: Duration,
}

impl Plan {
    /// Where `${counter}` begins: machines that share a load must not count the same.
    pub fn start_counters_at(&self, first: u64) {
        self.counters.iter().for_each(|counter| counter.store(first, std::sync::atomic::Ordering::Relaxed));
    }
}

impl Limits {
    /// Threads of all machines: the load is dealt out to them in turn.
    pub fn lanes(&self) -> usize {
        self.threads * self.machines
    }
}

#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    pub weight: f64,
    /// Range in [`Plan::steps`].
    pub first: usize,
    pub last: usize,
    /// Feeds that its steps draw from, once per journey.
    pub feeds: Vec<usize>,
    /// Whether cookies set by answers are sent with the journey's later requests.
    pub cookies: bool,
}

#[derive(Debug)]
pub struct Step {
    /// `browse: GET /items` or what the user named it.
    pub name: String,
    pub request: Request,
    pub expect: Expect,
    /// May be sent again when a reused connection turns out to be closed (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    pub checks: Vec<Check>,
    pub extracts: Vec<Extract>,
    /// Before the journey's next step; uniform between the two.
    pub think: Option<(Duration, Duration)>,
}

/// The bytes of a request, as far as they are known beforehand.
#[derive(Debug)]
pub struct Request {
    /// The whole request, when nothing in it changes and no cookie goes with it: sent as it is.
    pub fixed: Option<Box<[u8]>>,
    /// Request line and headers, without Content-Length, Cookie and the empty line.
    pub head: Template,
    pub body: Option<Template>,
}

#[derive(Debug)]
pub enum Check {
    /// Inclusive ranges; an answer in none of them fails.
    Status(Vec<(u16, u16)>),
    Contains(String),
    Matches(Regex),
    /// The JSON pointer exists and, if a text is given, its value shown as text is that.
    Json {
        pointer: String,
        equals: Option<String>,
    },
    Header {
        name: String,
        contains: String,
    },
    BodyMin(u64),
}

#[derive(Debug)]
pub struct Extract {
    pub slot: usize,
    pub from: ExtractFrom,
}

#[derive(Debug)]
pub enum ExtractFrom {
    Json(String),
    /// The first group, or the whole match where there is none.
    Regex(Regex),
    Header(String),
    Cookie(String),
}

impl Request {
    /// `head` holds request line and headers as described at the field.
    pub fn new(head: Template, body: Option<Template>) -> Request {
        let fixed = match (head.fixed(), body.as_ref().map(Template::fixed)) {
            (Some(head), None) => Some(finish(head.to_vec(), None)),
            (Some(head), Some(Some(body))) => Some(finish(head.to_vec(), Some(body))),
            _ => None,
        };
        Request { fixed, head, body }
    }

    /// Appends the request to `out`; `scratch` holds the body meanwhile. False if a value would have broken the head.
    #[must_use]
    pub fn render(&self, values: &mut Values, cookies: &[(Vec<u8>, Vec<u8>)], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        scratch.clear();
        if let Some(body) = &self.body {
            // A control byte in a body ends nothing.
            let _ = body.render(values, scratch);
        }
        let clean = self.head.render(values, out);
        for (i, (name, value)) in cookies.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"Cookie: " } else { b"; " });
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(value);
        }
        if !cookies.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        if self.body.is_some() {
            end_head(out, Some(scratch.len()));
            out.extend_from_slice(scratch);
        } else {
            end_head(out, None);
        }
        clean
    }
}

fn finish(mut head: Vec<u8>, body: Option<&[u8]>) -> Box<[u8]> {
    end_head(&mut head, body.map(<[u8]>::len));
    head.extend_from_slice(body.unwrap_or_default());
    head.into_boxed_slice()
}

fn end_head(out: &mut Vec<u8>, body: Option<usize>) {
    if let Some(length) = body {
        out.extend_from_slice(b"Content-Length: ");
        crate::data::write_integer(length as i64, out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

impl Step {
    /// Whether the answer is what the step expects; `set` is given each extracted value with its slot.
    pub fn judge(&self, answer: Answer, mut set: impl FnMut(usize, &[u8])) -> Result<(), (ErrorKind, String)> {
        for check in &self.checks {
            check.judge(answer)?;
        }
        if self.extracts.is_empty() {
            return Ok(());
        }
        // Parsed at most once per answer, and only if something points into it.
        let mut json = None;
        for extract in &self.extracts {
            match extract.from.find(answer, &mut json) {
                Some(value) => set(extract.slot, &value),
                None => return Err((ErrorKind::Extract, format!("the answer has no {}", extract.from.show()))),
            }
        }
        Ok(())
    }
}

impl Check {
    fn judge(&self, answer: Answer) -> Result<(), (ErrorKind, String)> {
        let failed = |reason: String| Err((ErrorKind::Check, reason));
        match self {
            Check::Status(ranges) => {
                let status = answer.status;
                if ranges.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
                    Ok(())
                } else {
                    Err((ErrorKind::Status, format!("answered {status}")))
                }
            }
            Check::Contains(text) if memmem::find(answer.body, text.as_bytes()).is_none() => {
                failed(format!("the body does not contain \"{text}\""))
            }
            Check::Matches(regex) if !regex.is_match(answer.body) => failed(format!("the body does not match {regex}")),
            Check::Json { pointer, equals } => match (json_at(&parse_json(answer), pointer), equals) {
                (None, _) => failed(format!("the answer has nothing at {pointer}")),
                (Some(found), Some(wanted)) if found != wanted.as_bytes() => {
                    failed(format!("{pointer} is \"{}\", not \"{wanted}\"", String::from_utf8_lossy(&found)))
                }
                (Some(_), _) => Ok(()),
            },
            Check::Header { name, contains } => {
                if reply::headers(answer.head, name).any(|value| memmem::find(value, contains.as_bytes()).is_some()) {
                    Ok(())
                } else {
                    failed(format!("no header {name} contains \"{contains}\""))
                }
            }
            Check::BodyMin(bytes) if answer.body_bytes < *bytes => {
                failed(format!("the body has {} bytes, less than {bytes}", answer.body_bytes))
            }
            Check::Contains(_) | Check::Matches(_) | Check::BodyMin(_) => Ok(()),
        }
    }

    /// Whether it looks at the body.
    pub fn body(&self) -> bool {
        matches!(self, Check::Contains(_) | Check::Matches(_) | Check::Json { .. })
    }
}

impl ExtractFrom {
    fn find(&self, answer: Answer, json: &mut Option<serde_json::Value>) -> Option<Vec<u8>> {
        match self {
            ExtractFrom::Json(pointer) => json_at(json.get_or_insert_with(|| parse_json(answer)), pointer),
            ExtractFrom::Regex(regex) => {
                let groups = regex.captures(answer.body)?;
                groups.get(1).or_else(|| groups.get(0)).map(|found| found.as_bytes().to_vec())
            }
            ExtractFrom::Header(name) => reply::header(answer.head, name).map(<[u8]>::to_vec),
            ExtractFrom::Cookie(name) => reply::headers(answer.head, "set-cookie").find_map(|cookie| {
                let pair = cookie.split(|byte| *byte == b';').next()?;
                pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec)
            }),
        }
    }

    /// For people.
    pub fn show(&self) -> String {
        match self {
            ExtractFrom::Json(pointer) => format!("JSON value at {pointer}"),
            ExtractFrom::Regex(regex) => format!("match of {regex}"),
            ExtractFrom::Header(name) => format!("header {name}"),
            ExtractFrom::Cookie(name) => format!("cookie {name}"),
        }
    }

    /// Whether it looks at the body.
    pub fn body(&self) -> bool {
        matches!(self, ExtractFrom::Json(_) | ExtractFrom::Regex(_))
    }
}

/// What is not JSON has nothing at any pointer.
fn parse_json(answer: Answer) -> serde_json::Value {
    serde_json::from_slice(answer.body).unwrap_or(serde_json::Value::Null)
}

/// The value at an RFC 6901 pointer as text: strings without their quotes.
fn json_at(json: &serde_json::Value, pointer: &str) -> Option<Vec<u8>> {
    match json.pointer(pointer)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

impl Target {
    /// Splits a URL into target and path with query. Resolves the host.
    ///
    /// Errors: not http or https, no host, a name that does not resolve; for https, nobody to trust.
    pub fn split(url: &str, trust: &Trust) -> Result<(Target, String), String> {
        let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(format!("\"{url}\" is not an http:// or https:// URL")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        if authority.is_empty() || authority.contains(['@', ' ']) {
            return Err(format!("\"{url}\" has no host, or more than host and port"));
        }
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| format!("\"{port}\" is not a port"))?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> =
            (host, port).to_socket_addrs().map_err(|error| format!("\"{host}\" does not resolve: {error}"))?.collect();
        if addresses.is_empty() {
            return Err(format!("\"{host}\" has no address"));
        }
        let scheme = if tls { "https" } else { "http" };
        let mut target = Target {
            url: format!("{scheme}://{authority}"),
            authority: authority.to_string(),
            host: host.to_string(),
            tls: None,
            // A name often means ::1 and 127.0.0.1 while only one of them is served: the first that answers is taken.
            addresses: reachable_first(addresses),
            http2: false,
        };
        if tls {
            target.tls = Some(Tls::new(&target, trust)?);
        }
        Ok((target, path))
    }

    /// A URL whose path goes before every step's path.
    pub fn resolve(url: &str, trust: &Trust) -> Result<Target, String> {
        let (target, path) = Target::split(url, trust)?;
        if path.contains('?') {
            return Err(format!("\"{url}\" has a query, which belongs to the steps"));
        }
        let url = format!("{}{}", target.url, path.trim_end_matches('/'));
        Ok(Target { url, ..target })
    }

    /// The same place, spoken to in HTTP/2.
    pub fn over_http2(self) -> Target {
        Target { tls: self.tls.map(|tls| tls.offering(b"h2")), http2: true, ..self }
    }

    /// Goes before the path of every step.
    pub fn base_path(&self) -> &str {
        let after_scheme = self.url.find("://").map_or(0, |at| at + 3);
        self.url[after_scheme..].find('/').map_or("", |at| &self.url[after_scheme + at..])
    }
}

/// Keeps the addresses of the first family that accepts a connection; all of them if none does.
fn reachable_first(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.len() == 1 {
        return addresses;
    }
    let Some(first) = addresses.iter().find(|address| TcpStream::connect_timeout(address, CONNECT_TRIAL).is_ok()) else { return addresses };
    let ipv4 = first.is_ipv4();
    addresses.into_iter().filter(|address| address.is_ipv4() == ipv4).collect()
}

/// How long one address of several is tried before a test.
const CONNECT_TRIAL: Duration = Duration::from_millis(500);
