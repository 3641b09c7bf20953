//! What the statements that define tables say.

use super::Name;
use crate::catalogue::{ReferentialAction, Type};

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: Name,
    pub temporary: bool,
    pub if_not_exists: bool,
    /// CREATE TABLE x LIKE y.
    pub like: Option<Name>,
    pub items: Vec<TableItem>,
    pub options: TableOptions,
    /// CREATE TABLE ... AS SELECT: the SELECT's text.
    pub select: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    pub collation: Option<String>,
    pub comment: Option<String>,
    pub auto_increment: Option<u64>,
    pub engine: Option<String>,
}

#[derive(Clone, Debug)]
pub enum TableItem {
    Column(Box<ColumnDefinition>),
    Key(KeyDefinition),
    ForeignKey(ForeignKeyDefinition),
    Check(CheckDefinition),
}

#[derive(Clone, Debug)]
pub struct CheckDefinition {
    pub name: Option<String>,
    /// What stands between the parentheses.
    pub expression: String,
    pub enforced: bool,
}

#[derive(Clone, Debug)]
pub struct KeyDefinition {
    pub name: Option<String>,
    pub primary: bool,
    pub unique: bool,
    pub parts: Vec<crate::catalogue::KeyPart>,
    pub comment: String,
}

#[derive(Clone, Debug)]
pub struct ForeignKeyDefinition {
    pub name: Option<String>,
    pub columns: Vec<String>,
    pub parent: Name,
    pub parent_columns: Vec<String>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Clone, Debug)]
pub struct ColumnDefinition {
    pub name: String,
    pub ty: Type,
    pub collation: Option<String>,
    pub nullable: Option<bool>,
    pub default: Option<DefaultDefinition>,
    pub auto_increment: bool,
    pub on_update_now: bool,
    pub comment: String,
    pub unique: bool,
    pub primary: bool,
    pub references: Option<ForeignKeyDefinition>,
    /// They may name no other column.
    pub checks: Vec<CheckDefinition>,
}

#[derive(Clone, Debug)]
pub enum DefaultDefinition {
    Null,
    Text(String),
    Number(String),
    Bytes(Vec<u8>),
    Now(u8),
    /// `DEFAULT (expr)`, its text.
    Expression(String),
}

#[derive(Clone, Debug)]
pub struct AlterTable {
    pub name: Name,
    pub actions: Vec<AlterAction>,
}

#[derive(Clone, Debug)]
pub enum ColumnPosition {
    Last,
    First,
    After(String),
}

#[derive(Clone, Debug)]
pub enum AlterAction {
    AddColumn {
        column: Box<ColumnDefinition>,
        position: ColumnPosition,
        if_not_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
    },
    /// CHANGE old new-definition; MODIFY names the same column twice. `None`: stays where it is.
    ChangeColumn {
        name: String,
        column: Box<ColumnDefinition>,
        position: Option<ColumnPosition>,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    /// `None`: DROP DEFAULT.
    SetDefault {
        column: String,
        default: Option<DefaultDefinition>,
    },
    AddKey {
        key: KeyDefinition,
        if_not_exists: bool,
    },
    AddForeignKey(ForeignKeyDefinition),
    AddCheck(CheckDefinition),
    DropCheck(String),
    /// ALTER CHECK name [NOT] ENFORCED.
    EnforceCheck {
        name: String,
        enforced: bool,
    },
    DropPrimaryKey,
    /// DROP CONSTRAINT too: `name` is then also a foreign key's or a check's.
    DropKey {
        name: String,
        if_exists: bool,
    },
    DropForeignKey(String),
    RenameKey {
        from: String,
        to: String,
    },
    Rename(Name),
    Options(TableOptions),
    /// CONVERT TO CHARACTER SET x COLLATE y.
    Convert {
        collation: String,
    },
}
