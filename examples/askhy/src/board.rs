//! The board in the database: two tables, four statements.
use std::net::IpAddr;

use mysql_async::{Pool, Value, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    cache::{Cache, CacheAddress},
    settings::Database,
};

/// Characters (not bytes) a message may have; the width of the columns.
pub const MESSAGE_CHARS_MAX: usize = 200;

/// The asks and cheers. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Board {
    pool: Pool,
    cache: Option<Cache>,
}

/// An ask as the front page lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskSummary {
    pub ask: Ask,
    pub cheers: u64,
    /// Distinct addresses that cheered.
    pub cheerers: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub id: u32,
    pub message: String,
    pub ip_address: String,
    pub register_time: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Cheer {
    pub message: String,
    pub ip_address: String,
    pub register_time: String,
}

impl Board {
    /// Connects and makes the tables that are missing.
    pub(crate) async fn open(database: &Database, cache: Option<&CacheAddress>) -> Result<Board, Error> {
        let board = Board { pool: Pool::new(database.options()), cache: cache.map(Cache::new) };
        create_tables(&mut board.pool.get_conn().await?).await?;
        Ok(board)
    }

    /// Every ask, newest first, with how many cheers it has and from how many addresses.
    pub async fn asks(&self) -> Result<Vec<AskSummary>, Error> {
        let Some(cache) = &self.cache else { return self.asks_counted().await };
        if let Some(asks) = cache.load().await {
            return Ok(asks);
        }
        let asks = self.asks_counted().await?;
        cache.store(&asks).await;
        Ok(asks)
    }

    /// An ask with its cheers, newest first. `None`: there is no such ask.
    pub async fn ask(&self, id: u32) -> Result<Option<(Ask, Vec<Cheer>)>, Error> {
        let mut connection = self.pool.get_conn().await?;
        let ask = connection.exec_first("SELECT id, message, ip_address, register_time FROM ask WHERE id = ?", (id,)).await?;
        let Some((id, message, ip_address, time)) = ask else { return Ok(None) };
        let cheers = connection
            .exec_map(
                "SELECT message, ip_address, register_time FROM cheer WHERE ask_id = ? ORDER BY id DESC",
                (id,),
                |(message, ip_address, time)| Cheer { message, ip_address, register_time: moment(time) },
            )
            .await?;
        Ok(Some((Ask { id, message, ip_address, register_time: moment(time) }, cheers)))
    }

    /// Posts an ask and returns its id.
    pub async fn post_ask(&self, message: &str, from: IpAddr) -> Result<u32, Error> {
        let mut connection = self.pool.get_conn().await?;
        connection.exec_drop("INSERT INTO ask (message, ip_address) VALUES (?, ?)", (message, from.to_string())).await?;
        let id = connection.last_insert_id().unwrap_or_default();
        self.forget_list().await;
        Ok(u32::try_from(id).unwrap_or_default())
    }

    /// Cheers an ask. `false`: there is no such ask.
    pub async fn post_cheer(&self, ask: u32, message: &str, from: IpAddr) -> Result<bool, Error> {
        let mut connection = self.pool.get_conn().await?;
        let insert = "INSERT INTO cheer (ask_id, message, ip_address) VALUES (?, ?, ?)";
        match connection.exec_drop(insert, (ask, message, from.to_string())).await {
            Ok(()) => self.forget_list().await,
            Err(mysql_async::Error::Server(error)) if error.code == NO_REFERENCED_ROW => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    async fn asks_counted(&self) -> Result<Vec<AskSummary>, Error> {
        let mut connection = self.pool.get_conn().await?;
        let asks = connection
            .query_map(ASKS_WITH_COUNTS, |(id, message, ip_address, time, cheers, cheerers)| AskSummary {
                ask: Ask { id, message, ip_address, register_time: moment(time) },
                cheers,
                cheerers,
            })
            .await?;
        Ok(asks)
    }

    async fn forget_list(&self) {
        if let Some(cache) = &self.cache {
            cache.forget().await;
        }
    }
}

/// Makes both tables unless they exist; safe when several processes start at once.
pub(crate) async fn create_tables(connection: &mut mysql_async::Conn) -> Result<(), Error> {
    connection.query_drop(CREATE_ASK).await?;
    connection.query_drop(CREATE_CHEER).await?;
    Ok(())
}

// === SQL ===

/// The whole front page in one statement. Two counts per ask, each a walk over that ask's part of the index: simple, right,
/// and slower with every cheer.
pub const ASKS_WITH_COUNTS: &str = "\
SELECT ask.id, ask.message, ask.ip_address, ask.register_time,
       (SELECT COUNT(*) FROM cheer WHERE cheer.ask_id = ask.id) AS cheers,
       (SELECT COUNT(DISTINCT cheer.ip_address) FROM cheer WHERE cheer.ask_id = ask.id) AS cheerers
FROM ask
ORDER BY ask.id DESC";

const CREATE_ASK: &str = "\
CREATE TABLE IF NOT EXISTS ask (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  message VARCHAR(200) NOT NULL,
  ip_address VARCHAR(45) NOT NULL,
  register_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";

const CREATE_CHEER: &str = "\
CREATE TABLE IF NOT EXISTS cheer (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  ask_id INT UNSIGNED NOT NULL,
  message VARCHAR(200) NOT NULL,
  ip_address VARCHAR(45) NOT NULL,
  register_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  INDEX cheer_by_ask (ask_id),
  CONSTRAINT cheer_of_ask FOREIGN KEY (ask_id) REFERENCES ask (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";

/// ER_NO_REFERENCED_ROW_2: the ask a cheer is for does not exist (any more).
const NO_REFERENCED_ROW: u16 = 1452;

/// `2026-05-01 09:30`, from either protocol: the text one sends characters, the binary one fields.
fn moment(value: Value) -> String {
    match value {
        Value::Bytes(text) => String::from_utf8_lossy(&text).chars().take("2026-05-01 09:30".len()).collect(),
        Value::Date(year, month, day, hour, minute, ..) => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}"),
        _ => String::new(),
    }
}
