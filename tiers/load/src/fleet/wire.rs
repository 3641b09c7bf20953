//! What controller and agent say to each other: JSON in frames, after both have proven that they know the token.

use crate::tally::{Slice, Total};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

/// Of this conversation. Another one is turned away by name.
const PROTOCOL: u32 = 1;
/// Before the other side has proven itself, nothing longer is read.
const GREETING_BYTES_MAX: u32 = 4 * 1024;
/// A job with its data files.
const JOB_BYTES_MAX: u32 = 128 * 1024 * 1024;
/// A second or a total of an agent: histograms of at most a few thousand steps.
const SAID_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// One data file of a job.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A token shorter than this can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// What controller and agents share.
#[derive(Clone)]
pub struct Token(String);

/// The load of one agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// This agent's number, from 0.
    pub machine: usize,
    pub machines: usize,
    pub work: Work,
    pub shape: Shape,
    /// Data files by the names that the scenario uses.
    pub files: Vec<(String, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Work {
    Url { url: String, method: String, body: Option<String> },
    Scenario { name: String, text: String, target: Option<String> },
}

/// What the command line said over the scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shape {
    pub rate: Option<f64>,
    pub vusers: Option<f64>,
    pub lasts: Option<Duration>,
    pub warmup: Option<Duration>,
    pub threads: usize,
    pub connections_max: Option<usize>,
    pub in_flight_max: Option<usize>,
    pub timeout: Option<Duration>,
    pub http2: bool,
    pub streams_max: Option<usize>,
    pub seed: Option<u64>,
    pub headers: Vec<(String, String)>,
    pub insecure: bool,
    /// Certificates to trust, in PEM form.
    pub ca: Option<String>,
}

/// What the controller says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    Job(Box<Job>),
    Begin,
    Stop,
    /// The total has arrived.
    Ended,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    Ready,
    Refused { reason: String },
    Slice { lane: usize, slice: Box<Slice> },
    Done { total: Box<Total> },
}

#[derive(Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    version: String,
    name: String,
    cores: usize,
    nonce: String,
}

#[derive(Serialize, Deserialize)]
struct Welcome {
    /// Why the agent is turned away.
    refused: Option<String>,
    nonce: String,
    proof: String,
}

#[derive(Serialize, Deserialize)]
struct Proof {
    proof: String,
}

#[derive(Serialize, Deserialize)]
struct Verdict {
    accepted: bool,
}

/// The other side of a connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// An agent's name and cores, as it says them.
    pub name: String,
    pub cores: usize,
}

impl Token {
    /// Errors: shorter than it may be.
    pub fn new(text: &str) -> Result<Token, String> {
        let text = text.trim();
        match text.len() {
            0..TOKEN_BYTES_MIN => Err(format!("the token has {} characters; it needs at least {TOKEN_BYTES_MIN}", text.len())),
            _ => Ok(Token(text.to_string())),
        }
    }

