//! The rows of information_schema and SHOW that come from the catalogue alone.

use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Column, Database, Default, Object, ReferentialAction, Table, Type, View};
use crate::collation::{self, COLLATIONS, Collating};
use crate::temporal::DateTime;

/// Figures about a table that only the storage knows.
pub trait Statistics {
    fn rows(&self, table: &Table) -> Option<i64>;
    /// The next AUTO_INCREMENT value.
    fn next_id(&self, table: &Table) -> Option<i64>;
}

/// Rows of `kind` as a JSON array of arrays; `None` if `kind` is not made from the catalogue.
pub fn rows(kind: &str, arguments: &[&str], catalogue: &Catalogue, temporary: &Catalogue, figures: &dyn Statistics) -> Option<Vec<Value>> {
    let find = || {
        let (database, name) = (arguments.first()?, arguments.get(1)?);
        temporary.object(database, name).or_else(|| catalogue.object(database, name))
    };
    let in_database = || {
        let database = arguments.first().copied().unwrap_or_default();
        catalogue.objects_in(database).collect::<Vec<_>>()
    };
    Some(match kind {
        "EMPTY" | "ROUTINES" | "PARAMETERS" | "TRIGGERS" | "EVENTS" | "PARTITIONS" | "COLUMN_STATISTICS" | "FILES" | "PLUGINS"
        | "USER_PRIVILEGES" | "SCHEMA_PRIVILEGES" | "TABLE_PRIVILEGES" => vec![],
        "SCHEMATA" => databases(catalogue).iter().map(|d| json!(["def", d.name, charset(&d.collation), d.collation, NONE, "NO"])).collect(),
        "SHOW_DATABASES" => databases(catalogue).iter().map(|d| json!([d.name])).collect(),
        "SHOW_TABLES" => in_database().into_iter().map(|o| json!([name(o)])).collect(),
        "SHOW_FULL_TABLES" => in_database().into_iter().map(|o| json!([name(o), table_type(o)])).collect(),
        "TABLES" => catalogue.objects().map(|o| table_row(o, figures)).collect(),
        "SHOW_TABLE_STATUS" => in_database().into_iter().map(|o| status_row(o, figures)).collect(),
        "COLUMNS" => catalogue.tables().flat_map(|t| t.columns.iter().enumerate().map(|(i, c)| column_row(t, i, c))).collect(),
        "SHOW_COLUMNS" | "SHOW_FULL_COLUMNS" => match find() {
            Some(Object::Table(table)) => table.columns.iter().map(|c| show_column(table, c, kind == "SHOW_FULL_COLUMNS")).collect(),
            _ => vec![],
        },
        "STATISTICS" => catalogue.tables().flat_map(|t| index_rows(t, figures).into_iter().map(|r| statistics_row(t, &r))).collect(),
        "SHOW_INDEX" => match find() {
            Some(Object::Table(table)) => index_rows(table, figures).into_iter().map(Value::Array).collect(),
            _ => vec![],
        },
        "KEY_COLUMN_USAGE" => catalogue.tables().flat_map(|t| key_columns(t)).collect(),
        "REFERENTIAL_CONSTRAINTS" => catalogue.tables().flat_map(|t| references(t, catalogue)).collect(),
        "TABLE_CONSTRAINTS" => catalogue.tables().flat_map(|t| constraints(t)).collect(),
        "CHECK_CONSTRAINTS" => catalogue.tables().flat_map(|t| checks(t)).collect(),
        "VIEWS" => views(catalogue),
        "COLLATIONS" => COLLATIONS
            .iter()
            .map(|c| {
                let pad = if matches!(c.collating, Collating::FoldPad | Collating::ExactPad) { "PAD SPACE" } else { "NO PAD" };
                json!([c.name, c.charset, c.id, if c.default { "Yes" } else { "" }, "Yes", 1, pad])
            })
            .collect(),
        "COLLATION_CHARACTER_SET_APPLICABILITY" => COLLATIONS.iter().map(|c| json!([c.name, c.charset])).collect(),
        "CHARACTER_SETS" => {
            COLLATIONS.iter().filter(|c| c.default).map(|c| json!([c.charset, c.name, describe(c.charset), c.char_bytes()])).collect()
        }
        "SHOW_CHARACTER_SET" => {
            COLLATIONS.iter().filter(|c| c.default).map(|c| json!([c.charset, describe(c.charset), c.name, c.char_bytes()])).collect()
        }
        "ENGINES" => vec![json!(["InnoDB", "DEFAULT", "Pumasi's embedded engine, answering to InnoDB's name", "YES", "NO", "YES"])],
        "SHOW_CREATE" => match find() {
            Some(Object::Table(table)) => vec![json!([table.name, create_table(table, figures.next_id(table))])],
            Some(Object::View(view)) => vec![json!([view.name, create_view(view), "utf8mb4", collation::DEFAULT.name])],
            None => vec![],
        },
        "SHOW_CREATE_DATABASE" => {
            let database = arguments.first().and_then(|d| catalogue.database(d))?;
            let text = format!(
                "CREATE DATABASE {} /*!40100 DEFAULT CHARACTER SET {} COLLATE {} */",
                backticks(&database.name),
                charset(&database.collation),
                database.collation
            );
            vec![json!([database.name, text])]
        }
        _ => return None,
    })
}

