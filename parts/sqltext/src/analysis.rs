//! The tree of a statement: what it reads and by which rows, what it writes, and whether its answer is a function of rows.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use pumasi_freshness::{Deps, Table};
use sqlparser::{
    ast::{
        self, BinaryOperator, Expr, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SetExpr, Statement,
        TableFactor, UnaryOperator, Visit, Visitor,
    },
    dialect::MySqlDialect,
    parser::Parser,
};

use crate::{Comparison, DEPTH_MAX, Digest, Key, Operand, Reason, Scalar, functions};

/// What the analysis needs to know of the database.
pub trait Catalogue {
    /// What `name` means to the session; `database` is `None` for an unqualified name (the session's own is meant).
    fn relation(&self, database: Option<&str>, name: &str) -> Relation;
}

#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    Table(Arc<TableInfo>),
    /// With the base tables behind it, views over views expanded.
    View(Vec<TableName>),
    /// A temporary table, which hides others of its name.
    Temporary,
    System,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub database: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TableInfo {
    pub name: TableName,
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub comparison: Comparison,
}

/// What one digest's statements have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// For a SELECT whose answer is a function of rows.
    pub reads: Result<Template, Reason>,
    /// The same for a SELECT whose answer is a function of rows, the clock and dice: whoever has the rows may answer it, nobody may keep the answer.
    pub sees: Result<Template, Reason>,
    /// Tables that the statement changes rows of, as written; `None`: it cannot be said.
    pub writes: Option<Vec<TableName>>,
}

/// From the values of one statement to its dependencies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    /// Each table once, with all its occurrences.
    pub tables: Vec<(TableName, Vec<Uses>)>,
}

/// How one occurrence of a table is restricted.
#[derive(Clone, Debug, PartialEq)]
pub enum Uses {
    /// Any row may matter.
    Whole,
    /// Only rows whose column equals one of the operands; `true`: with its sign turned.
    Rows { column: String, comparison: Comparison, operands: Vec<(usize, bool)> },
}

impl Template {
    /// The dependencies of a statement with these operands and bound parameters.
    pub fn deps(&self, operands: &[Operand<'_>], parameters: &[Scalar<'_>]) -> Deps {
        let mut deps = Deps::new();
        for (name, uses) in &self.tables {
            let table = Table::named(&name.database, &name.name);
            for one in uses {
                match one.keys(operands, parameters) {
                    Some((column, keys)) => deps.add_rows(table, column, keys.iter().map(|key| key.0.as_slice())),
                    None => deps.add_table(table),
                }
            }
        }
        deps
    }
}

impl Uses {
    fn keys(&self, operands: &[Operand<'_>], parameters: &[Scalar<'_>]) -> Option<(&str, Vec<Key>)> {
        let Uses::Rows { column, comparison, operands: places } = self else { return None };
        let mut keys = Vec::new();
        for &(place, negated) in places {
            let scalar = operands.get(place)?.scalar(parameters);
            let scalar = if negated { scalar.negated() } else { scalar };
            keys.extend(Key::of_constant(&scalar, *comparison)?);
        }
        Some((column, keys))
    }
}

/// Analyses the statement behind `digest`, once for all that share it.
pub fn analyse(digest: &Digest<'_>, catalogue: &dyn Catalogue) -> Analysis {
    let refused = |reason| Analysis { reads: Err(reason), sees: Err(reason), writes: None };
    let dialect = MySqlDialect {};
    let parsed =
        Parser::new(&dialect).with_recursion_limit(DEPTH_MAX).try_with_sql(&digest.text).and_then(|mut parser| parser.parse_statements());
    let statement = match parsed {
        Ok(statements) => match <[Statement; 1]>::try_from(statements) {
            Ok([statement]) => statement,
            Err(_) => return refused(Reason::Unparsable),
        },
        Err(sqlparser::parser::ParserError::RecursionLimitExceeded) => return refused(Reason::TooLarge),
        Err(_) => return refused(Reason::Unparsable),
    };
    let mut found = Found { catalogue, names: Vec::new(), reason: None, moment: None, writes_unknown: false };
    let _ = statement.visit(&mut found);
    match &statement {
        Statement::Query(query) => {
            let sees = match found.reason {
                Some(reason) => Err(reason),
                None => template(query, &found.names, catalogue),
            };
            let reads = found.moment.map_or_else(|| sees.clone(), Err);
            Analysis { reads, sees, writes: Some(Vec::new()) }
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
            Analysis { reads: Err(Reason::NotARead), sees: Err(Reason::NotARead), writes: found.written(&statement) }
        }
        _ => refused(Reason::NotARead),
    }
}

