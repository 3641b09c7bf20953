//! The catalogue inside the file: one row per database, table and view, as JSON.

use std::sync::Arc;

use pumasi_dialect::catalogue::{Catalogue, Database, Object, Table, View};
use pumasi_dialect::error;
use pumasi_mysqlwire::SqlError;
use rusqlite::{Connection, OptionalExtension};

use super::connection::SessionConnection;

/// Format of the engine's own tables. A file of a later one is not touched.
const FORMAT: i64 = 1;

/// Reads the catalogue, or writes the first one into a new file. Answers the default database's name, too.
pub fn open(connection: &mut SessionConnection, named: &str) -> Result<(String, Catalogue), SqlError> {
    let sqlite = &connection.sqlite;
    let fail = |e: rusqlite::Error| error::disk(e);
    let known: Option<i64> = sqlite
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = '__pumasi_meta'", [], |row| row.get(0))
        .optional()
        .map_err(fail)?;
    if known.unwrap_or(0) == 0 {
        let foreign: i64 = sqlite.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
        if foreign > 0 {
            return Err(error::disk("the file is a SQLite database that Pumasi did not make"));
        }
        sqlite.execute_batch(&first(named)).map_err(fail)?;
    }
    let meta =
        |key: &str| sqlite.query_row("SELECT value FROM __pumasi_meta WHERE key = ?1", [key], |row| row.get::<_, String>(0)).map_err(fail);
    let format: i64 = meta("format")?.parse().unwrap_or(i64::MAX);
    if format > FORMAT {
        return Err(error::disk(format!("the file has format {format}; this Pumasi reads up to {FORMAT}")));
    }
    let default_database = meta("default_database")?;
    Ok((default_database, load(sqlite)?))
}

fn first(named: &str) -> String {
    let database = Database { name: named.to_owned(), collation: pumasi_dialect::collation::DEFAULT.name.to_owned() };
    let body = serde_json::to_string(&database).unwrap_or_default().replace('\'', "''");
    let named = named.replace('\'', "''");
    format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE __pumasi_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
         CREATE TABLE __pumasi_catalogue (kind TEXT NOT NULL, database TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
             PRIMARY KEY (kind, database, name)) STRICT;
         INSERT INTO __pumasi_meta VALUES ('format', '{FORMAT}'), ('default_database', '{named}');
         INSERT INTO __pumasi_catalogue VALUES ('database', '{lower}', '', '{body}');
         COMMIT;",
        lower = named.to_lowercase()
    )
}

fn load(sqlite: &Connection) -> Result<Catalogue, SqlError> {
    let fail = |e: rusqlite::Error| error::disk(e);
    let mut catalogue = Catalogue::default();
    catalogue.version = 1;
    let mut statement = sqlite.prepare("SELECT kind, body FROM __pumasi_catalogue").map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let (kind, body): (String, String) = (row.get(0).map_err(fail)?, row.get(1).map_err(fail)?);
        let broken = |e: serde_json::Error| error::disk(format!("the catalogue holds a {kind} that cannot be read: {e}"));
        match kind.as_str() {
            "database" => catalogue.put_database(serde_json::from_str::<Database>(&body).map_err(broken)?),
            "table" => catalogue.put(Object::Table(Arc::new(serde_json::from_str::<Table>(&body).map_err(broken)?))),
            _ => catalogue.put(Object::View(Arc::new(serde_json::from_str::<View>(&body).map_err(broken)?))),
        }
    }
    Ok(catalogue)
}

/// Writes what differs between two catalogues. Called inside the transaction of the DDL.
pub fn save(sqlite: &Connection, old: &Catalogue, new: &Catalogue) -> rusqlite::Result<()> {
    let list = |c: &Catalogue| -> Vec<(String, String, String, String)> {
        let databases = c.databases().map(|d| ("database".to_owned(), d.name.to_lowercase(), String::new(), json(d)));
        let objects = c.objects().map(|o| match o {
            Object::Table(t) => ("table".to_owned(), t.database.to_lowercase(), t.name.to_lowercase(), json(t.as_ref())),
            Object::View(v) => ("view".to_owned(), v.database.to_lowercase(), v.name.to_lowercase(), json(v.as_ref())),
        });
        databases.chain(objects).collect()
    };
    let (before, after) = (list(old), list(new));
    for gone in before.iter().filter(|b| !after.iter().any(|a| (&a.0, &a.1, &a.2) == (&b.0, &b.1, &b.2))) {
        sqlite.execute("DELETE FROM __pumasi_catalogue WHERE kind = ?1 AND database = ?2 AND name = ?3", [&gone.0, &gone.1, &gone.2])?;
    }
    for new in after.iter().filter(|a| !before.contains(a)) {
        sqlite.execute("INSERT OR REPLACE INTO __pumasi_catalogue VALUES (?1, ?2, ?3, ?4)", [&new.0, &new.1, &new.2, &new.3])?;
    }
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("catalogue types are maps with text keys")
}
