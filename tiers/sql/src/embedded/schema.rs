//! DDL: from a parsed CREATE or ALTER to the catalogue's table, and to SQLite's statements.

use pumasi_dialect::catalogue::{Catalogue, Check, Column, Default, ForeignKey, Key, KeyPart, Table, Type};
use pumasi_dialect::collation::Collation;
use pumasi_dialect::error;
use pumasi_dialect::functions::{Arg, Env, Out};
use pumasi_dialect::parse::{
    AlterAction, CheckDefinition, ColumnDefinition, ColumnPosition, CreateTable, DefaultDefinition, ForeignKeyDefinition, KeyDefinition,
    TableItem,
};
use pumasi_dialect::translate::quote;
use pumasi_mysqlwire::SqlError;

/// MySQL's bounds.
const NAME_CHARS_MAX: usize = 64;
const COLUMNS_MAX: usize = 1017;
const KEYS_MAX: usize = 64;
const VARCHAR_MAX: u32 = 16_383;

/// The table that a CREATE TABLE describes, checked. `storage` is its name inside SQLite.
pub fn table(
    create: &CreateTable,
    database: &str,
    storage: String,
    collation: &str,
    now: i64,
    catalogue: &Catalogue,
) -> Result<Table, SqlError> {
    let collation = create.options.collation.clone().unwrap_or_else(|| collation.to_owned());
    check_name(&create.name.name).map_err(|_| error::wrong_table_name(&create.name.name))?;
    let mut table = Table {
        database: database.to_owned(),
        name: create.name.name.clone(),
        storage,
        columns: vec![],
        keys: vec![],
        foreign_keys: vec![],
        checks: vec![],
        collation,
        comment: create.options.comment.clone().unwrap_or_default(),
        created: now,
        temporary: create.temporary,
    };
    let mut keys = Vec::new();
    let mut foreign = Vec::new();
    for item in &create.items {
        match item {
            TableItem::Column(definition) => add_column(&mut table, definition, None, &mut keys, &mut foreign)?,
            TableItem::Key(key) => keys.push(key.clone()),
            TableItem::ForeignKey(key) => foreign.push(key.clone()),
            TableItem::Check(_) => {}
        }
    }
    for key in keys {
        add_key(&mut table, &key)?;
    }
    for key in foreign {
        add_foreign_key(&mut table, &key, catalogue)?;
    }
    for item in &create.items {
        match item {
            TableItem::Column(definition) => add_checks_of_column(&mut table, definition, catalogue)?,
            TableItem::Check(definition) => add_check(&mut table, definition, None, catalogue)?,
            TableItem::Key(_) | TableItem::ForeignKey(_) => {}
        }
    }
    check(&table)?;
    Ok(table)
}

/// SQLite's statements that make `table`, named `storage`, and its indexes. `checks` are its enforced checks as SQLite's conditions, by name.
pub fn create_sql(table: &Table, storage: &str, checks: &[(String, String)], catalogue: &Catalogue) -> String {
    let rowid = table.rowid_column().map(|c| c.name.clone());
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|c| {
            if rowid.as_deref() == Some(&c.name) {
                let auto = if c.auto_increment { " AUTOINCREMENT" } else { "" };
                return format!("{} INTEGER PRIMARY KEY{auto}", quote(&c.name));
            }
            let collate = match c.storage_collation() {
                "BINARY" => String::new(),
                other => format!(" COLLATE {other}"),
            };
            format!("{} {}{collate}{}", quote(&c.name), c.ty.storage(), if c.nullable { "" } else { " NOT NULL" })
        })
        .collect();
    for fk in &table.foreign_keys {
        let list = |names: &[String]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
        let parent = if fk.parent_table.eq_ignore_ascii_case(&table.name) && fk.parent_database.eq_ignore_ascii_case(&table.database) {
            table.storage.clone()
        } else {
            catalogue.table(&fk.parent_database, &fk.parent_table).map_or_else(|| fk.parent_table.clone(), |t| t.storage.clone())
        };
        parts.push(format!(
            "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}",
            quote(&fk.name),
            list(&fk.columns),
            quote(&parent),
            list(&fk.parent_columns),
            fk.on_delete.sql(),
            fk.on_update.sql()
        ));
    }
    parts.extend(checks.iter().map(|(name, condition)| format!("CONSTRAINT {} CHECK ({condition})", quote(name))));
    let temporary = if table.temporary { "TEMP " } else { "" };
    format!("CREATE {temporary}TABLE {} ({}) STRICT;", quote(storage), parts.join(", "))
}

