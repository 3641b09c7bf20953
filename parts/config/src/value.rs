//! The kinds of value a key can have.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    declare::{Reader, Set, Shape, Value},
    nearest::nearest,
    network::{BadNetwork, Network},
    plan::{
        AccessLog, BalancePolicy, CompressCoding, EvictionPolicy, FailoverMode, HashBy, PagesMode, ProxyProtocol, ReadsMode, ResultsMode,
        ServerTls, SqlPassword, UpstreamProtocol,
    },
    problem::Origin,
    template::Template,
    tree::{Data, Node, join},
};

/// Why a text is not of the wanted kind: the reason, and what to write instead.
pub(crate) struct Wrong {
    what: String,
    remedy: String,
    /// `what` is a sentence about a part of the text; else it goes on after the text: `"x" is not a size`.
    names_a_part: bool,
}

impl Wrong {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), remedy: remedy.into(), names_a_part: false }
    }

    fn part(what: impl Into<String>, remedy: impl Into<String>) -> Wrong {
        Wrong { names_a_part: true, ..Wrong::new(what, remedy) }
    }
}

/// A kind that is written as a string.
pub(crate) trait Text: Sized {
    const KIND: &'static str;
    const SECRET: bool = false;
    fn parse(text: &str) -> Result<Self, Wrong>;
    /// How a bare number, which this is not, was probably meant.
    fn remedy_for_number(_: i64) -> String {
        "Write it in quotes.".into()
    }
}

fn read_text<T: Text>(node: &Node, path: &str, reader: &mut Reader) -> Option<T> {
    if T::SECRET {
        reader.secret(&node.origin);
    }
    let text = match &node.data {
        Data::String(text) | Data::Untyped(text) => text,
        _ => {
            let shown = if T::SECRET { "***".to_owned() } else { node.toml() };
            let remedy = match node.data {
                Data::Integer(number) => T::remedy_for_number(number),
                _ => "Write it in quotes.".into(),
            };
            reader.problem(&node.origin, path, format!("must be {}, not {} ({shown})", T::KIND, node.kind()), remedy);
            return None;
        }
    };
    match T::parse(text) {
        Ok(value) => Some(value),
        Err(wrong) => {
            let shown = if T::SECRET { "***".to_owned() } else { format!("{text:?}") };
            let colon = if wrong.names_a_part { ":" } else { "" };
            reader.problem(&node.origin, path, format!("{shown}{colon} {}", wrong.what), wrong.remedy);
            None
        }
    }
}

macro_rules! written_as_string {
    ($($Kind:ty),*) => { $(
        impl Value for $Kind {
            const KIND: &'static str = <$Kind as Text>::KIND;
            fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
                read_text(node, path, reader)
            }
            fn show(node: &Node) -> String {
                if <$Kind as Text>::SECRET { "\"***\"".into() } else { node.toml() }
            }
        }
    )* };
}
written_as_string!(
    String,
    Path,
    Address,
    Amount,
    Span,
    PathPattern,
    HostPattern,
    HostPort,
    LogLevel,
    Secret,
    SqlPassword,
    EngineName,
    ServerUrl,
    Network,
    CookieName,
    CollectorUrl
);

// === Plain ===

impl Text for String {
    const KIND: &'static str = "a string";
    fn parse(text: &str) -> Result<String, Wrong> {
        if text.is_empty() {
            return Err(Wrong::new("is empty", "Write something, or remove the key."));
        }
        Ok(text.to_owned())
    }
}

/// A file or directory; a relative one starts at the configuration file's directory.
#[derive(Clone, Debug)]
pub(crate) struct Path(pub PathBuf);

