//! INSERT, REPLACE, UPDATE, DELETE.

use std::sync::Arc;

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::scope::{Proposed, Scope, Source};
use super::{Ex, Literal, Translation, Translator, Write, WriteKind, identifiers, name_of, quote};
use crate::catalogue::{Column, Table};
use crate::error;
use crate::parse::Name;
use crate::types::Ty;

/// A column and what it is set to, in SQLite's SQL.
type NewValue = (String, String);

impl Translator<'_> {
    pub(super) fn insert(mut self, insert: &ast::Insert) -> Result<Translation, SqlError> {
        if insert.priority == Some(ast::MysqlInsertPriority::Delayed) || insert.partitioned.is_some() || insert.returning.is_some() {
            return Err(SqlError::unsupported("clause of INSERT"));
        }
        let ast::TableObject::TableName(name) = &insert.table else { return Err(SqlError::unsupported("INSERT into this")) };
        let table = self.base_table(&name_of(name)?)?;
        let columns = self.insert_columns(insert, &table)?;
        let upsert = matches!(insert.on, Some(ast::OnInsert::DuplicateKeyUpdate(_)));
        let source = self.insert_source(insert, &table, &columns, upsert)?;
        let mut sql = format!(
            "INSERT {}INTO {} ({}) {source}",
            if insert.replace_into {
                "OR REPLACE "
            } else if insert.ignore && !upsert {
                "OR IGNORE "
            } else {
                ""
            },
            quote(&table.storage),
            table.columns.iter().map(|c| quote(&c.name)).collect::<Vec<_>>().join(", ")
        );
        if let Some(ast::OnInsert::DuplicateKeyUpdate(assignments)) = &insert.on {
            sql.push_str(&self.on_duplicate(insert, &table, assignments)?);
        }
        let kind = WriteKind::Insert { upsert, replace: insert.replace_into };
        let write = Write { table, kind, ignore: insert.ignore, assigned: vec![] };
        Ok(self.finish(sql, vec![], Some(write)))
    }

    /// The columns that get a value, as indexes into the table's.
    fn insert_columns(&self, insert: &ast::Insert, table: &Table) -> Result<Vec<usize>, SqlError> {
        let mut names = Vec::new();
        for column in &insert.columns {
            let parts = identifiers(column)?;
            names.push(parts[parts.len() - 1].clone());
        }
        for assignment in &insert.assignments {
            names.push(self.target_column(assignment)?.1);
        }
        let values_empty = matches!(insert.source.as_deref().map(|q| q.body.as_ref()), Some(ast::SetExpr::Values(v)) if v.rows.iter().all(|r| r.content.is_empty()));
        if names.is_empty() && insert.assignments.is_empty() {
            return Ok(if values_empty { vec![] } else { (0..table.columns.len()).collect() });
        }
        let mut indexes = Vec::new();
        for name in names {
            let index = table.column_index(&name).ok_or_else(|| error::unknown_column(&name, "field list"))?;
            if indexes.contains(&index) {
                return Err(error::field_specified_twice(&name));
            }
            indexes.push(index);
        }
        Ok(indexes)
    }

    fn insert_source(&mut self, insert: &ast::Insert, table: &Arc<Table>, columns: &[usize], upsert: bool) -> Result<String, SqlError> {
        let ignore = insert.ignore || !self.cx.settings.strict;
        if !insert.assignments.is_empty() {
            let values: Vec<&ast::Expr> = insert.assignments.iter().map(|a| &a.value).collect();
            let row = self.insert_row(table, columns, &values, ignore, 1)?;
            return Ok(format!("VALUES ({row})"));
        }
        let Some(query) = &insert.source else { return Err(error::syntax("", 1)) };
        if let ast::SetExpr::Values(values) = query.body.as_ref() {
            let mut rows = Vec::with_capacity(values.rows.len());
            for (i, row) in values.rows.iter().enumerate() {
                let exprs: Vec<&ast::Expr> = row.content.iter().collect();
                rows.push(format!("({})", self.insert_row(table, columns, &exprs, ignore, i + 1)?));
            }
            return Ok(format!("VALUES {}", rows.join(", ")));
        }
        let (sql, out) = self.subquery(query)?;
        if out.len() != columns.len() {
            return Err(error::column_count_mismatch(1));
        }
        let mut given = Vec::new();
        for (i, (index, column)) in columns.iter().zip(&out).enumerate() {
            let ex = Ex { nullable: column.nullable, ..Ex::new(format!("c{}", i + 1), column.ty.clone()) }.collated(column.collation, 2);
            given.push((*index, self.column_value(table, &table.columns[*index], ex, ignore)?));
        }
        let row = self.complete_row(table, given, ignore)?;
        // SQLite cannot tell an upsert's ON from a join's without a WHERE.
        let filter = if upsert { " WHERE true" } else { "" };
        Ok(format!("SELECT {row} FROM ({}){filter}", super::expression::renamed(&sql, out.len())))
    }

    fn insert_row(
        &mut self,
        table: &Arc<Table>,
        columns: &[usize],
        exprs: &[&ast::Expr],
        ignore: bool,
        row: usize,
    ) -> Result<String, SqlError> {
        if exprs.len() != columns.len() {
            return Err(error::column_count_mismatch(row));
        }
        let mut given = Vec::with_capacity(columns.len());
        for (index, expr) in columns.iter().zip(exprs) {
            let column = &table.columns[*index];
            let value = if let Some(of) = default_call(expr) {
                let source = match of {
                    Some(name) => table.column(&name).ok_or_else(|| error::unknown_column(&name, "field list"))?.clone(),
                    None => column.clone(),
                };
                self.default_value(table, &source, ignore)?
            } else {
                let ex = self.expression(expr)?;
                self.column_value(table, column, ex, ignore)?
            };
            given.push((*index, value));
        }
        self.complete_row(table, given, ignore)
    }

    fn column_value(&mut self, table: &Table, column: &Column, ex: Ex, ignore: bool) -> Result<String, SqlError> {
        let stored = self.store(column, &ex, ignore && !column.auto_increment)?;
        if column.auto_increment {
            // NULL and (unless NO_AUTO_VALUE_ON_ZERO) 0 ask for the next number.
            let zero_is_next = !self.cx.settings.no_auto_value_on_zero;
            return Ok(match &ex.literal {
                Some(Literal::Int(0)) if zero_is_next => "NULL".to_owned(),
                Some(Literal::Int(_)) => self.keyed(table, column, stored),
                _ if ex.ty == Ty::Null => "NULL".to_owned(),
                _ if zero_is_next => self.keyed(table, column, format!("nullif({stored}, 0)")),
                _ => self.keyed(table, column, stored),
            });
        }
        Ok(self.keyed(table, column, not_null_rowid(table, column, stored)))
    }

    /// Values for all columns in the table's order, defaults filled in.
    fn complete_row(&mut self, table: &Arc<Table>, given: Vec<(usize, String)>, ignore: bool) -> Result<String, SqlError> {
        let mut values: Vec<Option<String>> = vec![None; table.columns.len()];
        for (index, value) in given {
            values[index] = Some(value);
        }
        let mut row = Vec::with_capacity(values.len());
        for (column, value) in table.columns.iter().zip(values) {
            row.push(match value {
                Some(value) => value,
                None => {
                    let value = self.default_value(table, column, ignore)?;
                    self.keyed(table, column, value)
                }
            });
        }
        Ok(row.join(", "))
    }

    fn on_duplicate(&mut self, insert: &ast::Insert, table: &Arc<Table>, assignments: &[ast::Assignment]) -> Result<String, SqlError> {
        let alias = match &insert.insert_alias {
            Some(a) => Some(name_of(&a.row_alias)?.name),
            None => None,
        };
        let names = insert.insert_alias.as_ref().and_then(|a| a.col_aliases.clone()).unwrap_or_default();
        let columns = self.insert_columns(insert, table)?;
        if !names.is_empty() && names.len() != columns.len() {
            return Err(error::column_count_mismatch(1));
        }
        let pairs = names.iter().zip(&columns).map(|(n, i)| (n.value.clone(), table.columns[*i].name.clone())).collect();
        self.proposed = Some(Proposed { table: Arc::clone(table), alias, columns: pairs });
        // The existing row goes by the table's name.
        let source = Source::of_table(table, &table.name, &quote(&table.storage), false, self.cx.settings.utc);
        self.scopes.push(Scope { sources: vec![source], ..Scope::default() });
        let set = self.assignments(table, assignments, insert.ignore, &quote(&table.storage));
        self.scopes.pop();
        self.proposed = None;
        let (set, _) = set?;
        let pairs: Vec<String> = set.iter().map(|(column, value)| format!("{} = {value}", quote(column))).collect();
        Ok(format!(" ON CONFLICT DO UPDATE SET {}", pairs.join(", ")))
    }

    /// The new values of an UPDATE, `ON UPDATE CURRENT_TIMESTAMP` included, and the columns the statement named.
    fn assignments(
        &mut self,
        table: &Arc<Table>,
        assignments: &[ast::Assignment],
        ignore: bool,
        relation: &str,
    ) -> Result<(Vec<NewValue>, Vec<String>), SqlError> {
        let ignore = ignore || !self.cx.settings.strict;
        let mut set: Vec<NewValue> = Vec::new();
        self.clause = "field list";
        for assignment in assignments {
            let (_, name) = self.target_column(assignment)?;
            let column = table.column(&name).ok_or_else(|| error::unknown_column(&name, "field list"))?.clone();
            let value = if let Some(of) = default_call(&assignment.value) {
                let source = match of {
                    Some(name) => table.column(&name).ok_or_else(|| error::unknown_column(&name, "field list"))?.clone(),
                    None => column.clone(),
                };
                self.default_value(table, &source, ignore)?
            } else {
                let ex = self.expression(&assignment.value)?;
                not_null_rowid(table, &column, self.store(&column, &ex, ignore)?)
            };
            let value = self.keyed(table, &column, value);
            // Later assignments see this one.
            self.assigned.push((format!("{relation}.{}", quote(&column.name)), value.clone()));
            set.retain(|(n, _)| *n != column.name);
            set.push((column.name.clone(), value));
        }
        self.assigned.clear();
        let named: Vec<String> = set.iter().map(|(n, _)| n.clone()).collect();
        let stamps: Vec<Column> =
            table.columns.iter().filter(|c| c.on_update_now && !named.iter().any(|n| n.eq_ignore_ascii_case(&c.name))).cloned().collect();
        for column in stamps {
            let tests: Vec<String> =
                set.iter().map(|(n, value)| format!("{relation}.{} COLLATE BINARY IS NOT ({value})", quote(n))).collect();
            let digits = match column.ty {
                crate::catalogue::Type::DateTime(d) | crate::catalogue::Type::Timestamp(d) => d,
                _ => 0,
            };
            let function = if matches!(column.ty, crate::catalogue::Type::Timestamp(_)) { "pm_utc_now" } else { "pm_now" };
            let own = format!("{relation}.{}", quote(&column.name));
            self.impure("NOW()");
            set.push((column.name, format!("iif({}, {function}({digits}), {own})", tests.join(" OR "))));
        }
        Ok((set, named))
    }

    /// The table qualifier (if any) and column that an assignment names.
    fn target_column(&self, assignment: &ast::Assignment) -> Result<(Option<String>, String), SqlError> {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(SqlError::unsupported("assignment to a tuple"));
        };
        let mut parts = identifiers(name)?;
        let column = parts.pop().unwrap_or_default();
        Ok((parts.pop(), column))
    }

    pub(super) fn update(mut self, update: &ast::Update) -> Result<Translation, SqlError> {
        if update.from.is_some() || update.returning.is_some() {
            return Err(SqlError::unsupported("clause of UPDATE"));
        }
        let ignore = matches!(update.or, Some(ast::SqliteOnConflict::Ignore));
        self.scopes.push(Scope::default());
        let from = self.table_with_joins(&update.table)?;
        let joined = !update.table.joins.is_empty();
        let source = self.update_target(update)?;
        let Some(table) = source.table.clone() else { return Err(SqlError::unsupported("UPDATE of a view or derived table")) };
        self.clause = "where clause";
        self.aggregates_allowed = false;
        let filter = match &update.selection {
            Some(selection) => format!(" WHERE {}", self.condition(selection)?),
            None => String::new(),
        };
        let (set, assigned) = self.assignments(&table, &update.assignments, ignore, &source.sql)?;
        if set.is_empty() {
            return Err(error::syntax("", 1));
        }
        let or = if ignore { "OR IGNORE " } else { "" };
        let rowid = || table.rowid_name().map(quote).ok_or_else(|| SqlError::unsupported("UPDATE of a table whose columns hide the rowid"));
        let storage = quote(&table.storage);
        let sql = if joined {
            if !update.order_by.is_empty() || update.limit.is_some() {
                return Err(SqlError::new(1221, "HY000", "Incorrect usage of UPDATE and ORDER BY"));
            }
            // The new values are worked out in a query of their own, so that any join may be in it; one row of it per target row.
            let key = rowid()?;
            let values: Vec<String> = set.iter().enumerate().map(|(i, (_, v))| format!("{v} AS v{i}")).collect();
            let pairs: Vec<String> = set.iter().enumerate().map(|(i, (n, _))| format!("{} = pm_new.v{i}", quote(n))).collect();
            format!(
                "UPDATE {or}{storage} AS pm_target SET {} FROM (SELECT {}.{key} AS pm_key, {} FROM {from}{filter}) AS pm_new WHERE pm_target.{key} = pm_new.pm_key",
                pairs.join(", "),
                source.sql,
                values.join(", ")
            )
        } else {
            let pairs: Vec<String> = set.iter().map(|(n, v)| format!("{} = {v}", quote(n))).collect();
            let pairs = pairs.join(", ");
            if update.order_by.is_empty() && update.limit.is_none() {
                format!("UPDATE {or}{storage} AS {} SET {pairs}{filter}", source.sql)
            } else {
                let chosen = self.chosen_rows(&source, &rowid()?, &from, &filter, &update.order_by, update.limit.as_ref())?;
                format!("UPDATE {or}{storage} AS {} SET {pairs} WHERE {}", source.sql, chosen)
            }
        };
        self.scopes.pop();
        let write = Write { table, kind: WriteKind::Update, ignore, assigned };
        Ok(self.finish(sql, vec![], Some(write)))
    }

    /// The one relation whose columns are assigned.
    fn update_target(&mut self, update: &ast::Update) -> Result<Source, SqlError> {
        let scope = self.scopes.last().expect("pushed by the caller");
        let mut target: Option<usize> = None;
        for assignment in &update.assignments {
            let (qualifier, column) = self.target_column(assignment)?;
            let found = match &qualifier {
                Some(q) => scope.sources.iter().position(|s| s.alias.eq_ignore_ascii_case(q)),
                None => {
                    let mut owners = scope.sources.iter().enumerate().filter(|(_, s)| s.column(&column).is_some()).map(|(i, _)| i);
                    let first = owners.next();
                    if owners.next().is_some() {
                        return Err(error::ambiguous_column(&column, "field list"));
                    }
                    first
                }
            };
            let full = qualifier.map_or(column.clone(), |q| format!("{q}.{column}"));
            let found = found.ok_or_else(|| error::unknown_column(&full, "field list"))?;
            if scope.sources[found].column(&column).is_none() {
                return Err(error::unknown_column(&full, "field list"));
            }
            if target.is_some_and(|t| t != found) {
                return Err(SqlError::unsupported("UPDATE of several tables at once"));
            }
            target = Some(found);
        }
        let target = target.ok_or_else(|| error::syntax("", 1))?;
        Ok(scope.sources[target].clone())
    }

    /// `rowid IN (SELECT rowid ... ORDER BY ... LIMIT ...)`.
    fn chosen_rows(
        &mut self,
        source: &Source,
        rowid: &str,
        from: &str,
        filter: &str,
        order_by: &[ast::OrderByExpr],
        limit: Option<&ast::Expr>,
    ) -> Result<String, SqlError> {
        self.clause = "order clause";
        let mut keys = Vec::new();
        for item in order_by {
            let ex = self.expression(&item.expr)?;
            let direction = if matches!(item.options.sort, Some(ast::OrderBySort::Desc)) { " DESC" } else { "" };
            keys.push(format!("{}{direction}", self.ordering(&ex)));
        }
        let order = if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", keys.join(", ")) };
        let limit = match limit {
            Some(limit) => format!(" LIMIT {}", self.row_count(limit)?),
            None => String::new(),
        };
        Ok(format!("{}.{rowid} IN (SELECT {}.{rowid} FROM {from}{filter}{order}{limit})", source.sql, source.sql))
    }

    pub(super) fn delete(mut self, delete: &ast::Delete) -> Result<Translation, SqlError> {
        if delete.returning.is_some() {
            return Err(SqlError::unsupported("RETURNING"));
        }
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
        // DELETE a FROM <joins>, or DELETE FROM a USING <joins>.
        let (targets, relations): (Vec<Name>, &[ast::TableWithJoins]) = match &delete.using {
            Some(using) => {
                let names = from.iter().map(|t| factor_name(&t.relation)).collect::<Result<Vec<_>, _>>()?;
                (names, using)
            }
            None => (delete.tables.iter().map(name_of).collect::<Result<_, _>>()?, from),
        };
        self.scopes.push(Scope::default());
        let mut parts = Vec::new();
        for relation in relations {
            parts.push(self.table_with_joins(relation)?);
        }
        let from_sql = parts.join(", ");
        let source = self.delete_target(&targets)?;
        let Some(table) = source.table.clone() else { return Err(SqlError::unsupported("DELETE from a view or derived table")) };
        self.clause = "where clause";
        self.aggregates_allowed = false;
        let filter = match &delete.selection {
            Some(selection) => format!(" WHERE {}", self.condition(selection)?),
            None => String::new(),
        };
        let rowid =
            || table.rowid_name().map(quote).ok_or_else(|| SqlError::unsupported("DELETE from a table whose columns hide the rowid"));
        let storage = quote(&table.storage);
        let single = relations.len() == 1 && relations[0].joins.is_empty();
        let sql = if !single {
            if !delete.order_by.is_empty() || delete.limit.is_some() {
                return Err(error::syntax("", 1));
            }
            let key = rowid()?;
            format!("DELETE FROM {storage} WHERE {key} IN (SELECT {}.{key} FROM {from_sql}{filter})", source.sql)
        } else if delete.order_by.is_empty() && delete.limit.is_none() {
            format!("DELETE FROM {storage} AS {}{filter}", source.sql)
        } else {
            let chosen = self.chosen_rows(&source, &rowid()?, &from_sql, &filter, &delete.order_by, delete.limit.as_ref())?;
            format!("DELETE FROM {storage} AS {} WHERE {chosen}", source.sql)
        };
        self.scopes.pop();
        let write = Write { table, kind: WriteKind::Delete, ignore: false, assigned: vec![] };
        Ok(self.finish(sql, vec![], Some(write)))
    }

    fn delete_target(&mut self, targets: &[Name]) -> Result<Source, SqlError> {
        let scope = self.scopes.last().expect("pushed by the caller");
        match targets {
            [] if scope.sources.len() == 1 => Ok(scope.sources[0].clone()),
            [] => Err(error::syntax("", 1)),
            [target] => scope
                .sources
                .iter()
                .find(|s| s.alias.eq_ignore_ascii_case(&target.name))
                .cloned()
                .ok_or_else(|| SqlError::new(1109, "42S02", format!("Unknown table '{}' in MULTI DELETE", target.name))),
            _ => Err(SqlError::unsupported("DELETE from several tables at once")),
        }
    }
}

// === helpers ===

/// SQLite would make up a number for a NULL in its rowid; MySQL does so for AUTO_INCREMENT columns only.
fn not_null_rowid(table: &Table, column: &Column, value: String) -> String {
    let rowid = table.rowid_column().is_some_and(|c| c.name == column.name);
    let literal = value.parse::<i64>().is_ok();
    if rowid && !literal { format!("pm_not_null({value}, {})", super::scope::string(&column.name)) } else { value }
}

/// `DEFAULT` is `Some(None)`, `DEFAULT(column)` is `Some(Some(column))`.
fn default_call(expr: &ast::Expr) -> Option<Option<String>> {
    match expr {
        ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("DEFAULT") => Some(None),
        ast::Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("DEFAULT") => match &f.args {
            ast::FunctionArguments::List(list) => match list.args.as_slice() {
                [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Identifier(ident)))] => Some(Some(ident.value.clone())),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn factor_name(factor: &ast::TableFactor) -> Result<Name, SqlError> {
    match factor {
        ast::TableFactor::Table { name, .. } => name_of(name),
        _ => Err(error::syntax("", 1)),
    }
}
