//! What an operator lays down for statements: which are refused, which are written down because they were slow, how many may run at once.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pumasi_mysqlwire::SqlError;
use pumasi_sqltext::{Token, Tokens};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::front::digests::{Count, Digests};

/// As the configuration has them.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// A statement that took longer is logged, without its values.
    pub slow_log: Option<Duration>,
    /// Statements of these shapes are refused; literals in them stand for any.
    pub deny: Vec<String>,
    /// Statements of one user that run at the same time.
    pub user_statements_max: Option<usize>,
    /// Statements of one shape that run at the same time.
    pub digest_statements_max: Option<usize>,
}

/// The rules at work.
pub struct Keeper {
    rules: Rules,
    denied: HashSet<u64>,
    /// By the user's name: as many as the configuration has users.
    users: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// By the digest's place in the table, which keeps it for good.
    digests: Mutex<BTreeMap<usize, Arc<Semaphore>>>,
}

/// The right to run one statement; given back when dropped.
#[derive(Default)]
pub struct Permits {
    _user: Option<OwnedSemaphorePermit>,
    _digest: Option<OwnedSemaphorePermit>,
}

impl Keeper {
    pub fn new(rules: Rules, digests: &Digests) -> Keeper {
        let denied = rules.deny.iter().flat_map(|sql| statements(sql.as_bytes())).map(|sql| shape(sql, digests)).collect();
        Keeper { rules, denied, users: Mutex::default(), digests: Mutex::default() }
    }

    /// Whether `sql` is on the list, or one of several statements in it is.
    pub fn denies(&self, sql: &[u8], digests: &Digests) -> bool {
        !self.denied.is_empty() && statements(sql).any(|one| self.denied.contains(&shape(one, digests)))
    }

    pub fn slow(&self, took: Duration) -> bool {
        self.rules.slow_log.is_some_and(|limit| took >= limit)
    }

    /// Whether any statement may have to wait for its turn.
    pub fn limits(&self) -> bool {
        self.rules.user_statements_max.is_some() || self.rules.digest_statements_max.is_some()
    }

    /// Waits for its turn. Errors: 1226 when it has not come within `patience`.
    pub async fn admit(&self, user: &str, digest: &Arc<Count>, patience: Duration) -> Result<Permits, SqlError> {
        let mut permits = Permits::default();
        if let Some(max) = self.rules.user_statements_max {
            let semaphore = place(&self.users, user.to_owned(), max);
            let Ok(permit) = timeout(patience, semaphore.acquire_owned()).await else {
                return Err(exceeded(format!("User '{user}' has exceeded the 'sql.user_statements_max' resource (current value: {max})")));
            };
            permits._user = permit.ok();
        }
        if let Some(max) = self.rules.digest_statements_max {
            let semaphore = place(&self.digests, Arc::as_ptr(digest) as usize, max);
            let Ok(permit) = timeout(patience, semaphore.acquire_owned()).await else {
                let message = "This statement has exceeded the 'sql.digest_statements_max' resource";
                return Err(exceeded(format!("{message} (current value: {max}): as many of its kind are running")));
            };
            permits._digest = permit.ok();
        }
        Ok(permits)
    }
}

/// What a client is told whose statement is on the list.
pub fn denied() -> SqlError {
    SqlError::new(1148, "42000", "This statement is refused by the proxy (sql.deny)")
}

// === helpers ===

fn exceeded(message: String) -> SqlError {
    SqlError::new(1226, "42000", message)
}

fn place<K: Ord>(all: &Mutex<BTreeMap<K, Arc<Semaphore>>>, key: K, max: usize) -> Arc<Semaphore> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(key).or_insert_with(|| Arc::new(Semaphore::new(max))).clone()
}

/// In any case of letters: a list of mistakes should know them however they are typed.
fn shape(sql: &[u8], digests: &Digests) -> u64 {
    digests.digest(&sql.to_ascii_lowercase())
}

/// The statements between semicolons.
fn statements(sql: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut tokens, mut began, mut over) = (Tokens::new(sql), 0, false);
    std::iter::from_fn(move || {
        while !over {
            let at = began;
            let end = loop {
                match tokens.next() {
                    Some(Token::Sign(b';')) => {
                        began = tokens.end();
                        break began - 1;
                    }
                    Some(_) => {}
                    None => {
                        over = true;
                        break sql.len();
                    }
                }
            };
            if Tokens::new(&sql[at..end]).next().is_some() {
                return Some(&sql[at..end]);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_knows_statements_by_their_shape() {
        let digests = Digests::default();
        let rules = Rules { deny: vec!["DELETE FROM t".into(), "SELECT SLEEP(1);".into()], ..Rules::default() };
        let keeper = Keeper::new(rules, &digests);
        for (sql, denied) in [
            ("DELETE FROM t", true),
            ("delete  From t -- all\n;", true),
            ("DELETE FROM t WHERE id = 1", false),
            ("SELECT SLEEP(60)", true),
            ("SELECT 1; DELETE FROM t; SELECT 2", true),
            ("SELECT '; DELETE FROM t'", false),
            ("", false),
        ] {
            assert_eq!(keeper.denies(sql.as_bytes(), &digests), denied, "{sql}");
        }
    }
}
