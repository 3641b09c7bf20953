//! What ALTER TABLE asks for, applied to a copy of the table.

use pumasi_dialect::catalogue::{Catalogue, Key, Table};
use pumasi_dialect::error;
use pumasi_dialect::parse::{AlterAction, ColumnDefinition, ColumnPosition};
use pumasi_mysqlwire::SqlError;

use super::check::{add_check, add_checks_of_column, check_index, unchecked};
use super::column::{add_column, default_of};
use super::key::{add_foreign_key, add_key, starts_with};
use super::{check, check_name};

/// What an ALTER TABLE asks for, applied to a copy.
pub struct Altered {
    pub table: Table,
    /// Where each column's values come from: the old column's name, or `None` for a new one.
    pub sources: Vec<Option<String>>,
    /// Columns under a new name: old, new.
    pub renamed: Vec<(String, String)>,
    /// The rows must be copied into a new table; else indexes and the catalogue are all that changes.
    pub rebuild: bool,
    pub rename_to: Option<pumasi_dialect::parse::Name>,
    pub auto_increment: Option<u64>,
    pub dropped_keys: Vec<Key>,
    pub added_keys: Vec<String>,
}

pub fn alter(old: &Table, actions: &[AlterAction], catalogue: &Catalogue) -> Result<Altered, SqlError> {
    let mut altered = Altered {
        table: old.clone(),
        sources: old.columns.iter().map(|c| Some(c.name.clone())).collect(),
        renamed: vec![],
        rebuild: false,
        rename_to: None,
        auto_increment: None,
        dropped_keys: vec![],
        added_keys: vec![],
    };
    for action in actions {
        altered.apply(action, old, catalogue)?;
    }
    if altered.table.columns.is_empty() {
        return Err(error::cannot_drop_all());
    }
    // Which column is the rowid decides the shape of the table.
    let rowid = |t: &Table| t.rowid_column().map(|c| (c.name.clone(), c.auto_increment));
    let renamed_rowid = rowid(old).map(|(name, auto)| {
        let new = altered.renamed.iter().find(|(from, _)| from.eq_ignore_ascii_case(&name)).map_or(name, |(_, to)| to.clone());
        (new, auto)
    });
    altered.rebuild |= rowid(&altered.table) != renamed_rowid;
    check(&altered.table)?;
    Ok(altered)
}