impl Text for Path {
    const KIND: &'static str = "a path in quotes";
    fn parse(text: &str) -> Result<Path, Wrong> {
        String::parse(text).map(|text| Path(text.into()))
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

/// Never shown.
#[derive(Clone)]
pub(crate) struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Text for Secret {
    const KIND: &'static str = "a string";
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<Secret, Wrong> {
        Ok(Secret(text.to_owned()))
    }
}

impl Text for SqlPassword {
    const KIND: &'static str = "a string";
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<SqlPassword, Wrong> {
        let Some(digits) = text.strip_prefix('*') else { return Ok(SqlPassword::Plain(text.to_owned())) };
        native_hash(digits).map(SqlPassword::NativeHash).ok_or_else(|| {
            Wrong::new(
                "begins with *, as a hash does, but is not * and 40 hexadecimal digits",
                "Write what SELECT PASSWORD('...') prints, in full; so also for a password that itself begins with *.",
            )
        })
    }
}

/// The bytes of 40 hexadecimal digits.
fn native_hash(digits: &str) -> Option<[u8; 20]> {
    if digits.len() != 40 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 20];
    for (byte, pair) in hash.iter_mut().zip(0..) {
        *byte = u8::from_str_radix(&digits[2 * pair..2 * pair + 2], 16).ok()?;
    }
    Some(hash)
}

impl Value for bool {
    const KIND: &'static str = "true or false";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<bool> {
        match &node.data {
            Data::Boolean(value) => Some(*value),
            Data::Untyped(text) if text == "true" => Some(true),
            Data::Untyped(text) if text == "false" => Some(false),
            _ => {
                reader.problem(&node.origin, path, format!("must be true or false, not {}", node.toml()), "Write it without quotes.");
                None
            }
        }
    }
    fn show(node: &Node) -> String {
        bare(node)
    }
}

/// What came as text from the environment, of a kind that the file writes without quotes.
fn bare(node: &Node) -> String {
    match &node.data {
        Data::Untyped(text) => text.trim().to_owned(),
        _ => node.toml(),
    }
}

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Value for Count<MIN, MAX> {
    const KIND: &'static str = "a whole number";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let number = match &node.data {
            Data::Integer(number) => Some(*number),
            Data::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            let remedy = format!("Write a number from {MIN} to {MAX}, without quotes.");
            reader.problem(&node.origin, path, format!("must be a whole number, not {} ({})", node.kind(), node.toml()), remedy);
            return None;
        };
        match u32::try_from(number) {
            Ok(count) if (MIN..=MAX).contains(&count) => Some(Count(count)),
            _ => {
                reader.problem(&node.origin, path, format!("{number} is out of range"), format!("Choose a number from {MIN} to {MAX}."));
                None
            }
        }
    }
    fn show(node: &Node) -> String {
        bare(node)
    }
}

// === Network ===

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

