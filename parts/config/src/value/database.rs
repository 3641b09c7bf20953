//! What `[sql.NAME]` takes: engines, servers, passwords.

use std::path::PathBuf;

use super::{Text, Wrong, split_port};
use crate::plan::SqlPassword;

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

impl Text for SqlPassword {
    const KIND: &'static str = "a string";
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<SqlPassword, Wrong> {
        if let Some(digits) = text.strip_prefix("ed25519:") {
            return base64_key(digits).map(|key| SqlPassword::Ed25519Key { key, at_server: None }).ok_or_else(|| {
                Wrong::new(
                    "begins with ed25519:, as a public key does, but is not that and 43 characters of base64",
                    "Write what SELECT ed25519_password('...') prints behind it.",
                )
            });
        }
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

/// The bytes of 43 digits of base64 without padding (RFC 4648, section 4), which MariaDB writes ed25519 keys in.
fn base64_key(digits: &str) -> Option<[u8; 32]> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if digits.len() != 43 {
        return None;
    }
    let (mut key, mut filled) = ([0; 32], 0);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        bits = bits << 6 | DIGITS.iter().position(|known| *known == digit)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            key[filled] = (bits >> count) as u8;
            filled += 1;
            bits &= (1 << count) - 1;
        }
    }
    // Two bits are left over, and are nothing.
    (bits == 0).then_some(key)
}

written_as_string!(EngineName, ServerUrl, SqlPassword);