/// `CREATE INDEX` for a key; nothing for the key that is the rowid.
pub fn index_sql(table: &Table, key: &Key) -> Option<String> {
    if let ([part], Some(rowid)) = (key.parts.as_slice(), table.rowid_column())
        && part.column.eq_ignore_ascii_case(&rowid.name)
    {
        return None;
    }
    let parts: Vec<String> = key
        .parts
        .iter()
        .map(|p| {
            let direction = if p.descending { " DESC" } else { "" };
            match (p.prefix, table.column(&p.column)) {
                // Only uniqueness depends on the prefix; other keys are as good on the whole value.
                (Some(chars), Some(column)) if key.unique => {
                    format!("substr({}, 1, {chars}) COLLATE {}{direction}", quote(&p.column), column.storage_collation())
                }
                _ => format!("{}{direction}", quote(&p.column)),
            }
        })
        .collect();
    let unique = if key.unique { "UNIQUE " } else { "" };
    let schema = if table.temporary { "temp." } else { "" };
    Some(format!("CREATE {unique}INDEX {schema}{} ON {} ({});", quote(&index_name(table, key)), quote(&table.storage), parts.join(", ")))
}

/// The index's name inside SQLite, where indexes share one space of names with tables.
pub fn index_name(table: &Table, key: &Key) -> String {
    format!("{}/{}", table.storage, key.name)
}

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

