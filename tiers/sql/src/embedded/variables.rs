//! System variables: which there are, their defaults, which may be set and to what.

use pumasi_dialect::collation::Collation;
use pumasi_dialect::error;
use pumasi_dialect::functions::{Env, Out, zone_seconds};
use pumasi_dialect::types::Ty;
use pumasi_mysqlwire::SqlError;

/// What `VERSION()` answers: what the greeting says.
pub use crate::front::SERVER_VERSION;

/// How a variable may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// 1238.
    ReadOnly,
    /// The engine acts on it; `session::Session::set_system` knows how.
    Live,
    /// A figure or switch that changes no answer here (buffer sizes, timeouts of MySQL's own network layer, optimizer hints): it is
    /// remembered and shown, as clients that set it expect.
    Kept,
    /// May be set to its default only; anything else would need something this engine has not (1235).
    Fixed,
}

pub struct Variable {
    pub name: &'static str,
    pub default: &'static str,
    /// Answers as a number.
    pub number: bool,
    pub setting: Setting,
}

use Setting::*;

macro_rules! variables {
    ($($name:literal $default:literal $number:literal $setting:ident;)*) => {
        pub const VARIABLES: &[Variable] = &[$(Variable { name: $name, default: $default, number: $number, setting: $setting }),*];
    };
}

