//! information_schema and SHOW: relations whose rows the engine makes up from the catalogue and the session.
//!
//! Each is `json_each(pm_information('KIND', argument))` with its columns picked out, so that joins, WHERE and ORDER BY work on it as
//! on any table.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::scope::{Scope, Source, SourceColumn, string};
use super::{Context, Ex, Translation, Translator};
use crate::error;
use crate::parse::{Scope as VariableScope, Show, ShowFilter};
use crate::types::{OutColumn, Ty};

/// Kind, and its columns: `name` text, `name:i` integer, `name:d` datetime, `name:t` long text.
type Virtual = (&'static str, &'static str);

const INFORMATION_SCHEMA: &[Virtual] = &[
    ("SCHEMATA", "CATALOG_NAME SCHEMA_NAME DEFAULT_CHARACTER_SET_NAME DEFAULT_COLLATION_NAME SQL_PATH DEFAULT_ENCRYPTION"),
    (
        "TABLES",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE VERSION:i ROW_FORMAT TABLE_ROWS:i AVG_ROW_LENGTH:i DATA_LENGTH:i \
         MAX_DATA_LENGTH:i INDEX_LENGTH:i DATA_FREE:i AUTO_INCREMENT:i CREATE_TIME:d UPDATE_TIME:d CHECK_TIME:d TABLE_COLLATION CHECKSUM:i \
         CREATE_OPTIONS TABLE_COMMENT:t",
    ),
    (
        "COLUMNS",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:i COLUMN_DEFAULT:t IS_NULLABLE DATA_TYPE:t \
         CHARACTER_MAXIMUM_LENGTH:i CHARACTER_OCTET_LENGTH:i NUMERIC_PRECISION:i NUMERIC_SCALE:i DATETIME_PRECISION:i CHARACTER_SET_NAME \
         COLLATION_NAME COLUMN_TYPE:t COLUMN_KEY EXTRA PRIVILEGES COLUMN_COMMENT:t GENERATION_EXPRESSION:t SRS_ID:i",
    ),
    (
        "STATISTICS",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME NON_UNIQUE:i INDEX_SCHEMA INDEX_NAME SEQ_IN_INDEX:i COLUMN_NAME COLLATION CARDINALITY:i \
         SUB_PART:i PACKED NULLABLE INDEX_TYPE COMMENT INDEX_COMMENT IS_VISIBLE EXPRESSION:t",
    ),
    (
        "KEY_COLUMN_USAGE",
        "CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:i \
         POSITION_IN_UNIQUE_CONSTRAINT:i REFERENCED_TABLE_SCHEMA REFERENCED_TABLE_NAME REFERENCED_COLUMN_NAME",
    ),
    (
        "REFERENTIAL_CONSTRAINTS",
        "CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME UNIQUE_CONSTRAINT_CATALOG UNIQUE_CONSTRAINT_SCHEMA UNIQUE_CONSTRAINT_NAME \
         MATCH_OPTION UPDATE_RULE DELETE_RULE TABLE_NAME REFERENCED_TABLE_NAME",
    ),
    ("TABLE_CONSTRAINTS", "CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_SCHEMA TABLE_NAME CONSTRAINT_TYPE ENFORCED"),
    (
        "VIEWS",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME VIEW_DEFINITION:t CHECK_OPTION IS_UPDATABLE DEFINER SECURITY_TYPE CHARACTER_SET_CLIENT \
         COLLATION_CONNECTION",
    ),
    ("COLLATIONS", "COLLATION_NAME CHARACTER_SET_NAME ID:i IS_DEFAULT IS_COMPILED SORTLEN:i PAD_ATTRIBUTE"),
    ("CHARACTER_SETS", "CHARACTER_SET_NAME DEFAULT_COLLATE_NAME DESCRIPTION MAXLEN:i"),
    ("COLLATION_CHARACTER_SET_APPLICABILITY", "COLLATION_NAME CHARACTER_SET_NAME"),
    ("ENGINES", "ENGINE SUPPORT COMMENT TRANSACTIONS XA SAVEPOINTS"),
    ("PROCESSLIST", "ID:i USER HOST DB COMMAND TIME:i STATE INFO:t"),
    ("SESSION_VARIABLES", "VARIABLE_NAME VARIABLE_VALUE:t"),
    ("GLOBAL_VARIABLES", "VARIABLE_NAME VARIABLE_VALUE:t"),
    ("SESSION_STATUS", "VARIABLE_NAME VARIABLE_VALUE:t"),
    ("GLOBAL_STATUS", "VARIABLE_NAME VARIABLE_VALUE:t"),
    // What this engine has none of: empty, but there, because clients look.
    (
        "ROUTINES",
        "SPECIFIC_NAME ROUTINE_CATALOG ROUTINE_SCHEMA ROUTINE_NAME ROUTINE_TYPE DATA_TYPE:t ROUTINE_DEFINITION:t ROUTINE_COMMENT:t CREATED:d \
         LAST_ALTERED:d",
    ),
    ("PARAMETERS", "SPECIFIC_CATALOG SPECIFIC_SCHEMA SPECIFIC_NAME ORDINAL_POSITION:i PARAMETER_MODE PARAMETER_NAME DATA_TYPE:t"),
    (
        "TRIGGERS",
        "TRIGGER_CATALOG TRIGGER_SCHEMA TRIGGER_NAME EVENT_MANIPULATION EVENT_OBJECT_CATALOG EVENT_OBJECT_SCHEMA EVENT_OBJECT_TABLE \
         ACTION_STATEMENT:t ACTION_TIMING CREATED:d",
    ),
    ("EVENTS", "EVENT_CATALOG EVENT_SCHEMA EVENT_NAME DEFINER EVENT_DEFINITION:t STATUS"),
    ("PARTITIONS", "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME PARTITION_NAME PARTITION_ORDINAL_POSITION:i TABLE_ROWS:i"),
    ("CHECK_CONSTRAINTS", "CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME CHECK_CLAUSE:t"),
    ("COLUMN_STATISTICS", "SCHEMA_NAME TABLE_NAME COLUMN_NAME HISTOGRAM:t"),
    ("FILES", "FILE_ID:i FILE_NAME FILE_TYPE TABLESPACE_NAME LOGFILE_GROUP_NAME ENGINE TOTAL_EXTENTS:i INITIAL_SIZE:i EXTENT_SIZE:i EXTRA"),
    ("PLUGINS", "PLUGIN_NAME PLUGIN_VERSION PLUGIN_STATUS PLUGIN_TYPE"),
    ("USER_PRIVILEGES", "GRANTEE TABLE_CATALOG PRIVILEGE_TYPE IS_GRANTABLE"),
    ("SCHEMA_PRIVILEGES", "GRANTEE TABLE_CATALOG TABLE_SCHEMA PRIVILEGE_TYPE IS_GRANTABLE"),
    ("TABLE_PRIVILEGES", "GRANTEE TABLE_CATALOG TABLE_SCHEMA TABLE_NAME PRIVILEGE_TYPE IS_GRANTABLE"),
];

