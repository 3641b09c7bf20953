//! Ordinary clients on the embedded engine: what an application's driver does all day.

use std::{path::PathBuf, process::Command};

use mysql_async::{prelude::*, *};

use crate::service::Service;

fn story(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/clients").join(name)
}

/// A program that a `cargo xtask install` brought; its place comes from the environment.
fn installed(variable: &str, otherwise: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned())
}

fn told(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (cargo xtask install)"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).trim_end().ends_with("told"), "{}", text(&output.stdout));
}

/// Nothing but an empty database.
fn only_a_database() -> Service {
    let toml =
        "[sql.main]\nlisten = \"{database}\"\nengine = \"embedded:askhy.db\"\nresults = \"automatic\"\n[console]\nlisten = \"{console}\"\n";
    Service::run(toml, &[])
}

fn python(driver: &str) {
    let service = only_a_database();
    let database = service.database();
    let mut command = Command::new(installed("PUMASI_TEST_PYTHON", "python3"));
    command.arg(story("story.py")).args([driver, &database.ip().to_string(), &database.port().to_string(), "askhy", "story"]);
    told(command);
}

#[test]
fn pymysql_tells_its_story() {
    python("pymysql");
}

#[test]
fn mysqlclient_tells_its_story() {
    python("MySQLdb");
}

#[test]
fn mysql_connector_tells_its_story() {
    python("mysql.connector");
}

#[test]
fn node_mysql2_tells_its_story() {
    let service = only_a_database();
    let database = service.database();
    let mut command = Command::new("node");
    command.arg(story("story.js")).args([&database.ip().to_string(), &database.port().to_string(), "askhy", "story"]);
    command.env("NODE_PATH", installed("PUMASI_TEST_NODE_PATH", "node_modules"));
    told(command);
}

#[test]
fn the_mariadb_program_shows_and_changes_the_board() {
    let service = Service::demo(&[]);
    let database = service.database();
    let ask = |sql: &str| {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=tcp", "--host", &database.ip().to_string(), "--port", &database.port().to_string()]);
        let output = command.args(["--user=root", "--batch", "askhy", "--execute", sql]).output().expect("the mariadb program");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ask("SHOW TABLES").0, "Tables_in_askhy\nask\ncheer\n");
    assert_eq!(ask("SELECT COUNT(*) AS n FROM cheer").0, "n\n50000\n");
    let (columns, _) = ask("DESCRIBE cheer");
    assert!(columns.starts_with("Field\tType\tNull\tKey\tDefault\tExtra\nid\t") && columns.contains("ask_id\t"), "{columns}");
    let (created, _) = ask("SHOW CREATE TABLE cheer");
    assert!(created.contains("FOREIGN KEY") && created.contains("ON DELETE CASCADE"), "{created}");
    // The cascade, seen from outside.
    assert_eq!(ask("DELETE FROM ask WHERE id = 1; SELECT COUNT(*) AS n FROM cheer WHERE ask_id = 1").0, "n\n0\n");
    let (_, error) = ask("INSERT INTO cheer (ask_id, message, ip_address, register_time) VALUES (1, 'x', '1.2.3.4', NOW())");
    assert!(error.contains("ERROR 1452 (23000)"), "{error}");
    let (_, error) = ask("SELEKT");
    assert!(error.contains("ERROR 1064 (42000)"), "{error}");
}

#[test]
fn mysqldump_takes_the_board_away_whole() {
    let service = Service::demo(&[]);
    let database = service.database();
    let mut command = Command::new("mariadb-dump");
    command.args(["--no-defaults", "--protocol=tcp", "--host", &database.ip().to_string(), "--port", &database.port().to_string()]);
    let output = command.args(["--user=root", "--single-transaction", "askhy"]).output().expect("the mariadb-dump program");
    let dump = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(dump.contains("CREATE TABLE `ask`") && dump.contains("INSERT INTO `cheer` VALUES"), "{}", &dump[..dump.len().min(2000)]);
}

#[test]
fn mysql_async_reads_and_writes() {
    let service = only_a_database();
    let database = service.database();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = OptsBuilder::default()
            .ip_or_hostname(database.ip().to_string())
            .tcp_port(database.port())
            .user(Some("root"))
            .db_name(Some("askhy"));
        let mut connection = Conn::new(options).await.expect("it connects");
        "CREATE TABLE rust (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL, n BIGINT UNSIGNED)"
            .ignore(&mut connection)
            .await
            .expect("created");
        let rows = (0..20u64).map(|n| (format!("이름{n}"), i64::MAX as u64 - n));
        "INSERT INTO rust (name, n) VALUES (?, ?)".with(rows).batch(&mut connection).await.expect("inserted");
        let found: Option<(i32, String, u64)> =
            "SELECT id, name, n FROM rust WHERE name = ?".with(("이름7",)).first(&mut connection).await.expect("read");
        assert_eq!(found, Some((8, "이름7".into(), i64::MAX as u64 - 7)));
        let mut transaction = connection.start_transaction(TxOpts::default()).await.expect("begun");
        "DELETE FROM rust".ignore(&mut transaction).await.expect("deleted");
        transaction.rollback().await.expect("rolled back");
        let count: Option<u64> = "SELECT COUNT(*) FROM rust".first(&mut connection).await.expect("read");
        assert_eq!(count, Some(20));
        connection.disconnect().await.expect("closed");
    });
}
