use super::*;

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
