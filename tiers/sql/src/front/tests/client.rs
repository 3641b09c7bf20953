//! A client made of the codec: packets in, packets out, nothing understood that a test does not ask for.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use pumasi_mysqlwire::{
    AuthStep, Capabilities, Column, Command, EofPacket, ErrPacket, Greeting, Inbox, Login, OkPacket, Outbox, Prepared, Sequence,
    ServerStatus, SessionChange, Value,
    auth::{CACHING_SHA2, ED25519, ed25519_proof, native_proof, sha2_proof},
    cursor::{Cursor, put_lenenc_bytes},
    decode_binary_row, decode_text_row, put_change_user,
};

use super::PATIENCE;
use crate::front::{Listener, PACKET_MAX};

pub const PLAIN: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0,
);

pub struct Client {
    stream: TcpStream,
    inbox: Inbox,
    outbox: Outbox,
    sequence: Sequence,
    capabilities: Capabilities,
    pub id: u32,
}

/// One answer of the server.
#[derive(Clone, Debug)]
pub enum Reply {
    Done(Done),
    Error(u16),
    Rows { columns: Vec<Column>, packets: Vec<Vec<u8>>, status: ServerStatus },
}

#[derive(Clone, Debug)]
pub struct Done {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: ServerStatus,
    pub schema: Option<String>,
}

impl Client {
    pub fn root(listener: &Listener) -> Client {
        Client::login(listener, "root", "", PLAIN).expect("root may come in")
    }

    pub fn login(listener: &Listener, user: &str, password: &str, capabilities: Capabilities) -> Result<Client, u16> {
        Client::login_with(listener, user, password, capabilities, "mysql_native_password", None)
    }

    /// `plugin` is the one the client names, as if it had been told to use it.
    pub fn login_with(
        listener: &Listener,
        user: &str,
        password: &str,
        capabilities: Capabilities,
        plugin: &str,
        database: Option<&str>,
    ) -> Result<Client, u16> {
        let mut client = Client::connect(listener);
        let first = client.receive().expect("a greeting or an error");
        if let Ok(refusal) = ErrPacket::decode(&first) {
            return Err(refusal.code);
        }
        let greeting = Greeting::decode(&first).expect("a greeting");
        client.id = greeting.connection_id;
        let with_database = if database.is_some() { Capabilities::CONNECT_WITH_DB } else { Capabilities(0) };
        client.capabilities = capabilities | with_database;
        let login = Login {
            capabilities: client.capabilities,
            max_packet: 1 << 24,
            collation: 45,
            user: user.into(),
            auth_response: if plugin == greeting.plugin { native_proof(password.as_bytes(), &greeting.salt) } else { Vec::new() },
            database: database.map(str::to_owned),
            plugin: plugin.into(),
            attributes: Vec::new(),
        };
        client.send_payload(|out| login.encode(out));
        client.authenticate(password)?;
        Ok(client)
    }

    /// The greeting of a connection that goes no further.
    pub fn greeting(listener: &Listener) -> Greeting {
        let mut client = Client::connect(listener);
        Greeting::decode(&client.receive().expect("a greeting")).expect("a greeting")
    }

    /// A connection that has read its greeting and nothing else.
    pub fn raw(listener: &Listener) -> Client {
        let mut client = Client::connect(listener);
        client.receive().expect("a greeting");
        client
    }

    /// Says who it is and waits to be asked for a proof.
    pub fn begin_login(&mut self, user: &str, plugin: &str) {
        let login = Login { capabilities: PLAIN, collation: 45, user: user.into(), plugin: plugin.into(), ..Login::default() };
        self.send_payload(|out| login.encode(out));
        let asked = self.receive().expect("a challenge");
        assert!(matches!(AuthStep::decode(&asked), Ok(AuthStep::Switch { .. })), "{asked:?}");
    }

    fn connect(listener: &Listener) -> Client {
        let stream = TcpStream::connect(listener.address()).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client {
            stream,
            inbox: Inbox::new(PACKET_MAX),
            outbox: Outbox::default(),
            sequence: Sequence::default(),
            capabilities: PLAIN,
            id: 0,
        }
    }

    fn authenticate(&mut self, password: &str) -> Result<(), u16> {
        loop {
            let payload = self.receive().expect("an answer to the login");
            match AuthStep::decode(&payload).expect("a step") {
                AuthStep::Accepted => return Ok(()),
                AuthStep::Refused => return Err(ErrPacket::decode(&payload).expect("an error").code),
                AuthStep::More(data) => assert_eq!(data, [3], "only the fast path is expected"),
                AuthStep::Switch { plugin: ED25519, data } => {
                    let proof = ed25519_proof(password.as_bytes(), data.try_into().expect("thirty-two bytes of nonce"));
                    self.send_payload(|out| out.extend_from_slice(&proof));
                }
                AuthStep::Switch { plugin, data } => {
                    let salt = pumasi_mysqlwire::auth::Salt(data.try_into().expect("twenty bytes of salt"));
                    let proof = if plugin == CACHING_SHA2 { sha2_proof } else { native_proof }(password.as_bytes(), &salt);
                    self.send_payload(|out| out.extend_from_slice(&proof));
                }
            }
        }
    }