/// `CREATE TABLE` as MySQL prints it.
pub fn create_table(table: &Table, next_id: Option<i64>) -> String {
    let mut lines: Vec<String> = table.columns.iter().map(|c| format!("  {}", column_definition(table, c))).collect();
    for key in &table.keys {
        let parts: Vec<String> = key
            .parts
            .iter()
            .map(|p| {
                let prefix = p.prefix.map_or(String::new(), |n| format!("({n})"));
                format!("{}{prefix}{}", backticks(&p.column), if p.descending { " DESC" } else { "" })
            })
            .collect();
        let parts = parts.join(",");
        let comment = if key.comment.is_empty() { String::new() } else { format!(" COMMENT {}", text_literal(&key.comment)) };
        lines.push(match (key.primary(), key.unique) {
            (true, _) => format!("  PRIMARY KEY ({parts}){comment}"),
            (_, true) => format!("  UNIQUE KEY {} ({parts}){comment}", backticks(&key.name)),
            _ => format!("  KEY {} ({parts}){comment}", backticks(&key.name)),
        });
    }
    for fk in &table.foreign_keys {
        lines.push(format!("  {}", foreign_key(table, fk)));
    }
    for check in &table.checks {
        let enforced = if check.enforced { "" } else { " /*!80016 NOT ENFORCED */" };
        lines.push(format!("  CONSTRAINT {} CHECK ({}){enforced}", backticks(&check.name), check.expression));
    }
    let temporary = if table.temporary { "TEMPORARY " } else { "" };
    let mut sql = format!("CREATE {temporary}TABLE {} (\n{}\n) ENGINE=InnoDB", backticks(&table.name), lines.join(",\n"));
    if let Some(next) = next_id.filter(|n| *n > 1) {
        sql.push_str(&format!(" AUTO_INCREMENT={next}"));
    }
    sql.push_str(&format!(" DEFAULT CHARSET={} COLLATE={}", charset(&table.collation), table.collation));
    if !table.comment.is_empty() {
        sql.push_str(&format!(" COMMENT={}", text_literal(&table.comment)));
    }
    sql
}

/// ``CONSTRAINT `x` FOREIGN KEY (`a`) REFERENCES `t` (`b`) ON DELETE CASCADE``, also for errors 1451 and 1452.
pub fn foreign_key(table: &Table, fk: &crate::catalogue::ForeignKey) -> String {
    let list = |names: &[String]| names.iter().map(|n| backticks(n)).collect::<Vec<_>>().join(", ");
    let parent = if fk.parent_database.eq_ignore_ascii_case(&table.database) {
        backticks(&fk.parent_table)
    } else {
        format!("{}.{}", backticks(&fk.parent_database), backticks(&fk.parent_table))
    };
    let mut sql = format!(
        "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {parent} ({})",
        backticks(&fk.name),
        list(&fk.columns),
        list(&fk.parent_columns)
    );
    if fk.on_delete != ReferentialAction::NoAction {
        sql.push_str(&format!(" ON DELETE {}", fk.on_delete.sql()));
    }
    if fk.on_update != ReferentialAction::NoAction {
        sql.push_str(&format!(" ON UPDATE {}", fk.on_update.sql()));
    }
    sql
}