    /// Of a file's first line. Errors: of the file, or as [`Token::new`].
    pub fn read(file: &Path) -> Result<Token, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Token::new(text.lines().next().unwrap_or_default()).map_err(|reason| format!("{}: {reason}", file.display()))
    }

    /// 128 random bits. Errors: the kernel gives none.
    pub fn random() -> io::Result<Token> {
        Ok(Token(random_hex()?))
    }

    /// For the one who has to type it on the other machines.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Proof that its maker knows the token, good for this pair of nonces and this role only.
    fn proof(&self, role: &str, theirs: &str, ours: &str) -> String {
        hex(&hmac_sha256(self.0.as_bytes(), format!("{role}\n{theirs}\n{ours}").as_bytes()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Peer {
    /// The controller's side of the greeting.
    ///
    /// Errors: of the socket, another protocol, a wrong proof (`PermissionDenied`).
    pub fn welcome(stream: TcpStream, token: &Token, timeout: Duration) -> io::Result<Peer> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let mut peer = Peer { stream, name: String::new(), cores: 1 };
        peer.set_timeout(timeout)?;
        let hello: Hello = peer.read_frame(GREETING_BYTES_MAX)?;
        let nonce = random_hex()?;
        if hello.protocol != PROTOCOL {
            let reason = format!("it is Pumasi {} and speaks another protocol; use the same version on all machines", hello.version);
            peer.write_frame(&Welcome { refused: Some(reason.clone()), nonce: String::new(), proof: String::new() })?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        peer.write_frame(&Welcome { refused: None, proof: token.proof("controller", &hello.nonce, &nonce), nonce: nonce.clone() })?;
        let theirs: Proof = peer.read_frame(GREETING_BYTES_MAX)?;
        let accepted = same(&theirs.proof, &token.proof("agent", &nonce, &hello.nonce));
        peer.write_frame(&Verdict { accepted })?;
        if !accepted {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not know the token"));
        }
        // It is shown to people: no control characters, no novels.
        peer.name = hello.name.chars().filter(|c| !c.is_control()).take(64).collect();
        peer.cores = hello.cores.clamp(1, 1024);
        Ok(peer)
    }

    /// The agent's side.
    ///
    /// Errors: of the socket; `PermissionDenied` when either side does not know the token; `InvalidData` when turned away.
    pub fn greet(stream: TcpStream, token: &Token, name: &str, timeout: Duration) -> io::Result<Peer> {
        stream.set_nodelay(true)?;
        let mut peer = Peer { stream, name: "the controller".to_string(), cores: 1 };
        peer.set_timeout(timeout)?;
        let nonce = random_hex()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let version = env!("CARGO_PKG_VERSION").to_string();
        peer.write_frame(&Hello { protocol: PROTOCOL, version, name: name.to_string(), cores, nonce: nonce.clone() })?;
        let welcome: Welcome = peer.read_frame(GREETING_BYTES_MAX)?;
        if let Some(reason) = welcome.refused {
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let denied = |what: &str| io::Error::new(io::ErrorKind::PermissionDenied, what);
        // Whoever tells an agent what to load must be the one it was started for.
        if !same(&welcome.proof, &token.proof("controller", &nonce, &welcome.nonce)) {
            return Err(denied("the controller does not know the token"));
        }
        peer.write_frame(&Proof { proof: token.proof("agent", &welcome.nonce, &nonce) })?;
        let verdict: Verdict = peer.read_frame(GREETING_BYTES_MAX)?;
        if verdict.accepted { Ok(peer) } else { Err(denied("the controller has another token")) }
    }

    /// Bounds each read and write from here on.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))?;
        self.stream.set_write_timeout(Some(timeout))
    }

    /// Reads wait for as long as it takes: an idle agent is a good agent.
    pub fn wait_forever(&self) -> io::Result<()> {
        self.stream.set_read_timeout(None)
    }

    pub fn try_clone(&self) -> io::Result<Peer> {
        Ok(Peer { stream: self.stream.try_clone()?, name: self.name.clone(), cores: self.cores })
    }

    /// Ends the connection for whoever waits on it, here and there.
    pub fn hang_up(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    pub fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.write_frame(message)
    }

    /// What an agent says.
    pub fn receive(&mut self) -> io::Result<Said> {
        self.read_frame(SAID_BYTES_MAX)
    }

    /// What the controller says.
    pub fn order(&mut self) -> io::Result<Order> {
        self.read_frame(JOB_BYTES_MAX)
    }

    fn write_frame(&mut self, message: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec(message).map_err(io::Error::other)?;
        let length = u32::try_from(json.len()).map_err(|_| io::Error::other("a message of over 4 GB"))?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(&json);
        self.stream.write_all(&frame)
    }

    fn read_frame<T: DeserializeOwned>(&mut self, bytes_max: u32) -> io::Result<T> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes, more than {bytes_max}")));
        }
        // Grows with what really arrives: a length alone reserves nothing.
        let mut json = Vec::new();
        (&mut self.stream).take(u64::from(length)).read_to_end(&mut json)?;
        if json.len() < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_slice(&json).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

// === proofs ===

/// RFC 2104 over SHA-256.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// Compares in a time that says nothing of where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_rfc_4231s_second_case() {
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        // Case 6: a key longer than a block.
        let mac = hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&mac), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn a_token_has_at_least_sixteen_characters() {
        assert!(Token::new("short").is_err());
        assert_eq!(Token::new(" 0123456789abcdef\n").unwrap().reveal(), "0123456789abcdef");
        assert!(!format!("{:?}", Token::new("0123456789abcdef").unwrap()).contains("0123"));
    }
}
