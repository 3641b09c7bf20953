//! MySQL trees to SQLite text, with the types of everything worked out on the way.
//!
//! Inside SQLite a value stands as `types::Ty` says. The translator decides every conversion from the static types, as MySQL does,
//! so SQLite's own affinity rules never get to choose: columns are STRICT, and every comparison is between operands of one form.

mod aggregate;
mod assign;
mod choice;
mod compare;
mod conversion;
mod dml;
mod expression;
mod from;
mod function;
mod literal;
mod numeric;
mod query;
mod scalar;
mod scope;
mod session_value;
mod textual;
mod virtual_tables;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

pub use scope::quote;
pub use virtual_tables::show;

use crate::catalogue::{Catalogue, Object, Table, View};
use crate::collation::Collation;
use crate::error;
use crate::parse::{Name, Parameters, Statement};
use crate::types::{OutColumn, Ty};
use scope::Scope;

/// What a translation depends on besides the text.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub catalogue: &'a Catalogue,
    /// The session's temporary tables; they hide tables of the same name.
    pub temporary: &'a Catalogue,
    pub database: Option<&'a str>,
    pub settings: &'a Settings,
    pub parameters: &'a Parameters,
    /// One per `?`; shorter when not known yet (the rest counts as text).
    pub parameter_types: &'a [ParameterType],
    pub variables: &'a dyn Variables,
}

/// Session settings that shape the translation. Part of the key under which translations are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    pub strict: bool,
    pub no_auto_value_on_zero: bool,
    pub no_unsigned_subtraction: bool,
    pub pipes_as_concat: bool,
    /// The session's time zone is UTC: TIMESTAMP columns need no conversion.
    pub utc: bool,
    pub division_digits: u8,
    /// Of string literals.
    pub collation: u16,
    /// CLIENT_FOUND_ROWS and the like do not matter here; `sql_select_limit` does.
    pub select_limit: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            strict: true,
            no_auto_value_on_zero: false,
            no_unsigned_subtraction: false,
            pipes_as_concat: false,
            utc: true,
            division_digits: 4,
            collation: crate::collation::DEFAULT.id,
            select_limit: None,
        }
    }
}

/// What a client bound to a `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterType {
    Null,
    Int,
    Unsigned,
    Double,
    Text,
    Bytes,
    DateTime,
    Date,
    Time,
}

/// Types of the session's variables.
pub trait Variables {
    /// `None`: there is no such system variable.
    fn system(&self, name: &str) -> Option<Ty>;
    fn user(&self, name: &str) -> Ty;
}

/// A statement for SQLite.
#[derive(Clone, Debug)]
pub struct Translation {
    pub sql: String,
    /// Empty for a statement without a result.
    pub columns: Vec<OutColumn>,
    /// Base tables read, by database and name; views and subqueries included.
    pub reads: Vec<(Arc<str>, Arc<str>)>,
    /// Why the result is not a function of the rows read.
    pub impure: Option<&'static str>,
    pub write: Option<Write>,
    /// Temporary tables are involved.
    pub temporary: bool,
    /// Separators of GROUP_CONCAT(DISTINCT ...) that need an aggregate of their own (see `gc_name`).
    pub separators: Vec<String>,
    /// Reads the session's variables or now(): must be translated with them at hand, and not kept for other sessions.
    pub session_bound: bool,
    /// FOUND_ROWS() is asked for: the same query without its LIMIT, counted.
    pub count_sql: Option<String>,
}

/// What a writing statement does, for counting and for errors.
#[derive(Clone, Debug)]
pub struct Write {
    pub table: Arc<Table>,
    pub kind: WriteKind,
    pub ignore: bool,
    /// Columns that an UPDATE assigns.
    pub assigned: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// `upsert`: ON DUPLICATE KEY UPDATE. `generated`: the AUTO_INCREMENT column is filled by us in some row.
    Insert {
        upsert: bool,
        replace: bool,
    },
    Update,
    Delete,
}

/// Translates a SELECT, INSERT, REPLACE, UPDATE, DELETE or DO.
pub fn translate(context: Context<'_>, statement: &Statement) -> Result<Translation, SqlError> {
    let translator = Translator::new(context);
    match statement {
        Statement::Query(query) => translator.top_query(query),
        Statement::Insert(insert) => translator.insert(insert),
        Statement::Update(update) => translator.update(update),
        Statement::Delete(delete) => translator.delete(delete),
        Statement::Do(expressions) => translator.do_expressions(expressions),
        _ => Err(SqlError::unsupported("this statement in a prepared statement")),
    }
}

