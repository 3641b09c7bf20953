//! A connection of Pumasi's own to one server: for questions whose answers it reads itself.

use std::{collections::HashMap, sync::Arc, time::Duration};

use pumasi_mysqlwire::{Capabilities, Column, Command, ErrPacket, Expect, Follower, Passed, SqlError, WireError, decode_text_row};

use super::gtid::Position;
use crate::{
    front::wire::Lost,
    proxy::{
        Target,
        backend::{Backend, Key, NoBackend, owned},
        link::in_time,
    },
};

/// A server that does not answer a question of ours for so long cannot be reached.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// utf8mb4_general_ci, which every server knows.
const COLLATION: u8 = 45;

pub struct Control {
    backend: Backend,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("{0}")]
    Lost(String),
    #[error("{0}")]
    Refused(SqlError),
}

/// One row of text; `None` is NULL.
pub type Row = Vec<Option<String>>;

impl Control {
    pub async fn connect(target: &Target) -> Result<Control, Failed> {
        let capabilities = Capabilities::LONG_PASSWORD
            | Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::PLUGIN_AUTH_LENENC
            | Capabilities::TRANSACTIONS
            | Capabilities::SESSION_TRACK;
        let key = Arc::new(Key { user: target.user.clone(), capabilities, collation: COLLATION, era: 0 });
        let login = target.login();
        let connecting = Backend::connect(target, &key, &login);
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok(backend)) => Ok(Control { backend }),
            Ok(Err(NoBackend::Refused(error))) => Err(Failed::Refused(error)),
            Ok(Err(error)) => Err(Failed::Lost(error.to_string())),
            Err(_) => Err(Failed::Lost(format!("{} does not answer within {PATIENCE:?}", target.address()))),
        }
    }

    /// The rows of a statement's result, with the names of their columns.
    pub async fn ask_within(&mut self, sql: &str, patience: Duration) -> Result<(Vec<String>, Vec<Row>), Failed> {
        match in_time(patience, exchange(&mut self.backend, sql)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failed::Refused(error)),
            Err(lost) => Err(Failed::Lost(lost.to_string())),
        }
    }

    pub async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Failed> {
        Ok(self.ask_within(sql, PATIENCE).await?.1)
    }

    /// The first row, by the names of its columns; empty if there is none.
    pub async fn named(&mut self, sql: &str) -> Result<HashMap<String, String>, Failed> {
        let (names, rows) = self.ask_within(sql, PATIENCE).await?;
        let first = rows.into_iter().next().unwrap_or_default();
        Ok(names.into_iter().zip(first).filter_map(|(name, value)| Some((name, value?))).collect())
    }

    /// Our end of the connection.
    pub fn local_port(&self) -> u16 {
        self.backend.link.local_port()
    }

    /// The first value of the first row.
    pub async fn one(&mut self, sql: &str) -> Result<String, Failed> {
        let first = self.rows(sql).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        Ok(first.unwrap_or_default())
    }

    pub async fn run(&mut self, sql: &str) -> Result<(), Failed> {
        self.run_within(sql, PATIENCE).await
    }

    pub async fn run_within(&mut self, sql: &str, patience: Duration) -> Result<(), Failed> {
        self.ask_within(sql, patience).await.map(drop)
    }
}

/// Names of the columns, and the rows.
type Answer = Result<(Vec<String>, Vec<Row>), SqlError>;

async fn exchange(backend: &mut Backend, sql: &str) -> Result<Answer, Lost> {
    backend.send(Command::Query(sql.as_bytes())).await?;
    let mut follower = Follower::new(Expect::Results, backend.key.capabilities);
    let (mut names, mut rows, mut answer) = (Vec::new(), Vec::new(), Ok(()));
    let mut first = true;
    while !follower.done() {
        let payload = backend.link.receive().await?;
        let row = follower.in_rows();
        match follower.packet(&payload, payload.len())? {
            Passed::Data if row => rows.push(text(decode_text_row(&payload, names.len())?)),
            Passed::Data if first => {}
            Passed::Data | Passed::LastDefinition => names.push(Column::decode(&payload)?.name),
            Passed::Err => answer = Err(owned(&ErrPacket::decode(&payload)?)),
            Passed::WantsFile => return Err(Lost::Wire(WireError::Malformed("answer, which asks for a file"))),
            Passed::Ok(_) | Passed::Eof(_) | Passed::Prepared(_) => {}
        }
        first = false;
    }
    Ok(answer.map(|()| (names, rows)))
}

/// Where a server that follows another stands, asked on a connection of somebody else's.
pub async fn position(backend: &mut Backend) -> Option<Position> {
    let asked = in_time(PATIENCE, exchange(backend, "SELECT @@GLOBAL.gtid_slave_pos")).await;
    let (_, rows) = asked.ok()?.ok()?;
    Position::parse(rows.first()?.first()?.as_deref()?)
}

fn text(row: Vec<Option<&[u8]>>) -> Row {
    row.into_iter().map(|value| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect()
}
