//! What makes one session unlike another: database and variables, as the server's own session tracking reports them.
//!
//! A server connection is shared between clients, so it is brought to the state of the client before the client's statement runs.

use std::collections::BTreeMap;

use pumasi_mysqlwire::{OkPacket, SessionChange};

use super::nature::Assignment;

/// A session's state since its login. Two sessions of the same login (user, flags, character set) with equal states are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionState {
    pub database: Option<Vec<u8>>,
    /// Those that were ever set, by lower-case name.
    pub variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// User variables that were set to literals, by lower-case name with its `@`: what was written. The server does not report them.
    pub user: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an OK packet reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Something changed that cannot be carried to another connection.
    pub pins: Option<&'static str>,
    /// The position of a commit.
    pub gtid: Option<Vec<u8>>,
    /// What the transaction holds, if the packet said so: anything at all (rows, snapshots, LOCK TABLES)?
    pub transaction_holds: Option<bool>,
}

/// Variables that mean the next statement or this connection alone, so that carrying them over would be wrong.
const OF_ONE_CONNECTION: [&[u8]; 7] =
    [b"insert_id", b"rand_seed1", b"rand_seed2", b"pseudo_thread_id", b"gtid_seq_no", b"gtid_next", b"sql_log_bin"];

/// What pins a session of which the server says no more than that it has changed.
pub const SESSION_STATE: &str = "session state";

/// User variables of one session that are carried from connection to connection; who has more keeps its connection.
const USER_VARIABLES_MAX: usize = 64;

/// MariaDB reports the position of a commit as a variable.
const LAST_GTID: &[u8] = b"last_gtid";

pub const SQL_MODE: &[u8] = b"sql_mode";
const CONNECTION_CHARSET: &[u8] = b"character_set_connection";
const CONNECTION_COLLATION: &[u8] = b"collation_connection";

impl SessionState {
    /// `SET NAMES ... COLLATE collation` succeeded: the server reports the character sets and not this.
    pub fn set_collation(&mut self, collation: Vec<u8>) {
        self.variables.insert(CONNECTION_COLLATION.to_vec(), collation);
    }

    /// Takes over what `ok` reports.
    pub fn learn(&mut self, ok: &OkPacket<'_>) -> Learned {
        let mut learned = Learned::default();
        let (mut changed, mut explained) = (false, false);
        for change in ok.changes().map_while(Result::ok) {
            match change {
                SessionChange::Variable { name, value } => {
                    let name = name.to_ascii_lowercase();
                    if name == LAST_GTID {
                        // A fact about the commit, not a change of the session.
                        learned.gtid = Some(value.to_vec());
                        continue;
                    }
                    explained = true;
                    if OF_ONE_CONNECTION.contains(&name.as_slice()) {
                        learned.pins = Some("variable of one connection");
                    } else if carried(&name) {
                        if value.contains(&b'\\') {
                            // How it must be quoted depends on another variable; rather keep the connection than guess.
                            learned.pins = Some("variable with a backslash");
                        }
                        if (name == CONNECTION_CHARSET || name == CONNECTION_COLLATION) && !self.user.is_empty() {
                            // They have the collation of the moment in which they were set.
                            learned.pins = Some("user variable of another character set");
                        }
                        if name == CONNECTION_CHARSET {
                            // Its collation is the character set's own again, until somebody says otherwise.
                            self.variables.remove(CONNECTION_COLLATION);
                        }
                        self.variables.insert(name, value.to_vec());
                    }
                }
                SessionChange::Schema(name) => {
                    explained = true;
                    // The database in use may have been dropped.
                    self.database = (!name.is_empty()).then(|| name.to_vec());
                }
                SessionChange::State(flag) => changed = flag == b"1",
                SessionChange::TransactionState(state) => learned.transaction_holds = Some(state.iter().any(|&mark| mark != b'_')),
                SessionChange::Gtids(gtid) => learned.gtid = Some(gtid.to_vec()),
                SessionChange::TransactionCharacteristics(_) | SessionChange::Other { .. } => {}
            }
        }
        if changed && !explained {
            // User variables, temporary tables, statements prepared by text: the server says that there is something, not what.
            learned.pins = Some(SESSION_STATE);
        }
        learned
    }

    /// Makes `other` equal, without copying what is equal already.
    pub fn copy_to(&self, other: &mut SessionState) {
        if self != other {
            other.clone_from(self);
        }
    }

