use std::hash::{DefaultHasher, Hasher};

use crate::{hash_shape, shape};

fn check(sql: &str, text: &str) {
    assert_eq!(shape(sql.as_bytes(), 1024), text);
}

fn hash(sql: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_shape(sql, &mut hasher);
    hasher.finish()
}

#[test]
fn a_shape_is_the_statement_without_its_literals() {
    check("SELECT * FROM ask WHERE id = 7", "SELECT * FROM ask WHERE id = ?");
    check("SELECT a.b, `c d` FROM t  -- why\n WHERE x='it''s' AND y=\"\\\"\"", "SELECT a.b, `c d` FROM t WHERE x = ? AND y = ?");
    check("SELECT x FROM t WHERE id IN (1, 2 ,3)", "SELECT x FROM t WHERE id IN(?)");
    check("INSERT INTO t(a,b) VALUES (?, 'x')", "INSERT INTO t(a, b) VALUES(?)");
    check("INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)", "INSERT INTO t VALUES(?)");
    check("INSERT INTO t VALUES (1), (2) ON DUPLICATE KEY UPDATE a = 1", "INSERT INTO t VALUES(?) ON DUPLICATE KEY UPDATE a = ?");
    check("INSERT INTO t VALUES (1), (NOW()), (2), (3)", "INSERT INTO t VALUES(?),(NOW()),(?)");
    check("SELECT f(1), (2, g(3)), (4)", "SELECT f(?),(?, g(?)),(?)");
    check("SELECT (1), (2", "SELECT(?),(?");
    check("/* route=/ask */ SELECT 1e-5, 0x1F, .5", "SELECT ?");
    check("SELECT 1, a, @b", "SELECT ?, a, @b");
    check("/*!40101 SET NAMES utf8 */", "SET NAMES utf8");
}

#[test]
fn statements_that_differ_in_literals_and_space_have_one_shape() {
    let same = [
        &b"SELECT a FROM t WHERE id=1"[..],
        b"SELECT a FROM t WHERE id = 22",
        b"SELECT a /* x */ FROM t WHERE id='z'",
        b"SELECT a FROM t WHERE id=?",
    ];
    assert!(same.iter().all(|sql| hash(sql) == hash(same[0])));
    assert_ne!(hash(b"SELECT a FROM t"), hash(b"SELECT b FROM t"));
    assert_ne!(hash(b"SELECT ab FROM t"), hash(b"SELECT a b FROM t"));
    assert_ne!(hash(b"SELECT @b"), hash(b"SELECT 'b'"));
}
