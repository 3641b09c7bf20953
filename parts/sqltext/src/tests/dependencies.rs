use std::sync::Arc;

use crate::*;

/// The reference application's tables, a view over both, and one more.
pub struct Board;

impl Catalogue for Board {
    fn relation(&self, database: Option<&str>, name: &str) -> Relation {
        let table = |name: &str, columns: &[(&str, Comparison)]| {
            let columns = columns.iter().map(|(name, comparison)| Column { name: (*name).into(), comparison: *comparison }).collect();
            Relation::Table(Arc::new(TableInfo { name: named(name), columns }))
        };
        use Comparison::{Integer, Other, Text};
        match (database.unwrap_or("board"), name.to_ascii_lowercase().as_str()) {
            ("board", "ask") => table("ask", &[("id", Integer), ("message", Text), ("ip_address", Text), ("register_time", Other)]),
            ("board", "cheer") => table("cheer", &[("id", Integer), ("ask_id", Integer), ("message", Text), ("register_time", Other)]),
            ("board", "user") => table("user", &[("id", Integer), ("name", Text)]),
            ("board", "popular") => Relation::View(vec![named("ask"), named("cheer")]),
            ("board", "scratch") => Relation::Temporary,
            ("information_schema" | "mysql", _) => Relation::System,
            _ => Relation::Unknown,
        }
    }
}

fn named(name: &str) -> TableName {
    TableName { database: "board".into(), name: name.into() }
}

