//! What a real server's tables, views, triggers, routines and foreign keys say about each other, from its information_schema.
//!
//! Everything here errs on one side: a body of a trigger or routine reaches every table it *names*, because what it names is all it can
//! write. What cannot be read (a definition that is hidden, dynamic SQL) reaches everything.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use pumasi_freshness::{FENCE_TABLES_MAX, Table, Tables};
use pumasi_sqltext::{Column, Comparison, Digest, Relation, TableInfo, TableName, Token, Tokens, analyse};

/// How deep views may stand on views.
const VIEWS_DEPTH_MAX: usize = 16;

/// Schemas whose tables are not rows of the application's.
pub const SYSTEM_SCHEMAS: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// The rows of information_schema that are asked for, each as the server wrote it; NULL is `None`.
#[derive(Debug, Default)]
pub struct Rows {
    /// Schema, name, type, engine.
    pub tables: Vec<Row>,
    /// Schema, table, column, data type, column type, key; in the order of the columns.
    pub columns: Vec<Row>,
    /// Schema, name, definition.
    pub views: Vec<Row>,
    /// Schema, table, body.
    pub triggers: Vec<Row>,
    /// Child's schema and table, parent's schema and table, rule on update, rule on delete.
    pub references: Vec<Row>,
    /// Schema, table and column that a foreign key refers to.
    pub referenced: Vec<Row>,
    /// Name, body.
    pub routines: Vec<Row>,
    /// Only some databases are seen whole; the rows above are theirs alone.
    pub partial: bool,
}

pub type Row = Vec<Option<String>>;

/// One reading of the server's catalogue. Names are kept in lower case: coarser than any server.
#[derive(Debug, Default)]
pub struct Catalogue {
    relations: HashMap<(String, String), Known>,
    /// The same relations by their name alone: a body may mean any of them.
    by_name: HashMap<String, Vec<(String, String)>>,
    /// What a write to a table writes in turn.
    reach: HashMap<(String, String), Reach>,
    routines: HashMap<String, Reach>,
    /// The tables whose rows follow a table's by a foreign key.
    children: HashMap<(String, String), Vec<(String, String)>>,
    referenced: BTreeSet<(String, String, String)>,
    partial: bool,
}

#[derive(Clone, Debug)]
enum Known {
    Table {
        info: Arc<TableInfo>,
        storage: Storage,
        /// In the order of the columns.
        unsigned: Vec<bool>,
    },
    /// The base tables behind it; `None` if its answer is not a function of rows, or not understood.
    View {
        behind: Option<Vec<TableName>>,
        /// Every table and routine its definition names: what a write through it, or a function in it, may write.
        names: Reach,
    },
}

/// When a statement's changes can be seen by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    /// At the commit, together.
    Transactional,
    /// At once, also inside a transaction and after an error: MyISAM, Aria, MEMORY.
    AtOnce,
    /// What reading or writing it means is not known: FEDERATED, MERGE, CONNECT, a sequence, a system-versioned table.
    Unfollowed,
}

/// What executing something may write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    tables: BTreeSet<(String, String)>,
    routines: BTreeSet<String>,
    /// It cannot be said.
    everything: bool,
    /// It may change the schema.
    schema: bool,
}

/// The tables that a statement may change, with all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    pub tables: Tables,
    /// Those of them whose changes are seen before the commit.
    pub at_once: Tables,
    /// It may change the schema as well.
    pub schema: bool,
}

impl Closure {
    pub fn everything() -> Closure {
        Closure { tables: Tables::All, at_once: Tables::All, schema: true }
    }

    pub fn is_empty(&self) -> bool {
        matches!(&self.tables, Tables::Known(tables) if tables.is_empty())
    }
}

