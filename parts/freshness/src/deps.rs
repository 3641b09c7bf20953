//! What an answer was made of: a bounded set of tags.

use crate::{Table, Tag, tags::Kind};

/// Tags in one set. Beyond it the table with most rows is kept as a whole (`A(T)`), and when even the tables are too many the set
/// becomes "everything". 128 tags are 1.5 KiB and about half a microsecond to check.
pub const DEPS_MAX: usize = 128;

/// What an answer was made of. The empty set is an answer that no write can change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deps {
    /// Sorted, without duplicates; within a table what a commit fences comes before what it may bump. A table that is held as a whole has no other tag here.
    tags: Vec<Tag>,
    /// Any write at all makes the answer wrong.
    everything: bool,
}

impl Deps {
    pub fn new() -> Deps {
        Deps::default()
    }

    /// Depends on every write there is.
    pub fn everything() -> Deps {
        Deps { tags: Vec::new(), everything: true }
    }

    /// Any row of `table`.
    pub fn add_table(&mut self, table: Table) {
        self.add(table.any_row());
    }

    /// Only rows whose `column` is one of `values` (canonical form). No value at all is a predicate that nothing satisfies: it still
    /// depends on the table's unknown rows, because those may become known under another meaning of the predicate (DDL).
    pub fn add_rows<'v>(&mut self, table: Table, column: &str, values: impl IntoIterator<Item = &'v [u8]>) {
        self.add(table.unknown_rows());
        for value in values {
            self.add(table.row(column, value));
        }
    }

    /// Everything `other` depends on, too.
    pub fn unite(&mut self, other: &Deps) {
        if other.everything {
            *self = Deps::everything();
        }
        for &tag in &other.tags {
            self.add(tag);
        }
    }

    /// No write can change the answer.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && !self.everything
    }

    /// How many tags are checked.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    pub fn depends_on_everything(&self) -> bool {
        self.everything
    }

    /// The tables in the set, each once.
    pub fn tables(&self) -> impl Iterator<Item = Table> + '_ {
        self.tags.chunk_by(|a, b| a.table == b.table).map(|group| Table::from_number(group[0].table))
    }

    /// Whether `table` is held as a whole (or everything is).
    pub fn holds_whole(&self, table: Table) -> bool {
        self.everything || self.tags.binary_search(&table.any_row()).is_ok()
    }

    /// How many rows of `table` are named; `None` if it is held as a whole.
    pub fn rows_of(&self, table: Table) -> Option<usize> {
        let named = |tag: &&Tag| tag.table == table.number() && tag.kind == Kind::Row;
        (!self.holds_whole(table)).then(|| self.tags.iter().filter(named).count())
    }

    /// Memory behind the set, for byte budgets.
    pub fn bytes(&self) -> usize {
        self.tags.capacity() * size_of::<Tag>()
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        &self.tags
    }

    fn add(&mut self, tag: Tag) {
        if self.everything {
            return;
        }
        let whole = Table::from_number(tag.table).any_row();
        // `A(T)` is touched by every write to T and fenced with it, so it stands for all of T's other tags.
        if self.tags.binary_search(&whole).is_ok() {
            return;
        }
        if tag == whole {
            self.keep_whole(tag.table);
            return;
        }
        if let Err(place) = self.tags.binary_search(&tag) {
            self.tags.insert(place, tag);
        }
        self.shrink();
    }

    fn keep_whole(&mut self, table: u32) {
        self.tags.retain(|tag| tag.table != table);
        let whole = Table::from_number(table).any_row();
        let place = self.tags.partition_point(|tag| *tag < whole);
        self.tags.insert(place, whole);
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.tags.len() <= DEPS_MAX {
            return;
        }
        let largest = self.tags.chunk_by(|a, b| a.table == b.table).max_by_key(|group| group.len()).filter(|group| group.len() > 1);
        match largest.map(|group| group[0].table) {
            Some(table) => self.keep_whole(table),
            None => *self = Deps::everything(),
        }
    }
}