pub fn backticks(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

// === helpers ===

const NONE: Value = Value::Null;

fn databases(catalogue: &Catalogue) -> Vec<Database> {
    let mut all: Vec<Database> = catalogue.databases().cloned().collect();
    all.push(Database { name: "information_schema".to_owned(), collation: "utf8mb3_general_ci".to_owned() });
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn charset(collation: &str) -> &'static str {
    crate::collation::Collation::by_name(collation).unwrap_or(collation::DEFAULT).charset
}

fn describe(charset: &str) -> &'static str {
    match charset {
        "utf8mb4" => "UTF-8 Unicode",
        "utf8mb3" => "UTF-8 Unicode (3 bytes)",
        "latin1" => "cp1252 West European",
        "ascii" => "US ASCII",
        _ => "Binary pseudo charset",
    }
}

fn name(object: &Object) -> &str {
    match object {
        Object::Table(t) => &t.name,
        Object::View(v) => &v.name,
    }
}

fn table_type(object: &Object) -> &'static str {
    match object {
        Object::Table(_) => "BASE TABLE",
        Object::View(_) => "VIEW",
    }
}

fn created(table: &Table) -> String {
    DateTime::from_micros_since_epoch(table.created * 1_000_000).unwrap_or_default().format(0)
}

fn table_row(object: &Object, figures: &dyn Statistics) -> Value {
    match object {
        Object::Table(t) => json!([
            "def",
            t.database,
            t.name,
            "BASE TABLE",
            "InnoDB",
            10,
            "Dynamic",
            figures.rows(t),
            0,
            0,
            0,
            0,
            0,
            figures.next_id(t),
            created(t),
            NONE,
            NONE,
            t.collation,
            NONE,
            "",
            t.comment
        ]),
        Object::View(v) => {
            json!([
                "def", v.database, v.name, "VIEW", NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
                NONE, NONE, "VIEW"
            ])
        }
    }
}

fn status_row(object: &Object, figures: &dyn Statistics) -> Value {
    match object {
        Object::Table(t) => json!([
            t.name,
            "InnoDB",
            10,
            "Dynamic",
            figures.rows(t),
            0,
            0,
            0,
            0,
            0,
            figures.next_id(t),
            created(t),
            NONE,
            NONE,
            t.collation,
            NONE,
            "",
            t.comment
        ]),
        Object::View(v) => {
            json!([v.name, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, "VIEW"])
        }
    }
}

fn default_text(column: &Column) -> Value {
    match &column.default {
        Some(Default::Literal(text)) => match &column.ty {
            Type::Bit(_) => json!(format!("b'{:b}'", text.parse::<u64>().unwrap_or(0))),
            ty if ty.binary() => json!(format!("0x{text}")),
            _ => json!(text),
        },
        Some(Default::Now(digits)) => json!(now_text(*digits)),
        Some(Default::Expression(text)) => json!(text),
        Some(Default::Null) | None => NONE,
    }
}

fn now_text(digits: u8) -> String {
    if digits == 0 { "CURRENT_TIMESTAMP".to_owned() } else { format!("CURRENT_TIMESTAMP({digits})") }
}

fn extra(column: &Column) -> String {
    let mut parts = Vec::new();
    if column.auto_increment {
        parts.push("auto_increment".to_owned());
    }
    if matches!(column.default, Some(Default::Now(_) | Default::Expression(_))) {
        parts.push("DEFAULT_GENERATED".to_owned());
    }
    if column.on_update_now {
        parts.push(format!("on update {}", now_text(digits(column))));
    }
    parts.join(" ")
}

fn digits(column: &Column) -> u8 {
    match column.ty {
        Type::DateTime(d) | Type::Timestamp(d) | Type::Time(d) => d,
        _ => 0,
    }
}

