//! SELECT, set operations, GROUP BY, ORDER BY, LIMIT.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::scope::{AliasRule, Cte, Scope};
use super::{Ex, Translation, Translator, name_of, quote};
use crate::error;
use crate::parse::{Name, Query};
use crate::types::{OutColumn, Ty};

/// A translated SELECT before its ORDER BY and LIMIT are attached.
struct Block {
    sql: String,
    columns: Vec<OutColumn>,
}

/// Keywords after a block that only its scope can resolve.
struct Tail<'q> {
    order_by: Option<&'q ast::OrderBy>,
}

impl Translator<'_> {
    pub(super) fn top_query(mut self, query: &Query) -> Result<Translation, SqlError> {
        let (mut sql, mut columns) = self.query(&query.tree, Some(&query.item_texts))?;
        let mut count_sql = None;
        if query.calc_found_rows {
            let unlimited = ast::Query { limit_clause: None, order_by: None, ..query.tree.clone() };
            let (inner, _) = Translator { relations: self.relations, ..Translator::new(self.cx) }.query(&unlimited, None)?;
            count_sql = Some(format!("SELECT count(*) FROM ({inner})"));
            self.impure("SQL_CALC_FOUND_ROWS");
        }
        if let (Some(limit), None) = (self.cx.settings.select_limit, &query.tree.limit_clause) {
            sql = format!("SELECT * FROM ({sql}) LIMIT {limit}");
        }
        if query.locking {
            self.impure("a locking read");
        }
        for column in &mut columns {
            if column.name.len() > NAME_BYTES_MAX {
                let mut end = NAME_BYTES_MAX;
                while !column.name.is_char_boundary(end) {
                    end -= 1;
                }
                column.name.truncate(end);
            }
        }
        let mut done = self.finish(sql, columns, None);
        done.count_sql = count_sql;
        Ok(done)
    }

    pub(super) fn do_expressions(mut self, expressions: &[ast::Expr]) -> Result<Translation, SqlError> {
        let values = expressions.iter().map(|e| self.expression(e).map(|e| e.sql)).collect::<Result<Vec<_>, _>>()?;
        self.impure("DO");
        Ok(self.finish(format!("SELECT {}", values.join(", ")), vec![], None))
    }

    /// A query in an expression: sees the scopes around it.
    pub(super) fn subquery(&mut self, query: &ast::Query) -> Result<(String, Vec<OutColumn>), SqlError> {
        let (clause, allowed, saw) = (self.clause, self.aggregates_allowed, self.saw_aggregate);
        let done = self.query(query, None);
        (self.clause, self.aggregates_allowed, self.saw_aggregate) = (clause, allowed, saw);
        done
    }

    /// A query in FROM: sees none of them.
    pub(super) fn isolated(&mut self, query: &ast::Query) -> Result<(String, Vec<OutColumn>), SqlError> {
        let outer = std::mem::take(&mut self.scopes);
        let done = self.subquery(query);
        self.scopes = outer;
        done
    }

    fn query(&mut self, query: &ast::Query, texts: Option<&[String]>) -> Result<(String, Vec<OutColumn>), SqlError> {
        if query.fetch.is_some() || query.for_clause.is_some() || query.settings.is_some() || !query.pipe_operators.is_empty() {
            return Err(SqlError::unsupported("clause of SELECT"));
        }
        for lock in &query.locks {
            if lock.nonblock.is_some() {
                return Err(SqlError::unsupported("NOWAIT and SKIP LOCKED"));
            }
        }
        let ctes = self.ctes.len();
        let with = match &query.with {
            Some(with) => self.with(with)?,
            None => String::new(),
        };
        let block = self.body(&query.body, &Tail { order_by: query.order_by.as_ref() }, texts)?;
        let limit = self.limit(query.limit_clause.as_ref())?;
        self.ctes.truncate(ctes);
        Ok((format!("{with}{}{limit}", block.sql), block.columns))
    }

    fn with(&mut self, with: &ast::With) -> Result<String, SqlError> {
        let mut parts = Vec::new();
        for cte in &with.cte_tables {
            let name = cte.alias.name.value.clone();
            let renames: Vec<String> = cte.alias.columns.iter().map(|c| c.name.value.clone()).collect();
            let sql_name = self.next_relation();
            if with.recursive
                && let ast::SetExpr::SetOperation { left, .. } = cte.query.body.as_ref()
            {
                // The first part tells the columns; the rest may then refer to them.
                let seed = self.isolated(&ast::Query { body: left.clone(), ..bare_query(&cte.query) })?;
                let columns = rename(seed.1, &renames)?.into_iter().map(|c| OutColumn { nullable: true, ..c }).collect();
                self.ctes.push(Cte { name: name.clone(), sql: sql_name.clone(), columns });
                let (sql, columns) = self.isolated(&cte.query)?;
                parts.push(format!("{sql_name}({}) AS ({sql})", positions(columns.len())));
                continue;
            }
            let (sql, columns) = self.isolated(&cte.query)?;
            let columns = rename(columns, &renames)?;
            parts.push(format!("{sql_name}({}) AS ({sql})", positions(columns.len())));
            self.ctes.push(Cte { name, sql: sql_name, columns });
        }
        Ok(format!("WITH {}{} ", if with.recursive { "RECURSIVE " } else { "" }, parts.join(", ")))
    }

    fn body(&mut self, body: &ast::SetExpr, tail: &Tail<'_>, texts: Option<&[String]>) -> Result<Block, SqlError> {
        match body {
            ast::SetExpr::Select(select) => self.select(select, tail, texts),
            ast::SetExpr::Query(query) => {
                let (sql, columns) = self.query(query, texts)?;
                let order = self.order_by_columns(tail.order_by, &columns)?;
                Ok(Block { sql: format!("SELECT * FROM ({sql}){order}"), columns })
            }
            ast::SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let block = self.set_operation(left, *op, *set_quantifier, right, texts)?;
                if tail.order_by.is_none() {
                    return Ok(block);
                }
                let order = self.order_by_columns(tail.order_by, &block.columns)?;
                let inner = super::expression::renamed(&block.sql, block.columns.len());
                Ok(Block { sql: format!("SELECT * FROM ({inner}){order}"), ..block })
            }
            ast::SetExpr::Values(values) => self.values(values, tail),
            _ => Err(SqlError::unsupported("this kind of query")),
        }
    }

    fn values(&mut self, values: &ast::Values, tail: &Tail<'_>) -> Result<Block, SqlError> {
        let mut columns: Vec<Vec<Ex>> = vec![];
        for row in &values.rows {
            if columns.is_empty() {
                columns = vec![vec![]; row.content.len()];
            }
            if row.content.len() != columns.len() {
                return Err(error::column_count_mismatch(1));
            }
            for (column, expr) in columns.iter_mut().zip(&row.content) {
                column.push(self.expression(expr)?);
            }
        }
        let mut out = Vec::new();
        let mut converted = Vec::new();
        for (i, column) in columns.into_iter().enumerate() {
            let (like, sql) = self.unify(column)?;
            out.push(OutColumn {
                name: format!("column_{i}"),
                ty: like.ty,
                collation: like.collation,
                nullable: like.nullable,
                origin: None,
            });
            converted.push(sql);
        }
        let rows: Vec<String> = (0..values.rows.len())
            .map(|r| format!("({})", converted.iter().map(|c| c[r].as_str()).collect::<Vec<_>>().join(", ")))
            .collect();
        let order = self.order_by_columns(tail.order_by, &out)?;
        Ok(Block { sql: format!("SELECT * FROM (VALUES {}){order}", rows.join(", ")), columns: out })
    }

    fn set_operation(
        &mut self,
        left: &ast::SetExpr,
        op: ast::SetOperator,
        quantifier: ast::SetQuantifier,
        right: &ast::SetExpr,
        texts: Option<&[String]>,
    ) -> Result<Block, SqlError> {
        let none = Tail { order_by: None };
        let all = quantifier == ast::SetQuantifier::All;
        // A chain of one operator has one type per column, worked out from all its parts.
        let mut parts = Vec::new();
        flatten(left, op, quantifier, &mut parts);
        parts.push(right);
        if !matches!(op, ast::SetOperator::Union) {
            parts = vec![left, right];
        }
        let mut blocks = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let block = self.body(part, &none, texts.filter(|_| i == 0))?;
            blocks.push((block, matches!(part, ast::SetExpr::Select(_))));
        }
        let width = blocks[0].0.columns.len();
        if blocks.iter().any(|(b, _)| b.columns.len() != width) {
            return Err(error::union_columns());
        }
        let mut columns = Vec::new();
        let mut lists: Vec<Vec<String>> = vec![vec![]; blocks.len()];
        let mut keys = Vec::new();
        for i in 0..width {
            let ex = |c: &OutColumn| Ex { nullable: c.nullable, ..Ex::new(format!("c{}", i + 1), c.ty.clone()) }.collated(c.collation, 2);
            let values = blocks.iter().map(|(b, _)| ex(&b.columns[i])).collect();
            let (like, converted) = self.unify(values)?;
            for (list, sql) in lists.iter_mut().zip(converted) {
                list.push(sql);
            }
            keys.push(self.grouping(&Ex { sql: format!("c{}", i + 1), ..like.clone() }));
            let name = blocks[0].0.columns[i].name.clone();
            columns.push(OutColumn { name, ty: like.ty, collation: like.collation, nullable: like.nullable, origin: None });
        }
        let names: Vec<String> = (1..=width).map(|i| format!("c{i}")).collect();
        let wrap = |block: &(Block, bool), list: &[String]| {
            // Left as it is where nothing is converted: a recursive reference must stand in the compound itself.
            if block.1 && list == names {
                return block.0.sql.clone();
            }
            format!("SELECT {} FROM ({})", list.join(", "), super::expression::renamed(&block.0.sql, width))
        };
        let sides: Vec<String> = blocks.iter().zip(&lists).map(|(b, list)| wrap(b, list)).collect();
        let plain_keys = keys == names;
        let sql = match (op, all) {
            (ast::SetOperator::Union, true) => sides.join(" UNION ALL "),
            (ast::SetOperator::Union, false) if plain_keys => sides.join(" UNION "),
            // Which of two equal texts stays is the first one's right, and SQLite's UNION keeps the last.
            (ast::SetOperator::Union, false) => {
                format!("SELECT DISTINCT {} FROM ({})", keys.join(", "), super::expression::renamed(&sides.join(" UNION ALL "), width))
            }
            (ast::SetOperator::Intersect | ast::SetOperator::Except | ast::SetOperator::Minus, false) => {
                let word = if op == ast::SetOperator::Intersect { "INTERSECT" } else { "EXCEPT" };
                let first = format!("SELECT {} FROM ({})", keys.join(", "), super::expression::renamed(&sides[0], width));
                format!("{first} {word} {}", sides[1])
            }
            _ => return Err(SqlError::unsupported("INTERSECT ALL and EXCEPT ALL")),
        };
        Ok(Block { sql, columns })
    }

    // --- one SELECT ---

    fn select(&mut self, select: &ast::Select, tail: &Tail<'_>, texts: Option<&[String]>) -> Result<Block, SqlError> {
        if select.top.is_some()
            || select.into.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || select.qualify.is_some()
            || select.exclude.is_some()
        {
            return Err(SqlError::unsupported(if select.into.is_some() { "SELECT ... INTO" } else { "clause of SELECT" }));
        }
        self.scopes.push(Scope::default());
        let done = self.select_in_scope(select, tail, texts);
        self.scopes.pop();
        done
    }

    fn select_in_scope(&mut self, select: &ast::Select, tail: &Tail<'_>, texts: Option<&[String]>) -> Result<Block, SqlError> {
        let (outer_saw, outer_allowed) = (self.saw_aggregate, self.aggregates_allowed);
        let from = self.from(&select.from)?;
        let mut filter = String::new();
        if let Some(selection) = &select.selection {
            self.clause = "where clause";
            self.aggregates_allowed = false;
            filter = format!(" WHERE {}", self.condition(selection)?);
        }
        self.aggregates_allowed = true;
        self.saw_aggregate = false;
        let named_windows = self.named_windows(&select.named_window)?;
        self.clause = "field list";
        let (items, columns) = self.projection(&select.projection, texts)?;
        let aliases = columns.iter().zip(&items).map(|(c, e)| (c.name.clone(), e.clone())).collect();
        let depth = self.scopes.len() - 1;
        self.scopes[depth].items = aliases;
        let grouping = self.group_by(&select.group_by, &items)?;
        let having = self.having(select.having.as_ref(), !grouping.is_empty() || self.saw_aggregate)?;
        self.clause = "order clause";
        self.scopes[depth].alias_rule = AliasRule::First;
        let distinct = matches!(select.distinct, Some(ast::Distinct::Distinct));
        if matches!(select.distinct, Some(ast::Distinct::On(_))) {
            return Err(SqlError::unsupported("DISTINCT ON"));
        }
        let order = self.order_by(tail.order_by, &items, distinct)?;
        self.scopes[depth].alias_rule = AliasRule::Unseen;
        let list: Vec<String> = items.iter().map(|e| if distinct { self.grouping(e) } else { e.sql.clone() }).collect();
        let sql = format!(
            "SELECT {}{}{from}{filter}{grouping}{having}{named_windows}{order}",
            if distinct { "DISTINCT " } else { "" },
            list.join(", ")
        );
        (self.saw_aggregate, self.aggregates_allowed) = (outer_saw, outer_allowed);
        Ok(Block { sql, columns })
    }

    fn named_windows(&mut self, windows: &[ast::NamedWindowDefinition]) -> Result<String, SqlError> {
        let mut parts = Vec::new();
        for ast::NamedWindowDefinition(name, definition) in windows {
            let ast::NamedWindowExpr::WindowSpec(spec) = definition else {
                return Err(SqlError::unsupported("window named after a window"));
            };
            parts.push(format!("{} AS {}", quote(&name.value), self.window_spec(spec)?));
        }
        Ok(if parts.is_empty() { String::new() } else { format!(" WINDOW {}", parts.join(", ")) })
    }

    fn projection(&mut self, items: &[ast::SelectItem], texts: Option<&[String]>) -> Result<(Vec<Ex>, Vec<OutColumn>), SqlError> {
        let mut expressions = Vec::new();
        let mut columns = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item {
                ast::SelectItem::UnnamedExpr(expr) => {
                    let ex = self.expression(expr)?;
                    let name = item_name(expr, texts.filter(|t| t.len() == items.len()).map(|t| t[i].as_str()));
                    columns.push(out_column(&ex, name));
                    expressions.push(ex);
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    let ex = self.expression(expr)?;
                    columns.push(out_column(&ex, alias.value.clone()));
                    expressions.push(ex);
                }
                ast::SelectItem::Wildcard(_) => {
                    let found = self.star(None)?;
                    columns.extend(found.iter().map(|(name, ex)| out_column(ex, name.clone())));
                    expressions.extend(found.into_iter().map(|(_, ex)| ex));
                }
                ast::SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let found = self.star(Some(&name_of(name)?))?;
                    columns.extend(found.iter().map(|(name, ex)| out_column(ex, name.clone())));
                    expressions.extend(found.into_iter().map(|(_, ex)| ex));
                }
                other => return Err(SqlError::unsupported(format!("select item {other}"))),
            }
        }
        Ok((expressions, columns))
    }

    fn star(&self, of: Option<&Name>) -> Result<Vec<(String, Ex)>, SqlError> {
        let scope = self.scopes.last().expect("projection runs inside a scope");
        let mut found = Vec::new();
        match of {
            None => {
                if scope.sources.is_empty() {
                    return Err(SqlError::new(1096, "HY000", "No tables used"));
                }
                found.extend(scope.merged.iter().cloned());
                for source in &scope.sources {
                    let visible = source.columns.iter().enumerate().filter(|(i, _)| !source.hidden.contains(i));
                    found.extend(visible.map(|(_, c)| (c.name.clone(), c.ex.clone())));
                }
            }
            Some(name) => {
                let source = scope
                    .sources
                    .iter()
                    .find(|s| {
                        s.alias.eq_ignore_ascii_case(&name.name)
                            && name.database.as_ref().is_none_or(|d| s.database.as_ref().is_some_and(|have| have.eq_ignore_ascii_case(d)))
                    })
                    .ok_or_else(|| SqlError::new(1051, "42S02", format!("Unknown table '{}'", name.name)))?;
                found.extend(source.columns.iter().map(|c| (c.name.clone(), c.ex.clone())));
            }
        }
        Ok(found)
    }

    fn group_by(&mut self, group_by: &ast::GroupByExpr, items: &[Ex]) -> Result<String, SqlError> {
        let ast::GroupByExpr::Expressions(list, modifiers) = group_by else { return Err(SqlError::unsupported("GROUP BY ALL")) };
        if !modifiers.is_empty() {
            return Err(SqlError::unsupported("WITH ROLLUP"));
        }
        if list.is_empty() {
            return Ok(String::new());
        }
        self.clause = "group statement";
        let depth = self.scopes.len() - 1;
        self.scopes[depth].alias_rule = AliasRule::Last;
        self.aggregates_allowed = false;
        let mut keys = Vec::new();
        for expr in list {
            let ex = match position(expr, items.len(), "group statement")? {
                Some(i) => items[i].clone(),
                None => self.expression(expr)?,
            };
            // A constant would be read as a position by SQLite.
            keys.push(if ex.literal.is_some() { format!("({} + 0)", Ex::null().sql) } else { self.grouping(&ex) });
        }
        self.aggregates_allowed = true;
        self.scopes[depth].alias_rule = AliasRule::Unseen;
        Ok(format!(" GROUP BY {}", keys.join(", ")))
    }

    fn having(&mut self, having: Option<&ast::Expr>, grouped: bool) -> Result<String, SqlError> {
        let Some(having) = having else { return Ok(String::new()) };
        self.clause = "having clause";
        let depth = self.scopes.len() - 1;
        self.scopes[depth].alias_rule = AliasRule::First;
        let saw = self.saw_aggregate;
        let condition = self.condition(having)?;
        let aggregates = self.saw_aggregate;
        self.saw_aggregate = saw;
        self.scopes[depth].alias_rule = AliasRule::Unseen;
        if !grouped && !aggregates {
            // MySQL lets HAVING filter rows of a query without groups; SQLite wants a GROUP BY, and one group per row is none.
            return Err(SqlError::unsupported("HAVING without GROUP BY or aggregate"));
        }
        Ok(format!(" HAVING {condition}"))
    }

    fn order_by(&mut self, order: Option<&ast::OrderBy>, items: &[Ex], distinct: bool) -> Result<String, SqlError> {
        let Some(order) = order else { return Ok(String::new()) };
        let ast::OrderByKind::Expressions(list) = &order.kind else { return Err(SqlError::unsupported("ORDER BY ALL")) };
        let mut keys = Vec::new();
        for item in list {
            if item.options.nulls_first.is_some() || item.with_fill.is_some() {
                return Err(SqlError::unsupported("NULLS FIRST and LAST"));
            }
            let ex = match position(&item.expr, items.len(), "order clause")? {
                Some(i) => items[i].clone(),
                None => self.expression(&item.expr)?,
            };
            if ex.literal.is_some() {
                continue;
            }
            let direction = if matches!(item.options.sort, Some(ast::OrderBySort::Desc)) { " DESC" } else { "" };
            // With DISTINCT, SQLite sorts what was selected: name it as it stands there.
            let key = if distinct && items.iter().any(|i| i.sql == ex.sql) && !matches!(ex.ty, Ty::Enum(_) | Ty::Set(_)) {
                self.grouping(&ex)
            } else {
                self.ordering(&ex)
            };
            keys.push(format!("{key}{direction}"));
        }
        Ok(if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", keys.join(", ")) })
    }

    /// What SQLite sorts by: ENUM and SET by their numbers, text by its collation.
    pub(super) fn ordering(&self, ex: &Ex) -> String {
        match &ex.ty {
            Ty::Enum(_) | Ty::Set(_) => self.to_int(ex),
            Ty::Json => format!("{} COLLATE PM_JSON", ex.sql),
            _ => self.grouping(ex),
        }
    }

    /// ORDER BY of a UNION or of a parenthesised query: by output column only.
    fn order_by_columns(&mut self, order: Option<&ast::OrderBy>, columns: &[OutColumn]) -> Result<String, SqlError> {
        let Some(order) = order else { return Ok(String::new()) };
        let ast::OrderByKind::Expressions(list) = &order.kind else { return Err(SqlError::unsupported("ORDER BY ALL")) };
        let mut keys = Vec::new();
        for item in list {
            let index = match position(&item.expr, columns.len(), "order clause")? {
                Some(i) => i,
                None => match &item.expr {
                    ast::Expr::Identifier(ident) => columns
                        .iter()
                        .position(|c| c.name.eq_ignore_ascii_case(&ident.value))
                        .ok_or_else(|| error::unknown_column(&ident.value, "order clause"))?,
                    _ => return Err(SqlError::unsupported("ORDER BY an expression after UNION")),
                },
            };
            let column = &columns[index];
            if matches!(column.ty, Ty::Enum(_) | Ty::Set(_)) {
                return Err(SqlError::unsupported("ORDER BY ENUM or SET after UNION"));
            }
            let ex = Ex::new((index + 1).to_string(), column.ty.clone()).collated(column.collation, 2);
            let direction = if matches!(item.options.sort, Some(ast::OrderBySort::Desc)) { " DESC" } else { "" };
            keys.push(format!("{}{direction}", self.grouping(&ex)));
        }
        Ok(if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", keys.join(", ")) })
    }

    fn limit(&mut self, clause: Option<&ast::LimitClause>) -> Result<String, SqlError> {
        let (limit, offset) = match clause {
            None => return Ok(String::new()),
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|o| &o.value))
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            Some(_) => return Err(SqlError::unsupported("LIMIT BY")),
        };
        let Some(limit) = limit else { return Err(error::syntax("OFFSET", 1)) };
        let mut sql = format!(" LIMIT {}", self.row_count(limit)?);
        if let Some(offset) = offset {
            sql.push_str(&format!(" OFFSET {}", self.row_count(offset)?));
        }
        Ok(sql)
    }

    /// A number of rows: a literal or a parameter.
    pub(super) fn row_count(&mut self, expr: &ast::Expr) -> Result<String, SqlError> {
        match expr {
            ast::Expr::Value(v) => match &v.value {
                ast::Value::Number(n, _) => {
                    let n: u64 = n.parse().map_err(|_| error::syntax(n, 1))?;
                    Ok(i64::try_from(n).unwrap_or(i64::MAX).to_string())
                }
                ast::Value::Placeholder(_) => {
                    let ex = self.expression(expr)?;
                    Ok(format!("pm_row_count({})", ex.sql))
                }
                other => Err(error::syntax(&other.to_string(), 1)),
            },
            other => Err(error::syntax(&other.to_string(), 1)),
        }
    }
}