/// `information_schema.name` as SQL and columns; `None` if `database` is another one.
pub(super) fn relation(database: &str, name: &str) -> Result<Option<(String, Vec<OutColumn>)>, SqlError> {
    if !database.eq_ignore_ascii_case("information_schema") {
        return Ok(None);
    }
    let (kind, columns) = INFORMATION_SCHEMA
        .iter()
        .find(|(kind, _)| kind.eq_ignore_ascii_case(name))
        .ok_or_else(|| SqlError::new(1109, "42S02", format!("Unknown table '{}' in information_schema", name.to_uppercase())))?;
    Ok(Some(source(kind, &[], columns)))
}

fn source(kind: &str, arguments: &[&str], columns: &str) -> (String, Vec<OutColumn>) {
    let columns: Vec<OutColumn> = columns
        .split_whitespace()
        .map(|spec| {
            let (name, kind) = spec.split_once(':').unwrap_or((spec, ""));
            let ty = match kind {
                "i" => Ty::BIGINT,
                "d" => Ty::DATETIME,
                "t" => Ty::Text(21_845),
                _ => Ty::Text(64),
            };
            OutColumn { name: name.replace('~', " "), ty, collation: crate::collation::DEFAULT, nullable: true, origin: None }
        })
        .collect();
    let picks: Vec<String> = (0..columns.len()).map(|i| format!("json_extract(value, '$[{i}]') AS c{}", i + 1)).collect();
    let arguments: String = arguments.iter().map(|a| format!(", {}", string(a))).collect();
    (format!("SELECT {} FROM json_each(pm_information({}{arguments}))", picks.join(", "), string(kind)), columns)
}

