//! What the engine knows of databases, tables, columns and keys: MySQL's types, not SQLite's.
//!
//! Stored as JSON in the engine's own tables, one row per table, changed in the transaction of the DDL; read whole into an immutable
//! [`Catalogue`] that statements are translated against. Names compare without case (`lower_case_table_names` = 2), because
//! SQLite's do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::collation::{self, Collation};

/// A column's type as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    /// `bytes`: 1 TINYINT, 2 SMALLINT, 3 MEDIUMINT, 4 INT, 8 BIGINT. `boolean`: declared as TINYINT(1), BOOL or BOOLEAN.
    Int {
        bytes: u8,
        unsigned: bool,
        boolean: bool,
    },
    Decimal {
        precision: u8,
        scale: u8,
        unsigned: bool,
    },
    Float,
    Double,
    /// Lengths in characters.
    Char(u32),
    VarChar(u32),
    Text(Size),
    /// Lengths in bytes.
    Binary(u32),
    VarBinary(u32),
    Blob(Size),
    Date,
    /// The number is the digits of the fraction of a second, 0 to 6.
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    Year,
    Enum(Vec<String>),
    Set(Vec<String>),
    Json,
    /// Up to 63 bits.
    Bit(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Size {
    Tiny,
    Normal,
    Medium,
    Long,
}

impl Size {
    pub fn bytes_max(self) -> u64 {
        match self {
            Size::Tiny => 255,
            Size::Normal => 65_535,
            Size::Medium => 16_777_215,
            Size::Long => 4_294_967_295,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Size::Tiny => "tiny",
            Size::Normal => "",
            Size::Medium => "medium",
            Size::Long => "long",
        }
    }
}

impl Type {
    /// As SHOW CREATE TABLE and information_schema.COLUMNS.COLUMN_TYPE write it.
    pub fn declaration(&self) -> String {
        let fraction = |name: &str, digits: u8| if digits == 0 { name.to_owned() } else { format!("{name}({digits})") };
        match self {
            Type::Int { boolean: true, .. } => "tinyint(1)".to_owned(),
            Type::Int { unsigned, .. } => format!("{}{}", self.name(), if *unsigned { " unsigned" } else { "" }),
            Type::Decimal { precision, scale, unsigned } => {
                format!("decimal({precision},{scale}){}", if *unsigned { " unsigned" } else { "" })
            }
            Type::Char(n) => format!("char({n})"),
            Type::VarChar(n) => format!("varchar({n})"),
            Type::Binary(n) => format!("binary({n})"),
            Type::VarBinary(n) => format!("varbinary({n})"),
            Type::Time(f) => fraction("time", *f),
            Type::DateTime(f) => fraction("datetime", *f),
            Type::Timestamp(f) => fraction("timestamp", *f),
            Type::Enum(values) => format!("enum({})", quoted_list(values)),
            Type::Set(values) => format!("set({})", quoted_list(values)),
            Type::Bit(n) => format!("bit({n})"),
            Type::Float | Type::Double | Type::Text(_) | Type::Blob(_) | Type::Date | Type::Year | Type::Json => self.name(),
        }
    }

    /// information_schema.COLUMNS.DATA_TYPE.
    pub fn name(&self) -> String {
        match self {
            Type::Int { bytes, .. } => match bytes {
                1 => "tinyint",
                2 => "smallint",
                3 => "mediumint",
                4 => "int",
                _ => "bigint",
            }
            .to_owned(),
            Type::Decimal { .. } => "decimal".to_owned(),
            Type::Float => "float".to_owned(),
            Type::Double => "double".to_owned(),
            Type::Char(_) => "char".to_owned(),
            Type::VarChar(_) => "varchar".to_owned(),
            Type::Text(size) => format!("{}text", size.prefix()),
            Type::Binary(_) => "binary".to_owned(),
            Type::VarBinary(_) => "varbinary".to_owned(),
            Type::Blob(size) => format!("{}blob", size.prefix()),
            Type::Date => "date".to_owned(),
            Type::Time(_) => "time".to_owned(),
            Type::DateTime(_) => "datetime".to_owned(),
            Type::Timestamp(_) => "timestamp".to_owned(),
            Type::Year => "year".to_owned(),
            Type::Enum(_) => "enum".to_owned(),
            Type::Set(_) => "set".to_owned(),
            Type::Json => "json".to_owned(),
            Type::Bit(_) => "bit".to_owned(),
        }
    }

    /// The column type inside SQLite's STRICT tables.
    pub fn storage(&self) -> &'static str {
        match self {
            Type::Int { .. } | Type::Year | Type::Bit(_) => "INTEGER",
            Type::Float | Type::Double => "REAL",
            Type::Binary(_) | Type::VarBinary(_) | Type::Blob(_) => "BLOB",
            _ => "TEXT",
        }
    }

    /// Has a character set and a collation.
    pub fn textual(&self) -> bool {
        matches!(self, Type::Char(_) | Type::VarChar(_) | Type::Text(_) | Type::Enum(_) | Type::Set(_))
    }

    pub fn binary(&self) -> bool {
        matches!(self, Type::Binary(_) | Type::VarBinary(_) | Type::Blob(_))
    }

    /// Smallest and largest value of an integer type. BIGINT UNSIGNED ends at 2^63 - 1: SQLite's integers do.
    pub fn int_range(&self) -> Option<(i64, i64)> {
        let Type::Int { bytes, unsigned, .. } = self else { return None };
        let bits = u32::from(*bytes) * 8;
        Some(match (unsigned, bits) {
            (true, 64) => (0, i64::MAX),
            (true, _) => (0, (1i64 << bits) - 1),
            (false, 64) => (i64::MIN, i64::MAX),
            (false, _) => (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1),
        })
    }
}