fn split_port<'a>(text: &'a str, remedy: &str, port_min: u16) -> Result<(&'a str, u16), Wrong> {
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

/// `mysql://user:password@host:3306/database`.
#[derive(Clone, Debug)]
pub(crate) struct ServerUrl(pub String);

impl Text for ServerUrl {
    const KIND: &'static str = "an address such as \"mysql://app@10.0.0.9/shop\"";
    // It may hold a password.
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<ServerUrl, Wrong> {
        let remedy = "Write mysql://USER:PASSWORD@HOST:PORT/DATABASE; password, port and database may be left out.";
        let rest = text
            .strip_prefix("mysql://")
            .or_else(|| text.strip_prefix("mariadb://"))
            .ok_or_else(|| Wrong::new("does not start with mysql://", remedy))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if host.is_empty() {
            return Err(Wrong::new("has no host", remedy));
        }
        if host.contains(':') && !host.ends_with(']') {
            split_port(host, remedy, 1)?;
        }
        Ok(ServerUrl(text.to_owned()))
    }
}

/// `/api/*` or `/health`.
#[derive(Clone, Debug)]
pub(crate) struct PathPattern(pub String);

impl Text for PathPattern {
    const KIND: &'static str = "a path such as \"/api/*\"";
    fn parse(text: &str) -> Result<PathPattern, Wrong> {
        if !text.starts_with('/') {
            return Err(Wrong::new("does not start with /", format!("Write {:?}.", format!("/{text}"))));
        }
        let before_star = text.strip_suffix("/*").unwrap_or(text);
        if before_star.contains('*') {
            return Err(Wrong::new(
                "has a * elsewhere than at the end after a /",
                "Write /api/* for everything below /api, or a whole path.",
            ));
        }
        if text.contains(['?', '#', ' ']) || text.chars().any(char::is_control) {
            return Err(Wrong::new(
                "holds a character that no path has",
                "Write the path only, without query, percent-encoded as in the request.",
            ));
        }
        Ok(PathPattern(text.to_owned()))
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

/// The name of a cookie (RFC 6265 §4.1.1).
#[derive(Clone, Debug)]
pub(crate) struct CookieName(pub String);

impl Text for CookieName {
    const KIND: &'static str = "the name of a cookie";
    fn parse(text: &str) -> Result<CookieName, Wrong> {
        match is_token(text) {
            true => Ok(CookieName(text.to_owned())),
            false => Err(Wrong::new("is no name of a cookie", "Write letters, digits and _ or -, such as \"pumasi\".")),
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// `example.org` or `*.example.org`.
#[derive(Clone, Debug)]
pub(crate) struct HostPattern(pub String);

impl Text for HostPattern {
    const KIND: &'static str = "a host name such as \"example.org\"";
    fn parse(text: &str) -> Result<HostPattern, Wrong> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !name.split('.').all(label) {
            return Err(Wrong::new(
                "is not a host name",
                "Write a name without port, such as \"example.org\" or \"*.example.org\"; others in punycode (xn--...).",
            ));
        }
        Ok(HostPattern(text.to_ascii_lowercase()))
    }
}

// === Amounts ===

/// A size in bytes. Powers of ten with kB, MB, GB, of two with KiB, MiB, GiB; a bare number is bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub u64);

impl Bytes {
    fn parse(text: &str) -> Result<Bytes, Wrong> {
        let remedy = "Write a size such as \"512MB\" (512,000,000 bytes), \"64KiB\" (65,536) or \"800B\".";
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
        let number: u64 = text[..digits].replace('_', "").parse().map_err(|_| Wrong::new("is not a size", remedy))?;
        let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            unit => return Err(Wrong::part(format!("{unit:?} is not a unit of size"), remedy)),
        };
        number.checked_mul(unit).map(Bytes).ok_or_else(|| Wrong::new("is more than can be counted", remedy))
    }
}

impl Value for Bytes {
    const KIND: &'static str = "a size such as \"512MB\" or \"64KiB\"";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Bytes> {
        match &node.data {
            Data::Integer(bytes) if *bytes >= 0 => Some(Bytes(*bytes as u64)),
            Data::Integer(_) => read_text::<Amount>(&Node { data: Data::Untyped(node.toml()), ..node.clone() }, path, reader).map(|a| a.0),
            _ => read_text::<Amount>(node, path, reader).map(|amount| amount.0),
        }
    }
}

/// A size in quotes: lets [`Bytes`] share the reading of strings.
#[derive(Clone, Debug)]
pub(crate) struct Amount(Bytes);

impl Text for Amount {
    const KIND: &'static str = <Bytes as Value>::KIND;
    fn parse(text: &str) -> Result<Amount, Wrong> {
        Bytes::parse(text).map(Amount)
    }
}

/// Bytes per second; `0` turns the bound off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteRate(pub u64);

impl Value for ByteRate {
    const KIND: &'static str = "a rate such as \"1KiB/s\"";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<ByteRate> {
        let data = match &node.data {
            Data::String(text) => Data::String(text.trim().trim_end_matches("/s").to_owned()),
            Data::Untyped(text) => Data::Untyped(text.trim().trim_end_matches("/s").to_owned()),
            other => other.clone(),
        };
        Bytes::read(&Node { data, origin: node.origin.clone() }, path, reader).map(|bytes| ByteRate(bytes.0))
    }
}

/// A length of time: a number with `ms`, `s`, `m`, `h` or `d`, or several of them (`1m30s`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub Duration);

impl Text for Span {
    const KIND: &'static str = "a duration such as \"2s\"";
    fn remedy_for_number(number: i64) -> String {
        format!("Write \"{number}s\" for seconds, \"{number}ms\" for milliseconds.")
    }
    fn parse(text: &str) -> Result<Span, Wrong> {
        let remedy = "Write a number and a unit: \"300ms\", \"2s\", \"5m\", \"1h\", or \"1m30s\".";
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(Wrong::new("is empty", remedy));
        }
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| Wrong::new("is not a duration", remedy))?;
            let unit_length = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
            let unit = rest[digits..digits + unit_length].trim();
            let milliseconds: u64 = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "" => return Err(Wrong::new("has no unit", remedy)),
                unit => return Err(Wrong::part(format!("{unit:?} is not a unit of time"), remedy)),
            };
            let part = number.checked_mul(milliseconds).ok_or_else(|| Wrong::new("is longer than can be counted", remedy))?;
            total = total.checked_add(Duration::from_millis(part)).ok_or_else(|| Wrong::new("is longer than can be counted", remedy))?;
            rest = rest[digits + unit_length..].trim_start();
        }
        Ok(Span(total))
    }
}