/// MySQL cuts column names of results at this length.
const NAME_BYTES_MAX: usize = 255;

/// The parts of `a op b op c`.
fn flatten<'q>(body: &'q ast::SetExpr, op: ast::SetOperator, quantifier: ast::SetQuantifier, parts: &mut Vec<&'q ast::SetExpr>) {
    match body {
        ast::SetExpr::SetOperation { left, op: inner, set_quantifier, right } if *inner == op && *set_quantifier == quantifier => {
            flatten(left, op, quantifier, parts);
            parts.push(right);
        }
        other => parts.push(other),
    }
}

fn bare_query(query: &ast::Query) -> ast::Query {
    ast::Query { with: None, order_by: None, limit_clause: None, ..query.clone() }
}

pub(super) fn positions(count: usize) -> String {
    (1..=count).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn rename(mut columns: Vec<OutColumn>, names: &[String]) -> Result<Vec<OutColumn>, SqlError> {
    if names.is_empty() {
        return Ok(columns);
    }
    if names.len() != columns.len() {
        return Err(SqlError::new(
            1353,
            "HY000",
            "In definition of view, derived table or common table expression, SELECT list and column names list have different column counts",
        ));
    }
    for (column, name) in columns.iter_mut().zip(names) {
        column.name = name.clone();
    }
    Ok(columns)
}

pub(super) fn out_column(ex: &Ex, name: String) -> OutColumn {
    OutColumn { name, ty: ex.ty.clone(), collation: ex.collation, nullable: ex.nullable, origin: ex.origin.clone() }
}

/// MySQL names a column by its column, and anything else by its source text.
fn item_name(expr: &ast::Expr, text: Option<&str>) -> String {
    match expr {
        ast::Expr::Identifier(ident) if !ident.value.starts_with('@') || ident.quote_style.is_some() => ident.value.clone(),
        ast::Expr::CompoundIdentifier(parts) if !parts[0].value.starts_with("@@") => parts[parts.len() - 1].value.clone(),
        ast::Expr::Value(v) => match &v.value {
            ast::Value::SingleQuotedString(s) | ast::Value::DoubleQuotedString(s) => s.clone(),
            ast::Value::Null => "NULL".to_owned(),
            other => text.map_or_else(|| other.to_string(), str::to_owned),
        },
        other => text.map_or_else(|| other.to_string(), str::to_owned),
    }
}

/// `ORDER BY 2`: the index of the item meant.
fn position(expr: &ast::Expr, count: usize, clause: &'static str) -> Result<Option<usize>, SqlError> {
    let ast::Expr::Value(v) = expr else { return Ok(None) };
    let ast::Value::Number(text, _) = &v.value else { return Ok(None) };
    let Ok(n) = text.parse::<usize>() else { return Ok(None) };
    if n == 0 || n > count {
        return Err(error::unknown_column(n, clause));
    }
    Ok(Some(n - 1))
}