    /// User variables were set to literals. False, and nothing is changed, if there are too many by now.
    pub fn assign(&mut self, assigned: Vec<Assignment>) -> bool {
        let new = assigned.iter().filter(|(name, _)| !self.user.contains_key(name)).count();
        if self.user.len() + new > USER_VARIABLES_MAX {
            return false;
        }
        self.user.extend(assigned);
        true
    }

    /// A text means the same in both.
    pub fn reads_alike(&self, other: &SessionState) -> bool {
        self.database == other.database && self.variables == other.variables
    }

    pub fn without_user_variables(&self) -> SessionState {
        SessionState { database: self.database.clone(), variables: self.variables.clone(), user: BTreeMap::new() }
    }

    /// The statement that sets the user variables to what they are in `wanted`; `all`: also those that are equal already, because they may have
    /// another character set. Empty: nothing is to be done.
    pub fn user_variables_towards(&self, wanted: &SessionState, all: bool) -> Vec<u8> {
        let mut sql = Vec::new();
        let mut put = |name: &[u8], value: &[u8]| {
            sql.extend_from_slice(if sql.is_empty() { b"SET " } else { b", " });
            sql.extend_from_slice(name);
            sql.push(b'=');
            sql.extend_from_slice(value);
        };
        // One that was never set is NULL.
        self.user.keys().filter(|name| !wanted.user.contains_key(*name)).for_each(|name| put(name, b"NULL"));
        let changed = wanted.user.iter().filter(|(name, value)| all || self.user.get(*name) != Some(value));
        changed.for_each(|(name, value)| put(name, value));
        sql
    }

    /// The statement that turns a session in state `self` into one in state `wanted`, as far as variables go.
    /// `None`: `self` has set variables that `wanted` has not, whose values are those of a new session and not known here.
    /// `Some("")`: nothing is to be done.
    pub fn statement_towards(&self, wanted: &SessionState) -> Option<Vec<u8>> {
        if self.variables.keys().any(|name| !wanted.variables.contains_key(name)) {
            return None;
        }
        let mut sql = Vec::new();
        for (name, value) in &wanted.variables {
            if self.variables.get(name) == Some(value) {
                continue;
            }
            sql.extend_from_slice(if sql.is_empty() { b"SET SESSION " } else { b", SESSION " });
            sql.extend_from_slice(name);
            sql.push(b'=');
            put_value(&mut sql, name, value);
        }
        Some(sql)
    }
}

/// Not our own wishes of the server, nor what a statement reports on the side.
fn carried(name: &[u8]) -> bool {
    !name.starts_with(b"session_track") && name != b"last_insert_id" && name != b"identity"
}

/// Variables whose value is a number are not settable by a string, and the other way round.
fn put_value(sql: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let number = !value.is_empty()
        && std::str::from_utf8(value).is_ok_and(|text| text.parse::<f64>().is_ok() && !text.contains(char::is_alphabetic));
    if number {
        sql.extend_from_slice(value);
    } else if value.is_empty() && name == b"character_set_results" {
        // Set to NULL: results come as they are stored. It is reported as nothing.
        sql.extend_from_slice(b"NULL");
    } else {
        sql.push(b'\'');
        for byte in value {
            sql.extend_from_slice(if *byte == b'\'' { b"''" } else { std::slice::from_ref(byte) });
        }
        sql.push(b'\'');
    }
}

#[cfg(test)]
mod tests {
    use pumasi_mysqlwire::ServerStatus;

    use super::*;

