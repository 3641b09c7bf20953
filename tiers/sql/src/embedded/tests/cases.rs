//! Statements with what they answer, read from `cases/*.case`, run on this engine and on MariaDB.
//!
//! ```text
//! > SELECT 1, 'a'
//! 1   a                      rows, values separated by tabs; `(none)` for no rows
//! > INSERT INTO t VALUES (1)
//! ok 1                       affected rows
//! > SELEC
//! error 1064
//! > SELECT VERSION()
//! 8.0.36-pumasi
//! mariadb: another server    why MariaDB answers otherwise; it is then not asked
//! ```
//! A statement goes on over lines that begin with two blanks. Each file runs in a session of its own on a database of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pumasi_test_servers::MariaDb;

use super::*;

struct Case {
    sql: String,
    expected: Vec<String>,
    /// Why MariaDB differs.
    differs: Option<String>,
    line: usize,
    /// Comment and blank lines before it.
    before: String,
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/embedded/tests/cases");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "case")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn read(path: &Path) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut before = String::new();
    let mut in_statement = false;
    for (number, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
        if let Some(sql) = line.strip_prefix("> ") {
            let before = std::mem::take(&mut before);
            cases.push(Case { sql: sql.to_owned(), expected: vec![], differs: None, line: number + 1, before });
            in_statement = true;
        } else if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(before, "{line}");
            in_statement = false;
        } else {
            let case = cases.last_mut().expect("a statement comes first");
            match line.strip_prefix("  ").filter(|_| in_statement) {
                Some(more) => {
                    let _ = write!(case.sql, "\n  {more}");
                }
                None => {
                    in_statement = false;
                    match line.strip_prefix("mariadb: ") {
                        Some(reason) => case.differs = Some(reason.to_owned()),
                        None => case.expected.push(line.to_owned()),
                    }
                }
            }
        }
    }
    cases
}

fn answer(session: &mut Session, sql: &str) -> Vec<String> {
    match query(session, sql) {
        Err(error) => vec![format!("error {}", error.code)],
        Ok(taken) if taken.columns.is_empty() => vec![format!("ok {}", taken.summary.unwrap().affected_rows)],
        Ok(taken) if taken.rows.is_empty() => vec!["(none)".to_owned()],
        Ok(taken) => taken.rows.iter().map(|r| line(r)).collect(),
    }
}