fn rename_everywhere(table: &mut Table, from: &str, to: &str) {
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

fn place(table: &Table, position: &ColumnPosition) -> Result<usize, SqlError> {
    match position {
        ColumnPosition::Last => Ok(table.columns.len()),
        ColumnPosition::First => Ok(0),
        ColumnPosition::After(name) => {
            table.column_index(name).map(|i| i + 1).ok_or_else(|| error::unknown_column(name, table.name.as_str()))
        }
    }
}

fn add_column(
    table: &mut Table,
    definition: &ColumnDefinition,
    at: Option<usize>,
    keys: &mut Vec<KeyDefinition>,
    foreign: &mut Vec<ForeignKeyDefinition>,
) -> Result<(), SqlError> {
    let name = &definition.name;
    check_name(name).map_err(|_| error::wrong_column_name(name))?;
    if table.column(name).is_some() {
        return Err(error::duplicate_column(name));
    }
    if let Type::VarChar(n) | Type::Char(n) = definition.ty
        && n > (if matches!(definition.ty, Type::Char(_)) { 255 } else { VARCHAR_MAX })
    {
        return Err(error::column_too_long(name, if matches!(definition.ty, Type::Char(_)) { 255 } else { VARCHAR_MAX }));
    }
    let primary = definition.primary;
    let nullable = definition.nullable.unwrap_or(!primary && !definition.auto_increment) && !primary;
    if primary && definition.nullable == Some(true) {
        return Err(SqlError::new(
            1171,
            "42000",
            "All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead",
        ));
    }
    let collation = definition.ty.textual().then(|| definition.collation.clone().unwrap_or_else(|| table.collation.clone()));
    let mut column = Column {
        name: name.clone(),
        ty: definition.ty.clone(),
        collation,
        nullable,
        default: None,
        auto_increment: definition.auto_increment,
        on_update_now: definition.on_update_now,
        comment: definition.comment.clone(),
    };
    let timed = matches!(column.ty, Type::DateTime(_) | Type::Timestamp(_));
    if definition.on_update_now && !timed {
        return Err(SqlError::new(1294, "HY000", format!("Invalid ON UPDATE clause for '{name}' column")));
    }
    if definition.auto_increment && !matches!(column.ty, Type::Int { .. }) {
        return Err(SqlError::new(1063, "42000", format!("Incorrect column specifier for column '{name}'")));
    }
    column.default = match &definition.default {
        Some(default) => Some(default_of(&column, default)?),
        None if column.nullable && !column.auto_increment => Some(Default::Null),
        None => None,
    };
    if definition.auto_increment && column.default.is_some() {
        return Err(error::invalid_default(name));
    }
    if definition.primary || definition.unique {
        let parts = vec![KeyPart { column: name.clone(), prefix: None, descending: false }];
        let name = (!definition.primary).then(|| name.clone());
        keys.push(KeyDefinition { name, primary: definition.primary, unique: true, parts, comment: String::new() });
    }
    // MySQL reads and ignores REFERENCES on a column; ignoring a constraint silently is not for us.
    foreign.extend(definition.references.clone());
    let at = at.unwrap_or(table.columns.len());
    table.columns.insert(at, column);
    Ok(())
}

/// A default in the column's canonical form. 1067 if the column cannot hold it.
fn default_of(column: &Column, default: &DefaultDefinition) -> Result<Default, SqlError> {
    let name = &column.name;
    match default {
        DefaultDefinition::Null if column.nullable => Ok(Default::Null),
        DefaultDefinition::Null => Err(error::invalid_default(name)),
        DefaultDefinition::Now(digits) => match column.ty {
            Type::DateTime(have) | Type::Timestamp(have) if have == *digits => Ok(Default::Now(*digits)),
            _ => Err(error::invalid_default(name)),
        },
        DefaultDefinition::Expression(text) => Ok(Default::Expression(text.clone())),
        DefaultDefinition::Bytes(bytes) if column.ty.binary() => Ok(Default::Literal(pumasi_dialect::text::hex(bytes))),
        DefaultDefinition::Bytes(_) => Err(error::invalid_default(name)),
        DefaultDefinition::Text(text) => literal_default(column, Arg::Text(text)),
        DefaultDefinition::Number(text) => match text.parse::<i64>() {
            Ok(n) => literal_default(column, Arg::Int(n)),
            Err(_) => literal_default(column, Arg::Text(text)),
        },
    }
}

fn literal_default(column: &Column, value: Arg<'_>) -> Result<Default, SqlError> {
    if matches!(column.ty, Type::Text(_) | Type::Blob(_) | Type::Json) {
        let text = format!("BLOB, TEXT, GEOMETRY or JSON column '{}' can't have a default value", column.name);
        return Err(SqlError::new(1101, "42000", text));
    }
    if column.ty.binary() {
        return Ok(Default::Literal(pumasi_dialect::text::hex(&value.bytes())));
    }
    let stored =
        pumasi_dialect::functions::store_value(&mut strict_env(), column, value).map_err(|_| error::invalid_default(&column.name))?;
    Ok(Default::Literal(match stored {
        Out::Null => return Ok(Default::Null),
        Out::Int(n) => n.to_string(),
        Out::Real(x) => pumasi_dialect::text::double(x),
        Out::Text(t) => t,
        Out::Blob(b) => pumasi_dialect::text::hex(&b),
    }))
}

fn strict_env() -> Env {
    super::connection::new_env()
}

/// Adds a key and answers its name.
fn add_key(table: &mut Table, definition: &KeyDefinition) -> Result<String, SqlError> {
    for (i, part) in definition.parts.iter().enumerate() {
        let column = table.column(&part.column).ok_or_else(|| error::key_column_missing(&part.column))?;
        if definition.parts[..i].iter().any(|p| p.column.eq_ignore_ascii_case(&part.column)) {
            return Err(error::duplicate_column(&part.column));
        }
        if matches!(column.ty, Type::Text(_) | Type::Blob(_)) && part.prefix.is_none() {
            return Err(error::key_too_long_blob(&part.column));
        }
        if matches!(column.ty, Type::Json) {
            return Err(SqlError::new(
                3152,
                "42000",
                format!("JSON column '{}' supports indexing only via generated columns on a specified JSON path.", part.column),
            ));
        }
    }
    let mut key =
        Key { name: String::new(), unique: definition.unique, parts: definition.parts.clone(), comment: definition.comment.clone() };
    for part in &mut key.parts {
        // Names as the columns spell them.
        if let Some(column) = table.column(&part.column) {
            part.column = column.name.clone();
        }
    }
    if definition.primary {
        if table.primary_key().is_some() {
            return Err(error::two_primary_keys());
        }
        key.name = "PRIMARY".to_owned();
        for part in &key.parts {
            if let Some(column) = table.columns.iter_mut().find(|c| c.name == part.column) {
                column.nullable = false;
                if column.default == Some(Default::Null) {
                    column.default = None;
                }
            }
        }
        table.keys.insert(0, key);
        return Ok("PRIMARY".to_owned());
    }
    key.name = match &definition.name {
        Some(name) => {
            if table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(name)) {
                return Err(error::duplicate_key_name(name));
            }
            check_name(name).map_err(|_| error::name_too_long(name))?;
            name.clone()
        }
        None => free_name(&key.parts[0].column, |name| table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(name))),
    };
    let name = key.name.clone();
    table.keys.push(key);
    Ok(name)
}

