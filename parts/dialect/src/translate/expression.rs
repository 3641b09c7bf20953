//! Expressions: names, operators, CASE, subqueries.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast::{self, BinaryOperator as Op, UnaryOperator};

use super::literal::number;
use super::scope::string;
use super::{Ex, Translator};
use crate::collation;
use crate::error;
use crate::temporal::Unit;
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn expression(&mut self, expr: &ast::Expr) -> Result<Ex, SqlError> {
        match expr {
            ast::Expr::Identifier(ident) => self.identifier(ident),
            ast::Expr::CompoundIdentifier(parts) => self.compound(parts),
            ast::Expr::Value(value) => self.value(value),
            ast::Expr::Nested(inner) => self.expression(inner).map(|e| Ex { sql: format!("({})", e.sql), ..e }),
            ast::Expr::Prefixed { prefix, value } => self.introduced(&prefix.value, value),
            ast::Expr::TypedString(typed) => self.typed_string(typed),
            ast::Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            ast::Expr::IsNull(e) => self.is(e, "IS NULL"),
            ast::Expr::IsNotNull(e) => self.is(e, "IS NOT NULL"),
            ast::Expr::IsTrue(e) => self.is(e, "IS TRUE"),
            ast::Expr::IsNotTrue(e) => self.is(e, "IS NOT TRUE"),
            ast::Expr::IsFalse(e) => self.is(e, "IS FALSE"),
            ast::Expr::IsNotFalse(e) => self.is(e, "IS NOT FALSE"),
            ast::Expr::IsUnknown(e) => self.is(e, "IS NULL"),
            ast::Expr::IsNotUnknown(e) => self.is(e, "IS NOT NULL"),
            ast::Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            ast::Expr::InSubquery { expr, subquery, negated } => self.in_subquery(expr, subquery, *negated),
            ast::Expr::Between { expr, negated, low, high } => self.between(expr, *negated, low, high),
            ast::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_deref())
            }
            ast::Expr::RLike { negated, expr, pattern, .. } => self.regexp(*negated, expr, pattern),
            ast::Expr::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, true),
            ast::Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, false),
            ast::Expr::Exists { subquery, negated } => {
                let (sql, _) = self.subquery(subquery)?;
                Ok(Ex::truth(format!("{}EXISTS ({sql})", if *negated { "NOT " } else { "" })).not_null())
            }
            ast::Expr::Subquery(query) => self.scalar_subquery(query),
            ast::Expr::Case { operand, conditions, else_result, .. } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            ast::Expr::Cast { expr, data_type, kind: ast::CastKind::Cast, .. } => self.cast(expr, data_type),
            ast::Expr::Convert { expr, data_type: Some(data_type), .. } => self.cast(expr, data_type),
            ast::Expr::Convert { expr, charset: Some(charset), .. } => self.convert_using(expr, &charset.to_string()),
            ast::Expr::Collate { expr, collation } => self.collate(expr, &collation.to_string()),
            ast::Expr::Function(function) => self.function(function),
            ast::Expr::Extract { field, expr, .. } => self.extract(&field.to_string(), expr),
            ast::Expr::Ceil { expr, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                self.call_ast("CEIL", &[expr])
            }
            ast::Expr::Floor { expr, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                self.call_ast("FLOOR", &[expr])
            }
            ast::Expr::Position { expr, r#in } => self.call_ast("LOCATE", &[expr, r#in]),
            ast::Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => match substring_for {
                Some(len) => self.call_ast("SUBSTRING", &[expr, from, len]),
                None => self.call_ast("SUBSTRING", &[expr, from]),
            },
            ast::Expr::Trim { trim_where, trim_what, expr, .. } => self.trim(*trim_where, trim_what.as_deref(), expr),
            ast::Expr::MemberOf(member) => self.call_ast("PM_MEMBER_OF", &[&member.value, &member.array]),
            ast::Expr::Tuple(items) if items.len() == 1 => self.expression(&items[0]),
            ast::Expr::Tuple(_) => Err(error::operand_columns(1)),
            ast::Expr::Interval(_) => Err(SqlError::unsupported("INTERVAL outside of date arithmetic")),
            ast::Expr::MatchAgainst { .. } => Err(SqlError::unsupported("MATCH ... AGAINST")),
            other => Err(SqlError::unsupported(other.to_string())),
        }
    }

    fn identifier(&mut self, ident: &ast::Ident) -> Result<Ex, SqlError> {
        if ident.quote_style.is_none() {
            if let Some(name) = ident.value.strip_prefix("@@") {
                return self.system_variable("session", name);
            }
            if let Some(name) = ident.value.strip_prefix('@') {
                return Ok(self.user_variable(name));
            }
            let bare = ident.value.to_ascii_uppercase();
            if matches!(bare.as_str(), "CURRENT_USER" | "UTC_DATE" | "UTC_TIME" | "UTC_TIMESTAMP" | "CURRENT_DATE" | "CURRENT_TIME") {
                return self.call(&bare, vec![]);
            }
            if bare == "DEFAULT" {
                return Err(error::syntax(&ident.value, 1));
            }
        }
        self.column(std::slice::from_ref(&ident.value))
    }

    fn compound(&mut self, parts: &[ast::Ident]) -> Result<Ex, SqlError> {
        if let [scope, name] = parts
            && scope.quote_style.is_none()
            && let Some(scope) = scope.value.strip_prefix("@@")
        {
            let scope = scope.to_ascii_lowercase();
            if !matches!(scope.as_str(), "session" | "global" | "local") {
                return Err(error::unknown_variable(format!("{scope}.{}", name.value)));
            }
            return self.system_variable(&scope, &name.value);
        }
        let parts: Vec<String> = parts.iter().map(|p| p.value.clone()).collect();
        self.column(&parts)
    }

    fn system_variable(&mut self, scope: &str, name: &str) -> Result<Ex, SqlError> {
        let ty = self.cx.variables.system(name).ok_or_else(|| error::unknown_variable(name))?;
        self.impure("a system variable");
        Ok(Ex::new(format!("pm_system_variable({}, {})", string(scope), string(&name.to_ascii_lowercase())), ty))
    }

    fn user_variable(&mut self, name: &str) -> Ex {
        self.impure("a user variable");
        self.session_bound = true;
        let ty = self.cx.variables.user(name);
        Ex::new(format!("pm_user_variable({})", string(&name.to_lowercase())), ty).collated(self.literal_collation(), 3)
    }

    // --- operators ---

    fn unary(&mut self, op: UnaryOperator, expr: &ast::Expr) -> Result<Ex, SqlError> {
        if op == UnaryOperator::Minus
            && let ast::Expr::Value(v) = expr
            && let ast::Value::Number(text, _) = &v.value
        {
            return number(&format!("-{text}"));
        }
        let operand = self.expression(expr)?;
        match op {
            UnaryOperator::Plus => Ok(operand),
            UnaryOperator::Minus => {
                if let Ty::Decimal { .. } = operand.ty {
                    return Ok(Ex::new(format!("pm_dec_neg({})", operand.sql), operand.ty.clone()));
                }
                if operand.ty.integral() || operand.ty == Ty::Null {
                    return Ok(Ex::new(format!("(-{})", operand.sql), Ty::BIGINT));
                }
                let double = self.to_double(&operand);
                Ok(Ex::new(format!("(-{double})"), Ty::Double))
            }
            UnaryOperator::Not | UnaryOperator::BangNot => {
                let nullable = operand.nullable;
                Ok(Ex { nullable, ..Ex::truth(format!("(NOT {})", self.condition_sql(&operand))) })
            }
            UnaryOperator::BitwiseNot => {
                let n = self.to_int(&operand);
                Ok(Ex::new(format!("pm_bit_not({n})"), Ty::UNSIGNED))
            }
            other => Err(SqlError::unsupported(format!("operator {other}"))),
        }
    }

    fn binary(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Result<Ex, SqlError> {
        match op {
            Op::And | Op::Or => {
                let (a, b) = (self.condition(left)?, self.condition(right)?);
                Ok(Ex::truth(format!("({a} {} {b})", if *op == Op::And { "AND" } else { "OR" })))
            }
            Op::Xor => {
                let (a, b) = (self.condition(left)?, self.condition(right)?);
                Ok(Ex::truth(format!("((NOT {a}) <> (NOT {b}))")))
            }
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Spaceship => self.comparison(left, op, right),
            Op::Plus | Op::Minus => {
                if let ast::Expr::Interval(interval) = right {
                    let date = self.expression(left)?;
                    return self.date_arithmetic(date, interval, *op == Op::Minus);
                }
                if let (ast::Expr::Interval(interval), Op::Plus) = (left, op) {
                    let date = self.expression(right)?;
                    return self.date_arithmetic(date, interval, false);
                }
                self.arithmetic(left, op, right)
            }
            Op::Multiply | Op::Divide | Op::Modulo | Op::MyIntegerDivide => self.arithmetic(left, op, right),
            Op::BitwiseAnd | Op::BitwiseOr | Op::BitwiseXor | Op::PGBitwiseShiftLeft | Op::PGBitwiseShiftRight => {
                let (a, b) = (self.expression(left)?, self.expression(right)?);
                let (a, b) = (self.to_int(&a), self.to_int(&b));
                let sql = match op {
                    Op::BitwiseAnd => format!("({a} & {b})"),
                    Op::BitwiseOr => format!("pm_bits({a} | {b})"),
                    Op::BitwiseXor => format!("pm_bit_xor({a}, {b})"),
                    Op::PGBitwiseShiftLeft => format!("pm_shift_left({a}, {b})"),
                    _ => format!("pm_shift_right({a}, {b})"),
                };
                Ok(Ex::new(sql, Ty::UNSIGNED))
            }
            Op::StringConcat => self.call_ast("CONCAT", &[left, right]),
            Op::Arrow => self.call_ast("JSON_EXTRACT", &[left, right]),
            Op::LongArrow => {
                let extracted = self.call_ast("JSON_EXTRACT", &[left, right])?;
                self.call("JSON_UNQUOTE", vec![extracted])
            }
            Op::Regexp => self.regexp(false, left, right),
            Op::Assignment => self.assign_variable(left, right),
            other => Err(SqlError::unsupported(format!("operator {other}"))),
        }
    }

    fn assign_variable(&mut self, left: &ast::Expr, right: &ast::Expr) -> Result<Ex, SqlError> {
        let ast::Expr::Identifier(ident) = left else { return Err(error::syntax(":=", 1)) };
        let Some(name) = ident.value.strip_prefix('@').filter(|n| !n.starts_with('@')) else { return Err(error::syntax(":=", 1)) };
        let value = self.expression(right)?;
        self.impure("a user variable");
        self.session_bound = true;
        let sql = format!("pm_set_user_variable({}, {}, {})", string(&name.to_lowercase()), value.sql, string(variable_kind(&value.ty)));
        Ok(Ex { sql, bare: false, literal: None, origin: None, ..value })
    }

    fn arithmetic(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr) -> Result<Ex, SqlError> {
        let (a, b) = (self.expression(left)?, self.expression(right)?);
        self.arithmetic_of(a, op, b)
    }

    pub(super) fn arithmetic_of(&mut self, a: Ex, op: &Op, b: Ex) -> Result<Ex, SqlError> {
        let (a, b) = (self.to_number(a)?, self.to_number(b)?);
        if a.ty == Ty::Null || b.ty == Ty::Null {
            return Ok(Ex::new("NULL", Ty::BIGINT));
        }
        let nullable = a.nullable || b.nullable || matches!(op, Op::Divide | Op::Modulo | Op::MyIntegerDivide);
        let done = |sql: String, ty: Ty| Ok(Ex { nullable, ..Ex::new(sql, ty) });
        if a.ty.approximate() || b.ty.approximate() {
            let (x, y) = (self.to_double(&a), self.to_double(&b));
            return match op {
                Op::Plus => done(format!("pm_finite({x} + {y})"), Ty::Double),
                Op::Minus => done(format!("pm_finite({x} - {y})"), Ty::Double),
                Op::Multiply => done(format!("pm_finite({x} * {y})"), Ty::Double),
                Op::Divide => done(format!("pm_finite({x} / {y})"), Ty::Double),
                Op::Modulo => done(format!("pm_mod({x}, {y})"), Ty::Double),
                _ => done(format!("pm_int_div({x}, {y})"), Ty::BIGINT),
            };
        }
        let exact = matches!(a.ty, Ty::Decimal { .. }) || matches!(b.ty, Ty::Decimal { .. });
        let unsigned = a.ty.unsigned() || b.ty.unsigned();
        let ((whole_a, scale_a), (whole_b, scale_b)) = (a.ty.digits(), b.ty.digits());
        let decimal = |whole: u8, scale: u8| Ty::Decimal { precision: (whole + scale).min(65), scale: scale.min(30), unsigned: false };
        let int = Ty::Int { unsigned, bytes: 8, digits: 20 };
        match op {
            Op::Divide => {
                let scale = (scale_a + self.cx.settings.division_digits).min(30);
                done(format!("pm_dec_div({}, {}, {scale})", a.sql, b.sql), decimal(whole_a + scale_b, scale))
            }
            Op::MyIntegerDivide if exact => done(format!("pm_int_div({}, {})", a.sql, b.sql), Ty::BIGINT),
            Op::MyIntegerDivide => done(format!("({} / {})", a.sql, b.sql), int),
            Op::Modulo if exact => done(format!("pm_dec_mod({}, {})", a.sql, b.sql), decimal(whole_a.max(whole_b), scale_a.max(scale_b))),
            Op::Modulo => done(format!("({} % {})", a.sql, b.sql), int),
            Op::Plus if exact => done(format!("pm_dec_add({}, {})", a.sql, b.sql), decimal(whole_a.max(whole_b) + 1, scale_a.max(scale_b))),
            Op::Minus if exact => {
                done(format!("pm_dec_sub({}, {})", a.sql, b.sql), decimal(whole_a.max(whole_b) + 1, scale_a.max(scale_b)))
            }
            Op::Multiply if exact => done(format!("pm_dec_mul({}, {})", a.sql, b.sql), decimal(whole_a + whole_b, scale_a + scale_b)),
            Op::Minus if unsigned && !self.cx.settings.no_unsigned_subtraction => {
                done(format!("pm_unsigned_sub({}, {})", a.sql, b.sql), int)
            }
            Op::Plus => done(format!("({} + {})", a.sql, b.sql), int),
            Op::Minus => done(format!("({} - {})", a.sql, b.sql), Ty::BIGINT),
            _ => done(format!("({} * {})", a.sql, b.sql), int),
        }
    }

    pub(super) fn date_arithmetic(&mut self, date: Ex, interval: &ast::Interval, subtract: bool) -> Result<Ex, SqlError> {
        let unit_name = match &interval.leading_field {
            Some(field) => field.to_string().to_ascii_uppercase(),
            None => return Err(error::syntax("INTERVAL", 1)),
        };
        let unit = Unit::by_name(&unit_name).ok_or_else(|| SqlError::unsupported(format!("INTERVAL unit {unit_name}")))?;
        let amount = self.expression(&interval.value)?;
        let amount = self.to_text(&amount);
        let time_only = matches!(date.ty, Ty::Time(_));
        let digits = |have: u8| if unit.has_micros() || (unit == Unit::Second && amount.contains('.')) { 6 } else { have };
        let ty = match &date.ty {
            Ty::Date if !unit.has_time() => Ty::Date,
            Ty::Date => Ty::DateTime { digits: digits(0), timestamp: false },
            Ty::DateTime { digits: have, .. } => Ty::DateTime { digits: digits(*have), timestamp: false },
            Ty::Time(have) if unit.has_time() => Ty::Time(digits(*have)),
            Ty::Time(_) => return Err(SqlError::unsupported("TIME plus days or months")),
            // A string: what comes out depends on what is in it.
            _ => Ty::Text(29),
        };
        let form = match &ty {
            Ty::Date => "date".to_owned(),
            Ty::DateTime { digits, .. } => digits.to_string(),
            Ty::Time(digits) => digits.to_string(),
            _ => "text".to_owned(),
        };
        let name = if time_only { "pm_time_add" } else { "pm_date_add" };
        let sign = if subtract { "-1" } else { "1" };
        let text = if date.ty.integral() { format!("CAST({} AS TEXT)", date.sql) } else { date.sql };
        Ok(Ex::new(format!("{name}({text}, {amount}, '{unit_name}', {sign}, '{form}')"), ty).collated(self.literal_collation(), 4))
    }

    fn is(&mut self, expr: &ast::Expr, predicate: &str) -> Result<Ex, SqlError> {
        let e = self.expression(expr)?;
        if predicate.ends_with("NULL") {
            return Ok(Ex::truth(format!("({} {predicate})", e.sql)).not_null());
        }
        Ok(Ex::truth(format!("({} {predicate})", self.condition_sql(&e))).not_null())
    }

    /// An expression where a truth value is wanted.
    pub(super) fn condition(&mut self, expr: &ast::Expr) -> Result<String, SqlError> {
        let e = self.expression(expr)?;
        Ok(self.condition_sql(&e))
    }

    pub(super) fn condition_sql(&self, e: &Ex) -> String {
        match &e.ty {
            Ty::Int { .. } | Ty::Null | Ty::Float | Ty::Double | Ty::Year | Ty::Bit(_) => e.sql.clone(),
            // '0.00' must be false, '0.1' true; text that is no number is false.
            _ => format!("(CAST({} AS REAL) <> 0)", e.sql),
        }
    }

    fn case(&mut self, operand: Option<&ast::Expr>, whens: &[ast::CaseWhen], otherwise: Option<&ast::Expr>) -> Result<Ex, SqlError> {
        let mut conditions = Vec::with_capacity(whens.len());
        let mut results = Vec::with_capacity(whens.len() + 1);
        for when in whens {
            conditions.push(match operand {
                Some(operand) => self.comparison(operand, &Op::Eq, &when.condition)?.sql,
                None => self.condition(&when.condition)?,
            });
            results.push(self.expression(&when.result)?);
        }
        results.push(match otherwise {
            Some(expr) => self.expression(expr)?,
            None => Ex::null(),
        });
        let (like, values) = self.unify(results)?;
        let mut sql = String::from("CASE");
        for (condition, value) in conditions.iter().zip(&values) {
            sql.push_str(&format!(" WHEN {condition} THEN {value}"));
        }
        sql.push_str(&format!(" ELSE {} END", values[values.len() - 1]));
        Ok(Ex { sql: format!("({sql})"), ..like })
    }

    /// One type for several expressions (CASE, IF, COALESCE, UNION): the type, and each converted to it.
    pub(super) fn unify(&mut self, values: Vec<Ex>) -> Result<(Ex, Vec<String>), SqlError> {
        let known: Vec<&Ex> = values.iter().filter(|v| v.ty != Ty::Null).collect();
        let nullable = values.iter().any(|v| v.nullable);
        let Some(first) = known.first() else { return Ok((Ex::null(), values.iter().map(|v| v.sql.clone()).collect())) };
        let mut like = Ex { nullable, literal: None, origin: None, bare: false, sql: String::new(), ..(*first).clone() };
        for other in &known[1..] {
            like.ty = common_type(&like.ty, &other.ty);
            if other.coercibility < like.coercibility && other.ty.textual() {
                like.collation = other.collation;
                like.coercibility = other.coercibility;
            }
        }
        if !like.ty.textual() {
            like.collation = collation::BINARY;
        } else if like.collation == collation::BINARY {
            like.collation = self.literal_collation();
        }
        let converted = values.iter().map(|v| self.to_type(v, &like.ty)).collect::<Result<Vec<_>, _>>()?;
        Ok((like, converted))
    }

    /// `e` in the form in which `ty` stands.
    pub(super) fn to_type(&self, e: &Ex, ty: &Ty) -> Result<String, SqlError> {
        if e.ty == *ty || e.ty == Ty::Null {
            return Ok(e.sql.clone());
        }
        Ok(match ty {
            Ty::Null => e.sql.clone(),
            Ty::Int { .. } | Ty::Year | Ty::Bit(_) => self.to_int(e),
            Ty::Decimal { scale, .. } => format!("pm_dec_scale({}, {scale})", self.to_decimal(e)),
            Ty::Float | Ty::Double => self.to_double(e),
            Ty::Text(_) | Ty::Enum(_) | Ty::Set(_) => self.to_text(e),
            Ty::Bytes(_) => format!("CAST({} AS BLOB)", self.to_text(e)),
            Ty::Date => format!("pm_date({})", self.to_text(e)),
            Ty::Time(digits) => format!("pm_time({}, {digits})", self.to_text(e)),
            Ty::DateTime { digits, .. } => format!("pm_datetime({}, {digits})", self.to_text(e)),
            Ty::Json => self.to_json(e),
        })
    }

    // --- subqueries ---

    fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Ex, SqlError> {
        let (sql, columns) = self.subquery(query)?;
        let [column] = columns.as_slice() else { return Err(error::operand_columns(1)) };
        // SQLite takes the first row of a scalar subquery; MySQL refuses a second one. A query that cannot have two is left alone.
        let sql = if at_most_one_row(query) {
            format!("({sql})")
        } else {
            format!("(SELECT pm_one_row(c1, count(*)) FROM ({}) LIMIT 1)", renamed(&sql, 1))
        };
        Ok(Ex { nullable: true, coercibility: 2, ..Ex::new(sql, column.ty.clone()) }.collated(column.collation, 2))
    }
}

