//! Comparisons: which form both sides take before SQLite compares them.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast::{self, BinaryOperator as Op};

use super::scope::string;
use super::{Ex, Literal, Translator};
use crate::collation::Collation;
use crate::error;
use crate::temporal::{DateTime, Time};
use crate::types::Ty;

/// Both sides made comparable.
struct Aligned {
    left: String,
    right: String,
    /// A collation to name, where SQLite would not find the right one by itself.
    collate: Option<&'static str>,
    /// Compare by this function's sign instead of by operator.
    by_function: Option<&'static str>,
}

impl Translator<'_> {
    pub(super) fn comparison(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Result<Ex, SqlError> {
        if let (Some(a), Some(b)) = (row(left), row(right)) {
            return self.row_comparison(a, op, b);
        }
        if row(left).is_some_and(|r| r.len() > 1) || row(right).is_some_and(|r| r.len() > 1) {
            return self.row_against_subquery(left, op, right);
        }
        let (a, b) = (self.expression(left)?, self.expression(right)?);
        self.compare(&a, op, &b)
    }

    pub(super) fn compare(&mut self, a: &Ex, op: &Op, b: &Ex) -> Result<Ex, SqlError> {
        let sign = match op {
            Op::Eq => "=",
            Op::NotEq => "<>",
            Op::Lt => "<",
            Op::LtEq => "<=",
            Op::Gt => ">",
            Op::GtEq => ">=",
            Op::Spaceship => "IS",
            other => return Err(SqlError::unsupported(format!("operator {other}"))),
        };
        let aligned = self.align(a, b, op_name(sign))?;
        let nullable = (a.nullable || b.nullable) && *op != Op::Spaceship;
        Ok(Ex { nullable, ..Ex::truth(aligned.with(sign)) })
    }

    fn align(&mut self, a: &Ex, b: &Ex, operation: &str) -> Result<Aligned, SqlError> {
        let plain = |left: String, right: String| Aligned { left, right, collate: None, by_function: None };
        let (ta, tb) = (&a.ty, &b.ty);
        if *ta == Ty::Null || *tb == Ty::Null || (ta.integral() && tb.integral()) {
            return Ok(plain(a.sql.clone(), b.sql.clone()));
        }
        if *ta == Ty::Json || *tb == Ty::Json {
            let json = |e: &Ex| self.to_json(e);
            return Ok(Aligned { left: json(a), right: json(b), collate: None, by_function: Some("pm_json_compare") });
        }
        if ta.temporal() || tb.temporal() {
            return self.align_temporal(a, b);
        }
        if let (Ty::Bytes(_), other) | (other, Ty::Bytes(_)) = (ta, tb)
            && (other.textual() || matches!(other, Ty::Bytes(_)))
        {
            return Ok(plain(self.to_bytes(a.clone()).sql, self.to_bytes(b.clone()).sql));
        }
        if ta.textual() && tb.textual() {
            let collation = self.agree(a, b, operation)?;
            let name = collation.collating.sqlite_name();
            // A bare column brings its own collation; naming it again is only needed when it is another or the column is not bare.
            let known = |e: &Ex| e.bare && e.collation.collating == collation.collating;
            let constant = a.literal.is_some() || a.sql.starts_with('?');
            let collate = if known(a) || (known(b) && constant) { None } else { Some(name) };
            return Ok(Aligned { left: a.sql.clone(), right: b.sql.clone(), collate, by_function: None });
        }
        if !ta.approximate() && !tb.approximate() && (ta.numeric() && tb.numeric()) {
            return Ok(self.align_decimal(a, b));
        }
        if let Some(aligned) = self.integer_against_literal(a, b) {
            return Ok(aligned);
        }
        Ok(plain(self.double_side(a), self.double_side(b)))
    }

    /// As double, but an integer column stays itself: SQLite compares integers and reals exactly, and can use the index.
    fn double_side(&self, e: &Ex) -> String {
        if e.ty.integral() { e.sql.clone() } else { self.to_double(e) }
    }

    /// `id = '5'`: a literal that is an integer is compared as one.
    fn integer_against_literal(&self, a: &Ex, b: &Ex) -> Option<Aligned> {
        let (left, right) = match (&a.ty, &b.literal, &b.ty, &a.literal) {
            (x, Some(Literal::Text(text)), _, _) if x.integral() => (a.sql.clone(), text.trim().parse::<i64>().ok()?.to_string()),
            (_, _, y, Some(Literal::Text(text))) if y.integral() => (text.trim().parse::<i64>().ok()?.to_string(), b.sql.clone()),
            _ => return None,
        };
        Some(Aligned { left, right, collate: None, by_function: None })
    }

    fn align_decimal(&self, a: &Ex, b: &Ex) -> Aligned {
        let short_literal = |e: &Ex| match &e.literal {
            Some(Literal::Number(text)) if text.len() <= 15 => Some(self.to_double(e)),
            _ => None,
        };
        // An integer against a literal with a fraction: both as numbers, exact because SQLite compares integer and real exactly
        // and a real of 15 digits is no nearer to any other 15-digit decimal.
        if a.ty.integral()
            && let Some(real) = short_literal(b)
        {
            return Aligned { left: a.sql.clone(), right: real, collate: None, by_function: None };
        }
        if b.ty.integral()
            && let Some(real) = short_literal(a)
        {
            return Aligned { left: real, right: b.sql.clone(), collate: None, by_function: None };
        }
        let side = |e: &Ex| if e.ty.integral() { self.to_text(e) } else { e.sql.clone() };
        Aligned { left: side(a), right: side(b), collate: Some("PM_DECIMAL"), by_function: None }
    }

    fn align_temporal(&mut self, a: &Ex, b: &Ex) -> Result<Aligned, SqlError> {
        let plain = |left: String, right: String, collate: Option<&'static str>| Aligned { left, right, collate, by_function: None };
        let (ta, tb) = (a.ty.clone(), b.ty.clone());
        let wanted = match (&ta, &tb) {
            (Ty::Time(_), Ty::Time(_)) => return Ok(plain(a.sql.clone(), b.sql.clone(), Some("PM_TIME"))),
            (Ty::Time(_), Ty::Date | Ty::DateTime { .. }) | (Ty::Date | Ty::DateTime { .. }, Ty::Time(_)) => {
                return Err(SqlError::unsupported("comparison of TIME with DATE or DATETIME"));
            }
            (Ty::Time(digits), _) | (_, Ty::Time(digits)) => Ty::Time(*digits),
            (Ty::Date, Ty::Date) => Ty::Date,
            (Ty::DateTime { digits: m, .. }, Ty::DateTime { digits: n, .. }) => Ty::DateTime { digits: *m.max(n), timestamp: false },
            (Ty::DateTime { digits, .. }, _) | (_, Ty::DateTime { digits, .. }) => Ty::DateTime { digits: *digits, timestamp: false },
            _ => Ty::Date,
        };
        let other = if ta.temporal() && tb.temporal() {
            None
        } else if ta.temporal() {
            Some(b)
        } else {
            Some(a)
        };
        // Only constants become dates; a column of numbers compares as numbers.
        if let Some(other) = other
            && other.ty.numeric()
            && !matches!(other.literal, Some(Literal::Int(_)))
        {
            return Ok(plain(self.double_side_temporal(a), self.double_side_temporal(b), None));
        }
        let wanted = self.widen_for(&wanted, other)?;
        let left = self.temporal_side(a, &wanted)?;
        let right = self.temporal_side(b, &wanted)?;
        Ok(plain(left, right, matches!(wanted, Ty::Time(_)).then_some("PM_TIME")))
    }

    fn double_side_temporal(&self, e: &Ex) -> String {
        if e.ty.temporal() { self.to_int(e) } else { self.double_side(e) }
    }

    /// A DATE against text that may hold a time is compared as DATETIME; a literal tells, other text may always.
    fn widen_for(&self, wanted: &Ty, other: Option<&Ex>) -> Result<Ty, SqlError> {
        let Some(other) = other else { return Ok(wanted.clone()) };
        let parsed = match &other.literal {
            Some(Literal::Text(text)) => DateTime::parse(text),
            Some(Literal::Int(n)) => DateTime::from_number(*n),
            _ => None,
        };
        let digits = |micros: u32| if micros == 0 { 0 } else { 6 };
        Ok(match (wanted, other.literal.is_some(), parsed) {
            (Ty::Date, true, Some(d)) if d.time_micros() == 0 => Ty::Date,
            (Ty::Date, true, Some(d)) => Ty::DateTime { digits: digits(d.micros), timestamp: false },
            (Ty::Date, true, None) => Ty::Date,
            (Ty::Date, false, _) => Ty::DateTime { digits: 6, timestamp: false },
            (Ty::DateTime { digits: have, .. }, true, Some(d)) => Ty::DateTime { digits: (*have).max(digits(d.micros)), timestamp: false },
            _ => wanted.clone(),
        })
    }

    fn temporal_side(&self, e: &Ex, wanted: &Ty) -> Result<String, SqlError> {
        let same = match (&e.ty, wanted) {
            (Ty::DateTime { digits: a, .. }, Ty::DateTime { digits: b, .. }) => a == b,
            (Ty::Time(_), Ty::Time(_)) | (Ty::Date, Ty::Date) => true,
            _ => false,
        };
        if same {
            return Ok(e.sql.clone());
        }
        // A column of fewer digits than the literal: cheaper to compare texts of its own length when the literal says no more.
        match (&e.literal, wanted) {
            (Some(Literal::Text(text)), Ty::Date) => {
                let d = DateTime::parse(text).ok_or_else(|| error::incorrect_value("DATE", text))?;
                Ok(string(&d.format_date()))
            }
            (Some(Literal::Text(text)), Ty::DateTime { digits, .. }) => {
                let d = DateTime::parse(text).ok_or_else(|| error::incorrect_value("DATETIME", text))?;
                Ok(string(&d.format(*digits)))
            }
            (Some(Literal::Text(text)), Ty::Time(_)) => {
                let t = Time::parse(text).ok_or_else(|| error::incorrect_value("TIME", text))?;
                Ok(string(&t.format(6)))
            }
            (Some(Literal::Int(n)), Ty::Date) => {
                let d = DateTime::from_number(*n).ok_or_else(|| error::incorrect_value("DATE", n))?;
                Ok(string(&d.format_date()))
            }
            (Some(Literal::Int(n)), Ty::DateTime { digits, .. }) => {
                let d = DateTime::from_number(*n).ok_or_else(|| error::incorrect_value("DATETIME", n))?;
                Ok(string(&d.format(*digits)))
            }
            (_, Ty::DateTime { digits, .. }) => Ok(format!("pm_datetime({}, {digits})", self.to_text(e))),
            (_, Ty::Time(digits)) => Ok(format!("pm_time({}, {digits})", self.to_text(e))),
            (_, _) => Ok(format!("pm_date({})", self.to_text(e))),
        }
    }

    /// The collation two strings compare under: the one of whoever decides (coercibility); 1267 if both do and differ.
    pub(super) fn agree(&self, a: &Ex, b: &Ex, operation: &str) -> Result<&'static Collation, SqlError> {
        if a.collation.name == b.collation.name {
            return Ok(a.collation);
        }
        match a.coercibility.cmp(&b.coercibility) {
            std::cmp::Ordering::Less => return Ok(a.collation),
            std::cmp::Ordering::Greater => return Ok(b.collation),
            std::cmp::Ordering::Equal => {}
        }
        // Two columns: a _bin collation wins over another of its character set; a wider character set wins over ASCII and latin1.
        let exact = |c: &Collation| !c.collating.folds();
        match (exact(a.collation), exact(b.collation)) {
            _ if a.coercibility >= 4 => Ok(self.literal_collation()),
            (true, false) if a.coercibility > 0 => Ok(a.collation),
            (false, true) if a.coercibility > 0 => Ok(b.collation),
            _ if a.coercibility > 0 && a.collation.charset != b.collation.charset => {
                Ok(if a.collation.char_bytes() >= b.collation.char_bytes() { a.collation } else { b.collation })
            }
            _ => {
                let spelled = |e: &Ex| format!("{},{}", e.collation.name, if e.coercibility == 0 { "EXPLICIT" } else { "IMPLICIT" });
                Err(error::collation_mix(spelled(a), spelled(b), operation))
            }
        }
    }

    pub(super) fn in_list(&mut self, expr: &ast::Expr, list: &[ast::Expr], negated: bool) -> Result<Ex, SqlError> {
        if let Some(items) = row(expr).filter(|r| r.len() > 1) {
            return self.row_in_list(items, list, negated);
        }
        let value = self.expression(expr)?;
        let mut aligned = Vec::with_capacity(list.len());
        for item in list {
            let item = self.expression(item)?;
            aligned.push(self.align(&value, &item, "in")?);
        }
        let uniform = aligned.windows(2).all(|w| w[0].left == w[1].left && w[0].collate == w[1].collate);
        let not = if negated { "NOT " } else { "" };
        if uniform && aligned[0].by_function.is_none() {
            let first = &aligned[0];
            let left = collated(&first.left, first.collate.or(self.list_collation(&value, &aligned)));
            let items: Vec<&str> = aligned.iter().map(|a| a.right.as_str()).collect();
            return Ok(Ex::truth(format!("({left} {not}IN ({}))", items.join(", "))));
        }
        let tests: Vec<String> = aligned.iter().map(|a| a.with("=")).collect();
        Ok(Ex::truth(format!("({not}({}))", tests.join(" OR "))))
    }

    /// `IN` takes the left side's collation only; where `=` would have found it on the right, name it.
    fn list_collation(&self, value: &Ex, aligned: &[Aligned]) -> Option<&'static str> {
        (value.ty.textual() && !value.bare && aligned.iter().all(|a| a.collate.is_none())).then(|| value.collation.collating.sqlite_name())
    }

    pub(super) fn in_subquery(&mut self, expr: &ast::Expr, query: &ast::Query, negated: bool) -> Result<Ex, SqlError> {
        let not = if negated { "NOT " } else { "" };
        let values: Vec<&ast::Expr> = row(expr).map_or_else(|| vec![expr], |items| items.iter().collect());
        let values = values.into_iter().map(|e| self.expression(e)).collect::<Result<Vec<_>, _>>()?;
        let (sql, columns) = self.subquery(query)?;
        if columns.len() != values.len() {
            return Err(error::operand_columns(values.len()));
        }
        let mut lefts = Vec::new();
        let mut rights = Vec::new();
        for (i, (value, column)) in values.iter().zip(&columns).enumerate() {
            let name = format!("c{}", i + 1);
            let item = Ex { ..Ex::new(name, column.ty.clone()) }.collated(column.collation, 2);
            let aligned = self.align(value, &item, "in")?;
            if aligned.by_function.is_some() {
                return Err(SqlError::unsupported("IN (SELECT ...) with JSON"));
            }
            let collate = aligned.collate.or(value.ty.textual().then(|| value.collation.collating.sqlite_name()));
            lefts.push(collated(&aligned.left, collate));
            rights.push(aligned.right);
        }
        let untouched = rights.iter().enumerate().all(|(i, r)| *r == format!("c{}", i + 1));
        let source = if untouched {
            sql
        } else {
            format!("SELECT {} FROM ({})", rights.join(", "), super::expression::renamed(&sql, columns.len()))
        };
        let left = if lefts.len() == 1 { lefts.remove(0) } else { format!("({})", lefts.join(", ")) };
        Ok(Ex::truth(format!("({left} {not}IN ({source}))")))
    }

    pub(super) fn between(&mut self, expr: &ast::Expr, negated: bool, low: &ast::Expr, high: &ast::Expr) -> Result<Ex, SqlError> {
        let (value, low, high) = (self.expression(expr)?, self.expression(low)?, self.expression(high)?);
        let (from, to) = (self.align(&value, &low, "between")?, self.align(&value, &high, "between")?);
        let not = if negated { "NOT " } else { "" };
        if from.left == to.left && from.collate == to.collate && from.by_function.is_none() && to.by_function.is_none() {
            let left = collated(&from.left, from.collate);
            return Ok(Ex::truth(format!("({left} {not}BETWEEN {} AND {})", from.right, to.right)));
        }
        Ok(Ex::truth(format!("({not}({} AND {}))", from.with(">="), to.with("<="))))
    }

    pub(super) fn like(
        &mut self,
        negated: bool,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
    ) -> Result<Ex, SqlError> {
        let (a, b) = (self.expression(expr)?, self.expression(pattern)?);
        let escape = match escape {
            None => "'\\'".to_owned(),
            Some(e) => {
                let e = self.expression(e)?;
                self.to_text(&e)
            }
        };
        let binary = matches!(a.ty, Ty::Bytes(_)) || matches!(b.ty, Ty::Bytes(_));
        let folds = !binary && self.agree(&self.as_text(a.clone()), &self.as_text(b.clone()), "like")?.collating.folds();
        let (x, y) = (self.to_text(&a), self.to_text(&b));
        let not = if negated { "NOT " } else { "" };
        Ok(Ex::truth(format!("({not}{}({x}, {y}, {escape}))", if folds { "pm_like" } else { "pm_like_exact" })))
    }

    pub(super) fn regexp(&mut self, negated: bool, expr: &ast::Expr, pattern: &ast::Expr) -> Result<Ex, SqlError> {
        let (a, b) = (self.expression(expr)?, self.expression(pattern)?);
        let folds =
            !matches!(a.ty, Ty::Bytes(_)) && self.agree(&self.as_text(a.clone()), &self.as_text(b.clone()), "regexp")?.collating.folds();
        let not = if negated { "NOT " } else { "" };
        Ok(Ex::truth(format!("({not}pm_regexp({}, {}, {}))", self.to_text(&a), self.to_text(&b), u8::from(folds))))
    }

    /// A number or date where text is wanted has the connection's collation, and gives way.
    pub(super) fn as_text(&self, e: Ex) -> Ex {
        if e.ty.textual() {
            return e;
        }
        let sql = self.to_text(&e);
        let chars = e.ty.chars();
        Ex { sql, ty: Ty::Text(chars), collation: self.literal_collation(), coercibility: 5, bare: false, ..e }
    }

    pub(super) fn quantified(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr, any: bool) -> Result<Ex, SqlError> {
        let ast::Expr::Subquery(query) = strip(right) else { return Err(SqlError::unsupported("ANY or ALL without a subquery")) };
        match (op, any) {
            (Op::Eq, true) => return self.in_subquery(left, query, false),
            (Op::NotEq, false) => return self.in_subquery(left, query, true),
            _ => {}
        }
        let value = self.expression(left)?;
        let (sql, columns) = self.subquery(query)?;
        let [column] = columns.as_slice() else { return Err(error::operand_columns(1)) };
        let item = Ex::new("c1", column.ty.clone()).collated(column.collation, 2);
        let test = self.compare(&value, op, &item)?.sql;
        // max() of the tests is OR, min() is AND; with an unknown among them the answer is unknown unless one test decides.
        let source = super::expression::renamed(&sql, 1);
        Ok(Ex::truth(if any {
            format!("(SELECT CASE WHEN max({test}) THEN 1 WHEN count(*) > count({test}) THEN NULL ELSE 0 END FROM ({source}))")
        } else {
            format!("(SELECT CASE WHEN min({test}) = 0 THEN 0 WHEN count(*) > count({test}) THEN NULL ELSE 1 END FROM ({source}))")
        }))
    }

    // --- rows ---

    fn row_comparison(&mut self, a: &[ast::Expr], op: &Op, b: &[ast::Expr]) -> Result<Ex, SqlError> {
        if a.len() != b.len() {
            return Err(error::operand_columns(a.len()));
        }
        match op {
            Op::Eq | Op::Spaceship => self.row_tests(a, op, b, " AND "),
            Op::NotEq => self.row_tests(a, op, b, " OR "),
            _ => {
                // (a, b) < (c, d) is a < c OR (a = c AND b < d); the last may be <=.
                let strict = match op {
                    Op::LtEq => Op::Lt,
                    Op::GtEq => Op::Gt,
                    other => other.clone(),
                };
                let mut sql = self.comparison(&a[a.len() - 1], op, &b[b.len() - 1])?.sql;
                for (x, y) in a.iter().zip(b).rev().skip(1) {
                    let (less, equal) = (self.comparison(x, &strict, y)?.sql, self.comparison(x, &Op::Eq, y)?.sql);
                    sql = format!("({less} OR ({equal} AND {sql}))");
                }
                Ok(Ex::truth(sql))
            }
        }
    }

    fn row_tests(&mut self, a: &[ast::Expr], op: &Op, b: &[ast::Expr], glue: &str) -> Result<Ex, SqlError> {
        let tests = a.iter().zip(b).map(|(x, y)| self.comparison(x, op, y).map(|e| e.sql)).collect::<Result<Vec<_>, _>>()?;
        Ok(Ex::truth(format!("({})", tests.join(glue))))
    }

    fn row_in_list(&mut self, items: &[ast::Expr], list: &[ast::Expr], negated: bool) -> Result<Ex, SqlError> {
        let mut tests = Vec::with_capacity(list.len());
        for candidate in list {
            let candidate = row(candidate).ok_or_else(|| error::operand_columns(items.len()))?;
            tests.push(self.row_comparison(items, &Op::Eq, candidate)?.sql);
        }
        Ok(Ex::truth(format!("({}({}))", if negated { "NOT " } else { "" }, tests.join(" OR "))))
    }

    fn row_against_subquery(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Result<Ex, SqlError> {
        match (op, strip(right)) {
            (Op::Eq, ast::Expr::Subquery(query)) => self.in_subquery(left, query, false),
            _ => Err(SqlError::unsupported("comparison of a row with a subquery other than by =")),
        }
    }
}

impl Aligned {
    fn with(&self, sign: &str) -> String {
        let Aligned { left, right, collate, by_function } = self;
        match by_function {
            Some(function) => match sign {
                "IS" => format!("({left} IS NULL AND {right} IS NULL OR coalesce({function}({left}, {right}) = 0, 0))"),
                _ => format!("({function}({left}, {right}) {sign} 0)"),
            },
            None => format!("({} {sign} {right})", collated(left, *collate)),
        }
    }
}

// === helpers ===

fn collated(sql: &str, collate: Option<&str>) -> String {
    collate.map_or_else(|| sql.to_owned(), |name| format!("{sql} COLLATE {name}"))
}

/// `(a, b)` or `ROW(a, b)`.
fn row(expr: &ast::Expr) -> Option<&[ast::Expr]> {
    match expr {
        ast::Expr::Tuple(items) => Some(items),
        _ => None,
    }
}

fn strip(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

fn op_name(sign: &str) -> &str {
    if sign == "IS" { "<=>" } else { sign }
}