// === what is anywhere in the tree ===

struct Found<'c> {
    catalogue: &'c dyn Catalogue,
    /// Every relation named, common table expressions included.
    names: Vec<(Option<String>, String)>,
    /// The first thing that makes the answer no function of rows.
    reason: Option<Reason>,
    /// The first use of the clock or of dice.
    moment: Option<Reason>,
    /// A function is called that may write.
    writes_unknown: bool,
}

impl Found<'_> {
    fn refuse(&mut self, reason: Reason) -> ControlFlow<()> {
        let kind = if matches!(reason, Reason::Clock | Reason::Random) { &mut self.moment } else { &mut self.reason };
        kind.get_or_insert(reason);
        ControlFlow::Continue(())
    }

    /// The tables a statement may change: all that it names, because a table needlessly fenced costs little.
    fn written(&self, statement: &Statement) -> Option<Vec<TableName>> {
        if self.writes_unknown {
            return None;
        }
        let names = match statement {
            // What INSERT ... SELECT reads it does not write.
            Statement::Insert(insert) => match &insert.table {
                ast::TableObject::TableName(name) => vec![plain(name)?],
                _ => return None,
            },
            _ => self.names.clone(),
        };
        let mut tables = Vec::new();
        for (database, name) in names {
            match self.catalogue.relation(database.as_deref(), &name) {
                Relation::Table(info) => tables.push(info.name.clone()),
                Relation::View(behind) => tables.extend(behind),
                Relation::Temporary => {}
                Relation::System | Relation::Unknown => return None,
            }
        }
        tables.sort();
        tables.dedup();
        Some(tables)
    }
}

impl Visitor for Found<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            return self.refuse(Reason::Locking);
        }
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
            return self.refuse(Reason::Unparsable);
        }
        match &*query.body {
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) => ControlFlow::Continue(()),
            _ => self.refuse(Reason::NotARead),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.into.is_some() {
            return self.refuse(Reason::Into);
        }
        if select.select_modifiers.as_ref().is_some_and(|modifiers| modifiers.sql_calc_found_rows) {
            return self.refuse(Reason::SessionState);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        match plain(relation) {
            Some(name) => self.names.push(name),
            None => return self.refuse(Reason::UnknownRelation),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { args: None, version: None, json_path: None, sample: None, with_ordinality: false, .. }
            | TableFactor::Derived { sample: None, .. }
            | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            _ => self.refuse(Reason::UnknownRelation),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                let Some((None, name)) = plain(&function.name) else {
                    self.writes_unknown = true;
                    return self.refuse(Reason::UnknownFunction);
                };
                if let Err(reason) = functions::purity(&name) {
                    self.writes_unknown |= reason == Reason::UnknownFunction;
                    return self.refuse(reason);
                }
            }
            // Keywords without parentheses, taken for columns by some.
            Expr::Identifier(name) if name.quote_style.is_none() && matches!(functions::purity(&name.value), Err(Reason::Clock)) => {
                return self.refuse(Reason::Clock);
            }
            Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("current_user") => {
                return self.refuse(Reason::SessionState);
            }
            Expr::MatchAgainst { .. } => return self.refuse(Reason::UnknownFunction),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

// === which rows ===

fn template(query: &Query, names: &[(Option<String>, String)], catalogue: &dyn Catalogue) -> Result<Template, Reason> {
    let expressions = common_table_expressions(query);
    // Every name the statement holds, whole; then the occurrences that are restricted take its place where all of them are.
    let mut occurrences: BTreeMap<TableName, usize> = BTreeMap::new();
    let mut whole: BTreeMap<TableName, ()> = BTreeMap::new();
    for (database, name) in names {
        match catalogue.relation(database.as_deref(), name) {
            Relation::Table(info) => *occurrences.entry(info.name.clone()).or_default() += 1,
            Relation::View(behind) => whole.extend(behind.into_iter().map(|name| (name, ()))),
            Relation::Temporary => return Err(Reason::TemporaryTable),
            Relation::System => return Err(Reason::SystemTable),
            Relation::Unknown if database.is_none() && expressions.iter().any(|known| known.eq_ignore_ascii_case(name)) => {}
            Relation::Unknown => return Err(Reason::UnknownTable),
        }
    }
    if occurrences.is_empty() && whole.is_empty() {
        return Err(Reason::NoTable);
    }
    let mut blocks = Blocks { catalogue, restricted: BTreeMap::new() };
    let _ = query.visit(&mut blocks);
    let mut template = Template::default();
    for (name, count) in occurrences {
        let mut uses = blocks.restricted.remove(&name).unwrap_or_default();
        if whole.contains_key(&name) || uses.len() < count {
            uses = vec![Uses::Whole];
        }
        whole.remove(&name);
        template.tables.push((name, uses));
    }
    template.tables.extend(whole.into_keys().map(|name| (name, vec![Uses::Whole])));
    template.tables.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(template)
}

/// Visits every query block and notes the occurrences of tables that a top-level conjunct restricts.
struct Blocks<'c> {
    catalogue: &'c dyn Catalogue,
    restricted: BTreeMap<TableName, Vec<Uses>>,
}

