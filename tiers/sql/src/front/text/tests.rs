use super::*;

fn check_digest(sql: &str, text: &str) {
    assert_eq!(digest_text(sql.as_bytes(), 1024), text);
}

#[test]
fn a_digest_is_the_statement_without_its_literals() {
    check_digest("SELECT * FROM ask WHERE id = 7", "SELECT * FROM ask WHERE id = ?");
    check_digest("SELECT a.b, `c d` FROM t  -- why\n WHERE x='it''s' AND y=\"\\\"\"", "SELECT a.b, `c d` FROM t WHERE x = ? AND y = ?");
    check_digest("SELECT x FROM t WHERE id IN (1, 2 ,3)", "SELECT x FROM t WHERE id IN(?)");
    check_digest("INSERT INTO t(a,b) VALUES (?, 'x')", "INSERT INTO t(a, b) VALUES(?)");
    check_digest("INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)", "INSERT INTO t VALUES(?)");
    check_digest("INSERT INTO t VALUES (1), (2) ON DUPLICATE KEY UPDATE a = 1", "INSERT INTO t VALUES(?) ON DUPLICATE KEY UPDATE a = ?");
    check_digest("INSERT INTO t VALUES (1), (NOW()), (2), (3)", "INSERT INTO t VALUES(?),(NOW()),(?)");
    check_digest("SELECT f(1), (2, g(3)), (4)", "SELECT f(?),(?, g(?)),(?)");
    check_digest("SELECT (1), (2", "SELECT(?),(?");
    check_digest("/* route=/ask */ SELECT 1e-5, 0x1F, .5", "SELECT ?");
    check_digest("SELECT 1, a", "SELECT ?, a");
}

#[test]
fn statements_that_differ_in_literals_and_space_have_one_digest() {
    let same = [
        &b"SELECT a FROM t WHERE id=1"[..],
        b"SELECT a FROM t WHERE id = 22",
        b"SELECT a /* x */ FROM t WHERE id='z'",
        b"SELECT a FROM t WHERE id=?",
    ];
    assert!(same.iter().all(|sql| digest(sql) == digest(same[0])));
    assert_ne!(digest(b"SELECT a FROM t"), digest(b"SELECT b FROM t"));
    assert_ne!(digest(b"SELECT ab FROM t"), digest(b"SELECT a b FROM t"));
}

#[test]
fn a_semicolon_counts_only_outside_of_quotes_and_comments() {
    for (sql, several) in [
        ("SELECT 1", false),
        ("SELECT 1;", false),
        ("SELECT 1; -- done", false),
        ("SELECT 1;;\n", false),
        ("SELECT ';x'", false),
        ("SELECT 1 /* ; */ + 1", false),
        ("SELECT 1 -- ; DROP TABLE t\n", false),
        ("SELECT `a;b`", false),
        ("SELECT '\\';x'", false),
        ("SELECT 1; DROP TABLE t", true),
        ("SELECT 'a''; DROP TABLE t", false),
        ("SELECT 5--3; SELECT 2", true),
        ("/*!50000 SELECT 1; SELECT 2 */", true),
        ("CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET a=1; SET b=2; END", false),
        ("CREATE TABLE t (a INT); DROP TABLE u", true),
    ] {
        assert_eq!(several_statements(sql.as_bytes()), several, "{sql}");
    }
}

#[test]
fn what_is_behind_a_statement_is_nothing_or_another_statement() {
    for (sql, used, rest) in [
        ("SELECT 1", 8, ""),
        ("SELECT 1;", 8, ""),
        ("SELECT 1; ", 9, ""),
        ("SELECT 1; # done", 9, ""),
        ("SELECT 1; SELECT 2; SELECT 3", 9, "SELECT 2; SELECT 3"),
        ("SELECT 1; SELECT 2", 8, "SELECT 2"),
        ("SELECT 1", 99, ""),
    ] {
        let got = rest_behind(sql.as_bytes(), used);
        assert_eq!(String::from_utf8_lossy(got).trim_start(), rest, "{sql}");
    }
}

#[test]
fn text_that_is_not_closed_runs_to_its_end() {
    for sql in ["'abc", "`abc", "/* abc", "'abc\\", "\"", "-- ", "#", "/*!", "0x", "1e", "@", "\\"] {
        assert!(Tokens::new(sql.as_bytes()).count() <= sql.len(), "{sql}");
    }
}
