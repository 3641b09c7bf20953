//! Just enough of a MySQL client to ask with one write and to know the answer's bytes.
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use pumasi_mysqlwire::{
    Capabilities, Command, Expect, Follower, Greeting, Inbox, Login, Outbox, Passed, Sequence,
    auth::{NATIVE, native_proof},
};

pub struct Client {
    pub stream: TcpStream,
    inbox: Inbox,
    outbox: Outbox,
    sequence: Sequence,
}

impl Client {
    /// As root without a password.
    pub fn log_in(port: u16, database: &str) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut client = Client { stream, inbox: Inbox::new(1 << 20), outbox: Outbox::default(), sequence: Sequence::default() };
        let greeting = Greeting::decode(&client.receive()?)?;
        let login = Login {
            capabilities: Capabilities::READER,
            max_packet: 1 << 20,
            collation: 45,
            user: "root".into(),
            auth_response: native_proof(b"", &greeting.salt),
            database: Some(database.into()),
            plugin: NATIVE.into(),
            attributes: Vec::new(),
        };
        client.outbox.packet(&mut client.sequence, |out| login.encode(out));
        client.stream.write_all(client.outbox.bytes())?;
        client.outbox.sent(1 << 20);
        let answer = client.receive()?;
        ensure!(answer.first() == Some(&0), "no login: {}", answer.escape_ascii());
        Ok(client)
    }

    /// Asks and waits: the packets of the answer, as they came.
    pub fn ask(&mut self, request: &[u8], expect: Expect) -> Result<Vec<u8>> {
        self.stream.write_all(request)?;
        let mut follower = Follower::new(expect, Capabilities::READER);
        let mut answer = Vec::new();
        let mut number = 1;
        while !follower.done() {
            self.sequence.restart();
            let payload = loop {
                // Its number is looked at with the bytes.
                if let Some((header, payload)) = self.inbox.peek().filter(|(header, payload)| header.length == payload.len()) {
                    ensure!(header.sequence == number, "packet {} instead of {number}", header.sequence);
                    let payload = payload.to_vec();
                    answer.extend_from_slice(&header.encode());
                    answer.extend_from_slice(&payload);
                    self.inbox.skip(pumasi_mysqlwire::HEADER + payload.len());
                    break payload;
                }
                self.fill()?;
            };
            number = number.wrapping_add(1);
            let passed = follower.packet(&payload, payload.len())?;
            ensure!(!matches!(passed, Passed::Err), "{}", payload.escape_ascii());
        }
        Ok(answer)
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(payload) = self.inbox.take(&mut self.sequence)? {
                return Ok(payload.to_vec());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let count = self.stream.read(self.inbox.space()).context("an answer")?;
        ensure!(count > 0, "the connection was closed");
        self.inbox.filled(count);
        Ok(())
    }
}

/// A command as it is sent.
pub fn packet(command: Command<'_>) -> Vec<u8> {
    let (mut outbox, mut sequence) = (Outbox::default(), Sequence::default());
    outbox.packet(&mut sequence, |out| command.encode(out));
    outbox.bytes().to_vec()
}

/// COM_STMT_EXECUTE of a statement with one whole number.
pub fn execution(statement: u32, value: u64) -> Vec<u8> {
    let mut payload = statement.to_le_bytes().to_vec();
    // No cursor, once, no NULL, types follow: one signed LONGLONG.
    payload.extend_from_slice(&[0, 1, 0, 0, 0, 0, 1, 8, 0]);
    payload.extend_from_slice(&value.to_le_bytes());
    packet(Command::Execute(&payload))
}