impl Visitor for Blocks<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let mut occurrences = Vec::new();
        // Conditions, and the occurrences that they restrict: what WHERE leaves out no table contributes; what the ON of an outer join leaves
        // out may still come as a row of NULLs, except of the joined side itself.
        let mut conditions: Vec<(&Expr, Option<usize>)> = Vec::new();
        for table in &select.from {
            self.factor(&table.relation, &mut occurrences);
            for join in &table.joins {
                let before = occurrences.len();
                self.factor(&join.relation, &mut occurrences);
                let joined = (occurrences.len() == before + 1).then_some(before);
                match &join.join_operator {
                    JoinOperator::Join(JoinConstraint::On(on))
                    | JoinOperator::Inner(JoinConstraint::On(on))
                    | JoinOperator::CrossJoin(JoinConstraint::On(on)) => {
                        conditions.push((on, None));
                    }
                    JoinOperator::Left(JoinConstraint::On(on)) | JoinOperator::LeftOuter(JoinConstraint::On(on)) if joined.is_some() => {
                        conditions.push((on, joined));
                    }
                    _ => {}
                }
            }
        }
        // An inner join's condition holds for its result, but an outer join around it may bring the rows back.
        let outer = select.from.iter().flat_map(|table| &table.joins).any(|join| {
            !matches!(
                join.join_operator,
                JoinOperator::Join(_)
                    | JoinOperator::Inner(_)
                    | JoinOperator::CrossJoin(_)
                    | JoinOperator::Left(_)
                    | JoinOperator::LeftOuter(_)
            )
        });
        if outer {
            conditions.clear();
        }
        conditions.extend(select.selection.as_ref().map(|selection| (selection, None)));
        let mut bound: Vec<Option<Uses>> = vec![None; occurrences.len()];
        for (condition, only) in conditions {
            for conjunct in conjuncts(condition) {
                if let Some((place, uses)) = restriction(conjunct, &occurrences)
                    && only.is_none_or(|only| only == place)
                    && better(&uses, bound[place].as_ref())
                {
                    bound[place] = Some(uses);
                }
            }
        }
        for (occurrence, uses) in occurrences.into_iter().zip(bound) {
            if let (Some(info), Some(uses)) = (occurrence.info, uses) {
                self.restricted.entry(info.name.clone()).or_default().push(uses);
            }
        }
        ControlFlow::Continue(())
    }
}

/// A table, view or subquery in a FROM.
struct Occurrence {
    /// What its columns are qualified with.
    name: String,
    /// `None`: a view, a subquery or a common table expression; its columns are not known here.
    info: Option<Arc<TableInfo>>,
}

