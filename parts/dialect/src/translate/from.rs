//! FROM: tables, views, joins, derived tables.

use std::sync::Arc;

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::query::rename;
use super::scope::{Source, SourceColumn};
use super::{Ex, Translator, name_of, quote};
use crate::catalogue::{Object, View};
use crate::error;
use crate::parse::Name;
use crate::types::OutColumn;

impl Translator<'_> {
    pub(super) fn from(&mut self, from: &[ast::TableWithJoins]) -> Result<String, SqlError> {
        if from.is_empty() || is_dual(from) {
            return Ok(String::new());
        }
        let mut parts = Vec::new();
        for item in from {
            parts.push(self.table_with_joins(item)?);
        }
        // A comma binds looser than JOIN: each side of it stands by itself.
        Ok(format!(" FROM {}", parts.join(", ")))
    }

    pub(super) fn table_with_joins(&mut self, item: &ast::TableWithJoins) -> Result<String, SqlError> {
        let first = self.sources().len();
        let mut sql = self.table_factor(&item.relation)?;
        for join in &item.joins {
            let before = self.sources().len();
            use ast::JoinOperator as J;
            let (word, constraint) = match &join.join_operator {
                J::Join(c) | J::Inner(c) | J::CrossJoin(c) | J::StraightJoin(c) => ("JOIN", c),
                J::Left(c) | J::LeftOuter(c) => ("LEFT JOIN", c),
                J::Right(c) | J::RightOuter(c) => ("RIGHT JOIN", c),
                other => return Err(SqlError::unsupported(format!("{other:?}").split('(').next().unwrap_or("JOIN").to_owned())),
            };
            let right = self.table_factor(&join.relation)?;
            match word {
                "LEFT JOIN" => self.make_nullable(before, usize::MAX),
                "RIGHT JOIN" => self.make_nullable(first, before),
                _ => {}
            }
            let on = self.join_condition(constraint, first, before, word)?;
            sql = format!("{sql} {word} {right}{on}");
        }
        Ok(sql)
    }

    fn sources(&mut self) -> &mut Vec<Source> {
        &mut self.scopes.last_mut().expect("FROM runs inside a scope").sources
    }

    fn make_nullable(&mut self, from: usize, to: usize) {
        let sources = self.sources();
        let to = to.min(sources.len());
        for source in &mut sources[from..to] {
            source.make_nullable();
        }
    }

    fn join_condition(&mut self, constraint: &ast::JoinConstraint, first: usize, before: usize, word: &str) -> Result<String, SqlError> {
        let names: Vec<String> = match constraint {
            ast::JoinConstraint::None => {
                if word != "JOIN" {
                    return Err(error::syntax("", 1));
                }
                return Ok(String::new());
            }
            ast::JoinConstraint::On(expr) => {
                self.clause = "on clause";
                let allowed = std::mem::replace(&mut self.aggregates_allowed, false);
                let condition = self.condition(expr)?;
                self.aggregates_allowed = allowed;
                return Ok(format!(" ON {condition}"));
            }
            ast::JoinConstraint::Using(columns) => columns.iter().map(|c| name_of(c).map(|n| n.name)).collect::<Result<_, _>>()?,
            ast::JoinConstraint::Natural => {
                let sources = self.sources();
                let right: Vec<String> = sources[before..].iter().flat_map(|s| s.columns.iter().map(|c| c.name.clone())).collect();
                let left = &sources[first..before];
                right.into_iter().filter(|n| left.iter().any(|s| s.column(n).is_some())).collect()
            }
        };
        let mut tests = Vec::new();
        for name in names {
            let find =
                |sources: &[Source]| sources.iter().enumerate().find_map(|(i, s)| s.column(&name).map(|c| (i, c, s.columns[c].ex.clone())));
            let scope = self.scopes.last().expect("FROM runs inside a scope");
            let merged = scope.merged.iter().find(|(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, e)| e.clone());
            let left = find(&scope.sources[first..before]).ok_or_else(|| error::unknown_column(&name, "from clause"))?;
            let right = find(&scope.sources[before..]).ok_or_else(|| error::unknown_column(&name, "from clause"))?;
            let left_ex = merged.unwrap_or(left.2.clone());
            tests.push(self.compare(&left_ex, &ast::BinaryOperator::Eq, &right.2)?.sql);
            let joined = match word {
                "LEFT JOIN" | "JOIN" => left_ex,
                _ => right.2.clone(),
            };
            let scope = self.scopes.last_mut().expect("FROM runs inside a scope");
            scope.sources[first + left.0].hidden.push(left.1);
            scope.sources[before + right.0].hidden.push(right.1);
            scope.merged.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
            scope.merged.push((name, joined));
        }
        Ok(if tests.is_empty() { String::new() } else { format!(" ON {}", tests.join(" AND ")) })
    }

    fn table_factor(&mut self, factor: &ast::TableFactor) -> Result<String, SqlError> {
        match factor {
            ast::TableFactor::Table { name, alias, args: None, version: None, partitions, json_path: None, sample: None, .. } => {
                if !partitions.is_empty() {
                    return Err(SqlError::unsupported("PARTITION ()"));
                }
                let name = name_of(name)?;
                let alias = alias.as_ref().map_or_else(|| name.name.clone(), |a| a.name.value.clone());
                self.named_relation(&name, &alias)
            }
            ast::TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                let Some(alias) = alias else { return Err(error::derived_needs_alias()) };
                let (sql, columns) = self.isolated(subquery)?;
                let renames: Vec<String> = alias.columns.iter().map(|c| c.name.value.clone()).collect();
                let columns = rename(columns, &renames)?;
                for (i, column) in columns.iter().enumerate() {
                    if columns[..i].iter().any(|c| c.name.eq_ignore_ascii_case(&column.name)) {
                        return Err(error::derived_duplicate_column(&column.name));
                    }
                }
                let relation = self.next_relation();
                let text = format!("({}) AS {relation}", super::expression::renamed(&sql, columns.len()));
                self.add_derived(&alias.name.value, &relation, columns)?;
                Ok(text)
            }
            ast::TableFactor::NestedJoin { table_with_joins, alias: None } => {
                let inner = self.table_with_joins(table_with_joins)?;
                Ok(format!("({inner})"))
            }
            ast::TableFactor::Derived { lateral: true, .. } => Err(SqlError::unsupported("LATERAL")),
            ast::TableFactor::JsonTable { .. } => Err(SqlError::unsupported("JSON_TABLE")),
            other => Err(SqlError::unsupported(format!("table {other}"))),
        }
    }

    fn add_derived(&mut self, alias: &str, relation: &str, columns: Vec<OutColumn>) -> Result<(), SqlError> {
        let columns = columns
            .into_iter()
            .enumerate()
            .map(|(i, c)| {
                let ex = Ex { nullable: c.nullable, origin: c.origin, ..Ex::new(format!("{relation}.c{}", i + 1), c.ty) }
                    .collated(c.collation, 2);
                SourceColumn { name: c.name, ex }
            })
            .collect();
        self.add_source(Source { alias: alias.to_owned(), database: None, columns, hidden: vec![], table: None, sql: relation.to_owned() })
    }

    fn add_source(&mut self, source: Source) -> Result<(), SqlError> {
        let taken = self
            .sources()
            .iter()
            .any(|s| s.alias.eq_ignore_ascii_case(&source.alias) && (s.database == source.database || s.alias != source.alias));
        if taken {
            return Err(error::duplicate_alias(&source.alias));
        }
        self.sources().push(source);
        Ok(())
    }

    /// A table, view or common table expression by name.
    pub(super) fn named_relation(&mut self, name: &Name, alias: &str) -> Result<String, SqlError> {
        if name.database.is_none()
            && let Some(cte) = self.ctes.iter().rev().find(|c| c.name.eq_ignore_ascii_case(&name.name)).cloned()
        {
            let relation = self.next_relation();
            self.add_derived(alias, &relation, cte.columns)?;
            return Ok(format!("{} AS {relation}", cte.sql));
        }
        let database = self.database_of(name)?;
        if let Some((sql, columns)) = super::virtual_tables::relation(&database, &name.name)? {
            self.impure("information_schema");
            let relation = self.next_relation();
            self.add_derived(alias, &relation, columns)?;
            return Ok(format!("({sql}) AS {relation}"));
        }
        match self.object(name)? {
            Object::Table(table) => {
                self.note_read(&table);
                let relation = self.next_relation();
                let source = Source::of_table(&table, alias, &relation, false, self.cx.settings.utc);
                self.add_source(source)?;
                Ok(format!("{} AS {relation}", quote(&table.storage)))
            }
            Object::View(view) => self.view(&view, alias),
        }
    }

    /// A view stands for its SELECT, translated here and now: its tables are read and noted like any other.
    fn view(&mut self, view: &Arc<View>, alias: &str) -> Result<String, SqlError> {
        self.view_depth(view)?;
        let tree = view.tree()?;
        let outer_ctes = std::mem::take(&mut self.ctes);
        let outer_cx = self.cx;
        self.cx.database = outer_cx.catalogue.database(&view.database).map(|d| d.name.as_str());
        let done = self.isolated(&tree);
        self.cx = outer_cx;
        self.ctes = outer_ctes;
        self.views -= 1;
        let (sql, columns) = done?;
        let columns = rename(columns, &view.columns)?
            .into_iter()
            .map(|c| OutColumn { origin: c.origin.map(|o| crate::types::Origin { alias: alias.to_owned(), ..o }), ..c })
            .collect::<Vec<_>>();
        let relation = self.next_relation();
        let text = format!("({}) AS {relation}", super::expression::renamed(&sql, columns.len()));
        self.add_derived(alias, &relation, columns)?;
        Ok(text)
    }
}

fn is_dual(from: &[ast::TableWithJoins]) -> bool {
    matches!(from, [ast::TableWithJoins { relation: ast::TableFactor::Table { name, alias: None, .. }, joins }]
        if joins.is_empty() && name.to_string().eq_ignore_ascii_case("dual"))
}