fn quoted_list(values: &[String]) -> String {
    values.iter().map(|v| format!("'{}'", v.replace('\'', "''"))).collect::<Vec<_>>().join(",")
}

/// What a column holds when an INSERT does not name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Default {
    Null,
    /// In the column's canonical text.
    Literal(String),
    Now(u8),
    /// `DEFAULT (expression)`, its MySQL text.
    Expression(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub ty: Type,
    /// Set for types with a character set.
    pub collation: Option<String>,
    pub nullable: bool,
    /// `None`: no default; a NOT NULL column must then be given a value (1364).
    pub default: Option<Default>,
    pub auto_increment: bool,
    /// ON UPDATE CURRENT_TIMESTAMP.
    pub on_update_now: bool,
    pub comment: String,
}

impl Column {
    pub fn collation(&self) -> &'static Collation {
        self.collation.as_deref().and_then(Collation::by_name).unwrap_or(if self.ty.textual() {
            collation::DEFAULT
        } else {
            collation::BINARY
        })
    }

    /// The name of the collation SQLite compares this column with.
    pub fn storage_collation(&self) -> &'static str {
        match self.ty {
            Type::Decimal { .. } => "PM_DECIMAL",
            Type::Time(_) => "PM_TIME",
            Type::Json => "BINARY",
            _ if self.ty.textual() => self.collation().collating.sqlite_name(),
            _ => "BINARY",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    pub column: String,
    /// Only the first this many characters are in the key.
    pub prefix: Option<u32>,
    pub descending: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `PRIMARY` for the primary key.
    pub name: String,
    pub unique: bool,
    pub parts: Vec<KeyPart>,
    pub comment: String,
}