    fn learn(state: &mut SessionState, changes: &[SessionChange<'_>]) -> Learned {
        let mut bytes = Vec::new();
        changes.iter().for_each(|change| change.encode(&mut bytes));
        state.learn(&OkPacket { changes: &bytes, status: ServerStatus::SESSION_STATE_CHANGED, ..OkPacket::default() })
    }

    fn set<'a>(name: &'a str, value: &'a str) -> SessionChange<'a> {
        SessionChange::Variable { name: name.as_bytes(), value: value.as_bytes() }
    }

    /// The changes that MariaDB 10.11 reports for these statements.
    #[test]
    fn variables_and_the_database_are_carried() {
        let mut state = SessionState::default();
        let learned =
            learn(&mut state, &[set("autocommit", "OFF"), set("wait_timeout", "100"), set("sql_mode", ""), SessionChange::State(b"1")]);
        assert_eq!(learned, Learned::default());
        learn(&mut state, &[SessionChange::Schema(b"t"), SessionChange::State(b"1")]);
        assert_eq!(state.database.as_deref(), Some(&b"t"[..]));
        let towards = SessionState::default().statement_towards(&state).unwrap();
        assert_eq!(String::from_utf8(towards).unwrap(), "SET SESSION autocommit='OFF', SESSION sql_mode='', SESSION wait_timeout=100");
        assert_eq!(state.statement_towards(&state.clone()), Some(Vec::new()));
        assert_eq!(state.statement_towards(&SessionState::default()), None, "what autocommit was before is not known");
    }

    #[test]
    fn values_are_written_as_their_variables_take_them() {
        let mut state = SessionState::default();
        learn(
            &mut state,
            &[
                set("character_set_results", ""),
                set("time_zone", "+09:00"),
                set("init_connect", "SELECT 'x'"),
                set("timestamp", "1700000000.5"),
            ],
        );
        let towards = SessionState::default().statement_towards(&state).unwrap();
        let expected = "SET SESSION character_set_results=NULL, SESSION init_connect='SELECT ''x''', SESSION time_zone='+09:00', SESSION timestamp=1700000000.5";
        assert_eq!(String::from_utf8(towards).unwrap(), expected);
    }

    #[test]
    fn a_collation_is_carried_until_the_character_set_is_set_again() {
        let mut state = SessionState::default();
        learn(&mut state, &[set("character_set_connection", "utf8mb4")]);
        state.set_collation(b"utf8mb4_bin".to_vec());
        let towards = SessionState::default().statement_towards(&state).unwrap();
        let expected = "SET SESSION character_set_connection='utf8mb4', SESSION collation_connection='utf8mb4_bin'";
        assert_eq!(String::from_utf8(towards).unwrap(), expected);
        let with_collation = state.clone();
        learn(&mut state, &[set("character_set_connection", "utf8mb4")]);
        assert_eq!(with_collation.statement_towards(&state), None, "what the character set's own is, is not known here");
    }

    #[test]
    fn user_variables_are_brought_along_and_left_behind() {
        let of = |pairs: &[(&str, &str)]| SessionState {
            user: pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect(),
            ..SessionState::default()
        };
        let (here, wanted) = (of(&[("@a", "1"), ("@b", "'x'")]), of(&[("@b", "'x'"), ("@c", "NULL")]));
        assert_eq!(here.user_variables_towards(&wanted, false), b"SET @a=NULL, @c=NULL");
        assert_eq!(here.user_variables_towards(&wanted, true), b"SET @a=NULL, @b='x', @c=NULL");
        assert_eq!(here.user_variables_towards(&here, false), b"");
        let mut full = SessionState::default();
        let many = |from: usize| (from..from + USER_VARIABLES_MAX).map(|n| (format!("@v{n}").into_bytes(), b"1".to_vec())).collect();
        assert!(full.assign(many(0)) && full.assign(many(0)) && !full.assign(many(1)));
    }

    #[test]
    fn what_cannot_be_carried_pins() {
        let mut state = SessionState::default();
        assert_eq!(learn(&mut state, &[SessionChange::State(b"1")]).pins, Some("session state"));
        assert_eq!(learn(&mut state, &[set("insert_id", "5")]).pins, Some("variable of one connection"));
        assert_eq!(learn(&mut state, &[set("x", "a\\b")]).pins, Some("variable with a backslash"));
        assert_eq!(learn(&mut state, &[set("session_track_schema", "1"), set("last_insert_id", "5")]), Learned::default());
        assert!(!state.variables.contains_key(&b"last_insert_id"[..]));
    }

    #[test]
    fn a_transaction_holds_its_connection_by_the_servers_word() {
        let mut state = SessionState::default();
        assert_eq!(learn(&mut state, &[SessionChange::TransactionState(b"T___W___")]).transaction_holds, Some(true));
        assert_eq!(learn(&mut state, &[SessionChange::TransactionState(b"I___W__L")]).transaction_holds, Some(true));
        assert_eq!(learn(&mut state, &[SessionChange::TransactionState(b"________")]).transaction_holds, Some(false));
        assert_eq!(learn(&mut state, &[]).transaction_holds, None);
    }
}
