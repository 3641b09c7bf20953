use pumasi_freshness::Tables;

use super::{super::catalogue::Rows, *};

fn catalogue() -> Catalogue {
    let row = |values: &[&str]| values.iter().map(|value| Some((*value).to_owned())).collect();
    Catalogue::of(&Rows {
        tables: vec![row(&["shop", "t", "BASE TABLE", "InnoDB"]), row(&["shop", "u", "BASE TABLE", "InnoDB"])],
        columns: vec![row(&["shop", "t", "id", "int"])],
        routines: vec![row(&["f", "UPDATE u SET a = 1"]), row(&["p", "DELETE FROM u"])],
        ..Rows::default()
    })
}

fn shown(sql: &str) -> String {
    let plan = Plan::of(sql.as_bytes(), &Digest::of(sql.as_bytes()), Some("shop"), &catalogue());
    let reads = match &plan.reads {
        Reads::Rows(template) => {
            format!("rows of {}", template.tables.iter().map(|(name, _)| name.name.as_str()).collect::<Vec<_>>().join("+"))
        }
        Reads::Refused(reason) => format!("refused: {reason}"),
        Reads::Nothing => "nothing".to_owned(),
    };
    let writes = match &plan.writes {
        Writes::Nothing => "nothing".to_owned(),
        Writes::Rows(Closure { tables: Tables::All, schema, .. }) => if *schema { "schema" } else { "everything" }.to_owned(),
        Writes::Rows(Closure { tables: Tables::Known(tables), .. }) => format!("{} tables", tables.len()),
    };
    let mut out = format!("{reads}; writes {writes}");
    for (flag, name) in [(plan.commits, "commits"), (plan.ends, "ends"), (plan.only_reads, "only reads")] {
        if flag {
            out += &format!("; {name}");
        }
    }
    out
}

#[test]
fn statements_are_planned_by_what_they_may_do() {
    for (sql, plan) in [
        ("SELECT * FROM t WHERE id = 1", "rows of t; writes nothing; only reads"),
        ("/* hello */ select 1 from t, u", "rows of t+u; writes nothing; only reads"),
        ("SELECT 1", "nothing; writes nothing; only reads"),
        ("SELECT @@version_comment LIMIT 1", "nothing; writes nothing; only reads"),
        ("SELECT NOW() FROM t", "refused: clock; writes nothing; only reads"),
        ("SELECT * FROM missing", "refused: unknown-table; writes nothing; only reads"),
        ("SELECT * FROM mysql.user", "refused: system-table; writes nothing; only reads"),
        ("SELECT f() FROM t", "refused: unknown-function; writes 1 tables; only reads"),
        ("SELECT * FROM t FOR UPDATE", "refused: locking-read; writes nothing"),
        ("UPDATE t SET a = 1", "nothing; writes 1 tables"),
        ("UPDATE t, u SET t.a = u.a", "nothing; writes 2 tables"),
        ("INSERT INTO t SELECT * FROM u", "nothing; writes 1 tables"),
        ("REPLACE INTO t VALUES (1)", "nothing; writes 1 tables"),
        ("INSERT INTO t VALUES (f())", "nothing; writes 2 tables"),
        ("DELETE FROM missing", "nothing; writes everything"),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "nothing; writes 1 tables"),
        ("WITH x AS (SELECT 1) DELETE FROM t", "nothing; writes 1 tables"),
        ("SELECT 1; DELETE FROM t", "nothing; writes schema; commits"),
        ("BEGIN", "nothing; writes nothing; commits; ends; only reads"),
        ("BEGIN NOT ATOMIC DELETE FROM t", "nothing; writes schema; commits; ends; only reads"),
        ("COMMIT", "nothing; writes nothing; commits; ends; only reads"),
        ("ROLLBACK", "nothing; writes nothing; ends; only reads"),
        ("ROLLBACK TO a", "nothing; writes nothing"),
        ("SET autocommit = 1", "nothing; writes nothing; commits"),
        ("SET @a = f()", "nothing; writes 1 tables; commits"),
        ("SET GLOBAL sql_mode = ''", "nothing; writes schema; commits"),
        ("SET @@global.x = 1", "nothing; writes schema; commits"),
        ("SET STATEMENT max_statement_time = 1 FOR DELETE FROM t", "nothing; writes schema; commits"),
        ("ALTER TABLE t ADD b INT", "nothing; writes schema; commits"),
        ("/*!40000 ALTER TABLE t DISABLE KEYS */", "nothing; writes schema; commits"),
        ("/*!40101 SET NAMES utf8 */", "nothing; writes nothing; commits"),
        ("CREATE TEMPORARY TABLE x (a INT)", "nothing; writes nothing"),
        ("GRANT SELECT ON t TO a", "nothing; writes schema; commits"),
        ("CALL p()", "nothing; writes 1 tables; commits"),
        ("CALL shop.p()", "nothing; writes 1 tables; commits"),
        ("CALL other()", "nothing; writes schema; commits"),
        ("EXECUTE s", "nothing; writes schema; commits"),
        ("DO SLEEP(1)", "nothing; writes nothing"),
        ("DO f()", "nothing; writes 1 tables"),
        ("LOCK TABLES t WRITE", "nothing; writes nothing; commits"),
        ("XA START 'a'", "nothing; writes nothing"),
        ("XA COMMIT 'a'", "nothing; writes schema; commits"),
        ("SHOW TABLES", "nothing; writes nothing; only reads"),
        ("ANALYZE UPDATE t SET a = 1", "nothing; writes schema; commits"),
        ("frobnicate", "nothing; writes schema; commits"),
    ] {
        assert_eq!(shown(sql), plan, "{sql}");
    }
}

#[test]
fn a_statement_that_writes_is_kept_in_mind_without_its_values() {
    let text = |sql: &str| Plan::of(sql.as_bytes(), &Digest::of(sql.as_bytes()), Some("shop"), &catalogue()).text;
    let told = text("UPDATE customers SET name = 'secret' WHERE id = 7").expect("it writes");
    assert!(told.starts_with("UPDATE customers SET name = ?") && !told.contains("secret") && !told.contains('7'), "{told}");
    assert_eq!(text("SELECT 1"), None);
}