/// Translates a SHOW statement. Tables and databases it names must exist.
pub fn show(context: Context<'_>, show: &Show) -> Result<Translation, SqlError> {
    let translator = Translator::new(context);
    let database = |given: &Option<String>| -> Result<String, SqlError> {
        let name = match given {
            Some(name) => name.clone(),
            None => context.database.ok_or_else(error::no_database_selected)?.to_owned(),
        };
        if name.eq_ignore_ascii_case("information_schema") || context.catalogue.database(&name).is_some() {
            return Ok(name);
        }
        Err(error::unknown_database(name))
    };
    let variables = |scope: VariableScope| if scope == VariableScope::Global { "GLOBAL_VARIABLES" } else { "SESSION_VARIABLES" };
    let empty = ShowFilter::None;
    match show {
        Show::Databases(filter) => translator.show("SHOW_DATABASES", &[], "Database", filter, None),
        Show::Tables { database: given, full, filter } => {
            let database = database(given)?;
            let suffix = match filter {
                ShowFilter::Like(pattern) => format!("~({pattern})").replace(' ', "~"),
                _ => String::new(),
            };
            let columns = format!("Tables_in_{database}{suffix}{}", if *full { " Table_type" } else { "" });
            translator.show(if *full { "SHOW_FULL_TABLES" } else { "SHOW_TABLES" }, &[&database], &columns, filter, None)
        }
        Show::TableStatus { database: given, filter } => {
            let columns = "Name Engine Version:i Row_format Rows:i Avg_row_length:i Data_length:i Max_data_length:i Index_length:i Data_free:i \
                           Auto_increment:i Create_time:d Update_time:d Check_time:d Collation Checksum:i Create_options Comment:t";
            translator.show("SHOW_TABLE_STATUS", &[&database(given)?], columns, filter, None)
        }
        Show::OpenTables(filter) => translator.show("EMPTY", &[], "Database Table In_use:i Name_locked:i", filter, None),
        Show::Columns { table, full, filter } => {
            let (database, name) = translator.checked(table)?;
            let (kind, columns) = if *full {
                ("SHOW_FULL_COLUMNS", "Field Type:t Collation Null Key Default:t Extra Privileges Comment:t")
            } else {
                ("SHOW_COLUMNS", "Field Type:t Null Key Default:t Extra")
            };
            translator.show(kind, &[&database, &name], columns, filter, None)
        }
        Show::Index { table, filter } => {
            let (database, name) = translator.checked(table)?;
            let columns = "Table Non_unique:i Key_name Seq_in_index:i Column_name Collation Cardinality:i Sub_part:i Packed Null Index_type Comment \
                           Index_comment Visible Expression";
            translator.show("SHOW_INDEX", &[&database, &name], columns, filter, None)
        }
        Show::CreateTable(table) => {
            let (database, name) = translator.checked(table)?;
            let view = matches!(context.catalogue.object(&database, &name), Some(crate::catalogue::Object::View(_)))
                && context.temporary.object(&database, &name).is_none();
            let columns = if view { "View Create~View:t character_set_client collation_connection" } else { "Table Create~Table:t" };
            translator.show("SHOW_CREATE", &[&database, &name], columns, &empty, None)
        }
        Show::CreateView(table) => {
            let (database, name) = translator.checked(table)?;
            if context.catalogue.table(&database, &name).is_some() {
                return Err(SqlError::new(1347, "HY000", format!("'{database}.{name}' is not VIEW")));
            }
            translator.show(
                "SHOW_CREATE",
                &[&database, &name],
                "View Create~View:t character_set_client collation_connection",
                &empty,
                None,
            )
        }
        Show::CreateDatabase { name, .. } => {
            let name = database(&Some(name.clone()))?;
            translator.show("SHOW_CREATE_DATABASE", &[&name], "Database Create~Database:t", &empty, None)
        }
        Show::Variables { scope, filter } => translator.show(variables(*scope), &[], "Variable_name Value:t", filter, Some(0)),
        Show::Status(filter) => translator.show("SESSION_STATUS", &[], "Variable_name Value:t", filter, Some(0)),
        Show::Warnings { count: true, errors_only } => {
            let name = if *errors_only { "@@session.error_count:i" } else { "@@session.warning_count:i" };
            translator.show(if *errors_only { "ERROR_COUNT" } else { "WARNING_COUNT" }, &[], name, &empty, None)
        }
        Show::Warnings { errors_only, .. } => {
            translator.show(if *errors_only { "SHOW_ERRORS" } else { "SHOW_WARNINGS" }, &[], "Level Code:i Message:t", &empty, None)
        }
        Show::Engines => translator.show("ENGINES", &[], "Engine Support Comment Transactions XA Savepoints", &empty, None),
        Show::Collation(filter) => {
            translator.show("COLLATIONS", &[], "Collation Charset Id:i Default Compiled Sortlen:i Pad_attribute", filter, None)
        }
        Show::CharacterSet(filter) => {
            translator.show("SHOW_CHARACTER_SET", &[], "Charset Description Default~collation Maxlen:i", filter, None)
        }
        Show::ProcessList => translator.show("PROCESSLIST", &[], "Id:i User Host db Command Time:i State Info:t", &empty, None),
        Show::Privileges => translator.show("EMPTY", &[], "Privilege Context Comment", &empty, None),
        Show::Plugins => translator.show("EMPTY", &[], "Name Status Type Library License", &empty, None),
        Show::Grants => translator.show("SHOW_GRANTS", &[], "Grants:t", &empty, None),
        Show::Triggers(filter) => {
            let columns = "Trigger Event Table Statement:t Timing Created:d sql_mode Definer character_set_client collation_connection Database~Collation";
            translator.show("EMPTY", &[], columns, filter, None)
        }
        Show::Events(filter) => translator.show("EMPTY", &[], "Db Name Definer Time~zone Type Status", filter, None),
        Show::Routines(filter) => {
            translator.show("EMPTY", &[], "Db Name Type Definer Modified:d Created:d Security_type Comment", filter, None)
        }
        Show::MasterStatus => {
            translator.show("EMPTY", &[], "File Position:i Binlog_Do_DB Binlog_Ignore_DB Executed_Gtid_Set", &empty, None)
        }
    }
}