// === Words ===

/// Declares an enum of the plan as a kind: `choice!(PagesMode, "...", "off" => Off, ...)`.
macro_rules! choice {
    ($Kind:ty: $($word:literal => $value:expr),+ $(,)?) => {
        impl Text for $Kind {
            const KIND: &'static str = concat!("one of", $(" \"", $word, "\"",)+);
            fn parse(text: &str) -> Result<Self, Wrong> {
                match text {
                    $($word => Ok($value),)+
                    other => Err(not_a_choice(other, &[$($word),+])),
                }
            }
        }
        written_as_string!($Kind);
    };
}

choice!(AccessLog: "off" => AccessLog::Off, "common" => AccessLog::Common, "json" => AccessLog::Json);
choice!(ProxyProtocol: "off" => ProxyProtocol::Off, "v1" => ProxyProtocol::V1, "v2" => ProxyProtocol::V2);
choice!(CompressCoding: "gzip" => CompressCoding::Gzip, "br" => CompressCoding::Brotli, "zstd" => CompressCoding::Zstd);
choice!(PagesMode: "off" => PagesMode::Off, "standard" => PagesMode::Standard, "automatic" => PagesMode::Automatic);
choice!(
    BalancePolicy: "round-robin" => BalancePolicy::RoundRobin, "least-in-flight" => BalancePolicy::LeastInFlight,
    "power-of-two" => BalancePolicy::PowerOfTwo, "ring" => BalancePolicy::Ring, "maglev" => BalancePolicy::Maglev,
    "rendezvous" => BalancePolicy::Rendezvous,
);
choice!(
    EvictionPolicy: "s3-fifo" => EvictionPolicy::S3Fifo, "lru" => EvictionPolicy::Lru, "lfu" => EvictionPolicy::Lfu,
    "fifo" => EvictionPolicy::Fifo,
);
choice!(ServerTls: "off" => ServerTls::Off, "encrypted" => ServerTls::Encrypted, "verified" => ServerTls::Verified);
choice!(UpstreamProtocol: "http1" => UpstreamProtocol::Http1, "http2" => UpstreamProtocol::Http2);
choice!(ResultsMode: "off" => ResultsMode::Off, "automatic" => ResultsMode::Automatic);
choice!(FailoverMode: "automatic" => FailoverMode::Automatic, "manual" => FailoverMode::Manual);

impl Text for ReadsMode {
    const KIND: &'static str = "\"fresh\", \"primary\" or \"bounded 2s\"";
    fn parse(text: &str) -> Result<ReadsMode, Wrong> {
        match text.split_once(' ') {
            None if text == "fresh" => Ok(ReadsMode::Fresh),
            None if text == "primary" => Ok(ReadsMode::Primary),
            None if text == "bounded" => Err(Wrong::new("names no bound", "Write it as in \"bounded 2s\".")),
            Some(("bounded", span)) => Span::parse(span).map(|span| ReadsMode::Bounded(span.0)),
            _ => Err(not_a_choice(text, &["fresh", "primary", "bounded 2s"])),
        }
    }
}
written_as_string!(ReadsMode);

