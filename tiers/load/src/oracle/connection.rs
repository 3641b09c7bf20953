//! A blocking MySQL connection that sends many commands before it reads the first answer.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use pumasi_mysqlwire::{
    AuthStep, Capabilities, Command, ErrPacket, Expect, Follower, Greeting, Inbox, Login, Outbox, Passed, Sequence,
    auth::{CACHING_SHA2, NATIVE, SHA2_FAST_OK, Salt, native_proof, sha2_proof},
    cursor::Cursor,
};

use super::Address;

/// An answer that takes longer counts as lost. Longer than a lock wait of MySQL's.
const TIMEOUT: Duration = Duration::from_secs(55);

const PACKET_MAX: usize = 1024 * 1024;

pub struct Connection {
    stream: TcpStream,
    inbox: Inbox,
    outbox: Outbox,
    sequence: Sequence,
    capabilities: Capabilities,
    statements: Vec<u32>,
    /// Whether each queued command's rows are binary, in the order they were sent.
    binary: std::collections::VecDeque<bool>,
    rows: Vec<(u64, u64)>,
}

/// An answer. A row is its first and its last column.
pub enum Reply<'r> {
    Done,
    Rows(&'r [(u64, u64)]),
    Error(u16),
}

impl Connection {
    pub fn open(address: &Address) -> io::Result<Connection> {
        // The signal that ends a check may come in the middle: it is not the server's failure.
        let stream = loop {
            match TcpStream::connect((address.host.as_str(), address.port)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut connection = Connection {
            stream,
            inbox: Inbox::new(PACKET_MAX),
            outbox: Outbox::default(),
            sequence: Sequence::default(),
            capabilities: Capabilities::READER,
            statements: Vec::new(),
            binary: std::collections::VecDeque::new(),
            rows: Vec::new(),
        };
        connection.log_in(address)?;
        Ok(connection)
    }

    fn log_in(&mut self, address: &Address) -> io::Result<()> {
        let first = self.receive()?;
        if let Ok(error) = ErrPacket::decode(&first) {
            return Err(refused(&error));
        }
        let greeting = Greeting::decode(&first).map_err(io::Error::other)?;
        self.capabilities = Capabilities::READER & (greeting.capabilities | Capabilities::CONNECT_WITH_DB);
        let login = Login {
            capabilities: self.capabilities,
            max_packet: PACKET_MAX as u32,
            collation: 45,
            user: address.user.clone(),
            auth_response: native_proof(address.password.as_bytes(), &greeting.salt),
            database: Some(address.database.clone()),
            plugin: NATIVE.to_owned(),
            attributes: Vec::new(),
        };
        self.outbox.packet(&mut self.sequence, |out| login.encode(out));
        self.flush()?;
        loop {
            let payload = self.receive()?;
            match AuthStep::decode(&payload).map_err(io::Error::other)? {
                AuthStep::Accepted => return Ok(()),
                AuthStep::Refused => return Err(refused(&ErrPacket::decode(&payload).map_err(io::Error::other)?)),
                AuthStep::More([SHA2_FAST_OK]) => {}
                AuthStep::Switch { plugin: plugin @ (NATIVE | CACHING_SHA2), data } => {
                    let salt = Salt(data.try_into().map_err(|_| io::Error::other("a salt of another length"))?);
                    let prove = if plugin == CACHING_SHA2 { sha2_proof } else { native_proof };
                    let proof = prove(address.password.as_bytes(), &salt);
                    self.outbox.packet(&mut self.sequence, |out| out.extend_from_slice(&proof));
                    self.flush()?;
                }
                _ => return Err(io::Error::other("the server asks for a way to log in that the check does not know")),
            }
        }
    }

    /// Runs one statement and waits. Errors: the server's, and those of the socket.
    pub fn run(&mut self, sql: &str) -> io::Result<()> {
        self.query(sql);
        self.flush()?;
        match self.reply()? {
            Reply::Error(code) => Err(io::Error::other(format!("error {code} for: {sql}"))),
            _ => Ok(()),
        }
    }

    /// Prepares a statement; its number is how many were prepared before.
    pub fn prepare(&mut self, sql: &str) -> io::Result<()> {
        self.sequence.restart();
        self.outbox.packet(&mut self.sequence, |out| Command::Prepare(sql.as_bytes()).encode(out));
        self.flush()?;
        let mut follower = Follower::new(Expect::Prepared, self.capabilities);
        self.sequence_of_answer();
        while !follower.done() {
            let payload = self.receive()?;
            match follower.packet(&payload, payload.len()).map_err(io::Error::other)? {
                Passed::Prepared(prepared) => self.statements.push(prepared.statement),
                Passed::Err => return Err(refused(&ErrPacket::decode(&payload).map_err(io::Error::other)?)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Queues a statement.
    pub fn query(&mut self, sql: &str) {
        self.sequence.restart();
        self.outbox.packet(&mut self.sequence, |out| Command::Query(sql.as_bytes()).encode(out));
        self.binary.push_back(false);
    }

    /// Queues an execution of the `number`-th prepared statement, with one whole number.
    pub fn execute(&mut self, number: usize, value: u64) {
        let mut payload = self.statements[number].to_le_bytes().to_vec();
        // No cursor, once, no NULL, types follow: one signed LONGLONG.
        payload.extend_from_slice(&[0, 1, 0, 0, 0, 0, 1, 8, 0]);
        payload.extend_from_slice(&value.to_le_bytes());
        self.sequence.restart();
        self.outbox.packet(&mut self.sequence, |out| Command::Execute(&payload).encode(out));
        self.binary.push_back(true);
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(self.outbox.bytes())?;
        self.outbox.sent(PACKET_MAX);
        Ok(())
    }

    /// The next answer.
    pub fn reply(&mut self) -> io::Result<Reply<'_>> {
        let binary = self.binary.pop_front().unwrap_or(false);
        let mut follower = Follower::new(Expect::Results, self.capabilities);
        self.sequence_of_answer();
        self.rows.clear();
        let (mut error, mut any) = (None, false);
        while !follower.done() {
            while !self.inbox.ready().map_err(io::Error::other)? {
                self.fill()?;
            }
            let Connection { inbox, sequence, rows, .. } = self;
            let payload = inbox.take(sequence).map_err(io::Error::other)?.expect("ready");
            let row = follower.in_rows();
            match follower.packet(payload, payload.len()).map_err(io::Error::other)? {
                Passed::Data if row => rows.push(decode(payload, binary).map_err(io::Error::other)?),
                Passed::Data => any = true,
                Passed::Err => error = Some(ErrPacket::decode(payload).map_err(io::Error::other)?.code),
                _ => {}
            }
        }
        Ok(match error {
            Some(code) => Reply::Error(code),
            None if any => Reply::Rows(&self.rows),
            None => Reply::Done,
        })
    }

    /// Answers are numbered from one, whatever was sent meanwhile.
    fn sequence_of_answer(&mut self) {
        self.sequence.restart();
        self.sequence.issue();
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(payload) = self.inbox.take(&mut self.sequence).map_err(io::Error::other)? {
                return Ok(payload.to_vec());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        match self.stream.read(self.inbox.space())? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.inbox.filled(count);
                Ok(())
            }
        }
    }
}

/// First and last column; the oracle's are whole numbers.
pub fn decode(payload: &[u8], binary: bool) -> Result<(u64, u64), pumasi_mysqlwire::WireError> {
    let mut cursor = Cursor::new(payload);
    let (mut first, mut last) = (None, 0);
    if binary {
        // One BIGINT behind the zero and the bitmap of NULLs.
        cursor.bytes(2, "row")?;
        last = cursor.u64("row")?;
        first = Some(last);
    } else {
        while !cursor.ended() {
            let text = cursor.nullable_bytes("row")?.unwrap_or_default();
            last = text.iter().fold(0_u64, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0'))));
            first.get_or_insert(last);
        }
    }
    Ok((first.unwrap_or(0), last))
}

fn refused(error: &ErrPacket<'_>) -> io::Error {
    io::Error::other(format!("error {}: {}", error.code, String::from_utf8_lossy(error.message)))
}