impl Catalogue {
    pub fn of(rows: &Rows) -> Catalogue {
        let mut catalogue = Catalogue { partial: rows.partial, ..Catalogue::default() };
        catalogue.add_tables(rows);
        catalogue.routines = rows.routines.iter().filter_map(|row| Some((lower(row, 0)?, Reach::default()))).collect();
        catalogue.add_views(rows);
        let bodies: Vec<(String, Reach)> = rows
            .routines
            .iter()
            .filter_map(|row| Some((lower(row, 0)?, row.get(1)?.as_ref().map_or_else(Reach::unknown, |body| catalogue.reach_of(body)))))
            .collect();
        for (name, reach) in bodies {
            // Routines of one name in several schemas count as one.
            catalogue.routines.entry(name).or_default().unite(reach);
        }
        for row in &rows.triggers {
            let (Some(schema), Some(table)) = (lower(row, 0), lower(row, 1)) else { continue };
            let reach = row.get(2).cloned().flatten().map_or_else(Reach::unknown, |body| catalogue.reach_of(&body));
            catalogue.reach.entry((schema, table)).or_default().unite(reach);
        }
        for row in &rows.references {
            let (Some(child_schema), Some(child), Some(schema), Some(parent)) =
                (lower(row, 0), lower(row, 1), lower(row, 2), lower(row, 3))
            else {
                continue;
            };
            let quiet = |place| matches!(lower(row, place).as_deref(), Some("restrict" | "no action"));
            if !(quiet(4) && quiet(5)) {
                let parent = (schema, parent);
                catalogue.children.entry(parent.clone()).or_default().push((child_schema.clone(), child.clone()));
                catalogue.reach.entry(parent).or_default().tables.insert((child_schema, child));
            }
        }
        let referenced = rows.referenced.iter().filter_map(|row| Some((lower(row, 0)?, lower(row, 1)?, lower(row, 2)?)));
        catalogue.referenced = referenced.collect();
        catalogue
    }

    fn add_tables(&mut self, rows: &Rows) {
        let mut columns: HashMap<(String, String), Vec<Described>> = HashMap::new();
        for row in &rows.columns {
            let (Some(schema), Some(table), Some(Some(name)), Some(kind)) =
                (lower(row, 0), lower(row, 1), row.get(2).cloned(), lower(row, 3))
            else {
                continue;
            };
            columns
                .entry((schema, table))
                .or_default()
                .push((Column { name, comparison: comparison(&kind) }, lower(row, 4).is_some_and(|kind| kind.contains("unsigned"))));
        }
        for row in &rows.tables {
            let (Some(schema), Some(name)) = (lower(row, 0), lower(row, 1)) else { continue };
            let kind = lower(row, 2).unwrap_or_default();
            if kind.contains("view") {
                continue; // with its definition, below
            }
            let engine = lower(row, 3).unwrap_or_default();
            let storage = match (kind.as_str(), engine.as_str()) {
                ("base table", "innodb") => Storage::Transactional,
                ("base table", "myisam" | "aria" | "memory") => Storage::AtOnce,
                _ => Storage::Unfollowed,
            };
            let key = (schema, name);
            let written = |place: usize| row[place].clone().unwrap_or_default();
            let named = TableName { database: written(0), name: written(1) };
            // Two tables whose names differ in case alone are one here, and nothing is known of its columns.
            let twice = self.relations.contains_key(&key);
            let columns = if twice { Vec::new() } else { columns.remove(&key).unwrap_or_default() };
            let (columns, unsigned) = columns.into_iter().unzip();
            self.by_name.entry(key.1.clone()).or_default().push(key.clone());
            let info = Arc::new(TableInfo { name: named, columns });
            self.relations.insert(key, Known::Table { info, storage, unsigned });
        }
    }

    /// Views stand on views: those on tables first, then those on them.
    fn add_views(&mut self, rows: &Rows) {
        let mut waiting: Vec<(String, String, String)> = Vec::new();
        for row in &rows.views {
            let (Some(schema), Some(name)) = (lower(row, 0), lower(row, 1)) else { continue };
            // Without its definition it is a name that nothing is known of.
            let definition = row.get(2).cloned().flatten().unwrap_or_default();
            self.by_name.entry(name.clone()).or_default().push((schema.clone(), name.clone()));
            waiting.push((schema, name, definition));
        }
        let names: BTreeSet<(String, String)> = waiting.iter().map(|(schema, name, _)| (schema.clone(), name.clone())).collect();
        for _ in 0..VIEWS_DEPTH_MAX {
            let mut left = Vec::new();
            for (schema, name, definition) in waiting {
                let on_waiting = self.names_in(&definition).any(|key| names.contains(&key) && !self.relations.contains_key(&key));
                if on_waiting {
                    left.push((schema, name, definition));
                    continue;
                }
                let behind = self.behind(&definition, &schema);
                let names = if definition.is_empty() { Reach::unknown() } else { self.reach_of_words(&definition) };
                self.relations.insert((schema, name), Known::View { behind, names });
            }
            waiting = left;
        }
        for (schema, name, _) in waiting {
            self.relations.insert((schema, name), Known::View { behind: None, names: Reach::unknown() });
        }
    }

    /// The tables whose rows a view is a function of.
    fn behind(&self, definition: &str, schema: &str) -> Option<Vec<TableName>> {
        let digest = Digest::of(definition.as_bytes()).ok()?;
        let template = analyse(&digest, &InDatabase { catalogue: self, database: Some(schema) }).reads.ok()?;
        Some(template.tables.into_iter().map(|(name, _)| name).collect())
    }