impl Blocks<'_> {
    fn factor(&self, factor: &TableFactor, occurrences: &mut Vec<Occurrence>) {
        match factor {
            TableFactor::Table { name, alias, .. } => {
                let Some((database, table)) = plain(name) else { return };
                let info = match self.catalogue.relation(database.as_deref(), &table) {
                    Relation::Table(info) => Some(info),
                    _ => None,
                };
                let name = alias.as_ref().map_or(table, |alias| alias.name.value.clone());
                occurrences.push(Occurrence { name, info });
            }
            TableFactor::Derived { alias, .. } => {
                let name = alias.as_ref().map_or_else(String::new, |alias| alias.name.value.clone());
                occurrences.push(Occurrence { name, info: None });
            }
            // Its tables are not followed, and so stay whole; but they may own an unqualified column.
            _ => occurrences.push(Occurrence { name: String::new(), info: None }),
        }
    }
}

fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    let (mut waiting, mut found) = (vec![condition], Vec::new());
    while let Some(next) = waiting.pop() {
        match next {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => waiting.extend([&**left, &**right]),
            Expr::Nested(inner) => waiting.push(inner),
            other => found.push(other),
        }
    }
    found
}

/// `column = constant`, either way round, or `column IN (constants)`.
fn restriction(condition: &Expr, occurrences: &[Occurrence]) -> Option<(usize, Uses)> {
    let (column, constants) = match condition {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (constant(left), constant(right)) {
            (None, Some(constant)) => (&**left, vec![constant]),
            (Some(constant), None) => (&**right, vec![constant]),
            _ => return None,
        },
        Expr::InList { expr, list, negated: false } => (&**expr, list.iter().map(constant).collect::<Option<Vec<_>>>()?),
        _ => return None,
    };
    let (place, column) = owner(column, occurrences)?;
    if column.comparison == Comparison::Other {
        return None;
    }
    Some((place, Uses::Rows { column: column.name.clone(), comparison: column.comparison, operands: constants }))
}

fn constant(expr: &Expr) -> Option<(usize, bool)> {
    match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(name) => Some((name.strip_prefix('?')?.parse::<usize>().ok()?.checked_sub(1)?, false)),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => constant(expr).map(|(place, negated)| (place, !negated)),
        Expr::Nested(inner) => constant(inner),
        _ => None,
    }
}

/// The occurrence and column that a name means, if that is certain.
fn owner<'o>(expr: &Expr, occurrences: &'o [Occurrence]) -> Option<(usize, &'o Column)> {
    let (qualifier, name) = match expr {
        Expr::Identifier(name) => (None, &name.value),
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [qualifier, name] => (Some(&qualifier.value), &name.value),
            _ => return None,
        },
        Expr::Nested(inner) => return owner(inner, occurrences),
        _ => return None,
    };
    let mut found = None;
    for (place, occurrence) in occurrences.iter().enumerate() {
        if qualifier.is_some_and(|qualifier| !qualifier.eq_ignore_ascii_case(&occurrence.name)) {
            continue;
        }
        // Something whose columns are not known might own the name.
        let info = occurrence.info.as_ref()?;
        if let Some(column) = info.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)) {
            if found.is_some() {
                return None;
            }
            found = Some((place, column));
        }
    }
    found
}

/// Fewer constants restrict more; among equals the first one stays, and numbers are preferred to texts.
fn better(new: &Uses, old: Option<&Uses>) -> bool {
    let rank = |uses: &Uses| match uses {
        Uses::Whole => (usize::MAX, true),
        Uses::Rows { comparison, operands, .. } => (operands.len(), *comparison == Comparison::Text),
    };
    old.is_none_or(|old| rank(new) < rank(old))
}

fn common_table_expressions(query: &Query) -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.0.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|table| table.alias.name.value.clone()));
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = query.visit(&mut names);
    names.0
}

/// `table` or `database.table`.
fn plain(name: &ObjectName) -> Option<(Option<String>, String)> {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(name) => Some(name.value.clone()),
        ObjectNamePart::Function(_) => None,
    };
    match &name.0[..] {
        [table] => Some((None, part(table)?)),
        [database, table] => Some((Some(part(database)?), part(table)?)),
        _ => None,
    }
}
