//! An engine that hands each statement to a private in-memory SQLite as it is.

use std::sync::Arc;

use pumasi_mysqlwire::{Column, ColumnFlags, ColumnType, SqlError, Value, ValueRef};
use pumasi_sqltext::{Token, Tokens};
use rusqlite::{
    Connection,
    types::{ToSqlOutput, Value as Lite, ValueRef as LiteRef},
};

use crate::engine::{Client, Engine, EngineSession, Interrupter, ResultSink, StatementKind, StatementReport, Summary};

pub struct Toy;

pub struct ToySession {
    lite: Connection,
    user: String,
    database: Option<String>,
    report: StatementReport,
}

pub struct ToyPrepared {
    sql: String,
    parameters: usize,
    columns: Vec<Column>,
}

impl Engine for Toy {
    type Session = ToySession;

    fn open(&self, client: Client<'_>) -> Result<ToySession, SqlError> {
        let mut session = ToySession {
            lite: Connection::open_in_memory().map_err(failed)?,
            user: client.user.to_owned(),
            database: None,
            report: StatementReport::default(),
        };
        if let Some(database) = client.database {
            session.use_database(database)?;
        }
        let user = session.user.clone();
        let answer = move |_: &rusqlite::functions::Context<'_>| Ok(user.clone());
        session.lite.create_scalar_function("user", 0, rusqlite::functions::FunctionFlags::empty(), answer).map_err(failed)?;
        Ok(session)
    }
}

impl EngineSession for ToySession {
    type Prepared = ToyPrepared;

    fn query(&mut self, sql: &[u8], out: &mut dyn ResultSink) -> Result<usize, SqlError> {
        let mut tokens = Tokens::new(sql);
        let first = tokens.next();
        let used = if first.is_some() && tokens.any(|token| token == Token::Sign(b';')) { tokens.end() } else { sql.len() };
        let text = std::str::from_utf8(&sql[..used]).expect("the tests send UTF-8").trim_end_matches(';');
        let word = first.expect("the front sends no empty statement");
        if word.is("use") {
            self.use_database(text[3..].trim())?;
            out.finish(Summary::default())?;
        } else {
            self.run(text, &[], out)?;
        }
        Ok(used)
    }

    fn prepare(&mut self, sql: &[u8]) -> Result<ToyPrepared, SqlError> {
        let sql = std::str::from_utf8(sql).expect("the tests send UTF-8").to_owned();
        let statement = self.lite.prepare(&sql).map_err(failed)?;
        let (parameters, columns) = (statement.parameter_count(), columns(&statement));
        drop(statement);
        Ok(ToyPrepared { sql, parameters, columns })
    }

    fn describe<'p>(&self, prepared: &'p ToyPrepared) -> (usize, &'p [Column]) {
        (prepared.parameters, &prepared.columns)
    }

    fn execute(&mut self, prepared: &mut ToyPrepared, parameters: &[Value], out: &mut dyn ResultSink) -> Result<(), SqlError> {
        self.run(&prepared.sql, parameters, out)
    }

    fn use_database(&mut self, database: &str) -> Result<(), SqlError> {
        if database == "missing" {
            return Err(SqlError::new(1049, "42000", "Unknown database 'missing'"));
        }
        self.database = Some(database.to_owned());
        Ok(())
    }

    fn reset(&mut self) -> Result<(), SqlError> {
        if !self.lite.is_autocommit() {
            self.lite.execute_batch("ROLLBACK").map_err(failed)?;
        }
        Ok(())
    }

    fn interrupter(&self) -> Interrupter {
        let handle = self.lite.get_interrupt_handle();
        Arc::new(move || handle.interrupt())
    }

    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn in_transaction(&self) -> bool {
        !self.lite.is_autocommit()
    }

    fn autocommit(&self) -> bool {
        true
    }

    fn report(&self) -> &StatementReport {
        &self.report
    }
}

impl ToySession {
    fn run(&mut self, sql: &str, parameters: &[Value], out: &mut dyn ResultSink) -> Result<(), SqlError> {
        self.report = StatementReport::default();
        let mut statement = self.lite.prepare(sql).map_err(failed)?;
        self.report.kind = match statement.readonly() {
            true if statement.column_count() > 0 => StatementKind::Read,
            true => StatementKind::Control,
            false => StatementKind::Write,
        };
        if statement.column_count() == 0 {
            let affected = statement.execute(rusqlite::params_from_iter(parameters.iter().map(bound))).map_err(failed)?;
            let last_insert_id = self.lite.last_insert_rowid() as u64;
            return out.finish(Summary { affected_rows: affected as u64, last_insert_id, ..Summary::default() });
        }
        // SQLite knows a value's type only row by row: one look at the first row decides the columns' types.
        let count = statement.column_count();
        let mut described = columns(&statement);
        let mut rows = statement.query(rusqlite::params_from_iter(parameters.iter().map(bound))).map_err(failed)?;
        let mut first = true;
        loop {
            let row = match rows.next() {
                Ok(row) => row,
                Err(error) => return Err(failed(error)),
            };
            if first {
                if let Some(row) = row {
                    for (i, column) in described.iter_mut().enumerate() {
                        column.kind = match row.get_ref(i).map_err(failed)? {
                            LiteRef::Integer(_) => ColumnType::LongLong,
                            LiteRef::Real(_) => ColumnType::Double,
                            _ => ColumnType::VarString,
                        };
                    }
                }
                out.columns(&described)?;
                first = false;
            }
            let Some(row) = row else { break };
            let values: Result<Vec<ValueRef<'_>>, SqlError> = (0..count)
                .map(|i| {
                    Ok(match row.get_ref(i).map_err(failed)? {
                        LiteRef::Null => ValueRef::Null,
                        LiteRef::Integer(int) => ValueRef::Int(int),
                        LiteRef::Real(real) => ValueRef::Double(real),
                        LiteRef::Text(bytes) | LiteRef::Blob(bytes) => ValueRef::Bytes(bytes),
                    })
                })
                .collect();
            out.row(&values?)?;
        }
        out.finish(Summary::default())
    }
}

fn columns(statement: &rusqlite::Statement<'_>) -> Vec<Column> {
    let column = |name: &str| Column {
        schema: String::new(),
        table: String::new(),
        org_table: String::new(),
        name: (*name).to_owned(),
        org_name: String::new(),
        collation: 45,
        length: 255,
        kind: ColumnType::VarString,
        flags: ColumnFlags::default(),
        decimals: 0,
    };
    statement.column_names().map(column).collect()
}

fn bound(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Owned(match value {
        Value::Int(int) => Lite::Integer(*int),
        Value::UInt(uint) => Lite::Integer(i64::try_from(*uint).expect("the tests send small numbers")),
        Value::Double(double) => Lite::Real(*double),
        Value::Bytes(bytes) => Lite::Text(String::from_utf8(bytes.clone()).expect("the tests send UTF-8")),
        _ => Lite::Null,
    })
}

fn failed(error: rusqlite::Error) -> SqlError {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
        return SqlError::new(1317, "70100", "Query execution was interrupted");
    }
    let text = error.to_string();
    if text.contains("syntax error") { SqlError::new(1064, "42000", text) } else { SqlError::new(1105, "HY000", text) }
}