fn column_row(table: &Table, index: usize, c: &Column) -> Value {
    let (chars, octets) = match &c.ty {
        Type::Char(n) | Type::VarChar(n) => (json!(n), json!(n * c.collation().char_bytes())),
        Type::Text(size) => (json!(size.bytes_max()), json!(size.bytes_max())),
        Type::Binary(n) | Type::VarBinary(n) => (json!(n), json!(n)),
        Type::Blob(size) => (json!(size.bytes_max()), json!(size.bytes_max())),
        Type::Enum(values) | Type::Set(values) => {
            let n = values.iter().map(|v| v.chars().count() as u32).max().unwrap_or(0);
            (json!(n), json!(n * c.collation().char_bytes()))
        }
        _ => (NONE, NONE),
    };
    let (precision, scale) = match &c.ty {
        Type::Int { bytes, unsigned, .. } => {
            let digits = match (bytes, unsigned) {
                (1, _) => 3,
                (2, _) => 5,
                (3, _) => 7,
                (4, _) => 10,
                (_, false) => 19,
                _ => 20,
            };
            (json!(digits), json!(0))
        }
        Type::Decimal { precision, scale, .. } => (json!(precision), json!(scale)),
        Type::Float => (json!(12), NONE),
        Type::Double => (json!(22), NONE),
        Type::Bit(n) => (json!(n), NONE),
        _ => (NONE, NONE),
    };
    let fraction = match c.ty {
        Type::DateTime(d) | Type::Timestamp(d) | Type::Time(d) => json!(d),
        _ => NONE,
    };
    let (charset_name, collation) = if c.ty.textual() { (json!(c.collation().charset), json!(c.collation().name)) } else { (NONE, NONE) };
    json!([
        "def",
        table.database,
        table.name,
        c.name,
        index + 1,
        default_text(c),
        if c.nullable { "YES" } else { "NO" },
        c.ty.name(),
        chars,
        octets,
        precision,
        scale,
        fraction,
        charset_name,
        collation,
        c.ty.declaration(),
        table.key_mark(&c.name),
        extra(c),
        "select,insert,update,references",
        c.comment,
        "",
        NONE
    ])
}

fn show_column(table: &Table, c: &Column, full: bool) -> Value {
    let null_text = if c.nullable { "YES" } else { "NO" };
    let key = table.key_mark(&c.name);
    if !full {
        return json!([c.name, c.ty.declaration(), null_text, key, default_text(c), extra(c)]);
    }
    let collation = if c.ty.textual() { json!(c.collation().name) } else { NONE };
    json!([c.name, c.ty.declaration(), collation, null_text, key, default_text(c), extra(c), "select,insert,update,references", c.comment])
}

/// SHOW INDEX's columns.
fn index_rows(table: &Table, figures: &dyn Statistics) -> Vec<Vec<Value>> {
    let mut out = Vec::new();
    for key in &table.keys {
        for (i, part) in key.parts.iter().enumerate() {
            let nullable = table.column(&part.column).is_some_and(|c| c.nullable);
            out.push(vec![
                json!(table.name),
                json!(i64::from(!key.unique)),
                json!(key.name),
                json!(i + 1),
                json!(part.column),
                json!(if part.descending { "D" } else { "A" }),
                json!(figures.rows(table)),
                json!(part.prefix),
                NONE,
                json!(if nullable { "YES" } else { "" }),
                json!("BTREE"),
                json!(""),
                json!(key.comment),
                json!("YES"),
                NONE,
            ]);
        }
    }
    out
}

fn statistics_row(table: &Table, r: &[Value]) -> Value {
    json!([
        "def",
        table.database,
        r[0],
        r[1],
        table.database,
        r[2],
        r[3],
        r[4],
        r[5],
        r[6],
        r[7],
        r[8],
        r[9],
        r[10],
        r[11],
        r[12],
        r[13],
        r[14]
    ])
}

fn key_columns(table: &Table) -> Vec<Value> {
    let mut out = Vec::new();
    for key in table.keys.iter().filter(|k| k.unique) {
        for (i, part) in key.parts.iter().enumerate() {
            out.push(json!([
                "def",
                table.database,
                key.name,
                "def",
                table.database,
                table.name,
                part.column,
                i + 1,
                NONE,
                NONE,
                NONE,
                NONE
            ]));
        }
    }
    for fk in &table.foreign_keys {
        for (i, (column, parent)) in fk.columns.iter().zip(&fk.parent_columns).enumerate() {
            out.push(json!([
                "def",
                table.database,
                fk.name,
                "def",
                table.database,
                table.name,
                column,
                i + 1,
                i + 1,
                fk.parent_database,
                fk.parent_table,
                parent
            ]));
        }
    }
    out
}