impl Text for HashBy {
    const KIND: &'static str = "\"address\", \"url\", \"header:NAME\" or \"cookie:NAME\"";
    fn parse(text: &str) -> Result<HashBy, Wrong> {
        let token = is_token;
        match text.split_once(':') {
            None if text == "address" => Ok(HashBy::Address),
            None if text == "url" => Ok(HashBy::Url),
            Some(("header", name)) if token(name) => Ok(HashBy::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) if token(name) => Ok(HashBy::Cookie(name.to_owned())),
            Some(("header" | "cookie", _)) => Err(Wrong::new("has no valid name behind the colon", "Write it as in \"cookie:session\".")),
            _ => Err(not_a_choice(text, &["address", "url", "header:NAME", "cookie:NAME"])),
        }
    }
}
written_as_string!(HashBy);

fn not_a_choice(written: &str, words: &[&str]) -> Wrong {
    let list = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    match nearest(written, words.iter().copied()) {
        Some(near) => Wrong::new("is not known here", format!("Did you mean {near:?}? Possible: {list}.")),
        None => Wrong::new("is not known here", format!("Possible: {list}.")),
    }
}

/// `info`, or tracing's directives: `info,pumasi_edge=debug`.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel(pub String);

impl Text for LogLevel {
    const KIND: &'static str = "a level such as \"info\"";
    fn parse(text: &str) -> Result<LogLevel, Wrong> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        for directive in text.split(',') {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
            if !LEVELS.contains(&level) {
                return Err(not_a_choice(level, &LEVELS));
            }
        }
        Ok(LogLevel(text.to_owned()))
    }
}

/// `embedded:FILE` or `mariadb:REPLICAS[/DATABASE]`.
#[derive(Clone, Debug)]
pub(crate) enum EngineName {
    Embedded { file: PathBuf },
    MariaDb { replicas: usize, database: Option<String> },
}

/// Replicas of a cluster on one machine: each is a process with buffers of its own.
const LOCAL_REPLICAS_MAX: usize = 8;

impl EngineName {
    fn local(text: &str) -> Result<EngineName, Wrong> {
        let (replicas, database) = text.split_once('/').map_or((text, None), |(replicas, database)| (replicas, Some(database)));
        let remedy = format!("Write mariadb:N or mariadb:N/DATABASE, N being the number of replicas, from 0 to {LOCAL_REPLICAS_MAX}.");
        let replicas = replicas.parse().ok().filter(|replicas| *replicas <= LOCAL_REPLICAS_MAX);
        let replicas = replicas.ok_or_else(|| Wrong::new("names no number of replicas", &*remedy))?;
        let plain =
            |name: &str| !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if database.is_some_and(|name| !plain(name)) {
            return Err(Wrong::new("names a database with other signs than letters, digits and _", &*remedy));
        }
        Ok(EngineName::MariaDb { replicas, database: database.map(str::to_owned) })
    }
}

impl Text for EngineName {
    const KIND: &'static str = "an engine such as \"embedded:shop.db\"";
    fn parse(text: &str) -> Result<EngineName, Wrong> {
        let remedy = "Write embedded:FILE or mariadb:REPLICAS; for servers that run elsewhere leave engine out and set primary.";
        match text.split_once(':') {
            Some(("embedded", "")) => Err(Wrong::new("names no file", remedy)),
            Some(("embedded", file)) => Ok(EngineName::Embedded { file: file.into() }),
            Some(("mysql" | "mariadb", rest)) if rest.starts_with("//") => {
                Err(Wrong::new("is a server's address", format!("Write primary = {text:?} instead of engine.")))
            }
            Some(("mariadb", rest)) => EngineName::local(rest),
            _ => Err(Wrong::new("is not an engine", remedy)),
        }
    }
}

// === Made of others ===

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    fn shape() -> Shape {
        T::shape()
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        T::read(node, path, reader).map(Some)
    }
    fn unset() -> Option<Self> {
        Some(None)
    }
    fn show(node: &Node) -> String {
        T::show(node)
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub Vec<Set<T>>);