    /// Relations that a text may name, quoted or not, whatever stands around.
    fn names_in(&self, text: &str) -> impl Iterator<Item = (String, String)> + '_ {
        let found: Vec<(String, String)> = words(text).filter_map(|word| self.by_name.get(&word)).flatten().cloned().collect();
        found.into_iter()
    }

    /// What executing `body` may write.
    fn reach_of(&self, body: &str) -> Reach {
        let (mut writes, mut schema) = (false, false);
        for word in words(body) {
            writes |= matches!(word.as_str(), "insert" | "update" | "delete" | "replace" | "call" | "load" | "handler");
            schema |= matches!(
                word.as_str(),
                "create" | "alter" | "drop" | "rename" | "truncate" | "grant" | "revoke" | "execute" | "prepare" | "commit" | "start"
            );
        }
        // Elsewhere may be tables whose names are not known here.
        if schema || writes && self.partial {
            return Reach::unknown();
        }
        let mut reach = self.reach_of_words(body);
        if !writes {
            reach.tables.clear();
        }
        reach
    }

    /// Every table and routine that is named.
    fn reach_of_words(&self, text: &str) -> Reach {
        let mut reach = Reach::default();
        for word in words(text) {
            for key in self.by_name.get(&word).into_iter().flatten() {
                match self.relations.get(key) {
                    Some(Known::Table { .. }) | None => _ = reach.tables.insert(key.clone()),
                    Some(Known::View { names, .. }) => reach.unite(names.clone()),
                }
            }
            if self.routines.contains_key(&word) {
                reach.routines.insert(word);
            }
        }
        reach
    }

    /// W1: `written` and the routines that `text` calls, with all that they write in turn.
    pub fn closure(&self, written: &[TableName], text: &[u8]) -> Closure {
        let mut reach = self.functions_in(text);
        reach.tables.extend(written.iter().map(|table| (table.database.to_lowercase(), table.name.to_lowercase())));
        let (mut done, mut routines_done) = (BTreeSet::new(), BTreeSet::new());
        let mut schema = false;
        loop {
            schema |= reach.schema;
            if reach.everything {
                return Closure { tables: Tables::All, at_once: Tables::All, schema };
            }
            if let Some(routine) = reach.routines.pop_first() {
                if routines_done.insert(routine.clone()) {
                    reach.unite(self.routines.get(&routine).cloned().unwrap_or_else(Reach::unknown));
                }
            } else if let Some(table) = reach.tables.pop_first() {
                if !done.insert(table.clone()) {
                    continue;
                }
                if done.len() > FENCE_TABLES_MAX {
                    return Closure { tables: Tables::All, at_once: Tables::All, schema };
                }
                if let Some(more) = self.reach.get(&table) {
                    reach.unite(more.clone());
                }
            } else {
                break;
            }
        }
        let storage = |table: &(String, String)| match self.relations.get(table) {
            Some(Known::Table { storage, .. }) => *storage,
            _ => Storage::Unfollowed,
        };
        if done.iter().any(|table| storage(table) == Storage::Unfollowed) {
            return Closure { tables: Tables::All, at_once: Tables::All, schema };
        }
        let named = |table: &(String, String)| Table::named(&table.0, &table.1);
        Closure {
            tables: Tables::of(done.iter().map(named)),
            at_once: Tables::of(done.iter().filter(|table| storage(table) == Storage::AtOnce).map(named)),
            schema,
        }
    }

    /// Every table that `text` may name, in whichever database, also through a view.
    pub fn named(&self, text: &[u8]) -> Vec<TableName> {
        let reach = self.reach_of_words(&String::from_utf8_lossy(text));
        if reach.everything {
            return Vec::new();
        }
        reach.tables.into_iter().map(|(database, name)| TableName { database, name }).collect()
    }

    /// Stored routines that a statement calls, itself or through a view.
    fn functions_in(&self, text: &[u8]) -> Reach {
        let mut reach = Reach::default();
        let text = String::from_utf8_lossy(text);
        for word in words(&text) {
            if self.routines.contains_key(&word) {
                reach.routines.insert(word);
                continue;
            }
            for key in self.by_name.get(&word).into_iter().flatten() {
                if let Some(Known::View { names, .. }) = self.relations.get(key) {
                    reach.everything |= names.everything;
                    reach.routines.extend(names.routines.iter().cloned());
                }
            }
        }
        reach
    }

    /// Whether `text` names a stored routine.
    pub fn knows_routine(&self, name: &[u8]) -> bool {
        self.routines.contains_key(&String::from_utf8_lossy(name).to_lowercase())
    }

    /// As a session whose database is `database` sees it.
    pub fn seen_from<'c>(&'c self, database: Option<&'c str>) -> InDatabase<'c> {
        InDatabase { catalogue: self, database }
    }

    /// A table by its stored names, with its columns in their order.
    pub fn table(&self, database: &str, name: &str) -> Option<&Arc<TableInfo>> {
        match self.relations.get(&(database.to_lowercase(), name.to_lowercase())) {
            Some(Known::Table { info, storage: Storage::Transactional | Storage::AtOnce, .. }) => Some(info),
            _ => None,
        }
    }

    /// A table's columns in their order, and whether each is UNSIGNED.
    pub fn stored_columns(&self, database: &str, name: &str) -> Option<Vec<(&str, bool)>> {
        match self.relations.get(&(database.to_lowercase(), name.to_lowercase())) {
            Some(Known::Table { info, unsigned, .. }) if !info.columns.is_empty() => {
                Some(info.columns.iter().map(|column| column.name.as_str()).zip(unsigned.iter().copied()).collect())
            }
            _ => None,
        }
    }

    /// Whether some foreign key refers to the column.
    pub fn referenced(&self, database: &str, table: &str, column: &str) -> bool {
        self.referenced.contains(&(database.to_lowercase(), table.to_lowercase(), column.to_lowercase()))
    }

    /// Every table whose rows a foreign key may change when rows of this one are deleted or their keys changed.
    pub fn carried(&self, database: &str, table: &str) -> Vec<Table> {
        let children = self.children.get(&(database.to_lowercase(), table.to_lowercase()));
        let written: Vec<TableName> =
            children.into_iter().flatten().map(|(database, name)| TableName { database: database.clone(), name: name.clone() }).collect();
        match self.closure(&written, b"").tables {
            Tables::Known(tables) => tables,
            // The fence is one of everything then, and nothing is narrowed.
            Tables::All => Vec::new(),
        }
    }

    /// Some databases are not seen: what is not known here may exist there.
    pub fn partial(&self) -> bool {
        self.partial
    }

    /// Every base table by database and name, in lower case.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let tables = self.relations.iter().filter(|(_, known)| matches!(known, Known::Table { .. }));
        tables.map(|((database, name), _)| (database.as_str(), name.as_str()))
    }

    pub fn tables(&self) -> usize {
        self.relations.len()
    }
}

