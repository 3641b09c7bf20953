//! The address of a server, as the configuration writes it: `mysql://user:password@host:port/database`.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::identity::Identity;

/// Where a real server is and as whom to log in there.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Its share of reads beside other replicas; 1 unless written.
    pub weight: u32,
    pub transport: Transport,
}

/// How to talk to a server.
#[derive(Clone, Default)]
pub struct Transport {
    /// Encrypted, as this says; none: in the clear.
    pub tls: Option<Arc<ClientConfig>>,
    /// Compressed, if the server can. For a server far away: it costs CPU on both sides.
    pub compression: bool,
}

impl PartialEq for Transport {
    fn eq(&self, other: &Transport) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(this), Some(that)) => Arc::ptr_eq(this, that),
            _ => false,
        };
        tls && self.compression == other.compression
    }
}

impl Eq for Transport {}

/// What is wrong with such an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{shown}\" is not a server's address: {what}. Write mysql://user:password@host:3306")]
pub struct BadTarget {
    shown: String,
    what: &'static str,
}

impl Target {
    /// Parts that are left out: user root, no password, port 3306. A database is not part of it: clients choose theirs.
    pub fn parse(url: &str) -> Result<Target, BadTarget> {
        let bad = |what| BadTarget { shown: without_password(url), what };
        let rest = url
            .strip_prefix("mysql://")
            .or_else(|| url.strip_prefix("mariadb://"))
            .ok_or_else(|| bad("it does not begin with mysql://"))?;
        let (rest, weight) = match rest.split_once('?') {
            None => (rest, 1),
            Some((rest, options)) => {
                let weight =
                    options.strip_prefix("weight=").and_then(|weight| weight.parse().ok()).filter(|weight| (1..=1000).contains(weight));
                (rest, weight.ok_or_else(|| bad("behind the ? may stand weight=N, from 1 to 1000"))?)
            }
        };
        let rest = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        let (who, place) = rest.rsplit_once('@').map_or(("", rest), |(who, place)| (who, place));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = match place.rsplit_once(':') {
            // The colons of an IPv6 address stand within brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad("its port is not a number up to 65535"))?),
            _ => (place, 3306),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let decode = |part| percent_decoded(part).ok_or_else(|| bad("a % is not followed by two hexadecimal digits"));
        let user = if user.is_empty() { "root".to_owned() } else { decode(user)? };
        Ok(Target { host: host.to_owned(), port, user, password: decode(password)?, weight, transport: Transport::default() })
    }

    /// A server of our own: root without a password, on the loopback.
    pub fn local(port: u16) -> Target {
        Target { host: "127.0.0.1".into(), port, user: "root".into(), password: String::new(), weight: 1, transport: Transport::default() }
    }

    /// `host:port`, which may be shown to anybody.
    pub fn address(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// The login that the address itself names.
    pub fn login(&self) -> Identity {
        Identity::new(&self.user, &self.password)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({}@{})", self.user, self.address())
    }
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let who = &url[scheme + 3..at];
            let user = who.split(':').next().unwrap_or_default();
            format!("{}{user}:***{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_defaults() {
        for (url, user, password, address) in [
            ("mysql://app:secret@10.0.0.9:3307/askhy", "app", "secret", "10.0.0.9:3307"),
            ("mysql://10.0.0.9", "root", "", "10.0.0.9:3306"),
            ("mariadb://app@db/", "app", "", "db:3306"),
            ("mysql://app:p%40ss%2Fw:rd@[::1]:3307", "app", "p@ss/w:rd", "[::1]:3307"),
            ("mysql://[::1]", "root", "", "[::1]:3306"),
            ("mysql://app@db/shop?weight=3", "app", "", "db:3306"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.user.as_str(), target.password.as_str(), target.address().as_str()), (user, password, address), "{url}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_showing_the_password() {
        for url in ["10.0.0.9:3306", "mysql://", "mysql://app:secret@:3306", "mysql://app:secret@db:99999", "mysql://app:se%zzcret@db"] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret") && !error.contains("se%zz"), "{error}");
        }
    }
}
