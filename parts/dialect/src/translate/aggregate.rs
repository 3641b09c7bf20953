//! Aggregates, with or without a window.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::function::arguments;
use super::scope::AliasRule;
use super::window::window_name;
use super::{Ex, Translator};
use crate::collation;
use crate::error;
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn aggregate(&mut self, name: &str, f: &ast::Function) -> Result<Ex, SqlError> {
        let ast::FunctionArguments::List(list) = &f.args else { return Err(error::wrong_argument_count(name)) };
        if f.over.is_none() {
            if !self.aggregates_allowed || window_name(name) {
                return Err(error::invalid_group_function());
            }
            self.saw_aggregate = true;
        }
        let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        let allowed = self.aggregates_allowed;
        if f.over.is_none() {
            self.aggregates_allowed = false;
        }
        // Inside an aggregate a name is a column, never an alias.
        let rule = self.scopes.last_mut().map(|s| std::mem::replace(&mut s.alias_rule, AliasRule::Unseen));
        let translated = self.aggregate_call(name, list, distinct, f.over.is_some());
        self.aggregates_allowed = allowed;
        if let (Some(rule), Some(scope)) = (rule, self.scopes.last_mut()) {
            scope.alias_rule = rule;
        }
        let ex = translated?;
        match &f.over {
            None => Ok(ex),
            Some(over) => {
                if distinct {
                    return Err(SqlError::unsupported(format!("{name}(DISTINCT) OVER")));
                }
                let window = self.window(over)?;
                Ok(Ex { sql: format!("{} OVER {window}", ex.sql), ..ex })
            }
        }
    }

    fn aggregate_call(&mut self, name: &str, list: &ast::FunctionArgumentList, distinct: bool, windowed: bool) -> Result<Ex, SqlError> {
        if name == "COUNT" && matches!(list.args.as_slice(), [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]) {
            return Ok(Ex::new("count(*)", Ty::BIGINT).not_null());
        }
        if name == "GROUP_CONCAT" {
            return self.group_concat(list, distinct);
        }
        if !list.clauses.is_empty() {
            return Err(SqlError::unsupported(format!("clause of {name}()")));
        }
        let arguments = arguments(list)?;
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        let d = if distinct { "DISTINCT " } else { "" };
        let custom_window = |what: &str| if windowed { Err(SqlError::unsupported(format!("{what} OVER"))) } else { Ok(()) };
        match (name, values.as_slice()) {
            ("COUNT", [v]) => Ok(Ex::new(format!("count({d}{})", self.grouping(v)), Ty::BIGINT).not_null()),
            ("COUNT", many) if distinct && many.len() > 1 => {
                let keys: Vec<String> = many
                    .iter()
                    .map(|v| {
                        let collating = if v.ty.textual() { v.collation.collating.sqlite_name() } else { "BINARY" };
                        format!("{}, '{collating}'", v.sql)
                    })
                    .collect();
                Ok(Ex::new(format!("count(DISTINCT pm_tuple({}))", keys.join(", ")), Ty::BIGINT).not_null())
            }
            ("MIN" | "MAX", [v]) => {
                if v.ty == Ty::Json {
                    return Err(SqlError::unsupported(format!("{name}() of JSON")));
                }
                let sql = format!("{}({})", name.to_ascii_lowercase(), self.grouping(v));
                Ok(Ex { sql, nullable: true, literal: None, origin: None, bare: false, ..v.clone() })
            }
            ("SUM" | "AVG", [v]) => self.sum_or_avg(name, v, d),
            ("BIT_AND" | "BIT_OR" | "BIT_XOR", [v]) => {
                custom_window(name)?;
                Ok(Ex::new(format!("pm_{}({})", name.to_ascii_lowercase(), self.to_int(v)), Ty::UNSIGNED).not_null())
            }
            ("STD" | "STDDEV" | "STDDEV_POP" | "STDDEV_SAMP" | "VARIANCE" | "VAR_POP" | "VAR_SAMP", [v]) => {
                custom_window(name)?;
                let function = match name {
                    "STDDEV_SAMP" => "pm_stddev_samp",
                    "VARIANCE" | "VAR_POP" => "pm_var_pop",
                    "VAR_SAMP" => "pm_var_samp",
                    _ => "pm_stddev_pop",
                };
                Ok(Ex::new(format!("{function}({d}{})", self.to_double(v)), Ty::Double))
            }
            ("JSON_ARRAYAGG", [v]) => {
                custom_window(name)?;
                Ok(Ex::new(format!("pm_json_arrayagg({})", self.to_json(v)), Ty::Json))
            }
            ("JSON_OBJECTAGG", [k, v]) => {
                custom_window(name)?;
                Ok(Ex::new(format!("pm_json_objectagg({}, {})", self.to_text(k), self.to_json(v)), Ty::Json))
            }
            ("ANY_VALUE", [v]) => Ok(v.clone()),
            ("ROW_NUMBER" | "RANK" | "DENSE_RANK", []) => Ok(Ex::new(format!("{}()", name.to_ascii_lowercase()), Ty::UNSIGNED).not_null()),
            ("PERCENT_RANK" | "CUME_DIST", []) => Ok(Ex::new(format!("{}()", name.to_ascii_lowercase()), Ty::Double).not_null()),
            ("NTILE", [n]) => Ok(Ex::new(format!("ntile({})", n.sql), Ty::UNSIGNED).not_null()),
            ("FIRST_VALUE" | "LAST_VALUE", [v]) => Ok(Ex {
                sql: format!("{}({})", name.to_ascii_lowercase(), v.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("NTH_VALUE", [v, n]) => Ok(Ex {
                sql: format!("nth_value({}, {})", v.sql, n.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("LAG" | "LEAD", [v]) => Ok(Ex {
                sql: format!("{}({})", name.to_ascii_lowercase(), v.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("LAG" | "LEAD", [v, n]) => Ok(Ex {
                sql: format!("{}({}, {})", name.to_ascii_lowercase(), v.sql, n.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("LAG" | "LEAD", [v, n, default]) => {
                let (like, converted) = self.unify(vec![v.clone(), default.clone()])?;
                let sql = format!("{}({}, {}, {})", name.to_ascii_lowercase(), converted[0], n.sql, converted[1]);
                Ok(Ex { sql, nullable: true, ..like })
            }
            _ => Err(error::wrong_argument_count(name)),
        }
    }

    /// With the collation named, where SQLite is to tell values apart.
    pub(super) fn grouping(&self, v: &Ex) -> String {
        if v.bare {
            return v.sql.clone();
        }
        match &v.ty {
            Ty::Decimal { .. } => format!("{} COLLATE PM_DECIMAL", v.sql),
            Ty::Time(_) => format!("{} COLLATE PM_TIME", v.sql),
            ty if ty.textual() && v.collation.collating != collation::Collating::Exact => {
                format!("{} COLLATE {}", v.sql, v.collation.collating.sqlite_name())
            }
            _ => v.sql.clone(),
        }
    }

    fn sum_or_avg(&mut self, name: &str, v: &Ex, distinct: &str) -> Result<Ex, SqlError> {
        let average = name == "AVG";
        let division = self.cx.settings.division_digits;
        if v.ty.integral() {
            // Native sum of integers: exact, and an error when it overflows.
            if !average {
                return Ok(Ex::new(format!("sum({distinct}{})", v.sql), Ty::Decimal { precision: 42, scale: 0, unsigned: false }));
            }
            let ty = Ty::Decimal { precision: 14 + division, scale: division, unsigned: false };
            return Ok(Ex::new(format!("pm_dec_avg({distinct}{})", v.sql), ty));
        }
        if let Ty::Decimal { precision, scale, .. } = v.ty {
            let grouped = if distinct.is_empty() { v.sql.clone() } else { self.grouping(v) };
            if !average {
                let ty = Ty::Decimal { precision: (precision + 22).min(65), scale, unsigned: false };
                return Ok(Ex::new(format!("pm_dec_sum({distinct}{grouped})"), ty));
            }
            let ty = Ty::Decimal { precision: (precision + division).min(65), scale: (scale + division).min(30), unsigned: false };
            return Ok(Ex::new(format!("pm_dec_avg({distinct}{grouped})"), ty));
        }
        let function = if average { "avg" } else { "sum" };
        Ok(Ex::new(format!("{function}({distinct}{})", self.to_double(v)), Ty::Double))
    }

    fn group_concat(&mut self, list: &ast::FunctionArgumentList, distinct: bool) -> Result<Ex, SqlError> {
        let mut separator = ",".to_owned();
        let mut order: &[ast::OrderByExpr] = &[];
        for clause in &list.clauses {
            match clause {
                ast::FunctionArgumentClause::Separator(value) => match &value.value {
                    ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => separator = text.clone(),
                    other => return Err(error::syntax(&other.to_string(), 1)),
                },
                ast::FunctionArgumentClause::OrderBy(items) => order = items,
                _ => return Err(SqlError::unsupported("clause of GROUP_CONCAT()")),
            }
        }
        let arguments = arguments(list)?;
        if arguments.is_empty() {
            return Err(error::wrong_argument_count("GROUP_CONCAT"));
        }
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        let value = if values.len() == 1 { values[0].clone() } else { self.call("CONCAT", values)? };
        let text = self.as_text(value.clone());
        let key = if distinct && !value.bare { self.grouping(&text) } else { text.sql.clone() };
        let mut order_sql = String::new();
        if !order.is_empty() {
            let items = order.iter().map(|o| self.order_item(o)).collect::<Result<Vec<_>, _>>()?;
            order_sql = format!(" ORDER BY {}", items.join(", "));
        }
        let name = super::gc_name(&separator);
        if !self.separators.contains(&separator) {
            self.separators.push(separator);
        }
        let d = if distinct { "DISTINCT " } else { "" };
        Ok(Ex::new(format!("{name}({d}{key}{order_sql})"), Ty::Text(262_144)).collated(text.collation, 4))
    }
}

pub(super) fn aggregate_name(name: &str) -> bool {
    matches!(
        name.to_ascii_uppercase().as_str(),
        "COUNT"
            | "SUM"
            | "AVG"
            | "MIN"
            | "MAX"
            | "GROUP_CONCAT"
            | "BIT_AND"
            | "BIT_OR"
            | "BIT_XOR"
            | "STD"
            | "STDDEV"
            | "STDDEV_POP"
            | "STDDEV_SAMP"
            | "VARIANCE"
            | "VAR_POP"
            | "VAR_SAMP"
            | "JSON_ARRAYAGG"
            | "JSON_OBJECTAGG"
    )
}
