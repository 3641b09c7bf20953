//! Transactions, snapshots, locks, the observer, prepared statements.

use super::*;

const ASKHY: &[&str] = &[
    "CREATE TABLE ask (id BIGINT NOT NULL AUTO_INCREMENT, message VARCHAR(500) NOT NULL, ip_address VARCHAR(45) NOT NULL,
     register_time DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), PRIMARY KEY (id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
    "CREATE TABLE cheer (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, ask_id BIGINT NOT NULL, message VARCHAR(500) NOT NULL,
     ip_address VARCHAR(45) NOT NULL, register_time DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
     CONSTRAINT cheer_ask FOREIGN KEY (ask_id) REFERENCES ask (id) ON DELETE CASCADE)",
];

fn askhy(house: &House) -> Session {
    let mut session = house.session();
    for sql in ASKHY {
        run(&mut session, sql);
    }
    session
}

#[test]
fn askhy_lives_here() {
    let house = House::new();
    let mut s = askhy(&house);
    let done = execute(&mut s, "INSERT INTO ask (message, ip_address) VALUES (?, ?)", &[text("도와줘"), text("65.3.1.2")]).unwrap();
    let summary = done.summary.unwrap();
    assert_eq!((summary.affected_rows, summary.last_insert_id), (1, 1));
    let summary =
        run(&mut s, "INSERT INTO cheer (ask_id, message, ip_address) VALUES (1, 'a', '1.1.1.1'), (1, 'b', '1.1.1.1'), (1, 'c', '2.2.2.2')");
    assert_eq!((summary.affected_rows, summary.last_insert_id, summary.info.as_str()), (3, 1, "Records: 3  Duplicates: 0  Warnings: 0"));
    let front = "SELECT ask.id, ask.message, ask.ip_address, ask.register_time,
        (SELECT COUNT(*) FROM cheer WHERE cheer.ask_id = ask.id) AS cheers,
        (SELECT COUNT(DISTINCT cheer.ip_address) FROM cheer WHERE cheer.ask_id = ask.id) AS addresses
        FROM ask ORDER BY ask.id DESC LIMIT ?";
    let taken = execute(&mut s, front, &[Value::Int(10)]).unwrap();
    assert_eq!(taken.rows.len(), 1);
    assert_eq!(taken.rows[0][1], "도와줘");
    assert_eq!(&taken.rows[0][4..], ["3", "2"]);
    assert_eq!(taken.rows[0][3].len(), "2026-01-01 00:00:00.000000".len());
    assert_eq!(taken.columns[4].name, "cheers");
    assert_eq!(s.report().kind, StatementKind::Read);
    assert_eq!(s.report().pure, Ok(()));
    assert_eq!(s.report().tables.iter().map(|t| t.name.to_string()).collect::<Vec<_>>(), ["ask", "cheer"]);
    assert_eq!(fails(&mut s, "INSERT INTO cheer (ask_id, message, ip_address) VALUES (9, 'x', 'y')"), 1452);
    assert_eq!(run(&mut s, "DELETE FROM ask WHERE id = 1").affected_rows, 1);
    assert_eq!(rows(&mut s, "SELECT COUNT(*) FROM cheer"), ["0"]);
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let house = House::new();
    let mut s = askhy(&house);
    run(&mut s, "INSERT INTO ask (message, ip_address) VALUES ('a', 'b')");
    run(&mut s, "BEGIN");
    run(&mut s, "INSERT INTO ask (message, ip_address) VALUES ('lost', 'b')");
    drop(s);
    let house = house.reopen();
    let mut s = house.session();
    assert_eq!(rows(&mut s, "SELECT id, message FROM ask"), ["1\ta"]);
    assert_eq!(rows(&mut s, "SHOW TABLES"), ["ask", "cheer"]);
}