impl<T: Value> Value for OneOrMany<T> {
    const KIND: &'static str = T::KIND;
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let node = node.structured();
        match &node.data {
            Data::Array(_) => List::read(&node, path, reader).map(|list: List<T>| OneOrMany(list.0)),
            _ => {
                let value = T::read(&node, path, reader)?;
                Some(OneOrMany(vec![Set { value, origin: node.origin.clone(), path: path.to_owned() }]))
            }
        }
    }
}

/// A list of values, or `[[name]]` tables.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub Vec<Set<T>>);

impl<T: Value> Value for List<T> {
    const KIND: &'static str = "a list";
    fn shape() -> Shape {
        match T::shape() {
            Shape::Table(schema) => Shape::List(schema),
            _ => Shape::Leaf,
        }
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let node = node.structured();
        let items = match &node.data {
            Data::Array(items) => items,
            Data::Untyped(_) => return T::read(&node, path, reader).map(|value| List(vec![set(value, &node.origin, path)])),
            _ => {
                let remedy = match T::shape() {
                    Shape::Table(_) => format!("Write [[{path}]], with two brackets, for each."),
                    _ => format!("Write [{}].", node.toml()),
                };
                reader.problem(&node.origin, path, format!("must be a list, not {}", node.kind()), remedy);
                return None;
            }
        };
        let read = items.iter().enumerate().filter_map(|(i, item)| {
            let path = format!("{path}[{i}]");
            T::read(item, &path, reader).map(|value| set(value, &item.origin, &path))
        });
        Some(List(read.collect()))
    }
    fn unset() -> Option<Self> {
        Some(List(vec![]))
    }
    fn show(node: &Node) -> String {
        match &node.structured().data {
            Data::Array(items) => format!("[{}]", items.iter().map(T::show).collect::<Vec<_>>().join(", ")),
            _ => T::show(node),
        }
    }
}

fn set<T>(value: T, origin: &Origin, path: &str) -> Set<T> {
    Set { value, origin: origin.clone(), path: path.to_owned() }
}

/// `[pool.NAME]`: tables named by the user. The map holds every name that was written; `None` where the table itself had a problem,
/// so that a reference to it is not reported as dangling on top.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub BTreeMap<String, Option<Set<T>>>);

/// Characters of a name: it appears in metrics, logs and `${...}`.
const NAME_LENGTH_MAX: usize = 32;

impl<T: Value> Value for Named<T> {
    const KIND: &'static str = "tables with names";
    fn shape() -> Shape {
        match T::shape() {
            Shape::Table(schema) => Shape::Named(schema),
            other => other,
        }
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let Data::Table(entries) = &node.data else {
            let remedy = format!("Write [{path}.NAME] with a name of your choice.");
            reader.problem(&node.origin, path, format!("must be a table, not {}", node.kind()), remedy);
            return None;
        };
        let mut named = BTreeMap::new();
        for entry in entries {
            let path = join(path, &entry.key);
            let plain = entry.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            if !plain || entry.key.is_empty() || entry.key.len() > NAME_LENGTH_MAX {
                let remedy = format!("Use at most {NAME_LENGTH_MAX} letters, digits, - and _.");
                reader.problem(&entry.key_origin, &path, format!("{:?} is not a name", entry.key), remedy);
            }
            if !matches!(entry.node.data, Data::Table(_)) {
                let what = format!("must be a table, not {} ({})", entry.node.kind(), entry.node.toml());
                let section = path.rsplit_once('.').map_or(path.as_str(), |(section, _)| section);
                reader.problem(&entry.node.origin, &path, what, format!("Write [{section}.NAME] with a name of your choice."));
                named.insert(entry.key.clone(), None);
                continue;
            }
            let value = T::read(&entry.node, &path, reader).map(|value| set(value, &entry.key_origin, &path));
            named.insert(entry.key.clone(), value);
        }
        Some(Named(named))
    }
    fn unset() -> Option<Self> {
        Some(Named(BTreeMap::new()))
    }
}

/// Environment variables: names of the user's choice, values with `${...}`.
#[derive(Clone, Debug)]
pub(crate) struct Variables(pub BTreeMap<String, Set<Template>>);

