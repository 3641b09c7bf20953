//! Statements by which drivers ask a new connection for the server's settings.

use crate::{Token, Tokens};

/// Whether `sql` is a SELECT of nothing but server settings: `SELECT @@max_allowed_packet, @@session.wait_timeout AS t LIMIT 1`. Drivers send such
/// statements whenever they open a connection, in the middle of any request. What they answer is no row, and changes with the configuration only.
pub fn asks_settings(sql: &[u8]) -> bool {
    let mut tokens = Tokens::new(sql);
    if !tokens.next().is_some_and(|token| token.is("select")) {
        return false;
    }
    let mut asked = false;
    for token in tokens {
        match token {
            Token::Variable(name) if setting(name) => asked = true,
            // Names of columns, commas, LIMIT 1.
            Token::Word(word) if !word.eq_ignore_ascii_case(b"from") && !word.eq_ignore_ascii_case(b"into") => {}
            Token::Quoted(_) | Token::Number(_) | Token::Sign(b',' | b';') => {}
            _ => return false,
        }
    }
    asked
}

fn setting(name: &[u8]) -> bool {
    let Some(name) = name.strip_prefix(b"@@") else { return false };
    let name = name.to_ascii_lowercase();
    let plain = [b"session.".as_slice(), b"global.", b"local."].iter().find_map(|scope| name.strip_prefix(*scope)).unwrap_or(&name);
    SETTINGS.binary_search(&std::str::from_utf8(plain).unwrap_or_default()).is_ok()
}

/// Sorted: found by bisection. What the session or a statement changes by itself (`last_insert_id`, `timestamp`, `warning_count`) is not here.
const SETTINGS: &[&str] = &[
    "auto_increment_increment",
    "auto_increment_offset",
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_database",
    "character_set_results",
    "character_set_server",
    "collation_connection",
    "collation_database",
    "collation_server",
    "default_storage_engine",
    "have_openssl",
    "have_ssl",
    "init_connect",
    "interactive_timeout",
    "license",
    "lower_case_table_names",
    "max_allowed_packet",
    "net_buffer_length",
    "net_read_timeout",
    "net_write_timeout",
    "performance_schema",
    "query_cache_size",
    "query_cache_type",
    "socket",
    "sql_mode",
    "system_time_zone",
    "time_zone",
    "transaction_isolation",
    "transaction_read_only",
    "tx_isolation",
    "tx_read_only",
    "version",
    "version_comment",
    "wait_timeout",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_ask_a_new_connection_is_known() {
        assert!(SETTINGS.is_sorted_by(|a, b| a < b));
        for sql in [
            "SELECT @@max_allowed_packet, @@wait_timeout",
            "select @@version_comment limit 1",
            "SELECT @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS `a`;",
            "/* mysql-connector-java-8.0 */SELECT  @@session.transaction_isolation",
        ] {
            assert!(asks_settings(sql.as_bytes()), "{sql}");
        }
        for sql in [
            "SELECT @@last_insert_id",
            "SELECT @@timestamp",
            "SELECT @user",
            "SELECT @@version, NOW()",
            "SELECT @@version FROM ask",
            "SELECT @@version INTO @x",
            "SELECT 1",
            "SET @@autocommit = 1",
            "",
        ] {
            assert!(!asks_settings(sql.as_bytes()), "{sql}");
        }
    }
}