/// `ask(id=1,2) cheer(*)`: each table with what restricts it.
fn reads(sql: &str) -> String {
    let digest = match Digest::of(sql.as_bytes()) {
        Ok(digest) => digest,
        Err(reason) => return format!("! {reason}"),
    };
    let operand = |(place, negated): &(usize, bool)| {
        let value = match digest.operands[*place] {
            Operand::String(bytes) | Operand::Number(bytes) | Operand::Typed(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Operand::Parameter(number) => format!("${number}"),
        };
        format!("{}{value}", if *negated { "-" } else { "" })
    };
    let uses = |uses: &Uses| match uses {
        Uses::Whole => "*".to_owned(),
        Uses::Rows { column, operands, .. } => format!("{column}={}", operands.iter().map(operand).collect::<Vec<_>>().join(",")),
    };
    match analyse(&digest, &Board).reads {
        Ok(template) => {
            let tables =
                template.tables.iter().map(|(name, all)| format!("{}({})", name.name, all.iter().map(uses).collect::<Vec<_>>().join("; ")));
            tables.collect::<Vec<_>>().join(" ")
        }
        Err(reason) => format!("! {reason}"),
    }
}

#[test]
fn a_read_depends_on_the_rows_that_its_conditions_fix() {
    let check = |sql, expected: &str| assert_eq!(reads(sql), expected, "{sql}");
    check("SELECT * FROM ask", "ask(*)");
    check("SELECT * FROM ask WHERE id = 7", "ask(id=7)");
    check("SELECT * FROM `board`.`ask` WHERE 7 = `ask`.`id`", "ask(id=7)");
    check("select * from ASK where ID = ?", "ask(id=$0)");
    check("SELECT * FROM ask WHERE id = -7", "ask(id=-7)");
    check("SELECT * FROM ask WHERE (id = 7) AND message LIKE 'x%'", "ask(id=7)");
    check("SELECT * FROM ask WHERE id IN (1, 2, ?)", "ask(id=1,2,$0)");
    check("SELECT * FROM ask WHERE message = 'x' AND id IN (1, 2)", "ask(message='x')");
    check("SELECT * FROM ask WHERE message = 'x' AND id = 1", "ask(id=1)");
    check("SELECT COUNT(*) FROM cheer WHERE ask_id = 7", "cheer(ask_id=7)");
    check("SELECT a.id, c.message FROM ask a JOIN cheer c ON c.ask_id = a.id WHERE a.id = 7", "ask(id=7) cheer(*)");
    check("SELECT * FROM ask a LEFT JOIN cheer c ON c.ask_id = 7 WHERE a.id = 7", "ask(id=7) cheer(ask_id=7)");
    check("SELECT * FROM ask a JOIN cheer c ON c.ask_id = 7 AND a.id = 8", "ask(id=8) cheer(ask_id=7)");
    check("SELECT * FROM ask WHERE id = 1 UNION SELECT * FROM ask WHERE id = 2", "ask(id=1; id=2)");
    check("SELECT (SELECT COUNT(*) FROM cheer WHERE ask_id = 7) FROM ask WHERE id = 7", "ask(id=7) cheer(ask_id=7)");
    check("SELECT * FROM ask ORDER BY id LIMIT 5, 10", "ask(*)");
    check("WITH c AS (SELECT * FROM cheer WHERE ask_id = 7) SELECT * FROM c WHERE id = 9", "cheer(ask_id=7)");
}

#[test]
fn what_fixes_no_row_leaves_the_whole_table() {
    let check = |sql, expected: &str| assert_eq!(reads(sql), expected, "{sql}");
    check("SELECT * FROM ask WHERE id = 7 OR id = 8", "ask(*)");
    check("SELECT * FROM ask WHERE NOT (id = 7)", "ask(*)");
    check("SELECT * FROM ask WHERE id <> 7", "ask(*)");
    check("SELECT * FROM ask WHERE id NOT IN (7)", "ask(*)");
    check("SELECT * FROM ask WHERE id <=> 7", "ask(*)");
    check("SELECT * FROM ask WHERE id + 0 = 7", "ask(*)");
    check("SELECT * FROM ask WHERE id = 7 + 1", "ask(*)");
    check("SELECT * FROM ask WHERE register_time = '2024-01-01'", "ask(*)");
    check("SELECT * FROM ask WHERE message COLLATE utf8mb4_bin = 'x'", "ask(*)");
    check("SELECT * FROM ask HAVING id = 7", "ask(*)");
    check("SELECT id = 7 FROM ask", "ask(*)");
    check("SELECT * FROM ask a, cheer c WHERE id = 7", "ask(*) cheer(*)");
    check("SELECT * FROM ask a RIGHT JOIN cheer c ON c.ask_id = 7", "ask(*) cheer(*)");
    check("SELECT * FROM ask a LEFT JOIN cheer c ON a.id = 7", "ask(*) cheer(*)");
    check("SELECT * FROM ask a JOIN ask b ON b.id = a.id + 1 WHERE a.id = 7", "ask(*)");
    check("SELECT * FROM ask WHERE id = 7 AND EXISTS (SELECT 1 FROM ask)", "ask(*)");
    check("SELECT * FROM (SELECT * FROM ask) x WHERE id = 7", "ask(*)");
    check("SELECT * FROM popular WHERE id = 7", "ask(*) cheer(*)");
    check("SELECT * FROM popular, ask WHERE ask.id = 7", "ask(*) cheer(*)");
    // A correlated subquery: the outer row is no constant.
    check("SELECT a.*, (SELECT COUNT(*) FROM cheer WHERE ask_id = a.id) FROM ask a", "ask(*) cheer(*)");
    // An unqualified name that only the outer table has.
    check("SELECT * FROM cheer WHERE EXISTS (SELECT 1 FROM user WHERE ask_id = 7)", "cheer(*) user(*)");
    // The table hides behind a common table expression of its own name.
    check("WITH ask AS (SELECT * FROM ask) SELECT * FROM ask WHERE id = 7", "ask(*)");
}

#[test]
fn what_is_no_function_of_rows_is_refused_by_name() {
    let check = |sql: &str, expected: Reason| assert_eq!(reads(sql), format!("! {expected}"), "{sql}");
    check("SELECT NOW(), id FROM ask", Reason::Clock);
    check("SELECT id FROM ask WHERE register_time < CURRENT_TIMESTAMP", Reason::Clock);
    check("SELECT id FROM ask ORDER BY RAND()", Reason::Random);
    check("SELECT LAST_INSERT_ID() FROM ask", Reason::SessionState);
    check("SELECT CURRENT_USER FROM ask", Reason::SessionState);
    check("SELECT my_function(id) FROM ask", Reason::UnknownFunction);
    check("SELECT board.now(id) FROM ask", Reason::UnknownFunction);
    check("SELECT SLEEP(1) FROM ask", Reason::SideEffect);
    check("SELECT @x := id FROM ask", Reason::Variable);
    check("SELECT * FROM ask FOR UPDATE", Reason::Locking);
    check("SELECT * FROM (SELECT * FROM ask FOR UPDATE) x", Reason::Locking);
    check("SELECT * FROM information_schema.tables", Reason::SystemTable);
    check("SELECT * FROM scratch", Reason::TemporaryTable);
    check("SELECT * FROM nowhere", Reason::UnknownTable);
    check("SELECT 1", Reason::NoTable);
    check("SELEKT 1", Reason::Unparsable);
    check("SHOW TABLES", Reason::NotARead);
    check("DELETE FROM ask", Reason::NotARead);
    check("INSERT INTO ask SELECT * FROM ask", Reason::NotARead);
    check(&format!("SELECT {}1{} FROM ask", "(".repeat(500), ")".repeat(500)), Reason::TooLarge);
}

#[test]
fn a_long_chain_of_conditions_is_analysed_on_a_small_stack() {
    let chain = "a = 1 OR ".repeat(900);
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || assert_eq!(reads(&format!("SELECT * FROM ask WHERE {chain} id = 7")), "ask(*)"))
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_write_names_its_tables_or_admits_that_it_cannot() {
    let writes = |sql: &str| {
        let digest = Digest::of(sql.as_bytes()).unwrap();
        analyse(&digest, &Board).writes.map(|tables| tables.into_iter().map(|table| table.name).collect::<Vec<_>>().join(" "))
    };
    let check = |sql, expected: Option<&str>| assert_eq!(writes(sql).as_deref(), expected, "{sql}");
    check("INSERT INTO ask (message) VALUES ('x')", Some("ask"));
    check("INSERT INTO ask (message) SELECT message FROM cheer", Some("ask"));
    check("INSERT INTO ask (register_time) VALUES (NOW())", Some("ask"));
    check("INSERT INTO ask (message) VALUES (my_function(1))", None);
    check("REPLACE INTO ask (id) VALUES (1)", Some("ask"));
    check("UPDATE ask SET message = 'x' WHERE id = 7", Some("ask"));
    check("UPDATE ask a JOIN cheer c ON c.ask_id = a.id SET c.message = 'x'", Some("ask cheer"));
    check("DELETE FROM ask WHERE id = 7", Some("ask"));
    check("DELETE FROM nowhere", None);
    check("SELECT * FROM ask", Some(""));
    check("TRUNCATE TABLE ask", None);
}

#[test]
fn values_become_dependencies() {
    let deps = |sql: &'static str, parameters: &[Scalar<'static>]| {
        let digest = Digest::of(sql.as_bytes()).unwrap();
        analyse(&digest, &Board).reads.unwrap().deps(&digest.operands, parameters)
    };
    let text = |text: &'static str| Scalar::Text(text.as_bytes().into());
    let seven = deps("SELECT * FROM ask WHERE id = 7", &[]);
    assert_eq!(seven, deps("SELECT message FROM ask WHERE id = ?", &[Scalar::Int(7)]));
    assert_eq!(seven, deps("SELECT * FROM ask WHERE id = '7'", &[]));
    assert_ne!(seven, deps("SELECT * FROM ask WHERE id = ?", &[Scalar::Int(8)]));
    let whole = deps("SELECT * FROM ask", &[]);
    assert_eq!(whole, deps("SELECT * FROM ask WHERE id = ?", &[text("7 asks")]), "compared as floating point: not reproduced");
    assert_eq!(whole, deps("SELECT * FROM ask WHERE id = ?", &[]), "a parameter that was not bound");
    assert_eq!(whole, deps("SELECT * FROM ask WHERE id = 7 UNION SELECT * FROM ask WHERE id = 1.5", &[]));
    assert_eq!(deps("SELECT * FROM ask WHERE message = 'Hi'", &[]), deps("SELECT * FROM ask WHERE message = ?", &[text("hI ")]));
}
