//! OVER (...): window functions' names and their frames.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::Translator;

impl Translator<'_> {
    pub(super) fn order_item(&mut self, item: &ast::OrderByExpr) -> Result<String, SqlError> {
        let ex = self.expression(&item.expr)?;
        let direction = if matches!(item.options.sort, Some(ast::OrderBySort::Desc)) { " DESC" } else { "" };
        Ok(format!("{}{direction}", self.ordering(&ex)))
    }

    pub(super) fn window(&mut self, over: &ast::WindowType) -> Result<String, SqlError> {
        match over {
            ast::WindowType::NamedWindow(name) => Ok(super::quote(&name.value)),
            ast::WindowType::WindowSpec(spec) => self.window_spec(spec),
        }
    }

    pub(super) fn window_spec(&mut self, spec: &ast::WindowSpec) -> Result<String, SqlError> {
        let mut parts = Vec::new();
        if let Some(name) = &spec.window_name {
            parts.push(super::quote(&name.value));
        }
        if !spec.partition_by.is_empty() {
            let mut keys = Vec::new();
            for e in &spec.partition_by {
                let ex = self.expression(e)?;
                keys.push(self.grouping(&ex));
            }
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        if !spec.order_by.is_empty() {
            let keys = spec.order_by.iter().map(|o| self.order_item(o)).collect::<Result<Vec<_>, _>>()?;
            parts.push(format!("ORDER BY {}", keys.join(", ")));
        }
        if let Some(frame) = &spec.window_frame {
            let bound = |b: &ast::WindowFrameBound| -> Result<String, SqlError> {
                Ok(match b {
                    ast::WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
                    ast::WindowFrameBound::Preceding(None) => "UNBOUNDED PRECEDING".to_owned(),
                    ast::WindowFrameBound::Following(None) => "UNBOUNDED FOLLOWING".to_owned(),
                    ast::WindowFrameBound::Preceding(Some(n)) => format!("{} PRECEDING", frame_rows(n)?),
                    ast::WindowFrameBound::Following(Some(n)) => format!("{} FOLLOWING", frame_rows(n)?),
                })
            };
            let units = match frame.units {
                ast::WindowFrameUnits::Rows => "ROWS",
                ast::WindowFrameUnits::Range => "RANGE",
                ast::WindowFrameUnits::Groups => return Err(SqlError::unsupported("GROUPS frame")),
            };
            parts.push(match &frame.end_bound {
                Some(end) => format!("{units} BETWEEN {} AND {}", bound(&frame.start_bound)?, bound(end)?),
                None => format!("{units} {}", bound(&frame.start_bound)?),
            });
        }
        Ok(format!("({})", parts.join(" ")))
    }
}

fn frame_rows(expr: &ast::Expr) -> Result<String, SqlError> {
    match expr {
        ast::Expr::Value(v) => match &v.value {
            ast::Value::Number(n, _) if n.bytes().all(|c| c.is_ascii_digit()) => Ok(n.clone()),
            _ => Err(SqlError::unsupported("computed frame bound")),
        },
        _ => Err(SqlError::unsupported("computed frame bound")),
    }
}

pub(super) fn window_name(name: &str) -> bool {
    matches!(
        name,
        "ROW_NUMBER"
            | "RANK"
            | "DENSE_RANK"
            | "PERCENT_RANK"
            | "CUME_DIST"
            | "NTILE"
            | "FIRST_VALUE"
            | "LAST_VALUE"
            | "NTH_VALUE"
            | "LAG"
            | "LEAD"
    )
}
