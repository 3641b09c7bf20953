//! Which name a TLS client asks for, read from its first bytes without answering them.
//!
//! For connections that are passed on as they are: the name (server_name, RFC 6066 §3) stands in the clear in the ClientHello (RFC 8446
//! §4.1.2), which may come in any number of records and packets. What cannot be read one way only is refused, and everything is bounded
//! by [`HELLO_BYTES_MAX`].

use thiserror::Error;

/// The longest ClientHello that is read. Ordinary ones take 300 to 2,000 bytes; post-quantum key shares add a few thousand.
pub const HELLO_BYTES_MAX: usize = 16 << 10;

/// What a hello can take with the heads of its records: at most one for each byte.
pub const INPUT_BYTES_MAX: usize = HELLO_BYTES_MAX + RECORDS_MAX * RECORD_HEAD;

/// Records that one hello may be split into. Clients that evade filters use a few; nobody needs more.
const RECORDS_MAX: usize = 64;

/// Type, version and length (RFC 8446 §5.1).
const RECORD_HEAD: usize = 5;

/// What the first bytes of a connection say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// In lower case; `None` if the client asks for none.
    pub name: Option<String>,
}

/// These bytes do not begin a TLS connection, or not one that can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoHello {
    #[error("the connection does not begin with a TLS handshake")]
    NotTls,
    #[error("the ClientHello is malformed")]
    Malformed,
    #[error("the ClientHello is longer than {HELLO_BYTES_MAX} bytes")]
    TooLong,
}

/// Reads the hello at the start of `input`; `None` while it is not complete. To be called again with more of the same.
pub fn parse(input: &[u8]) -> Result<Option<Hello>, NoHello> {
    let mut message = Vec::new();
    let mut rest = input;
    for _ in 0..RECORDS_MAX {
        let Some((record, after)) = record(rest)? else { return Ok(None) };
        message.extend_from_slice(record.fragment);
        if let Some(hello) = hello_of(&message)? {
            return parse_hello(hello).map(Some);
        }
        if !record.whole {
            return Ok(None);
        }
        rest = after;
    }
    Err(NoHello::TooLong)
}

/// As much of a record as has arrived.
struct Record<'a> {
    fragment: &'a [u8],
    whole: bool,
}

/// The record at the start of `input` and what follows it; `None` while its head is not complete.
fn record(input: &[u8]) -> Result<Option<(Record<'_>, &[u8])>, NoHello> {
    const HANDSHAKE: u8 = 22;
    const FRAGMENT_MAX: usize = 1 << 14;
    // Whatever is no TLS shows in its first bytes, before a head of five has come.
    if input.first().is_some_and(|kind| *kind != HANDSHAKE) || input.get(1).is_some_and(|major| *major != 3) {
        return Err(NoHello::NotTls);
    }
    let Some((head, rest)) = input.split_at_checked(RECORD_HEAD) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    if length == 0 || length > FRAGMENT_MAX {
        return Err(NoHello::Malformed); // §5.1: handshake records are never empty
    }
    match rest.split_at_checked(length) {
        Some((fragment, after)) => Ok(Some((Record { fragment, whole: true }, after))),
        None => Ok(Some((Record { fragment: rest, whole: false }, &[]))),
    }
}

/// The body of the ClientHello at the start of `message`; `None` while it is not complete.
fn hello_of(message: &[u8]) -> Result<Option<&[u8]>, NoHello> {
    const CLIENT_HELLO: u8 = 1;
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(NoHello::NotTls);
    }
    let [_, high, middle, low, body @ ..] = message else { return Ok(None) };
    let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
    if length > HELLO_BYTES_MAX {
        return Err(NoHello::TooLong);
    }
    Ok(body.get(..length))
}

/// RFC 8446 §4.1.2; the same bytes since TLS 1.0 (RFC 5246 §7.4.1.2).
fn parse_hello(body: &[u8]) -> Result<Hello, NoHello> {
    const VERSION_AND_RANDOM: usize = 2 + 32;
    let mut input = Input(body);
    input.take(VERSION_AND_RANDOM)?;
    let session = input.vector8()?;
    let suites = input.vector16()?;
    let compressions = input.vector8()?;
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty() {
        return Err(NoHello::Malformed);
    }
    if input.0.is_empty() {
        return Ok(Hello { name: None }); // extensions may be missing before TLS 1.3
    }
    let mut extensions = Input(input.vector16()?);
    input.end()?;
    let mut name = None;
    while !extensions.0.is_empty() {
        const SERVER_NAME: u16 = 0;
        let kind = extensions.number16()?;
        let content = extensions.vector16()?;
        // Two of them could be read differently by us and by who gets the connection (§4.2 forbids it).
        if kind == SERVER_NAME && name.replace(server_name(content)?).is_some() {
            return Err(NoHello::Malformed);
        }
    }
    Ok(Hello { name })
}

/// RFC 6066 §3: a list, of which one entry of one kind was ever defined.
fn server_name(content: &[u8]) -> Result<String, NoHello> {
    const HOST_NAME: u8 = 0;
    const NAME_MAX: usize = 253;
    let mut input = Input(content);
    let mut list = Input(input.vector16()?);
    input.end()?;
    let kind = list.take(1)?[0];
    let name = list.vector16()?;
    list.end()?;
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if kind != HOST_NAME || name.is_empty() || name.len() > NAME_MAX || !name.iter().all(allowed) {
        return Err(NoHello::Malformed);
    }
    Ok(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect())
}

// === helpers ===

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NoHello> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NoHello::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number16(&mut self) -> Result<u16, NoHello> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Result<&'a [u8], NoHello> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    fn vector16(&mut self) -> Result<&'a [u8], NoHello> {
        let length = self.number16()?;
        self.take(length.into())
    }

    fn end(&self) -> Result<(), NoHello> {
        if self.0.is_empty() { Ok(()) } else { Err(NoHello::Malformed) }
    }
}

#[cfg(test)]
mod tests;