/// Translates one expression without tables: `SET x = expr`, `KILL expr`.
pub fn translate_expression(context: Context<'_>, expr: &ast::Expr) -> Result<Translation, SqlError> {
    let mut translator = Translator::new(context);
    let value = translator.expression(expr)?;
    let column = OutColumn { name: String::new(), ty: value.ty, collation: value.collation, nullable: true, origin: None };
    Ok(translator.finish(format!("SELECT {}", value.sql), vec![column], None))
}

/// The SQLite expression for a column's `DEFAULT (expr)` or other stored MySQL text; checked when the table is made.
pub fn check_default(context: Context<'_>, text: &str) -> Result<(), SqlError> {
    let expr = crate::parse::parse_expression(text)?;
    Translator::new(context).expression(&expr).map(|_| ())
}

/// A table's check as SQLite's condition, whatever the session's settings are, with the columns it names.
///
/// Errors: 3820 for a column that is not there, 3815 for what could say another thing tomorrow (time, variables, other tables).
pub fn check(context: Context<'_>, table: &Arc<Table>, name: &str, text: &str) -> Result<(String, Vec<String>), SqlError> {
    let settings = Settings::default();
    let expr = crate::parse::parse_expression(text)?;
    let translated = |columns: &mut dyn Iterator<Item = &crate::catalogue::Column>| {
        let mut translator = Translator::new(Context { settings: &settings, ..context });
        let mut source = scope::Source::of_table(table, &table.name, "", false, true);
        let seen: BTreeSet<&str> = columns.map(|column| column.name.as_str()).collect();
        source.columns.retain(|column| seen.contains(column.name.as_str()));
        for column in &mut source.columns {
            // Alone: the table changes its name in SQLite while it is made.
            column.ex.sql = quote(&column.name);
        }
        translator.scopes.push(Scope { sources: vec![source], ..Scope::default() });
        let sql = translator.condition(&expr)?;
        if translator.impure.is_some() || translator.session_bound || !translator.reads.is_empty() {
            return Err(error::check_disallowed(name));
        }
        Ok(sql)
    };
    let sql = translated(&mut table.columns.iter()).map_err(|failure| match failure.code {
        1054 => error::check_of_unknown_column(name, failure.message.split('\'').nth(1).unwrap_or_default()),
        _ => failure,
    })?;
    // It names those without which it means nothing.
    let needs = |column: &&crate::catalogue::Column| translated(&mut table.columns.iter().filter(|c| c.name != column.name)).is_err();
    Ok((sql, table.columns.iter().filter(needs).map(|column| column.name.clone()).collect()))
}

/// How ALTER TABLE fills a column of the new table: from a column of the old one, or with the new column's default.
pub fn copy_expression(
    context: Context<'_>,
    old: &Arc<Table>,
    source: Option<&str>,
    new: &crate::catalogue::Column,
) -> Result<String, SqlError> {
    let mut translator = Translator::new(context);
    match source {
        Some(name) => {
            let relation = scope::Source::of_table(old, &old.name, &quote(&old.storage), false, true);
            let index = relation.column(name).ok_or_else(|| error::unknown_column(name, "field list"))?;
            let from = &relation.columns[index].ex;
            if from.ty == Ty::of_column(new) { Ok(from.sql.clone()) } else { translator.store(new, from, false) }
        }
        None => translator.default_value(old, new, true),
    }
}