impl Altered {
    fn apply(&mut self, action: &AlterAction, old: &Table, catalogue: &Catalogue) -> Result<(), SqlError> {
        let table = &mut self.table;
        match action {
            AlterAction::AddColumn { column, position, if_not_exists } => {
                if *if_not_exists && table.column(&column.name).is_some() {
                    return Ok(());
                }
                let (mut keys, mut foreign) = (Vec::new(), Vec::new());
                let at = place(table, position)?;
                add_column(table, column, Some(at), &mut keys, &mut foreign)?;
                add_checks_of_column(table, column, catalogue)?;
                self.sources.insert(at, None);
                for key in keys {
                    self.added_keys.push(add_key(table, &key)?);
                }
                self.rebuild = true;
            }
            AlterAction::DropColumn { name, if_exists } => {
                let Some(index) = table.column_index(name) else {
                    return if *if_exists { Ok(()) } else { Err(error::cannot_drop(name)) };
                };
                if let Some(fk) = table.foreign_keys.iter().find(|fk| fk.columns.iter().any(|c| c.eq_ignore_ascii_case(name))) {
                    return Err(SqlError::new(
                        1828,
                        "HY000",
                        format!("Cannot drop column '{name}': needed in a foreign key constraint '{}'", fk.name),
                    ));
                }
                if let Some((child, fk)) =
                    catalogue.children(old).find(|(_, fk)| fk.parent_columns.iter().any(|c| c.eq_ignore_ascii_case(name)))
                {
                    let text =
                        format!("Cannot drop column '{name}': needed in a foreign key constraint '{}' of table '{}'", fk.name, child.name);
                    return Err(SqlError::new(1829, "HY000", text));
                }
                // A check of this column alone goes with it.
                table.checks.retain(|check| !matches!(&check.columns[..], [only] if only.eq_ignore_ascii_case(name)));
                unchecked(table, name)?;
                table.columns.remove(index);
                self.sources.remove(index);
                for key in &mut table.keys {
                    key.parts.retain(|p| !p.column.eq_ignore_ascii_case(name));
                }
                table.keys.retain(|k| !k.parts.is_empty());
                self.rebuild = true;
            }
            AlterAction::ChangeColumn { name, column, position } => {
                self.change_column(name, column, position.as_ref())?;
                add_checks_of_column(&mut self.table, column, catalogue)?;
            }
            AlterAction::RenameColumn { from, to } => self.rename_column(from, to)?,
            AlterAction::SetDefault { column, default } => {
                let found = table.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(column));
                let found = found.ok_or_else(|| error::unknown_column(column, table.name.as_str()))?;
                found.default = match default {
                    None => None,
                    Some(default) => Some(default_of(found, default)?),
                };
            }
            AlterAction::AddKey { key, if_not_exists } => {
                let exists = key.name.as_ref().is_some_and(|n| table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(n)));
                if *if_not_exists && exists {
                    return Ok(());
                }
                if key.primary {
                    for part in &key.parts {
                        if table.column(&part.column).is_some_and(|c| c.nullable) {
                            self.rebuild = true;
                        }
                    }
                }
                let name = add_key(table, key)?;
                self.added_keys.push(name);
            }
            AlterAction::AddForeignKey(key) => {
                let before = table.keys.len();
                add_foreign_key(table, key, catalogue)?;
                if table.keys.len() > before {
                    self.added_keys.push(table.keys[table.keys.len() - 1].name.clone());
                }
                self.rebuild = true;
            }
            AlterAction::AddCheck(definition) => {
                add_check(table, definition, None, catalogue)?;
                self.rebuild = true;
            }
            AlterAction::DropCheck(name) => {
                let index = check_index(table, name).ok_or_else(|| error::check_missing(name))?;
                table.checks.remove(index);
                self.rebuild = true;
            }
            AlterAction::EnforceCheck { name, enforced } => {
                let index = check_index(table, name).ok_or_else(|| error::check_missing(name))?;
                self.rebuild |= table.checks[index].enforced != *enforced;
                table.checks[index].enforced = *enforced;
            }
            AlterAction::DropPrimaryKey => {
                let index = table.keys.iter().position(Key::primary).ok_or_else(|| error::cannot_drop("PRIMARY"))?;
                self.dropped_keys.push(table.keys.remove(index));
            }
            AlterAction::DropKey { name, if_exists } => {
                if let Some(index) = table.keys.iter().position(|k| k.name.eq_ignore_ascii_case(name)) {
                    let key = &table.keys[index];
                    let needed = table.foreign_keys.iter().any(|fk| {
                        starts_with(key, &fk.columns) && !table.keys.iter().any(|k| k.name != key.name && starts_with(k, &fk.columns))
                    });
                    if needed {
                        return Err(SqlError::new(
                            1553,
                            "HY000",
                            format!("Cannot drop index '{name}': needed in a foreign key constraint"),
                        ));
                    }
                    let key = table.keys.remove(index);
                    self.added_keys.retain(|n| *n != key.name);
                    self.dropped_keys.push(key);
                } else if let Some(index) = table.foreign_keys.iter().position(|fk| fk.name.eq_ignore_ascii_case(name)) {
                    table.foreign_keys.remove(index);
                    self.rebuild = true;
                } else if let Some(index) = check_index(table, name) {
                    table.checks.remove(index);
                    self.rebuild = true;
                } else if !*if_exists {
                    return Err(error::cannot_drop(name));
                }
            }
            AlterAction::DropForeignKey(name) => {
                let index =
                    table.foreign_keys.iter().position(|fk| fk.name.eq_ignore_ascii_case(name)).ok_or_else(|| error::cannot_drop(name))?;
                table.foreign_keys.remove(index);
                self.rebuild = true;
            }
            AlterAction::RenameKey { from, to } => {
                if table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(to)) {
                    return Err(error::duplicate_key_name(to));
                }
                let key = table.keys.iter_mut().find(|k| k.name.eq_ignore_ascii_case(from));
                let key = key.ok_or_else(|| SqlError::new(1176, "42000", format!("Key '{from}' doesn't exist in table '{}'", old.name)))?;
                self.dropped_keys.push(key.clone());
                key.name = to.clone();
                self.added_keys.push(to.clone());
            }
            AlterAction::Rename(name) => self.rename_to = Some(name.clone()),
            AlterAction::Options(options) => {
                if let Some(comment) = &options.comment {
                    table.comment = comment.clone();
                }
                if let Some(collation) = &options.collation {
                    // Only the default for columns to come; CONVERT TO changes those that are there.
                    table.collation = collation.clone();
                }
                if let Some(next) = options.auto_increment {
                    self.auto_increment = Some(next);
                }
            }
            AlterAction::Convert { collation } => {
                table.collation = collation.clone();
                for column in table.columns.iter_mut().filter(|c| c.ty.textual()) {
                    column.collation = Some(collation.clone());
                }
                self.rebuild = true;
            }
        }
        Ok(())
    }

    fn change_column(&mut self, name: &str, definition: &ColumnDefinition, position: Option<&ColumnPosition>) -> Result<(), SqlError> {
        let table = &mut self.table;
        let index = table.column_index(name).ok_or_else(|| error::unknown_column(name, table.name.as_str()))?;
        if !definition.name.eq_ignore_ascii_case(name) && table.column(&definition.name).is_some() {
            return Err(error::duplicate_column(&definition.name));
        }
        if definition.name != table.columns[index].name {
            unchecked(table, name)?;
        }
        let source = self.sources.remove(index);
        let old_name = table.columns.remove(index).name;
        let at = match position {
            Some(position) => place(table, position)?,
            None => index,
        };
        let (mut keys, mut foreign) = (Vec::new(), Vec::new());
        add_column(table, definition, Some(at), &mut keys, &mut foreign)?;
        self.sources.insert(at, source);
        // A primary key column stays NOT NULL.
        let in_primary = table.primary_key().is_some_and(|k| k.parts.iter().any(|p| p.column.eq_ignore_ascii_case(&old_name)));
        if in_primary {
            table.columns[at].nullable = false;
        }
        if old_name != definition.name {
            rename_everywhere(table, &old_name, &definition.name);
            self.renamed.push((old_name, definition.name.clone()));
        }
        for key in keys {
            // `MODIFY id INT AUTO_INCREMENT PRIMARY KEY` repeats a key that is there.
            if key.primary && self.table.primary_key().is_some() {
                return Err(error::two_primary_keys());
            }
            let name = add_key(&mut self.table, &key)?;
            self.added_keys.push(name);
        }
        self.rebuild = true;
        Ok(())
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Result<(), SqlError> {
        let table = &mut self.table;
        let index = table.column_index(from).ok_or_else(|| error::unknown_column(from, table.name.as_str()))?;
        if !from.eq_ignore_ascii_case(to) && table.column(to).is_some() {
            return Err(error::duplicate_column(to));
        }
        check_name(to).map_err(|_| error::wrong_column_name(to))?;
        unchecked(table, from)?;
        let old = std::mem::replace(&mut table.columns[index].name, to.to_owned());
        rename_everywhere(table, &old, to);
        self.renamed.push((old, to.to_owned()));
        Ok(())
    }
}

pub(super) fn rename_everywhere(table: &mut Table, from: &str, to: &str) {
    for part in table.keys.iter_mut().flat_map(|k| k.parts.iter_mut()) {
        if part.column.eq_ignore_ascii_case(from) {
            part.column = to.to_owned();
        }
    }
    for column in table.foreign_keys.iter_mut().flat_map(|fk| fk.columns.iter_mut()) {
        if column.eq_ignore_ascii_case(from) {
            *column = to.to_owned();
        }
    }
}

pub(super) fn place(table: &Table, position: &ColumnPosition) -> Result<usize, SqlError> {
    match position {
        ColumnPosition::Last => Ok(table.columns.len()),
        ColumnPosition::First => Ok(0),
        ColumnPosition::After(name) => {
            table.column_index(name).map(|i| i + 1).ok_or_else(|| error::unknown_column(name, table.name.as_str()))
        }
    }
}