fn line(values: &[String]) -> String {
    values.iter().map(|v| v.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")).collect::<Vec<_>>().join("\t")
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

fn difference(path: &Path, case: &Case, got: &[String]) -> String {
    let name = path.file_name().unwrap().to_string_lossy();
    format!("{name}:{}: {}\n   expected {:?}\n   got      {got:?}", case.line, case.sql, case.expected)
}

#[test]
fn statements_answer_as_listed() {
    let mut failures = Vec::new();
    for path in files() {
        let house = House::new();
        let mut session = house.session();
        for case in read(&path) {
            let got = answer(&mut session, &case.sql);
            if got != case.expected {
                failures.push(difference(&path, &case, &got));
            }
        }
    }
    report(&failures);
}

/// Parameters are values like any other: every SELECT of literals answers the same when it is prepared.
#[test]
fn prepared_statements_answer_as_text_does() {
    let mut failures = Vec::new();
    for path in files() {
        let house = House::new();
        let mut session = house.session();
        for case in read(&path) {
            let reads = case.sql.trim_start().to_uppercase().starts_with("SELECT");
            let got = if reads {
                match execute(&mut session, &case.sql, &[]) {
                    Err(error) => vec![format!("error {}", error.code)],
                    Ok(taken) if taken.rows.is_empty() => vec!["(none)".to_owned()],
                    Ok(taken) => taken.rows.iter().map(|r| line(r)).collect(),
                }
            } else {
                answer(&mut session, &case.sql)
            };
            if got != case.expected {
                failures.push(difference(&path, &case, &got));
            }
        }
    }
    report(&failures);
}

/// The oracle. With `PUMASI_BLESS=mariadb` its answers replace the expected ones of cases that do not say they differ.
#[test]
fn mariadb_answers_as_listed_too() {
    let server = MariaDb::with(&[
        "--collation-server=utf8mb4_general_ci",
        "--lower-case-table-names=1",
        "--sql-mode=STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    ]);
    let bless = std::env::var("PUMASI_BLESS").is_ok_and(|v| v == "mariadb");
    let mut failures = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for path in files() {
        let mut cases = read(&path);
        let answers = runtime.block_on(answers(&server, &cases));
        for (case, got) in cases.iter_mut().zip(answers) {
            if case.differs.is_some() || got == case.expected {
                continue;
            }
            if bless {
                case.expected = got;
            } else {
                failures.push(difference(&path, case, &got));
            }
        }
        if bless {
            std::fs::write(&path, written(&cases)).unwrap();
        }
    }
    report(&failures);
}

fn written(cases: &[Case]) -> String {
    let mut out = String::new();
    for case in cases {
        let _ = write!(out, "{}> {}\n{}\n", case.before, case.sql, case.expected.join("\n"));
        if let Some(reason) = &case.differs {
            let _ = writeln!(out, "mariadb: {reason}");
        }
    }
    out
}

/// What a MariaDB says to them, as lines.
async fn answers(server: &MariaDb, cases: &[Case]) -> Vec<Vec<String>> {
    use mysql_async::prelude::Queryable;
    let url = format!("mysql://root@127.0.0.1:{}/mysql", server.port);
    let mut connection = mysql_async::Conn::from_url(url).await.unwrap();
    for sql in [
        "DROP DATABASE IF EXISTS askhy",
        "CREATE DATABASE askhy",
        "USE askhy",
        "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci",
        "SET time_zone = '+00:00'",
    ] {
        connection.query_drop(sql).await.unwrap();
    }
    let mut answers = Vec::new();
    for case in cases {
        if case.differs.is_some() && case.sql.starts_with("SELECT") {
            answers.push(vec![]);
            continue;
        }
        answers.push(match connection.query_iter(case.sql.as_str()).await {
            Err(mysql_async::Error::Server(error)) => vec![format!("error {}", error.code)],
            Err(other) => vec![format!("failed {other}")],
            Ok(mut result) => {
                if result.columns().is_some_and(|c| !c.is_empty()) {
                    let rows: Result<Vec<mysql_async::Row>, _> = result.collect().await;
                    match rows {
                        Err(mysql_async::Error::Server(error)) => vec![format!("error {}", error.code)],
                        Err(other) => vec![format!("failed {other}")],
                        Ok(rows) if rows.is_empty() => vec!["(none)".to_owned()],
                        Ok(rows) => rows.into_iter().map(|row| line(&row.unwrap().iter().map(from_mariadb).collect::<Vec<_>>())).collect(),
                    }
                } else {
                    vec![format!("ok {}", result.affected_rows())]
                }
            }
        });
    }
    connection.disconnect().await.unwrap();
    answers
}

fn from_mariadb(value: &mysql_async::Value) -> String {
    match value {
        mysql_async::Value::NULL => "NULL".to_owned(),
        mysql_async::Value::Bytes(b) => printed(ValueRef::Bytes(b)),
        other => format!("{other:?}"),
    }
}

/// Statements with a piece missing or twice: whatever they answer, the session goes on. (A panic would end it.)
#[test]
fn broken_statements_break_nothing() {
    for path in files() {
        let house = House::new();
        let mut session = house.session();
        for case in read(&path) {
            // Without its end a recursive query has none.
            if ["SLEEP", "SET ", "LOCK", "RECURSIVE"].iter().any(|word| case.sql.contains(word)) {
                continue;
            }
            let _ = query(&mut session, &case.sql);
            let words: Vec<&str> = case.sql.split(' ').collect();
            for i in 0..words.len() {
                let mut without = words.clone();
                without.remove(i);
                let mut twice = words.clone();
                twice.insert(i, words[i]);
                let cut = words[..i].join(" ");
                for sql in [without.join(" "), twice.join(" "), cut] {
                    let _ = query(&mut session, &sql);
                    let _ = session.prepare(sql.as_bytes());
                }
            }
            if session.in_transaction() {
                run(&mut session, "ROLLBACK");
            }
            assert_eq!(rows(&mut session, "SELECT 1"), ["1"], "after {}", case.sql);
        }
    }
}
