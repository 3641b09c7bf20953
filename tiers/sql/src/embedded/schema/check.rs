//! CHECK constraints.

use pumasi_dialect::catalogue::{Catalogue, Check, Table};
use pumasi_dialect::error;
use pumasi_dialect::parse::{CheckDefinition, ColumnDefinition};
use pumasi_mysqlwire::SqlError;

use super::check_name;

pub(super) fn add_checks_of_column(table: &mut Table, column: &ColumnDefinition, catalogue: &Catalogue) -> Result<(), SqlError> {
    column.checks.iter().try_for_each(|definition| add_check(table, definition, Some(&column.name), catalogue))
}

/// Adds a check under its own name or a free one. Which columns it names, and whether it can be one, is settled when the table is whole.
pub(super) fn add_check(
    table: &mut Table,
    definition: &CheckDefinition,
    of_column: Option<&str>,
    catalogue: &Catalogue,
) -> Result<(), SqlError> {
    let name = match &definition.name {
        Some(name) => name.clone(),
        None => free_check_name(table, catalogue),
    };
    if check_taken(table, &name, catalogue) {
        return Err(error::check_duplicate(&name));
    }
    check_name(&name).map_err(|_| error::name_too_long(&name))?;
    let (expression, of_column) = (definition.expression.clone(), of_column.map(str::to_owned));
    table.checks.push(Check { name, expression, enforced: definition.enforced, columns: vec![], of_column });
    Ok(())
}

/// Checks of a copy of a table (CREATE TABLE ... LIKE), under names of its own.
pub fn checks_for_copy(copy: &mut Table, catalogue: &Catalogue) {
    for check in std::mem::take(&mut copy.checks) {
        let name = free_check_name(copy, catalogue);
        copy.checks.push(Check { name, ..check });
    }
}

/// `table_chk_1` and so on: names of checks are the database's, not the table's.
pub(super) fn free_check_name(table: &Table, catalogue: &Catalogue) -> String {
    (1..).map(|n| format!("{}_chk_{n}", table.name)).find(|name| !check_taken(table, name, catalogue)).unwrap_or_default()
}

pub(super) fn check_taken(table: &Table, name: &str, catalogue: &Catalogue) -> bool {
    let elsewhere = |other: &&Table| other.database.eq_ignore_ascii_case(&table.database) && !other.name.eq_ignore_ascii_case(&table.name);
    let others = catalogue.tables().map(|other| &**other).filter(elsewhere);
    others.chain([table]).any(|table| check_index(table, name).is_some())
}

pub(super) fn check_index(table: &Table, name: &str) -> Option<usize> {
    table.checks.iter().position(|check| check.name.eq_ignore_ascii_case(name))
}

/// 3959 if a check names the column.
pub(super) fn unchecked(table: &Table, column: &str) -> Result<(), SqlError> {
    match table.checks.iter().find(|check| check.columns.iter().any(|name| name.eq_ignore_ascii_case(column))) {
        Some(check) => Err(error::check_needs_column(&check.name, column)),
        None => Ok(()),
    }
}