impl Translator<'_> {
    /// The database and stored name of a table or view that must exist.
    fn checked(&self, table: &crate::parse::Name) -> Result<(String, String), SqlError> {
        let database = self.database_of(table)?;
        if relation(&database, &table.name)?.is_some() {
            return Err(SqlError::unsupported("SHOW COLUMNS of information_schema"));
        }
        if self.cx.temporary.object(&database, &table.name).is_none() && self.cx.catalogue.object(&database, &table.name).is_none() {
            if self.cx.catalogue.database(&database).is_none() {
                return Err(error::unknown_database(database));
            }
            return Err(error::table_missing(database, &table.name));
        }
        Ok((database, table.name.clone()))
    }

    fn show(
        mut self,
        kind: &str,
        arguments: &[&str],
        columns: &str,
        filter: &ShowFilter,
        order: Option<usize>,
    ) -> Result<Translation, SqlError> {
        self.impure("SHOW");
        self.session_bound = true;
        let (sql, columns) = source(kind, arguments, columns);
        let picked: Vec<SourceColumn> = columns
            .iter()
            .enumerate()
            .map(|(i, c)| SourceColumn {
                name: c.name.clone(),
                ex: Ex::new(format!("r1.c{}", i + 1), c.ty.clone()).collated(c.collation, 2),
            })
            .collect();
        let condition = match filter {
            ShowFilter::None => String::new(),
            ShowFilter::Like(pattern) => format!(" WHERE pm_like({}, {}, '\\')", picked[0].ex.sql, string(pattern)),
            ShowFilter::Where(expr) => {
                let source =
                    Source { alias: String::new(), database: None, columns: picked, hidden: vec![], table: None, sql: "r1".to_owned() };
                self.scopes.push(Scope { sources: vec![source], ..Scope::default() });
                self.clause = "where clause";
                let condition = self.condition(strip_qualifiers(expr))?;
                self.scopes.pop();
                format!(" WHERE {condition}")
            }
        };
        let order = order.map_or(String::new(), |i| format!(" ORDER BY c{}", i + 1));
        let list: Vec<String> = (1..=columns.len()).map(|i| format!("r1.c{i}")).collect();
        Ok(self.finish(format!("SELECT {} FROM ({sql}) AS r1{condition}{order}", list.join(", ")), columns, None))
    }
}

fn strip_qualifiers(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => strip_qualifiers(inner),
        other => other,
    }
}