variables! {
    "activate_all_roles_on_login" "OFF" false ReadOnly;
    "auto_increment_increment" "1" true Fixed;
    "auto_increment_offset" "1" true Fixed;
    "autocommit" "ON" true Live;
    "back_log" "151" true ReadOnly;
    "basedir" "/usr/" false ReadOnly;
    "big_tables" "OFF" true Kept;
    "bind_address" "127.0.0.1" false ReadOnly;
    "block_encryption_mode" "aes-128-ecb" false Fixed;
    "bulk_insert_buffer_size" "8388608" true Kept;
    "character_set_client" "utf8mb4" false Live;
    "character_set_connection" "utf8mb4" false Live;
    "character_set_database" "utf8mb4" false Fixed;
    "character_set_filesystem" "binary" false Kept;
    "character_set_results" "utf8mb4" false Live;
    "character_set_server" "utf8mb4" false Fixed;
    "character_set_system" "utf8mb3" false ReadOnly;
    "collation_connection" "utf8mb4_general_ci" false Live;
    "collation_database" "utf8mb4_general_ci" false Fixed;
    "collation_server" "utf8mb4_general_ci" false Fixed;
    "completion_type" "NO_CHAIN" false Fixed;
    "connect_timeout" "10" true Kept;
    "datadir" "/" false ReadOnly;
    "default_authentication_plugin" "caching_sha2_password" false ReadOnly;
    "default_storage_engine" "InnoDB" false Kept;
    "default_tmp_storage_engine" "InnoDB" false Kept;
    "default_week_format" "0" true Fixed;
    "div_precision_increment" "4" true Fixed;
    "error_count" "0" true ReadOnly;
    "event_scheduler" "OFF" false ReadOnly;
    "explicit_defaults_for_timestamp" "ON" true Fixed;
    "flush" "OFF" true ReadOnly;
    "foreign_key_checks" "ON" true Live;
    "ft_min_word_len" "4" true ReadOnly;
    "general_log" "OFF" true ReadOnly;
    "group_concat_max_len" "1048576" true Fixed;
    "gtid_mode" "OFF" false ReadOnly;
    "have_ssl" "DISABLED" false ReadOnly;
    "hostname" "pumasi" false ReadOnly;
    "identity" "0" true ReadOnly;
    "information_schema_stats_expiry" "86400" true Kept;
    "init_connect" "" false ReadOnly;
    "innodb_buffer_pool_size" "134217728" true ReadOnly;
    "innodb_file_per_table" "ON" true ReadOnly;
    "innodb_flush_log_at_trx_commit" "1" true ReadOnly;
    "innodb_lock_wait_timeout" "50" true Live;
    "innodb_read_only" "OFF" true ReadOnly;
    "innodb_strict_mode" "ON" true Kept;
    "innodb_version" "8.0.36" false ReadOnly;
    "insert_id" "0" true Fixed;
    "interactive_timeout" "28800" true Kept;
    "join_buffer_size" "262144" true Kept;
    "last_insert_id" "0" true ReadOnly;
    "lc_messages" "en_US" false Fixed;
    "lc_time_names" "en_US" false Fixed;
    "license" "MIT OR Apache-2.0" false ReadOnly;
    "local_infile" "OFF" true ReadOnly;
    "lock_wait_timeout" "31536000" true Kept;
    "log_bin" "OFF" true ReadOnly;
    "log_error_verbosity" "2" true Kept;
    "long_query_time" "10.000000" false Kept;
    "low_priority_updates" "OFF" true Kept;
    "lower_case_file_system" "OFF" true ReadOnly;
    "lower_case_table_names" "2" true ReadOnly;
    "max_allowed_packet" "67108864" true Kept;
    "max_connections" "151" true ReadOnly;
    "max_error_count" "1024" true Fixed;
    "max_execution_time" "0" true Fixed;
    "max_heap_table_size" "16777216" true Kept;
    "max_join_size" "18446744073709551615" false Kept;
    "max_length_for_sort_data" "4096" true Kept;
    "max_prepared_stmt_count" "16382" true ReadOnly;
    "max_sort_length" "1024" true Kept;
    "max_statement_time" "0.000000" false Fixed;
    "max_user_connections" "0" true ReadOnly;
    "net_buffer_length" "16384" true Kept;
    "net_read_timeout" "30" true Kept;
    "net_retry_count" "10" true Kept;
    "net_write_timeout" "60" true Kept;
    "old_passwords" "0" true Fixed;
    "optimizer_prune_level" "1" true Kept;
    "optimizer_search_depth" "62" true Kept;
    "optimizer_switch" "" false Kept;
    "performance_schema" "OFF" true ReadOnly;
    "pid_file" "" false ReadOnly;
    "port" "3306" true ReadOnly;
    "profiling" "OFF" true Fixed;
    "protocol_version" "10" true ReadOnly;
    "pseudo_thread_id" "0" true ReadOnly;
    "query_cache_size" "0" true Fixed;
    "query_cache_type" "OFF" false Fixed;
    "range_optimizer_max_mem_size" "8388608" true Kept;
    "read_buffer_size" "131072" true Kept;
    "read_only" "OFF" true ReadOnly;
    "read_rnd_buffer_size" "262144" true Kept;
    "secure_file_priv" "NULL" false ReadOnly;
    "server_id" "1" true ReadOnly;
    "server_uuid" "00000000-0000-1000-8000-000000000000" false ReadOnly;
    "session_track_gtids" "OFF" false Fixed;
    "session_track_schema" "ON" true Kept;
    "session_track_state_change" "OFF" true Fixed;
    "session_track_system_variables" "time_zone,autocommit,character_set_client,character_set_results,character_set_connection" false Kept;
    "session_track_transaction_info" "OFF" false Fixed;
    "skip_networking" "OFF" true ReadOnly;
    "skip_show_database" "OFF" true ReadOnly;
    "slow_query_log" "OFF" true ReadOnly;
    "socket" "" false ReadOnly;
    "sort_buffer_size" "262144" true Kept;
    "sql_auto_is_null" "OFF" true Fixed;
    "sql_big_selects" "ON" true Kept;
    "sql_buffer_result" "OFF" true Kept;
    "sql_generate_invisible_primary_key" "OFF" true Fixed;
    "sql_log_bin" "ON" true Kept;
    "sql_log_off" "OFF" true Kept;
    "sql_mode" "STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION" false Live;
    "sql_notes" "ON" true Kept;
    "sql_quote_show_create" "ON" true Fixed;
    "sql_require_primary_key" "OFF" true Fixed;
    "sql_safe_updates" "OFF" true Fixed;
    "sql_select_limit" "18446744073709551615" false Live;
    "sql_warnings" "OFF" true Kept;
    "ssl_ca" "" false ReadOnly;
    "storage_engine" "InnoDB" false Kept;
    "super_read_only" "OFF" true ReadOnly;
    "system_time_zone" "UTC" false ReadOnly;
    "table_definition_cache" "2000" true ReadOnly;
    "table_open_cache" "4000" true ReadOnly;
    "thread_cache_size" "9" true ReadOnly;
    "thread_stack" "1048576" true ReadOnly;
    "time_zone" "SYSTEM" false Live;
    "timestamp" "0" true Fixed;
    "tls_version" "TLSv1.2,TLSv1.3" false ReadOnly;
    "tmp_table_size" "16777216" true Kept;
    "tmpdir" "/tmp" false ReadOnly;
    "transaction_isolation" "REPEATABLE-READ" false Live;
    "transaction_prealloc_size" "4096" true Kept;
    "transaction_read_only" "OFF" true Live;
    "tx_isolation" "REPEATABLE-READ" false Live;
    "tx_read_only" "OFF" true Live;
    "unique_checks" "ON" true Kept;
    "updatable_views_with_limit" "YES" false Kept;
    "version" "" false ReadOnly;
    "version_comment" "Pumasi embedded engine" false ReadOnly;
    "version_compile_machine" "x86_64" false ReadOnly;
    "version_compile_os" "Linux" false ReadOnly;
    "wait_timeout" "28800" true Kept;
    "warning_count" "0" true ReadOnly;
}

pub fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|v| v.name.eq_ignore_ascii_case(name))
}

/// The type `@@name` has.
pub fn ty(name: &str) -> Option<Ty> {
    find(name).map(|v| if v.number { Ty::BIGINT } else { Ty::Text(255) })
}

/// The value `@@name` answers: session settings first, then defaults. Globals answer their defaults.
pub fn read(env: &Env, scope: &str, name: &str) -> Option<Out> {
    let variable = find(name)?;
    let text = value_text(env, scope == "global", variable);
    if !variable.number {
        return Some(if text == "NULL" { Out::Null } else { Out::Text(text) });
    }
    Some(match text.as_str() {
        "ON" => Out::Int(1),
        "OFF" => Out::Int(0),
        number => number.parse().map_or_else(|_| Out::Text(number.to_owned()), Out::Int),
    })
}