/// `(SELECT ...)` with its columns called c1, c2 ... .
pub(super) fn renamed(sql: &str, columns: usize) -> String {
    let names: Vec<String> = (1..=columns).map(|n| format!("c{n}")).collect();
    format!("WITH pm_q({}) AS ({sql}) SELECT * FROM pm_q", names.join(", "))
}

/// An aggregate without GROUP BY, LIMIT 1, or no FROM at all.
fn at_most_one_row(query: &ast::Query) -> bool {
    let limited = match &query.limit_clause {
        Some(ast::LimitClause::LimitOffset { limit: Some(limit), .. } | ast::LimitClause::OffsetCommaLimit { limit, .. }) => {
            matches!(limit, ast::Expr::Value(v) if matches!(&v.value, ast::Value::Number(n, _) if n == "0" || n == "1"))
        }
        _ => false,
    };
    let single = match query.body.as_ref() {
        ast::SetExpr::Select(select) => {
            let grouped = !matches!(&select.group_by, ast::GroupByExpr::Expressions(list, _) if list.is_empty());
            let aggregate = |item: &ast::SelectItem| match item {
                ast::SelectItem::UnnamedExpr(e) | ast::SelectItem::ExprWithAlias { expr: e, .. } => is_aggregate(e),
                _ => false,
            };
            !grouped && (select.from.is_empty() || select.projection.iter().any(aggregate))
        }
        _ => false,
    };
    limited || single
}

