//! Values in, rows out: between SQLite's types and the wire's.

use pumasi_dialect::error;
use pumasi_dialect::text;
use pumasi_dialect::translate::ParameterType;
use pumasi_dialect::types::{OutColumn, Ty};
use pumasi_mysqlwire::{SqlError, Value, ValueRef};
use rusqlite::types::ValueRef as Stored;
use rusqlite::{CachedStatement, Rows};

use super::Fail;
use crate::embedded::prepared::{Plan, parameter_type};
use crate::engine::ResultSink;

pub(super) fn bind(statement: &mut CachedStatement<'_>, values: &[Value]) -> Result<(), Fail> {
    use rusqlite::types::{ToSqlOutput, Value as Bound};
    let count = statement.parameter_count();
    for (i, value) in values.iter().enumerate().take(count) {
        let bound = match value {
            Value::Null => ToSqlOutput::Owned(Bound::Null),
            Value::Int(n) => ToSqlOutput::Owned(Bound::Integer(*n)),
            Value::UInt(n) => match i64::try_from(*n) {
                Ok(n) => ToSqlOutput::Owned(Bound::Integer(n)),
                Err(_) => return Err(Fail::Sql(SqlError::unsupported("BIGINT UNSIGNED value above 2^63 - 1"))),
            },
            Value::Float(x) => ToSqlOutput::Owned(Bound::Real(f64::from(*x))),
            Value::Double(x) => ToSqlOutput::Owned(Bound::Real(*x)),
            Value::Bytes(bytes) => {
                ToSqlOutput::Borrowed(if std::str::from_utf8(bytes).is_ok() { Stored::Text(bytes) } else { Stored::Blob(bytes) })
            }
            Value::DateTime { year, month, day, hour, minute, second, micros } => {
                let date = pumasi_dialect::temporal::DateTime {
                    year: *year,
                    month: *month,
                    day: *day,
                    hour: *hour,
                    minute: *minute,
                    second: *second,
                    micros: *micros,
                };
                let text = if parameter_type(value) == ParameterType::Date { date.format_date() } else { date.format(6) };
                ToSqlOutput::Owned(Bound::Text(text))
            }
            Value::Time { negative, hours, minutes, seconds, micros } => {
                let total = (i64::from(*hours) * 3600 + i64::from(*minutes) * 60 + i64::from(*seconds)) * 1_000_000 + i64::from(*micros);
                let time = pumasi_dialect::temporal::Time(if *negative { -total } else { total });
                ToSqlOutput::Owned(Bound::Text(time.format(6)))
            }
        };
        statement.raw_bind_parameter(i + 1, bound)?;
    }
    Ok(())
}

/// Hands the rows out. `still_good` is asked once the first row is there, before anything is handed out; `None` if it was not.
pub(super) fn emit(
    rows: &mut Rows<'_>,
    plan: &Plan,
    out: &mut dyn ResultSink,
    still_good: impl FnOnce() -> bool,
) -> Result<Option<u64>, Fail> {
    let mut row = rows.next()?;
    if !still_good() {
        return Ok(None);
    }
    out.columns(&plan.columns)?;
    let columns = &plan.translation.columns;
    let mut count = 0;
    let mut written: Vec<Option<String>> = vec![None; columns.len()];
    while let Some(current) = row {
        for (i, column) in columns.iter().enumerate() {
            written[i] = spelled(current.get_ref(i)?, column)?;
        }
        let mut values = Vec::with_capacity(columns.len());
        for (i, column) in columns.iter().enumerate() {
            values.push(match &written[i] {
                Some(text) => ValueRef::Bytes(text.as_bytes()),
                None => handed(current.get_ref(i)?, &column.ty)?,
            });
        }
        out.row(&values)?;
        count += 1;
        row = rows.next()?;
    }
    Ok(Some(count))
}

/// The text of a value that does not stand in the form its column is answered in.
pub(super) fn spelled(value: Stored<'_>, column: &OutColumn) -> Result<Option<String>, Fail> {
    Ok(match (&column.ty, value) {
        (Ty::Int { .. } | Ty::Year | Ty::Bit(_) | Ty::Float | Ty::Double | Ty::Null, _) => None,
        (Ty::Decimal { scale, .. }, Stored::Text(t)) => {
            let fraction = t.iter().rposition(|c| *c == b'.').map_or(0, |point| t.len() - point - 1);
            if fraction == usize::from(*scale) {
                return Ok(None);
            }
            let exact = std::str::from_utf8(t).ok().and_then(pumasi_dialect::decimal::Decimal::parse).and_then(|d| d.rescale(*scale));
            Some(exact.ok_or_else(|| Fail::Sql(error::parameter_out_of_range("DECIMAL", "result")))?.to_string())
        }
        (_, Stored::Null | Stored::Text(_) | Stored::Blob(_)) => None,
        (Ty::Decimal { scale, .. }, Stored::Integer(n)) => {
            let exact = pumasi_dialect::decimal::Decimal::from_int(n).rescale(*scale);
            Some(exact.map_or_else(|| n.to_string(), |d| d.to_string()))
        }
        // An exact sum that overflowed into a real is an error, not a rounded answer.
        (Ty::Decimal { .. }, Stored::Real(x)) => return Err(Fail::Sql(error::parameter_out_of_range("DECIMAL", x))),
        (_, Stored::Integer(n)) => Some(n.to_string()),
        (_, Stored::Real(x)) => Some(text::double(x)),
    })
}

pub(super) fn handed<'v>(value: Stored<'v>, ty: &Ty) -> Result<ValueRef<'v>, Fail> {
    Ok(match (value, ty) {
        (Stored::Null, _) => ValueRef::Null,
        (Stored::Integer(n), Ty::Float) => ValueRef::Float(n as f32),
        (Stored::Integer(n), Ty::Double) => ValueRef::Double(n as f64),
        (Stored::Integer(n), _) if ty.unsigned() => match u64::try_from(n) {
            Ok(n) => ValueRef::UInt(n),
            Err(_) => return Err(Fail::Sql(error::parameter_out_of_range("BIGINT UNSIGNED", n))),
        },
        (Stored::Integer(n), _) => ValueRef::Int(n),
        (Stored::Real(x), Ty::Float) => ValueRef::Float(x as f32),
        (Stored::Real(x), Ty::Int { .. } | Ty::Year | Ty::Bit(_)) => return Err(Fail::Sql(error::parameter_out_of_range("BIGINT", x))),
        (Stored::Real(x), _) => ValueRef::Double(x),
        (Stored::Text(t) | Stored::Blob(t), _) => ValueRef::Bytes(t),
    })
}
