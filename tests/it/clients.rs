//! Ordinary clients, on either engine: what an application's driver does all day.

mod rust;

use std::process::{Command, Output};

use crate::{
    drivers::{python, said, story, tell},
    engines::{Engine, on_either_engine},
    service::Service,
};

on_either_engine! {
    drivers_tell_their_stories: 2,
    the_mariadb_program_shows_and_changes_the_board: 2,
    the_dump_program_takes_the_board_away_whole: 2,
}

/// Every driver on the same database, because making one takes longer than most of the stories.
fn drivers_tell_their_stories(engine: Engine) {
    // Nothing but an empty database.
    let toml = format!(
        "[sql.main]\nlisten = \"{{database}}\"\nengine = \"{engine}\"\nresults = \"automatic\"\n[console]\nlisten = \"{{console}}\"\n"
    );
    let service = Service::run(&toml, &[]);
    let address = service.database();
    for driver in ["pymysql", "MySQLdb", "mysql.connector"] {
        tell(address, &python(), &[&story("story.py"), driver], "askhy", "story");
    }
    tell(address, "node", &[&story("story.js")], "askhy", "story");
    rust::mysql_async(address, "askhy");
    rust::sqlx(address, "askhy");
    if engine == Engine::Embedded {
        return;
    }
    // These lean on more of MariaDB than the embedded engine has.
    for mapper in ["sqlalchemy", "django"] {
        tell(address, &python(), &[&story("orm.py"), mapper], "askhy", "orm");
    }
    tell(address, "php", &[&story("story.php")], "askhy", "story");
    tell(address, "java", &["-cp", "/usr/share/java/mariadb-java-client.jar", &story("Story.java")], "askhy", "story");
    let cluster = service.status()["sql"][0]["cluster"].take();
    assert!(cluster["replica_reads_total"].as_u64() > Some(0), "not a test of the primary alone: {cluster}");
}

/// A program of MariaDB's, as root at the demo's database.
fn program(name: &str, service: &Service, words: &[&str]) -> Output {
    let database = service.database();
    let mut command = Command::new(name);
    command.args(["--no-defaults", "--protocol=tcp", "--host", &database.ip().to_string(), "--port", &database.port().to_string()]);
    command.arg("--user=root").args(words).output().unwrap_or_else(|error| panic!("{name}: {error} (cargo xtask install)"))
}

fn the_mariadb_program_shows_and_changes_the_board(engine: Engine) {
    let service = Service::demo_on(engine, &[]);
    let ask = |sql: &str| {
        let output = program("mariadb", &service, &["--batch", "askhy", "--execute", sql]);
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

fn the_dump_program_takes_the_board_away_whole(engine: Engine) {
    let service = Service::demo_on(engine, &[]);
    let output = program("mariadb-dump", &service, &["--single-transaction", "askhy"]);
    assert!(output.status.success(), "{}", said(&output));
    let dump = String::from_utf8_lossy(&output.stdout);
    assert!(dump.contains("CREATE TABLE `ask`"), "{}", &dump[..dump.len().min(2000)]);
    // It can be put back where it came from.
    let file = service.home.path().join("dump.sql");
    std::fs::write(&file, &output.stdout).expect("written");
    let gone = program("mariadb", &service, &["askhy", "--execute", "DROP TABLE cheer, ask"]);
    assert!(gone.status.success(), "{}", said(&gone));
    let back = program("mariadb", &service, &["askhy", "--execute", &format!("source {}", file.display())]);
    assert!(back.status.success(), "{}", said(&back));
    let counts = program("mariadb", &service, &["askhy", "-N", "--execute", "SELECT COUNT(*) FROM cheer; SELECT COUNT(*) FROM ask"]);
    assert_eq!(said(&counts), "50000\n50\n");
    assert_eq!(service.get("/").body.matches("href=\"/ask/").count(), 50, "the board is as it was");
}
