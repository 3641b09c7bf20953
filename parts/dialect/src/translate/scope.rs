//! Names: which column a word means.

use std::sync::Arc;

use pumasi_mysqlwire::{ColumnFlags, SqlError};

use super::{Ex, Translator};
use crate::catalogue::{Column, Table};
use crate::collation::Collation;
use crate::error;
use crate::types::{Origin, Ty};

/// The relations and names of one SELECT.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub sources: Vec<Source>,
    /// Columns merged by USING and NATURAL: unqualified they mean this.
    pub merged: Vec<(String, Ex)>,
    /// Select items by alias, once they are translated: for GROUP BY, HAVING and ORDER BY.
    pub items: Vec<(String, Ex)>,
    /// Aliases come before columns (ORDER BY, HAVING) or after (GROUP BY), or are not seen (everywhere else).
    pub alias_rule: AliasRule,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AliasRule {
    #[default]
    Unseen,
    First,
    Last,
}

/// One relation in FROM.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// What the statement calls it.
    pub alias: String,
    pub database: Option<String>,
    pub columns: Vec<SourceColumn>,
    /// Columns left out of `*` because USING merged them.
    pub hidden: Vec<usize>,
    pub table: Option<Arc<Table>>,
    /// What SQLite calls it.
    pub sql: String,
}

#[derive(Clone, Debug)]
pub(super) struct SourceColumn {
    pub name: String,
    /// The column's expression, complete.
    pub ex: Ex,
}

/// WITH name AS (...).
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub name: String,
    pub sql: String,
    pub columns: Vec<crate::types::OutColumn>,
}

/// The row an INSERT proposed, in ON DUPLICATE KEY UPDATE.
#[derive(Clone, Debug)]
pub(super) struct Proposed {
    pub table: Arc<Table>,
    /// `AS new`: the row's alias.
    pub alias: Option<String>,
    /// `AS new(a, b)`: its columns' names, as pairs of alias and column.
    pub columns: Vec<(String, String)>,
}

impl Source {
    pub fn of_table(table: &Arc<Table>, alias: &str, sql: &str, nullable: bool, utc: bool) -> Source {
        let columns = table
            .columns
            .iter()
            .map(|c| SourceColumn { name: c.name.clone(), ex: column_ex(table, c, alias, sql, nullable, utc) })
            .collect();
        Source {
            alias: alias.to_owned(),
            database: Some(table.database.clone()),
            columns,
            hidden: vec![],
            table: Some(Arc::clone(table)),
            sql: sql.to_owned(),
        }
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }

    pub fn make_nullable(&mut self) {
        for column in &mut self.columns {
            column.ex.nullable = true;
        }
    }
}

fn column_ex(table: &Table, column: &Column, alias: &str, sql: &str, nullable: bool, utc: bool) -> Ex {
    let mut flags = match table.key_mark(&column.name) {
        "PRI" => ColumnFlags::PRIMARY_KEY,
        "UNI" => ColumnFlags::UNIQUE_KEY,
        "MUL" => ColumnFlags::MULTIPLE_KEY,
        _ => 0,
    };
    if column.auto_increment {
        flags |= ColumnFlags::AUTO_INCREMENT;
    }
    if column.on_update_now || matches!(column.ty, crate::catalogue::Type::Timestamp(_)) {
        flags |= ColumnFlags::TIMESTAMP;
    }
    let ty = Ty::of_column(column);
    let mut text = format!("{sql}.{}", quote(&column.name));
    let mut bare = true;
    if let Ty::DateTime { timestamp: true, digits } = ty
        && !utc
    {
        text = format!("pm_to_local({text},{digits})");
        bare = false;
    }
    Ex {
        sql: text,
        ty,
        collation: column.collation(),
        coercibility: 2,
        nullable: nullable || column.nullable,
        literal: None,
        origin: Some(Origin {
            schema: table.database.clone(),
            alias: alias.to_owned(),
            table: table.name.clone(),
            column: column.name.clone(),
            flags,
        }),
        bare,
    }
}