fn references(table: &Table, catalogue: &Catalogue) -> Vec<Value> {
    table
        .foreign_keys
        .iter()
        .map(|fk| {
            let unique = catalogue.table(&fk.parent_database, &fk.parent_table).and_then(|parent| {
                parent
                    .keys
                    .iter()
                    .find(|k| {
                        k.unique
                            && k.parts.len() == fk.parent_columns.len()
                            && k.parts.iter().zip(&fk.parent_columns).all(|(p, c)| p.column.eq_ignore_ascii_case(c))
                    })
                    .map(|k| k.name.clone())
            });
            json!([
                "def",
                table.database,
                fk.name,
                "def",
                fk.parent_database,
                unique,
                "NONE",
                fk.on_update.sql(),
                fk.on_delete.sql(),
                table.name,
                fk.parent_table
            ])
        })
        .collect()
}

fn constraints(table: &Table) -> Vec<Value> {
    let keys = table.keys.iter().filter(|k| k.unique).map(|k| {
        json!(["def", table.database, k.name, table.database, table.name, if k.primary() { "PRIMARY KEY" } else { "UNIQUE" }, "YES"])
    });
    let foreign =
        table.foreign_keys.iter().map(|fk| json!(["def", table.database, fk.name, table.database, table.name, "FOREIGN KEY", "YES"]));
    let checks = table.checks.iter().map(|check| {
        let enforced = if check.enforced { "YES" } else { "NO" };
        json!(["def", table.database, check.name, table.database, table.name, "CHECK", enforced])
    });
    keys.chain(foreign).chain(checks).collect()
}

fn checks(table: &Table) -> impl Iterator<Item = Value> {
    table.checks.iter().map(|check| json!(["def", table.database, check.name, format!("({})", check.expression)]))
}

fn views(catalogue: &Catalogue) -> Vec<Value> {
    catalogue
        .objects()
        .filter_map(|o| match o {
            Object::View(v) => {
                Some(json!(["def", v.database, v.name, v.select, "NONE", "NO", v.definer, "DEFINER", "utf8mb4", collation::DEFAULT.name]))
            }
            Object::Table(_) => None,
        })
        .collect()
}

fn column_definition(table: &Table, c: &Column) -> String {
    let mut sql = format!("{} {}", backticks(&c.name), c.ty.declaration());
    if c.ty.textual() && c.collation().name != table.collation {
        sql.push_str(&format!(" CHARACTER SET {} COLLATE {}", c.collation().charset, c.collation().name));
    }
    if !c.nullable {
        sql.push_str(" NOT NULL");
    } else if matches!(c.ty, Type::Timestamp(_)) {
        sql.push_str(" NULL");
    }
    match &c.default {
        Some(Default::Null) => sql.push_str(" DEFAULT NULL"),
        Some(Default::Literal(text)) => match &c.ty {
            Type::Bit(_) => sql.push_str(&format!(" DEFAULT b'{:b}'", text.parse::<u64>().unwrap_or(0))),
            ty if ty.binary() => sql.push_str(&format!(" DEFAULT 0x{text}")),
            _ => sql.push_str(&format!(" DEFAULT {}", text_literal(text))),
        },
        Some(Default::Now(digits)) => sql.push_str(&format!(" DEFAULT {}", now_text(*digits))),
        Some(Default::Expression(text)) => sql.push_str(&format!(" DEFAULT ({text})")),
        None if c.nullable && !c.auto_increment && !matches!(c.ty, Type::Text(_) | Type::Blob(_) | Type::Json) => {
            sql.push_str(" DEFAULT NULL")
        }
        None => {}
    }
    if c.on_update_now {
        sql.push_str(&format!(" ON UPDATE {}", now_text(digits(c))));
    }
    if c.auto_increment {
        sql.push_str(" AUTO_INCREMENT");
    }
    if !c.comment.is_empty() {
        sql.push_str(&format!(" COMMENT {}", text_literal(&c.comment)));
    }
    sql
}

fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n"))
}

fn create_view(view: &View) -> String {
    let columns = if view.columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", view.columns.iter().map(|c| backticks(c)).collect::<Vec<_>>().join(","))
    };
    format!(
        "CREATE ALGORITHM=UNDEFINED DEFINER={} SQL SECURITY DEFINER VIEW {}{columns} AS {}",
        view.definer,
        backticks(&view.name),
        view.select
    )
}
