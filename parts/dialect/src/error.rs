//! MySQL's errors, by the number that drivers act on. Texts follow MySQL's, because applications match on them.

use pumasi_mysqlwire::SqlError;

macro_rules! errors {
    ($( $(#[$doc:meta])* $name:ident ( $($arg:ident),* ) = $code:literal, $state:literal, $text:literal; )*) => { $(
        $(#[$doc])*
        pub fn $name($($arg: impl std::fmt::Display),*) -> SqlError {
            SqlError::new($code, $state, format!($text))
        }
    )* };
}

errors! {
    database_exists(name) = 1007, "HY000", "Can't create database '{name}'; database exists";
    database_missing_for_drop(name) = 1008, "HY000", "Can't drop database '{name}'; database doesn't exist";
    no_database_selected() = 1046, "3D000", "No database selected";
    null_value(column) = 1048, "23000", "Column '{column}' cannot be null";
    unknown_database(name) = 1049, "42000", "Unknown database '{name}'";
    table_exists(name) = 1050, "42S01", "Table '{name}' already exists";
    unknown_table_for_drop(names) = 1051, "42S02", "Unknown table '{names}'";
    ambiguous_column(column, clause) = 1052, "23000", "Column '{column}' in {clause} is ambiguous";
    unknown_column(column, clause) = 1054, "42S22", "Unknown column '{column}' in '{clause}'";
    duplicate_column(column) = 1060, "42S21", "Duplicate column name '{column}'";
    duplicate_key_name(name) = 1061, "42000", "Duplicate key name '{name}'";
    duplicate_entry(value, key) = 1062, "23000", "Duplicate entry '{value}' for key '{key}'";
    empty_query() = 1065, "42000", "Query was empty";
    duplicate_alias(name) = 1066, "42000", "Not unique table/alias: '{name}'";
    invalid_default(column) = 1067, "42000", "Invalid default value for '{column}'";
    two_primary_keys() = 1068, "42000", "Multiple primary key defined";
    key_column_missing(column) = 1072, "42000", "Key column '{column}' doesn't exist in table";
    column_too_long(column, max) = 1074, "42000", "Column length too big for column '{column}' (max = {max}); use BLOB or TEXT instead";
    auto_increment_needs_key() = 1075, "42000", "Incorrect table definition; there can be only one auto column and it must be defined as a key";
    no_columns() = 1113, "42000", "A table must have at least 1 column";
    cannot_drop_all() = 1090, "42000", "You can't delete all columns with ALTER TABLE; use DROP TABLE instead";
    cannot_drop(name) = 1091, "42000", "Can't DROP '{name}'; check that column/key exists";
    unknown_thread(id) = 1094, "HY000", "Unknown thread id: {id}";
    unknown_character_set(name) = 1115, "42000", "Unknown character set: '{name}'";
    column_count_mismatch(row) = 1136, "21S01", "Column count doesn't match value count at row {row}";
    field_specified_twice(column) = 1110, "42000", "Column '{column}' specified twice";
    invalid_group_function() = 1111, "HY000", "Invalid use of group function";
    table_missing(database, table) = 1146, "42S02", "Table '{database}.{table}' doesn't exist";
    key_too_long_blob(column) = 1170, "42000", "BLOB/TEXT column '{column}' used in key specification without a key length";
    unknown_variable(name) = 1193, "HY000", "Unknown system variable '{name}'";
    lock_wait_timeout() = 1205, "HY000", "Lock wait timeout exceeded; try restarting transaction";
    deadlock() = 1213, "40001", "Deadlock found when trying to get lock; try restarting transaction";
    union_columns() = 1222, "21000", "The used SELECT statements have a different number of columns";
    wrong_variable_type(name) = 1232, "42000", "Incorrect argument type to variable '{name}'";
    wrong_variable_value(name, value) = 1231, "42000", "Variable '{name}' can't be set to the value of '{value}'";
    read_only_variable(name) = 1238, "HY000", "Variable '{name}' is a read only variable";
    operand_columns(n) = 1241, "21000", "Operand should contain {n} column(s)";
    subquery_rows() = 1242, "21000", "Subquery returns more than 1 row";
    derived_needs_alias() = 1248, "42000", "Every derived table must have its own alias";
    derived_duplicate_column(column) = 1060, "42S21", "Duplicate column name '{column}'";
    out_of_range(column, row) = 1264, "22003", "Out of range value for column '{column}' at row {row}";
    data_truncated(column, row) = 1265, "01000", "Data truncated for column '{column}' at row {row}";
    collation_mix(left, right, operation) = 1267, "HY000", "Illegal mix of collations ({left}) and ({right}) for operation '{operation}'";
    unknown_collation(name) = 1273, "HY000", "Unknown collation: '{name}'";
    incorrect_value(kind, value) = 1292, "22007", "Incorrect {kind} value: '{value}'";
    incorrect_column_value(kind, value, column, row) = 1292, "22007", "Incorrect {kind} value: '{value}' for column '{column}' at row {row}";
    unknown_time_zone(name) = 1298, "HY000", "Unknown or incorrect time zone: '{name}'";
    invalid_text(charset, bytes) = 1300, "HY000", "Invalid {charset} character string: '{bytes}'";
    no_savepoint(name) = 1305, "42000", "SAVEPOINT {name} does not exist";
    unknown_function(database, name) = 1305, "42000", "FUNCTION {database}.{name} does not exist";
    interrupted() = 1317, "70100", "Query execution was interrupted";
    division_by_zero() = 1365, "22012", "Division by 0";
    no_default(column) = 1364, "HY000", "Field '{column}' doesn't have a default value";
    incorrect_string(kind, value, column, row) = 1366, "HY000", "Incorrect {kind} value: '{value}' for column '{column}' at row {row}";
    data_too_long(column, row) = 1406, "22001", "Data too long for column '{column}' at row {row}";
    parameter_out_of_range(kind, value) = 1690, "22003", "{kind} value is out of range in '{value}'";
    referenced_row(constraint) = 1451, "23000", "Cannot delete or update a parent row: a foreign key constraint fails ({constraint})";
    no_referenced_row(constraint) = 1452, "23000", "Cannot add or update a child row: a foreign key constraint fails ({constraint})";
    drop_referenced(table, constraint) = 3730, "HY000", "Cannot drop table '{table}' referenced by a foreign key constraint '{constraint}'.";
    wrong_argument_count(function) = 1582, "42000", "Incorrect parameter count in the call to native function '{function}'";
    read_only_transaction() = 1792, "25006", "Cannot execute statement in a READ ONLY transaction.";
    parent_table_missing(table) = 1824, "HY000", "Failed to open the referenced table '{table}'";
    parent_key_missing(constraint, table) = 1822, "HY000", "Failed to add the foreign key constraint. Missing index for constraint '{constraint}' in the referenced table '{table}'";
    invalid_json(position, function) = 3140, "22032", "Invalid JSON text: \"{position}\" in {function}.";
    invalid_json_path(detail) = 3143, "42000", "Invalid JSON path expression. {detail}.";
    invalid_regexp(detail) = 3685, "HY000", "Illegal argument to a regular expression: {detail}";
    name_too_long(name) = 1059, "42000", "Identifier name '{name}' is too long";
    wrong_table_name(name) = 1103, "42000", "Incorrect table name '{name}'";
    wrong_database_name(name) = 1102, "42000", "Incorrect database name '{name}'";
    wrong_column_name(name) = 1166, "42000", "Incorrect column name '{name}'";
    table_not_locked(name) = 1100, "HY000", "Table '{name}' was not locked with LOCK TABLES";
    constraint_duplicate(name) = 1826, "HY000", "Duplicate foreign key constraint name '{name}'";
    check_violated(name) = 3819, "HY000", "Check constraint '{name}' is violated.";
    check_of_unknown_column(name, column) = 3820, "HY000", "Check constraint '{name}' refers to non-existing column '{column}'.";
    check_missing(name) = 3821, "HY000", "Check constraint '{name}' is not found in the table.";
    check_duplicate(name) = 3822, "HY000", "Duplicate check constraint name '{name}'.";
    check_of_other_column(name) = 3813, "HY000", "Column check constraint '{name}' references other column.";
    check_disallowed(name) = 3815, "HY000", "An expression of a check constraint '{name}' contains disallowed function.";
    check_of_auto_increment(name) = 3818, "HY000", "Check constraint '{name}' cannot refer to an auto-increment column.";
    check_needs_column(name, column) = 3959, "HY000", "Check constraint '{name}' uses column '{column}', hence column cannot be dropped or renamed.";
    not_a_base_table(database, name) = 1347, "HY000", "'{database}.{name}' is not BASE TABLE";
    disk(detail) = 1030, "HY000", "Got error from the storage engine: {detail}";
    internal(detail) = 1105, "HY000", "{detail}";
}

/// 1064 with MySQL's wording: `near` is the rest of the statement from where it stopped making sense.
pub fn syntax(near: &str, line: u64) -> SqlError {
    let mut end = near.len().min(NEAR_BYTES_MAX);
    while !near.is_char_boundary(end) {
        end -= 1;
    }
    let near = &near[..end];
    let text =
        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use";
    SqlError::new(1064, "42000", format!("{text} near '{near}' at line {line}"))
}

/// MySQL quotes at most this much of the statement.
const NEAR_BYTES_MAX: usize = 80;