pub fn value_text(env: &Env, global: bool, variable: &Variable) -> String {
    match variable.name {
        "version" => SERVER_VERSION.to_owned(),
        "warning_count" => env.warning_count.to_string(),
        "error_count" => env.warnings.iter().filter(|w| w.level == "Error").count().to_string(),
        "identity" | "last_insert_id" => env.last_insert_id.to_string(),
        "pseudo_thread_id" => env.connection_id.to_string(),
        "timestamp" => (env.now_micros / 1_000_000).to_string(),
        name => {
            let key = if global { format!("global.{name}") } else { name.to_owned() };
            env.settings.get(&key).cloned().unwrap_or_else(|| variable.default.to_owned())
        }
    }
}

/// `ON`, `1`, `TRUE` and their opposites.
pub fn switch(name: &str, value: &str) -> Result<bool, SqlError> {
    match value.to_ascii_uppercase().as_str() {
        "ON" | "1" | "TRUE" => Ok(true),
        "OFF" | "0" | "FALSE" => Ok(false),
        _ => Err(error::wrong_variable_value(name, value)),
    }
}

/// A list of SQL modes in MySQL's order and spelling, or why not.
pub fn sql_mode(value: &str) -> Result<String, SqlError> {
    let mut modes: Vec<&'static str> = Vec::new();
    for word in value.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let word = word.to_ascii_uppercase();
        let expanded: &[&str] = match word.as_str() {
            "TRADITIONAL" => &[
                "STRICT_TRANS_TABLES",
                "STRICT_ALL_TABLES",
                "NO_ZERO_IN_DATE",
                "NO_ZERO_DATE",
                "ERROR_FOR_DIVISION_BY_ZERO",
                "TRADITIONAL",
                "NO_ENGINE_SUBSTITUTION",
            ],
            _ => &[word.as_str()],
        };
        for mode in expanded {
            if REFUSED_MODES.contains(mode) {
                return Err(SqlError::unsupported(format!("sql_mode {mode}")));
            }
            let known = MODES.iter().find(|m| *m == mode).ok_or_else(|| error::wrong_variable_value("sql_mode", mode))?;
            if !modes.contains(known) {
                modes.push(known);
            }
        }
    }
    modes.sort_by_key(|m| MODES.iter().position(|k| k == m));
    Ok(modes.join(","))
}

/// Modes the engine acts on, or which allow less than it does already (ONLY_FULL_GROUP_BY) or have no meaning here.
const MODES: &[&str] = &[
    "PIPES_AS_CONCAT",
    "IGNORE_SPACE",
    "ONLY_FULL_GROUP_BY",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_DIR_IN_CREATE",
    "NO_AUTO_VALUE_ON_ZERO",
    "STRICT_TRANS_TABLES",
    "STRICT_ALL_TABLES",
    "NO_ZERO_IN_DATE",
    "NO_ZERO_DATE",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "TRADITIONAL",
    "NO_AUTO_CREATE_USER",
    "NO_ENGINE_SUBSTITUTION",
];

/// Modes that would change how statements read or what they answer.
const REFUSED_MODES: &[&str] = &[
    "ANSI",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "HIGH_NOT_PRECEDENCE",
    "PAD_CHAR_TO_FULL_LENGTH",
    "REAL_AS_FLOAT",
    "ALLOW_INVALID_DATES",
    "TIME_TRUNCATE_FRACTIONAL",
    "DB2",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "ORACLE",
    "POSTGRESQL",
];

/// A character set that statements and results may be in: all text is UTF-8 here, so those that are UTF-8 or a part of it.
pub fn client_charset(name: &str) -> Result<&'static Collation, SqlError> {
    let collation = Collation::of_charset(name).ok_or_else(|| error::unknown_character_set(name))?;
    match collation.charset {
        "utf8mb4" | "utf8mb3" | "ascii" | "binary" => Ok(collation),
        other => Err(SqlError::unsupported(format!("character set {other} for clients"))),
    }
}

pub fn time_zone(name: &str) -> Result<i32, SqlError> {
    zone_seconds(name).ok_or_else(|| error::unknown_time_zone(name))
}

/// SHOW STATUS: figures that monitoring asks for.
pub fn status(uptime_seconds: u64, sessions: usize, questions: u64) -> Vec<(&'static str, String)> {
    vec![
        ("Aborted_clients", "0".to_owned()),
        ("Connections", sessions.to_string()),
        ("Innodb_page_size", "4096".to_owned()),
        ("Questions", questions.to_string()),
        ("Queries", questions.to_string()),
        ("Ssl_cipher", String::new()),
        ("Ssl_version", String::new()),
        ("Threads_connected", sessions.to_string()),
        ("Threads_running", "1".to_owned()),
        ("Uptime", uptime_seconds.to_string()),
    ]
}