    pub fn change_user(&mut self, user: &str, password: &str, plugin: &str) -> Result<(), u16> {
        self.sequence.restart();
        let login = Login { capabilities: self.capabilities, collation: 45, user: user.into(), plugin: plugin.into(), ..Login::default() };
        self.send_payload(|out| put_change_user(out, &login));
        self.authenticate(password)
    }

    pub fn send(&mut self, command: Command<'_>) {
        self.sequence.restart();
        self.send_payload(|out| command.encode(out));
    }

    pub fn command(&mut self, command: Command<'_>) -> Reply {
        self.send(command);
        self.read_reply()
    }

    pub fn query(&mut self, sql: &str) -> Reply {
        self.command(Command::Query(sql.as_bytes()))
    }

    /// Every result of several statements.
    pub fn query_all(&mut self, sql: &str) -> Vec<Reply> {
        let mut replies = vec![self.query(sql)];
        while replies.last().is_some_and(|reply| reply.status().contains(ServerStatus::MORE_RESULTS)) {
            replies.push(self.read_reply());
        }
        replies
    }

    pub fn prepare(&mut self, sql: &str) -> Result<Prepared, u16> {
        self.send(Command::Prepare(sql.as_bytes()));
        let payload = self.receive().expect("an answer");
        let Ok(prepared) = Prepared::decode(&payload) else { return Err(ErrPacket::decode(&payload).expect("an error").code) };
        for count in [prepared.parameters, prepared.columns] {
            if count > 0 {
                self.columns(usize::from(count));
            }
        }
        Ok(prepared)
    }

    pub fn execute(&mut self, statement: u32, parameters: &[Value]) -> Reply {
        self.execute_sending(statement, parameters, &[])
    }

    /// The values of the parameters in `sent` were sent as long data.
    pub fn execute_sending(&mut self, statement: u32, parameters: &[Value], sent: &[usize]) -> Reply {
        let mut payload = statement.to_le_bytes().to_vec();
        payload.extend_from_slice(&[0, 1, 0, 0, 0]);
        if !parameters.is_empty() {
            let mut nulls = vec![0_u8; parameters.len().div_ceil(8)];
            let (mut types, mut values) = (vec![1], Vec::new());
            for (i, value) in parameters.iter().enumerate() {
                let kind: [u8; 2] = match value {
                    Value::Null => {
                        nulls[i / 8] |= 1 << (i % 8);
                        [6, 0]
                    }
                    Value::Int(int) => {
                        values.extend_from_slice(&int.to_le_bytes());
                        [8, 0]
                    }
                    Value::Bytes(bytes) => {
                        if !sent.contains(&i) {
                            put_lenenc_bytes(&mut values, bytes);
                        }
                        [0xfd, 0]
                    }
                    other => panic!("the tests send no {other:?}"),
                };
                types.extend_from_slice(&kind);
            }
            payload.extend([nulls, types, values].concat());
        }
        self.command(Command::Execute(&payload))
    }

    /// Executes with a cursor and returns the number of columns.
    pub fn open_cursor(&mut self, statement: u32) -> usize {
        let mut payload = statement.to_le_bytes().to_vec();
        payload.extend_from_slice(&[1, 1, 0, 0, 0]);
        self.send(Command::Execute(&payload));
        let count = Cursor::new(&self.receive().expect("an answer")).lenenc_int("columns").expect("a number of columns");
        let count = usize::try_from(count).expect("a small number");
        for _ in 0..count {
            Column::decode(&self.receive().expect("a column")).expect("a column");
        }
        let end = self.receive().expect("an EOF");
        assert!(EofPacket::decode(&end).expect("an EOF").status.contains(ServerStatus::CURSOR_EXISTS));
        count
    }

    /// How many rows came, and whether they were the last; or the error.
    pub fn fetch(&mut self, statement: u32, rows: u32) -> Result<(usize, bool), u16> {
        self.send(Command::Fetch { statement, rows });
        match self.rows(Vec::new()) {
            Reply::Rows { packets, status, .. } => Ok((packets.len(), status.contains(ServerStatus::LAST_ROW_SENT))),
            other => Err(other.error()),
        }
    }

    /// LOAD DATA LOCAL with a file of these pieces.
    pub fn load_local(&mut self, sql: &str, pieces: &[&[u8]]) -> Reply {
        self.send(Command::Query(sql.as_bytes()));
        let asked = self.receive().expect("an answer");
        assert_eq!(asked[0], 0xfb, "the server asks for the file");
        for piece in pieces.iter().chain(&[&b""[..]]) {
            self.send_payload(|out| out.extend_from_slice(piece));
        }
        self.read_reply()
    }

    pub fn statistics(&mut self) -> String {
        self.send(Command::Statistics);
        String::from_utf8(self.receive().expect("an answer")).expect("text")
    }