impl Key {
    pub fn primary(&self) -> bool {
        self.name == "PRIMARY"
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferentialAction {
    Restrict,
    Cascade,
    SetNull,
    NoAction,
}

impl ReferentialAction {
    pub fn sql(self) -> &'static str {
        match self {
            ReferentialAction::Restrict => "RESTRICT",
            ReferentialAction::Cascade => "CASCADE",
            ReferentialAction::SetNull => "SET NULL",
            ReferentialAction::NoAction => "NO ACTION",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    pub name: String,
    pub columns: Vec<String>,
    pub parent_database: String,
    pub parent_table: String,
    pub parent_columns: Vec<String>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

/// A condition that no row may fail; one that is unknown (NULL) for a row is not failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    /// MySQL text, without its parentheses.
    pub expression: String,
    pub enforced: bool,
    /// The columns it looks at, as the table spells them: they cannot be dropped or renamed under it.
    pub columns: Vec<String>,
    /// Written with this column, of which alone it may speak.
    pub of_column: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub database: String,
    pub name: String,
    /// The table's name inside SQLite.
    pub storage: String,
    pub columns: Vec<Column>,
    /// The primary key first.
    pub keys: Vec<Key>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Absent in databases made before there were any.
    #[serde(default)]
    pub checks: Vec<Check>,
    pub collation: String,
    pub comment: String,
    /// Seconds since 1970, for information_schema.TABLES.CREATE_TIME.
    pub created: i64,
    #[serde(skip)]
    pub temporary: bool,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }

    pub fn primary_key(&self) -> Option<&Key> {
        self.keys.iter().find(|k| k.primary())
    }

    /// The column that is SQLite's rowid: the AUTO_INCREMENT column, or else a primary key of one integer column.
    pub fn rowid_column(&self) -> Option<&Column> {
        if let Some(auto) = self.columns.iter().find(|c| c.auto_increment) {
            return Some(auto);
        }
        let [part] = self.primary_key()?.parts.as_slice() else { return None };
        self.column(&part.column).filter(|c| matches!(c.ty, Type::Int { .. }))
    }

    /// How SQLite's rowid is spelled for this table; a column of its own may hide the usual name. `None`: all three are hidden.
    pub fn rowid_name(&self) -> Option<&str> {
        if let Some(column) = self.rowid_column() {
            return Some(&column.name);
        }
        ["rowid", "_rowid_", "oid"].into_iter().find(|name| self.column(name).is_none())
    }

    /// `PRI`, `UNI`, `MUL` or nothing, as SHOW COLUMNS marks a column.
    pub fn key_mark(&self, column: &str) -> &'static str {
        let first = |k: &Key| k.parts[0].column.eq_ignore_ascii_case(column);
        if self.primary_key().is_some_and(|k| k.parts.iter().any(|p| p.column.eq_ignore_ascii_case(column))) {
            "PRI"
        } else if self.keys.iter().any(|k| k.unique && k.parts.len() == 1 && first(k)) {
            "UNI"
        } else if self.keys.iter().any(first) {
            "MUL"
        } else {
            ""
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub database: String,
    pub name: String,
    /// As in `CREATE VIEW v (a, b)`; empty when not given.
    pub columns: Vec<String>,
    /// The SELECT, MySQL text.
    pub select: String,
    /// The SELECT's columns when the view was made: `SELECT *` does not grow with its table.
    pub definer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    pub name: String,
    pub collation: String,
}

#[derive(Clone, Debug)]
pub enum Object {
    Table(Arc<Table>),
    View(Arc<View>),
}

/// Everything there is, at one version of the schema.
#[derive(Clone, Debug, std::default::Default)]
pub struct Catalogue {
    /// Grows with every change; translations made against another version are void.
    pub version: u64,
    databases: BTreeMap<String, Database>,
    objects: BTreeMap<(String, String), Object>,
}

impl Catalogue {
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(&name.to_lowercase())
    }

    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.values()
    }

    pub fn object(&self, database: &str, name: &str) -> Option<&Object> {
        self.objects.get(&(database.to_lowercase(), name.to_lowercase()))
    }

    pub fn table(&self, database: &str, name: &str) -> Option<&Arc<Table>> {
        match self.object(database, name)? {
            Object::Table(table) => Some(table),
            Object::View(_) => None,
        }
    }

    /// In the order of database and name.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.objects.values().filter_map(|o| match o {
            Object::Table(table) => Some(table),
            Object::View(_) => None,
        })
    }

    pub fn objects_in<'a>(&'a self, database: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let database = database.to_lowercase();
        self.objects.iter().filter(move |((d, _), _)| *d == database).map(|(_, object)| object)
    }

    /// Foreign keys that point to a table, with the tables they are in.
    pub fn children<'a>(&'a self, parent: &'a Table) -> impl Iterator<Item = (&'a Arc<Table>, &'a ForeignKey)> {
        self.tables().flat_map(move |child| {
            child
                .foreign_keys
                .iter()
                .filter(move |fk| {
                    fk.parent_table.eq_ignore_ascii_case(&parent.name) && fk.parent_database.eq_ignore_ascii_case(&parent.database)
                })
                .map(move |fk| (child, fk))
        })
    }

    pub fn put_database(&mut self, database: Database) {
        self.databases.insert(database.name.to_lowercase(), database);
    }

    pub fn remove_database(&mut self, name: &str) {
        self.databases.remove(&name.to_lowercase());
    }

    pub fn put(&mut self, object: Object) {
        let (database, name) = match &object {
            Object::Table(t) => (&t.database, &t.name),
            Object::View(v) => (&v.database, &v.name),
        };
        self.objects.insert((database.to_lowercase(), name.to_lowercase()), object);
    }

    pub fn remove(&mut self, database: &str, name: &str) -> Option<Object> {
        self.objects.remove(&(database.to_lowercase(), name.to_lowercase()))
    }
}
