//! Talks to the console of a running Pumasi.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    failure::Failure,
    state::{Running, StateDirectory, TOKEN},
};

/// A reload waits for the workers it replaces; everything else answers at once.
const PATIENCE: Duration = Duration::from_secs(600);

/// An answer of the console beyond this is not one.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A running Pumasi's console.
pub struct Console {
    address: SocketAddr,
    token: String,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Console {
    /// The console of the Pumasi that runs in the first of these state directories in which one does.
    pub fn of_running(directories: &[PathBuf]) -> Result<Console, Failure> {
        let Some((path, running)) = directories.iter().find_map(|path| Some((path, StateDirectory::running(path)?))) else {
            let places = directories.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ");
            return Err(Failure::Unreachable(format!(
                "no Pumasi runs in {places}. Start one, or name its state directory with --state DIR."
            )));
        };
        let Running { process, console, .. } = running;
        let Some(address) = console else {
            return Err(Failure::Unreachable(format!("Pumasi (process {process}) runs without a console (console.listen = \"off\").")));
        };
        let file = path.join(TOKEN);
        let token = std::fs::read_to_string(&file).with_context(|| format!("cannot read the console's token {}", file.display()))?;
        Ok(Console { address: reachable(address), token: token.trim().to_owned() })
    }

    /// Errors: `Unreachable` if nobody answers or the answer is not HTTP.
    pub fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask("GET", path, "")
    }

    /// The same with a form.
    pub fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let fields: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        self.ask("POST", path, &fields.join("&"))
    }

    fn ask(&self, method: &str, path: &str, form: &str) -> Result<Answer, Failure> {
        self.exchange(method, path, form)
            .map_err(|error| Failure::Unreachable(format!("the console at {} does not answer: {error:#}.", self.address)))
    }

    fn exchange(&self, method: &str, path: &str, form: &str) -> anyhow::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (Console { address, token }, length) = (self, form.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{form}"
        )?;
        let mut bytes = vec![];
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        parse(&bytes)
    }
}

/// A form's or query's value: everything but letters and digits as %XX.
pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// A listener on every interface is reached over loopback.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The connection was read to its end (`Connection: close`), so the body is what follows the head, chunked or not.
fn parse(bytes: &[u8]) -> anyhow::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("the answer ends in its head") };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer is not HTTP")?;
    let chunked = head.lines().any(|line| line.to_ascii_lowercase().replace(' ', "") == "transfer-encoding:chunked");
    let body = if chunked { unchunk(body).context("the answer ends in a chunk")? } else { body.to_owned() };
    Ok(Answer { status, body })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_chunked_and_plain() {
        let body = |text: &str| parse(text.as_bytes()).map(|answer| (answer.status, answer.body)).map_err(|error| error.to_string());
        assert_eq!(body("HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello"), Ok((200, "hello".into())));
        assert_eq!(
            body("HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"),
            Ok((409, "abcde".into()))
        );
        assert!(body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").is_err());
        assert!(body("SSH-2.0").is_err());
    }
}