    /// COM_FIELD_LIST: the names.
    pub fn fields(&mut self, table: &str, wildcard: &str) -> Vec<String> {
        self.send(Command::FieldList { table: table.as_bytes(), wildcard: wildcard.as_bytes() });
        let mut names = Vec::new();
        loop {
            let payload = self.receive().expect("a column or the end");
            if payload[0] == 0xfe {
                return names;
            }
            names.push(Column::decode(&payload).expect("a column").name);
        }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// After raw bytes: the number of the packet that answers them.
    pub fn expect_sequence(&mut self, next: u8) {
        self.sequence.restart();
        while self.sequence.issue() + 1 < next {}
        if next == 0 {
            self.sequence.restart();
        }
    }

    pub fn close_writing(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it was open");
    }

    /// Reads until the server closes, whatever it says before.
    pub fn closed(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    pub fn read_reply(&mut self) -> Reply {
        let first = self.receive().expect("an answer");
        match first[0] {
            0xff => Reply::Error(ErrPacket::decode(&first).expect("an error").code),
            0x00 => self.ok(&first),
            0xfe if first.len() < 9 => self.ok(&first),
            _ => {
                let count = Cursor::new(&first).lenenc_int("columns").expect("a number of columns");
                let columns = self.columns(usize::try_from(count).expect("a small number"));
                self.rows(columns)
            }
        }
    }

    fn rows(&mut self, columns: Vec<Column>) -> Reply {
        let mut packets = Vec::new();
        loop {
            let payload = self.receive().expect("a row or the end");
            match payload[0] {
                0xff => return Reply::Error(ErrPacket::decode(&payload).expect("an error").code),
                0xfe if payload.len() < 0xff_ffff => {
                    let status = match self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
                        true => OkPacket::decode(&payload, self.capabilities).expect("an OK").status,
                        false => EofPacket::decode(&payload).expect("an EOF").status,
                    };
                    return Reply::Rows { columns, packets, status };
                }
                _ => packets.push(payload),
            }
        }
    }

    fn ok(&self, payload: &[u8]) -> Reply {
        // The answer to COM_SET_OPTION is an EOF.
        if payload.len() == 5 && payload[0] == 0xfe {
            let status = EofPacket::decode(payload).expect("an EOF").status;
            return Reply::Done(Done { affected_rows: 0, last_insert_id: 0, status, schema: None });
        }
        let ok = OkPacket::decode(payload, self.capabilities).expect("an OK");
        let schema = ok.changes().find_map(|change| match change.expect("a change") {
            SessionChange::Schema(name) => Some(String::from_utf8_lossy(name).into_owned()),
            _ => None,
        });
        Reply::Done(Done { affected_rows: ok.affected_rows, last_insert_id: ok.last_insert_id, status: ok.status, schema })
    }

    fn columns(&mut self, count: usize) -> Vec<Column> {
        let columns = (0..count).map(|_| Column::decode(&self.receive().expect("a column")).expect("a column")).collect();
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            EofPacket::decode(&self.receive().expect("an EOF")).expect("an EOF");
        }
        columns
    }

    fn send_payload(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outbox.packet(&mut self.sequence, write);
        self.stream.write_all(self.outbox.bytes()).expect("the server reads");
        self.outbox.sent(0);
    }

    /// `None` if the server closed.
    fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(payload) = self.inbox.take(&mut self.sequence).expect("the server's packets are in order") {
                return Some(payload.to_vec());
            }
            let count = self.stream.read(self.inbox.space()).expect("the server answers in time");
            if count == 0 {
                return None;
            }
            self.inbox.filled(count);
        }
    }
}

impl Reply {
    pub fn ok(self) -> Done {
        match self {
            Reply::Done(ok) => ok,
            other => panic!("expected an OK: {other:?}"),
        }
    }

    pub fn error(self) -> u16 {
        match self {
            Reply::Error(code) => code,
            other => panic!("expected an error: {other:?}"),
        }
    }

    pub fn is_error(&self, code: u16) -> bool {
        matches!(self, Reply::Error(got) if *got == code)
    }

    pub fn names(&self) -> Vec<String> {
        let Reply::Rows { columns, .. } = self else { panic!("expected rows: {self:?}") };
        columns.iter().map(|column| column.name.clone()).collect()
    }

    pub fn text_rows(&self) -> Vec<Vec<Option<String>>> {
        let Reply::Rows { columns, packets, .. } = self else { panic!("expected rows: {self:?}") };
        let text = |value: Option<&[u8]>| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        packets.iter().map(|packet| decode_text_row(packet, columns.len()).expect("a row").into_iter().map(text).collect()).collect()
    }

    pub fn binary_rows(&self) -> Vec<Vec<Value>> {
        let Reply::Rows { columns, packets, .. } = self else { panic!("expected rows: {self:?}") };
        packets.iter().map(|packet| decode_binary_row(packet, columns).expect("a row")).collect()
    }

    fn status(&self) -> ServerStatus {
        match self {
            Reply::Done(ok) => ok.status,
            Reply::Error(_) => ServerStatus::default(),
            Reply::Rows { status, .. } => *status,
        }
    }
}