/// The aggregate that joins with `separator`.
pub fn gc_name(separator: &str) -> String {
    let mut name = String::from("pm_gc_");
    for byte in separator.bytes() {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

/// A translated expression.
#[derive(Clone, Debug)]
struct Ex {
    sql: String,
    ty: Ty,
    collation: &'static Collation,
    /// Who decides on the collation when two meet: 0 explicit COLLATE, 2 a column, 4 a literal, 5 a number as text, 6 NULL.
    coercibility: u8,
    nullable: bool,
    literal: Option<Literal>,
    origin: Option<crate::types::Origin>,
    /// A column of a base table, by itself: SQLite knows its collation and may use its index.
    bare: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Int(i64),
    Number(String),
    Text(String),
    Bytes(Vec<u8>),
}

struct Translator<'a> {
    cx: Context<'a>,
    scopes: Vec<Scope>,
    /// Common table expressions in sight, innermost last.
    ctes: Vec<scope::Cte>,
    relations: usize,
    reads: BTreeSet<(Arc<str>, Arc<str>)>,
    impure: Option<&'static str>,
    temporary: bool,
    separators: Vec<String>,
    session_bound: bool,
    /// Views being expanded, against views that contain themselves.
    views: usize,
    /// In ON DUPLICATE KEY UPDATE: the row that was to be inserted, and the names it goes by.
    proposed: Option<scope::Proposed>,
    /// In UPDATE ... SET: columns assigned so far and their new values, because later assignments see them.
    assigned: Vec<(String, String)>,
    /// Where a name stands, for messages: `field list`, `where clause` ...
    clause: &'static str,
    aggregates_allowed: bool,
    saw_aggregate: bool,
}

/// Views within views.
const VIEW_DEPTH_MAX: usize = 32;

impl<'a> Translator<'a> {
    fn new(cx: Context<'a>) -> Self {
        Translator {
            cx,
            scopes: vec![],
            ctes: vec![],
            relations: 0,
            reads: BTreeSet::new(),
            impure: None,
            temporary: false,
            separators: vec![],
            session_bound: false,
            views: 0,
            proposed: None,
            assigned: vec![],
            clause: "field list",
            aggregates_allowed: true,
            saw_aggregate: false,
        }
    }

    fn finish(self, sql: String, columns: Vec<OutColumn>, write: Option<Write>) -> Translation {
        Translation {
            sql,
            columns,
            reads: self.reads.into_iter().collect(),
            impure: self.impure,
            write,
            temporary: self.temporary,
            separators: self.separators,
            session_bound: self.session_bound,
            count_sql: None,
        }
    }

    fn impure(&mut self, why: &'static str) {
        self.impure.get_or_insert(why);
    }

    fn literal_collation(&self) -> &'static Collation {
        Collation::by_id(self.cx.settings.collation).unwrap_or(crate::collation::DEFAULT)
    }

    /// The database a name without one is in.
    fn database_of(&self, name: &Name) -> Result<String, SqlError> {
        match &name.database {
            Some(database) => Ok(database.clone()),
            None => self.cx.database.map(str::to_owned).ok_or_else(error::no_database_selected),
        }
    }

    fn object(&mut self, name: &Name) -> Result<Object, SqlError> {
        let database = self.database_of(name)?;
        if let Some(object) = self.cx.temporary.object(&database, &name.name) {
            self.temporary = true;
            self.impure("a temporary table");
            return Ok(object.clone());
        }
        if let Some(object) = self.cx.catalogue.object(&database, &name.name) {
            return Ok(object.clone());
        }
        if self.cx.catalogue.database(&database).is_none() {
            return Err(error::unknown_database(database));
        }
        Err(error::table_missing(database, &name.name))
    }

    fn base_table(&mut self, name: &Name) -> Result<Arc<Table>, SqlError> {
        match self.object(name)? {
            Object::Table(table) => Ok(table),
            Object::View(view) => Err(SqlError::unsupported(format!("writing through view {}", view.name))),
        }
    }

    fn note_read(&mut self, table: &Table) {
        if !table.temporary {
            self.reads.insert((table.database.as_str().into(), table.name.as_str().into()));
        }
    }

    fn next_relation(&mut self) -> String {
        self.relations += 1;
        format!("r{}", self.relations)
    }

    fn view_depth(&mut self, view: &View) -> Result<(), SqlError> {
        self.views += 1;
        if self.views > VIEW_DEPTH_MAX {
            return Err(error::internal(format!("View {}.{} nests too deep", view.database, view.name)));
        }
        Ok(())
    }
}

/// `database.table` from sqlparser's list of parts.
fn name_of(name: &ast::ObjectName) -> Result<Name, SqlError> {
    let parts = identifiers(name)?;
    match parts.as_slice() {
        [name] => Ok(Name { database: None, name: name.clone() }),
        [database, name] => Ok(Name { database: Some(database.clone()), name: name.clone() }),
        _ => Err(error::syntax(&name.to_string(), 1)),
    }
}

fn identifiers(name: &ast::ObjectName) -> Result<Vec<String>, SqlError> {
    name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.clone()).ok_or_else(|| error::syntax(&name.to_string(), 1))).collect()
}
