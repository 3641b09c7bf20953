use super::*;

#[test]
fn like_follows_mysqls_wildcards() {
    for (text, pattern, matches) in [
        ("ask_id", "%", true),
        ("ask_id", "ask%", true),
        ("ask_id", "%id", true),
        ("ask_id", "a%k%d", true),
        ("ask_id", "ASK_ID", true),
        ("askxid", "ask\\_id", false),
        ("ask_id", "ask\\_id", true),
        ("ask_id", "as", false),
        ("ask_id", "ask_id_", false),
        ("", "", true),
        ("", "%%", true),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "%a%a%a%a%a%a%b", false),
        ("a", "a\\", false),
    ] {
        assert_eq!(like(text.as_bytes(), pattern.as_bytes()), matches, "{text} LIKE {pattern}");
    }
}

#[test]
fn a_statements_number_is_never_taken_twice_nor_one_that_clients_keep_for_themselves() {
    let taken = HashMap::from([(1, ()), (2, ())]);
    assert_eq!(next_id(0, &taken), 3);
    assert_eq!(next_id(u32::MAX - 1, &taken), 3);
    assert_eq!(next_id(7, &taken), 8);
}

#[test]
fn the_front_answers_only_what_is_about_connections() {
    for (sql, own) in [
        ("KILL 7", true),
        ("kill query 7", true),
        ("KILL HARD CONNECTION 7; SELECT 1", true),
        ("SHOW PROCESSLIST", true),
        ("show full processlist;", true),
        ("KILL", false),
        ("KILL QUERY", false),
        ("KILL USER root", false),
        ("KILL 7 8", false),
        ("SHOW TABLES", false),
        ("SHOW FULL TABLES", false),
        ("SELECT 'KILL 7'", false),
    ] {
        assert_eq!(Own::of(sql.as_bytes()).is_some(), own, "{sql}");
    }
    assert_eq!(Own::of(b"KILL 7; SELECT 1").map(|own| own.behind.trim_ascii()), Some(&b"SELECT 1"[..]));
}
