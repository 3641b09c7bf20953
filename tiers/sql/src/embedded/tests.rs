use std::sync::Arc;

use pumasi_mysqlwire::{Column, SqlError, Value, ValueRef};
use tempfile::TempDir;

use super::*;
use crate::engine::{EngineSession, ResultSink, StatementKind, Summary};

mod cases;
mod sessions;

/// An engine on a new file that goes away with it. Named `askhy`, so that is the database.
struct House {
    engine: Embedded,
    directory: TempDir,
}

impl House {
    fn new() -> House {
        House::observed(Arc::new(NoObserver))
    }

    fn observed(observer: Arc<dyn WriteObserver>) -> House {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { durable: false, observer, ..Options::new(directory.path().join("askhy.db")) };
        House { engine: Embedded::open(options).unwrap(), directory }
    }

    fn session(&self) -> Session {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let connection_id = NEXT.fetch_add(1, Ordering::Relaxed);
        let client = Client { user: "root", host: "localhost", database: Some("askhy"), connection_id, found_rows: false, witness: None };
        self.engine.open(client).unwrap()
    }

    fn reopen(self) -> House {
        let House { engine, directory } = self;
        drop(engine);
        let options = Options { durable: false, ..Options::new(directory.path().join("askhy.db")) };
        House { engine: Embedded::open(options).unwrap(), directory }
    }
}

/// Takes a result as text.
#[derive(Default)]
struct Taken {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    summary: Option<Summary>,
}

impl ResultSink for Taken {
    fn columns(&mut self, columns: &[Column]) -> Result<(), SqlError> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<(), SqlError> {
        assert_eq!(values.len(), self.columns.len(), "one value per column");
        self.rows.push(values.iter().map(|v| printed(*v)).collect());
        Ok(())
    }

    fn finish(&mut self, summary: Summary) -> Result<(), SqlError> {
        assert!(self.summary.replace(summary).is_none(), "one result per statement");
        Ok(())
    }
}

fn printed(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Int(n) => n.to_string(),
        ValueRef::UInt(n) => n.to_string(),
        ValueRef::Float(x) => pumasi_dialect::text::float(x),
        ValueRef::Double(x) => pumasi_dialect::text::double(x),
        ValueRef::Bytes(b) => match std::str::from_utf8(b) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("0x{}", pumasi_dialect::text::hex(b)),
        },
    }
}

fn query(session: &mut Session, sql: &str) -> Result<Taken, SqlError> {
    let mut taken = Taken::default();
    session.query(sql.as_bytes(), &mut taken)?;
    assert!(taken.summary.is_some(), "no end of the result of {sql}");
    Ok(taken)
}

fn execute(session: &mut Session, sql: &str, parameters: &[Value]) -> Result<Taken, SqlError> {
    let mut prepared = session.prepare(sql.as_bytes())?;
    let mut taken = Taken::default();
    session.execute(&mut prepared, parameters, &mut taken)?;
    Ok(taken)
}

/// Rows as lines of tab-separated values.
fn rows(session: &mut Session, sql: &str) -> Vec<String> {
    query(session, sql).unwrap_or_else(|e| panic!("{sql}: {e}")).rows.iter().map(|r| r.join("\t")).collect()
}

fn run(session: &mut Session, sql: &str) -> Summary {
    query(session, sql).unwrap_or_else(|e| panic!("{sql}: {e}")).summary.unwrap()
}

fn fails(session: &mut Session, sql: &str) -> u16 {
    match query(session, sql) {
        Ok(_) => panic!("{sql}: expected an error"),
        Err(error) => error.code,
    }
}

fn text(value: &str) -> Value {
    Value::Bytes(value.as_bytes().to_vec())
}