/// The expression itself is a call of an aggregate, without OVER.
fn is_aggregate(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Function(f) => f.over.is_none() && super::aggregate::aggregate_name(&f.name.to_string()),
        ast::Expr::Nested(e) => is_aggregate(e),
        ast::Expr::BinaryOp { left, right, .. } => is_aggregate(left) || is_aggregate(right),
        _ => false,
    }
}

/// How a user variable remembers what was put into it.
pub(super) fn variable_kind(ty: &Ty) -> &'static str {
    match ty {
        Ty::Int { .. } | Ty::Year | Ty::Bit(_) => "int",
        Ty::Decimal { .. } => "decimal",
        Ty::Float | Ty::Double => "double",
        Ty::Bytes(_) => "bytes",
        _ => "text",
    }
}

fn common_type(a: &Ty, b: &Ty) -> Ty {
    use Ty::*;
    if a == b {
        return a.clone();
    }
    match (a, b) {
        (Null, other) | (other, Null) => other.clone(),
        (Text(m), Text(n)) => Text(*m.max(n)),
        (Int { unsigned: u, bytes: p, digits: d }, Int { unsigned: v, bytes: q, digits: e }) => {
            Int { unsigned: *u && *v, bytes: *p.max(q), digits: *d.max(e) }
        }
        (x, y) if x.integral() && y.integral() => Ty::BIGINT,
        (x, y) if x.numeric() && y.numeric() => {
            if x.approximate() || y.approximate() {
                return Double;
            }
            let ((wa, sa), (wb, sb)) = (x.digits(), y.digits());
            let scale = sa.max(sb);
            Decimal { precision: (wa.max(wb) + scale).min(65), scale, unsigned: false }
        }
        (Date, DateTime { digits, .. }) | (DateTime { digits, .. }, Date) => DateTime { digits: *digits, timestamp: false },
        (DateTime { digits: m, .. }, DateTime { digits: n, .. }) => DateTime { digits: *m.max(n), timestamp: false },
        (Time(m), Time(n)) => Time(*m.max(n)),
        (Bytes(m), other) | (other, Bytes(m)) => Bytes((*m).max(other.chars())),
        (x, y) => Text(x.chars().max(y.chars())),
    }
}
