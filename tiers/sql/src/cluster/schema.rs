//! What of a database's schema decides which tables a statement reads and writes besides those it names.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use super::control::{Control, Failed};

/// A database's name and a table's, folded.
pub type Name = (String, String);

/// Kept current by whoever runs a statement that changes the schema ([`Schema::changed`]) and by the primary's probe.
#[derive(Debug, Default)]
pub struct Schema {
    /// Changes seen.
    changes: AtomicU64,
    known: Mutex<Option<Arc<Known>>>,
}

#[derive(Debug, Default)]
pub struct Known {
    /// Of the changes that were seen before it was asked for.
    pub(super) as_of: u64,
    pub views: HashSet<Name>,
    /// A write to them may write anything.
    pub triggered: HashSet<Name>,
    /// By the referenced table: those whose rows change with its rows.
    pub(super) children: HashMap<Name, Vec<Name>>,
    /// Texts are not read as this program reads them, or triggers cannot be seen: then nothing can be said of any statement.
    pub unreadable: Option<&'static str>,
}

impl Schema {
    /// `None` while it is not known.
    pub fn known(&self) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|known| known.as_of == self.changes.load(SeqCst))
    }

    /// A statement has changed the schema, or may have. To be called before its client is told.
    pub fn changed(&self) {
        self.changes.fetch_add(1, SeqCst);
    }

    pub async fn load(&self, control: &mut Control) -> Result<(), Failed> {
        let as_of = self.changes.load(SeqCst);
        let mut known = Known { as_of, ..Known::default() };
        // Whoever may not see every trigger must not conclude that there is none.
        let granted =
            control.one("SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE IN ('SELECT', 'TRIGGER')").await?;
        if granted.parse::<u32>().unwrap_or(0) < 2 {
            known.unreadable = Some("the login may not see every table and trigger");
        }
        let mode = control.one("SELECT @@GLOBAL.sql_mode").await?;
        if mode.contains("NO_BACKSLASH_ESCAPES") {
            known.unreadable = Some("sql_mode has NO_BACKSLASH_ESCAPES");
        }
        const NOT_SYSTEM: &str = "NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')";
        let views = format!("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA {NOT_SYSTEM}");
        known.views = names(control.rows(&views).await?);
        let triggers = format!(
            "SELECT DISTINCT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA {NOT_SYSTEM}"
        );
        known.triggered = names(control.rows(&triggers).await?);
        let keys = "SELECT UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, CONSTRAINT_SCHEMA, TABLE_NAME \
            FROM information_schema.REFERENTIAL_CONSTRAINTS \
            WHERE UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION')";
        for row in control.rows(keys).await? {
            let [Some(parent_database), Some(parent), Some(database), Some(child)] = &row[..] else { continue };
            known.children.entry(folded(parent_database, parent)).or_default().push(folded(database, child));
        }
        let mut current = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|current| current.as_of <= as_of) {
            *current = Some(Arc::new(known));
        }
        Ok(())
    }
}

impl Known {
    /// Nothing can be said of any statement.
    pub fn unreadable(why: &'static str) -> Known {
        Known { unreadable: Some(why), ..Known::default() }
    }

    /// The tables whose rows a write to `written` may change; `None`: any.
    pub fn closure(&self, written: impl IntoIterator<Item = Name>) -> Option<BTreeSet<Name>> {
        let mut waiting: Vec<Name> = written.into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            if self.triggered.contains(&name) || self.views.contains(&name) {
                return None;
            }
            if let Some(children) = self.children.get(&name) {
                waiting.extend(children.iter().filter(|child| !found.contains(*child)).cloned());
            }
            found.insert(name);
        }
        Some(found)
    }
}

/// Servers differ in whether they tell `T` from `t`; taken for one, they are at worst looked at together.
pub fn folded(database: &str, table: &str) -> Name {
    (database.to_lowercase(), table.to_lowercase())
}

fn names(rows: Vec<super::control::Row>) -> HashSet<Name> {
    rows.into_iter()
        .filter_map(|row| match &row[..] {
            [Some(database), Some(table)] => Some(folded(database, table)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(table: &str) -> Name {
        folded("shop", table)
    }

    #[test]
    fn a_write_reaches_what_its_foreign_keys_reach() {
        let children = HashMap::from([(name("a"), vec![name("b")]), (name("b"), vec![name("c"), name("a")])]);
        let known = Known { children, triggered: HashSet::from([name("t")]), ..Known::default() };
        let reached = |table: &str| known.closure([name(table)]).map(|names| names.into_iter().map(|(_, table)| table).collect::<Vec<_>>());
        assert_eq!(reached("A").unwrap(), ["a", "b", "c"]);
        assert_eq!(reached("c").unwrap(), ["c"]);
        assert_eq!(reached("t"), None, "its trigger may write anything");
    }
}