impl Value for Variables {
    const KIND: &'static str = "a table of strings";
    fn shape() -> Shape {
        Shape::Strings
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let node = node.structured();
        let Data::Table(entries) = &node.data else {
            let remedy = "Write { NAME = \"value\" }.";
            reader.problem(&node.origin, path, format!("must be a table of strings, not {} ({})", node.kind(), node.toml()), remedy);
            return None;
        };
        let mut variables = BTreeMap::new();
        for entry in entries {
            let path = join(path, &entry.key);
            if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
                reader.problem(
                    &entry.key_origin,
                    &path,
                    "is not a name of an environment variable",
                    "Names have no = in them and are not empty.",
                );
            }
            if entry.key == "PORT" {
                let remedy = "Remove it; the application must listen on the $PORT it is given. ${port} puts it into other variables.";
                reader.problem(&entry.key_origin, &path, "is chosen by Pumasi for each worker", remedy);
            }
            let text = match &entry.node.data {
                Data::String(text) | Data::Untyped(text) => text.clone(),
                // What an environment variable says is text anyway: 3306 and "3306" mean the same.
                Data::Integer(_) | Data::Boolean(_) => entry.node.toml(),
                _ => {
                    let what = format!("must be a string, not {} ({})", entry.node.kind(), entry.node.toml());
                    reader.problem(&entry.node.origin, &path, what, "Write it in quotes.");
                    continue;
                }
            };
            if let Some(template) = read_template(&text, &entry.node.origin, &path, reader) {
                variables.insert(entry.key.clone(), set(template, &entry.node.origin, &path));
            }
        }
        Some(Variables(variables))
    }
    fn unset() -> Option<Self> {
        Some(Variables(BTreeMap::new()))
    }
}

fn read_template(text: &str, origin: &Origin, path: &str, reader: &mut Reader) -> Option<Template> {
    if text.contains('\0') {
        reader.problem(origin, path, "holds a NUL character", "No environment variable or argument can.");
        return None;
    }
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(bad) => {
            reader.problem(origin, path, format!("{text:?}: {} cannot be filled in", bad.hole), bad.remedy);
            None
        }
    }
}

/// A command line: a string for the shell, or a list of arguments that are run as they are.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Shell(String),
    Program(Vec<Template>),
}

impl Value for Command {
    const KIND: &'static str = "a command such as \"npm start\" or [\"npm\", \"start\"]";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        match &node.data {
            Data::String(text) | Data::Untyped(text) if text.trim().is_empty() => {
                reader.problem(&node.origin, path, "is empty", "Write the command that starts your application, such as \"npm start\".");
                None
            }
            Data::String(text) | Data::Untyped(text) if text.contains('\0') => {
                reader.problem(&node.origin, path, "holds a NUL character", "No command line can.");
                None
            }
            Data::String(text) | Data::Untyped(text) => Some(Command::Shell(text.clone())),
            Data::Array(items) if items.is_empty() => {
                reader.problem(
                    &node.origin,
                    path,
                    "is empty",
                    "Write the command that starts your application, such as [\"npm\", \"start\"].",
                );
                None
            }
            Data::Array(items) => {
                let arguments = items.iter().enumerate().map(|(i, item)| {
                    let path = format!("{path}[{i}]");
                    match &item.data {
                        Data::String(text) | Data::Untyped(text) => read_template(&shell_port(text), &item.origin, &path, reader),
                        _ => {
                            let what = format!("must be a string, not {} ({})", item.kind(), item.toml());
                            reader.problem(&item.origin, &path, what, "Write it in quotes.");
                            None
                        }
                    }
                });
                let arguments: Vec<Option<Template>> = arguments.collect();
                arguments.into_iter().collect::<Option<Vec<_>>>().map(Command::Program)
            }
            _ => {
                let what = format!("must be a command, not {} ({})", node.kind(), node.toml());
                reader.problem(&node.origin, path, what, "Write it in quotes, or as a list of strings.");
                None
            }
        }
    }
}

/// `$PORT` is what every manual writes; where no shell stands in between, we put the port in ourselves.
fn shell_port(argument: &str) -> String {
    argument.replace("$PORT", "${port}")
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
written_as_string!(AddressOrOff);

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