/// The catalogue for names without a database.
pub struct InDatabase<'c> {
    catalogue: &'c Catalogue,
    database: Option<&'c str>,
}

impl pumasi_sqltext::Catalogue for InDatabase<'_> {
    fn relation(&self, database: Option<&str>, name: &str) -> Relation {
        let Some(database) = database.or(self.database).map(str::to_lowercase) else { return Relation::Unknown };
        if SYSTEM_SCHEMAS.contains(&database.as_str()) {
            return Relation::System;
        }
        match self.catalogue.relations.get(&(database, name.to_lowercase())) {
            Some(Known::Table { storage: Storage::Unfollowed, .. }) => Relation::System,
            Some(Known::Table { info, .. }) => Relation::Table(info.clone()),
            Some(Known::View { behind: Some(behind), .. }) => Relation::View(behind.clone()),
            Some(Known::View { behind: None, .. }) | None => Relation::Unknown,
        }
    }
}

impl Reach {
    fn unknown() -> Reach {
        Reach { everything: true, schema: true, ..Reach::default() }
    }

    fn unite(&mut self, other: Reach) {
        self.tables.extend(other.tables);
        self.routines.extend(other.routines);
        self.everything |= other.everything;
        self.schema |= other.schema;
    }
}

/// A column; whether it is UNSIGNED.
type Described = (Column, bool);

// === helpers ===

/// Words, names in backticks, and what ANSI_QUOTES would make a name; all in lower case.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    Tokens::new(text.as_bytes()).filter_map(|token| {
        let name = match token {
            Token::Word(word) => word,
            Token::Quoted(quoted) => quoted.get(1..quoted.len().checked_sub(1)?)?,
            Token::String(quoted) if quoted.first() == Some(&b'"') => quoted.get(1..quoted.len().checked_sub(1)?)?,
            _ => return None,
        };
        let name = String::from_utf8_lossy(name).to_lowercase();
        Some(if name.contains("``") { name.replace("``", "`") } else { name })
    })
}

fn lower(row: &Row, place: usize) -> Option<String> {
    Some(row.get(place)?.as_ref()?.to_lowercase())
}

fn comparison(kind: &str) -> Comparison {
    match kind {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => Comparison::Integer,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Comparison::Text,
        _ => Comparison::Other,
    }
}

#[cfg(test)]
mod tests;