impl Translator<'_> {
    /// `column`, `table.column` or `database.table.column`.
    pub(super) fn column(&mut self, parts: &[String]) -> Result<Ex, SqlError> {
        if let Some(found) = self.proposed_column(parts) {
            return Ok(found);
        }
        for depth in (0..self.scopes.len()).rev() {
            if let Some(found) = self.column_in(depth, parts)? {
                return Ok(self.with_assignments(found));
            }
        }
        Err(error::unknown_column(parts.join("."), self.clause))
    }

    /// Inside UPDATE ... SET, a column assigned further left has its new value already.
    fn with_assignments(&self, mut found: Ex) -> Ex {
        if let Some((_, value)) = self.assigned.iter().rev().find(|(column, _)| *column == found.sql) {
            found.sql = value.clone();
            found.bare = false;
        }
        found
    }

    fn column_in(&self, depth: usize, parts: &[String]) -> Result<Option<Ex>, SqlError> {
        let scope = &self.scopes[depth];
        let [table_parts @ .., name] = parts else { return Ok(None) };
        if table_parts.is_empty() {
            let alias = scope.items.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
            if scope.alias_rule == AliasRule::First
                && let Some((_, item)) = alias
            {
                return Ok(Some(item.clone()));
            }
            if let Some((_, merged)) = scope.merged.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                return Ok(Some(merged.clone()));
            }
            let found = self.unqualified(scope, name)?;
            if found.is_none()
                && scope.alias_rule == AliasRule::Last
                && let Some((_, item)) = alias
            {
                return Ok(Some(item.clone()));
            }
            return Ok(found);
        }
        let table = &table_parts[table_parts.len() - 1];
        let database = table_parts.len().checked_sub(2).map(|i| &table_parts[i]);
        let source = scope.sources.iter().find(|s| {
            s.alias.eq_ignore_ascii_case(table)
                && database.is_none_or(|d| s.database.as_ref().is_some_and(|have| have.eq_ignore_ascii_case(d)))
        });
        Ok(source.and_then(|s| s.column(name).map(|i| s.columns[i].ex.clone())))
    }

    fn unqualified(&self, scope: &Scope, name: &str) -> Result<Option<Ex>, SqlError> {
        let mut found: Option<Ex> = None;
        for source in &scope.sources {
            if let Some(index) = source.column(name) {
                if found.is_some() {
                    return Err(error::ambiguous_column(name, self.clause));
                }
                found = Some(source.columns[index].ex.clone());
            }
        }
        Ok(found)
    }

    /// `VALUES(column)` is a function; this is `new.column` and the bare aliases of `AS new(a, b)`.
    fn proposed_column(&self, parts: &[String]) -> Option<Ex> {
        let proposed = self.proposed.as_ref()?;
        let alias = proposed.alias.as_deref()?;
        let renamed = |name: &str| proposed.columns.iter().find(|(a, _)| a.eq_ignore_ascii_case(name)).map(|(_, column)| column.clone());
        let column = match parts {
            [table, name] if table.eq_ignore_ascii_case(alias) => {
                renamed(name).or_else(|| proposed.columns.is_empty().then(|| name.clone()))?
            }
            [name] => renamed(name)?,
            _ => return None,
        };
        self.proposed_value(&column)
    }

    pub(super) fn proposed_value(&self, column: &str) -> Option<Ex> {
        let table = &self.proposed.as_ref()?.table;
        let column = table.column(column)?;
        Some(column_ex(table, column, &table.name, "excluded", false, self.cx.settings.utc))
    }
}

/// A name for SQLite.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string for SQLite. NUL cannot stand in a literal.
pub(super) fn string(text: &str) -> String {
    if text.contains('\0') {
        return format!("CAST({} AS TEXT)", blob(text.as_bytes()));
    }
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn blob(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2 + 3);
    out.push_str("X'");
    for byte in bytes {
        out.push_str(&format!("{byte:02X}"));
    }
    out.push('\'');
    out
}

impl Ex {
    /// 0 or 1, as a comparison answers.
    pub(super) fn truth(sql: String) -> Ex {
        Ex::new(sql, Ty::BOOL)
    }

    pub(super) fn null() -> Ex {
        Ex { coercibility: 6, ..Ex::new("NULL", Ty::Null) }
    }

    pub(super) fn with_ty(mut self, ty: Ty) -> Ex {
        self.ty = ty;
        self
    }

    pub(super) fn new(sql: impl Into<String>, ty: Ty) -> Ex {
        Ex {
            sql: sql.into(),
            collation: if ty.textual() { crate::collation::DEFAULT } else { crate::collation::BINARY },
            ty,
            coercibility: 4,
            nullable: true,
            literal: None,
            origin: None,
            bare: false,
        }
    }

    pub(super) fn not_null(mut self) -> Ex {
        self.nullable = false;
        self
    }

    pub(super) fn collated(mut self, collation: &'static Collation, coercibility: u8) -> Ex {
        self.collation = collation;
        self.coercibility = coercibility;
        self
    }
}