/// `base`, or `base_2`, `base_3` ...
fn free_name(base: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(base) {
        return base.to_owned();
    }
    (2..).map(|n| format!("{base}_{n}")).find(|name| !taken(name)).unwrap_or_default()
}

fn add_foreign_key(table: &mut Table, definition: &ForeignKeyDefinition, catalogue: &Catalogue) -> Result<(), SqlError> {
    let parent_database = definition.parent.database.clone().unwrap_or_else(|| table.database.clone());
    let own = definition.parent.name.eq_ignore_ascii_case(&table.name) && parent_database.eq_ignore_ascii_case(&table.database);
    let parent = if own { None } else { catalogue.table(&parent_database, &definition.parent.name) };
    if !own && parent.is_none() {
        return Err(error::parent_table_missing(&definition.parent.name));
    }
    let name = match &definition.name {
        Some(name) => {
            if table.foreign_keys.iter().any(|fk| fk.name.eq_ignore_ascii_case(name)) {
                return Err(error::constraint_duplicate(name));
            }
            name.clone()
        }
        None => {
            let taken = |name: &str| table.foreign_keys.iter().any(|fk| fk.name.eq_ignore_ascii_case(name));
            (1..).map(|n| format!("{}_ibfk_{n}", table.name)).find(|n| !taken(n)).unwrap_or_default()
        }
    };
    if definition.columns.len() != definition.parent_columns.len() {
        return Err(SqlError::new(
            1239,
            "42000",
            format!("Incorrect foreign key definition for '{name}': Key reference and table reference don't match"),
        ));
    }
    let parent_table: &Table = parent.map_or(&*table, |p| p);
    for (column, parent_column) in definition.columns.iter().zip(&definition.parent_columns) {
        let child = table.column(column).ok_or_else(|| error::key_column_missing(column))?;
        let referenced = parent_table.column(parent_column).ok_or_else(|| {
            let text = format!("Failed to add the foreign key constraint. Missing column '{parent_column}' for constraint '{name}' in the referenced table '{}'", parent_table.name);
            SqlError::new(3734, "HY000", text)
        })?;
        if child.ty.storage() != referenced.ty.storage() || unsigned(&child.ty) != unsigned(&referenced.ty) {
            let text = format!(
                "Referencing column '{column}' and referenced column '{parent_column}' in foreign key constraint '{name}' are incompatible."
            );
            return Err(SqlError::new(3780, "HY000", text));
        }
    }
    let unique = parent_table.keys.iter().any(|k| {
        k.unique
            && k.parts.len() == definition.parent_columns.len()
            && definition.parent_columns.iter().all(|c| k.parts.iter().any(|p| p.prefix.is_none() && p.column.eq_ignore_ascii_case(c)))
    });
    if !unique {
        // SQLite needs a unique key to point to; MySQL 8.4 asks for the same by default.
        return Err(error::parent_key_missing(&name, &parent_table.name));
    }
    let set_null = |action| action == pumasi_dialect::catalogue::ReferentialAction::SetNull;
    if (set_null(definition.on_delete) || set_null(definition.on_update))
        && definition.columns.iter().any(|c| table.column(c).is_some_and(|c| !c.nullable))
    {
        return Err(SqlError::new(
            1830,
            "HY000",
            format!("Column '{}' cannot be NOT NULL: needed in a foreign key constraint '{name}' SET NULL", definition.columns[0]),
        ));
    }
    let parent_name = parent.map_or_else(|| table.name.clone(), |p| p.name.clone());
    let columns: Vec<String> = definition.columns.iter().map(|c| table.column(c).map_or_else(|| c.clone(), |c| c.name.clone())).collect();
    if !table.keys.iter().any(|k| starts_with(k, &columns)) {
        let base = definition.name.clone().unwrap_or_else(|| columns[0].clone());
        let base = free_name(&base, |n| table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(n)));
        let parts = columns.iter().map(|c| KeyPart { column: c.clone(), prefix: None, descending: false }).collect();
        table.keys.push(Key { name: base, unique: false, parts, comment: String::new() });
    }
    table.foreign_keys.push(ForeignKey {
        name,
        columns,
        parent_database,
        parent_table: parent_name,
        parent_columns: definition.parent_columns.clone(),
        on_delete: definition.on_delete,
        on_update: definition.on_update,
    });
    Ok(())
}

fn add_checks_of_column(table: &mut Table, column: &ColumnDefinition, catalogue: &Catalogue) -> Result<(), SqlError> {
    column.checks.iter().try_for_each(|definition| add_check(table, definition, Some(&column.name), catalogue))
}

/// Adds a check under its own name or a free one. Which columns it names, and whether it can be one, is settled when the table is whole.
fn add_check(table: &mut Table, definition: &CheckDefinition, of_column: Option<&str>, catalogue: &Catalogue) -> Result<(), SqlError> {
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
fn free_check_name(table: &Table, catalogue: &Catalogue) -> String {
    (1..).map(|n| format!("{}_chk_{n}", table.name)).find(|name| !check_taken(table, name, catalogue)).unwrap_or_default()
}

fn check_taken(table: &Table, name: &str, catalogue: &Catalogue) -> bool {
    let elsewhere = |other: &&Table| other.database.eq_ignore_ascii_case(&table.database) && !other.name.eq_ignore_ascii_case(&table.name);
    let others = catalogue.tables().map(|other| &**other).filter(elsewhere);
    others.chain([table]).any(|table| check_index(table, name).is_some())
}

fn check_index(table: &Table, name: &str) -> Option<usize> {
    table.checks.iter().position(|check| check.name.eq_ignore_ascii_case(name))
}

/// 3959 if a check names the column.
fn unchecked(table: &Table, column: &str) -> Result<(), SqlError> {
    match table.checks.iter().find(|check| check.columns.iter().any(|name| name.eq_ignore_ascii_case(column))) {
        Some(check) => Err(error::check_needs_column(&check.name, column)),
        None => Ok(()),
    }
}

fn unsigned(ty: &Type) -> bool {
    matches!(ty, Type::Int { unsigned: true, .. })
}

fn starts_with(key: &Key, columns: &[String]) -> bool {
    key.parts.len() >= columns.len() && key.parts.iter().zip(columns).all(|(p, c)| p.column.eq_ignore_ascii_case(c))
}

fn check(table: &Table) -> Result<(), SqlError> {
    if table.columns.is_empty() {
        return Err(error::no_columns());
    }
    if table.columns.len() > COLUMNS_MAX {
        return Err(SqlError::new(1117, "HY000", "Too many columns"));
    }
    if table.keys.len() > KEYS_MAX {
        return Err(SqlError::new(1069, "42000", format!("Too many keys specified; max {KEYS_MAX} keys allowed")));
    }
    let auto: Vec<&Column> = table.columns.iter().filter(|c| c.auto_increment).collect();
    if auto.len() > 1 {
        return Err(error::auto_increment_needs_key());
    }
    if let Some(auto) = auto.first() {
        let keyed = |k: &Key| k.parts[0].column.eq_ignore_ascii_case(&auto.name);
        if !table.keys.iter().any(keyed) {
            return Err(error::auto_increment_needs_key());
        }
        // It is SQLite's rowid, so it is unique by itself whatever keys say: a key that lets it repeat would promise what is not so.
        if !table.keys.iter().any(|k| keyed(k) && k.unique && k.parts.len() == 1) {
            return Err(SqlError::unsupported("AUTO_INCREMENT on a column that is not a unique key by itself"));
        }
    }
    if Collation::by_name(&table.collation).is_none() {
        return Err(error::unknown_collation(&table.collation));
    }
    Ok(())
}

/// 1 to 64 characters, no blank at the end.
pub fn check_name(name: &str) -> Result<(), ()> {
    let good = !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.ends_with(' ') && !name.contains('\0');
    if good { Ok(()) } else { Err(()) }
}
