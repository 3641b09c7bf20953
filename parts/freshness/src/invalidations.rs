//! What made stored answers of one kind wrong, counted for people: a statement's results, a route's pages. No stored answer is checked against it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Freshness, Standing, Table, Write};

/// Tables told apart of one kind of answer; all further ones are counted together. With the longest statements some 9 KiB.
pub const INVALIDATIONS_MAX: usize = 16;

/// What an answer was invalidated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidatedBy {
    /// A write to this table, or to one that shares a slot with it.
    Table(Table),
    /// Everything was given up, or the answer depended on everything.
    Everything,
    /// A table beyond [`INVALIDATIONS_MAX`].
    Others,
}

/// How often, and the last time.
#[derive(Clone, Debug)]
pub struct Invalidation {
    pub by: InvalidatedBy,
    pub times: u64,
    /// The last write of them, if it was still remembered when it was met.
    pub last: Option<Arc<Write>>,
}

/// Counted when somebody asks for the answer again and finds it wrong; an answer that nobody asks for any more is no loss. The lock is taken by such requests,
/// never by a hit.
#[derive(Debug, Default)]
pub struct Invalidations(Mutex<Vec<Invalidation>>);

impl Invalidations {
    /// `standing`: of the answer that is not used. One that is clean, or only fenced, is not invalidated.
    pub fn note(&self, standing: Standing, freshness: &Freshness) {
        let (by, last) = match standing {
            Standing::Clean | Standing::Fenced => return,
            Standing::GivenUp => (InvalidatedBy::Everything, None),
            Standing::Overtaken { table, number } => {
                (table.map_or(InvalidatedBy::Everything, InvalidatedBy::Table), freshness.write(number))
            }
        };
        let mut list = self.lock();
        let known = list.iter().position(|known| known.by == by);
        let at = known.unwrap_or_else(|| {
            let tables = list.iter().filter(|known| matches!(known.by, InvalidatedBy::Table(_))).count();
            let by = if matches!(by, InvalidatedBy::Table(_)) && tables >= INVALIDATIONS_MAX { InvalidatedBy::Others } else { by };
            list.iter().position(|known| known.by == by).unwrap_or_else(|| {
                list.push(Invalidation { by, times: 0, last: None });
                list.len() - 1
            })
        });
        list[at].times += 1;
        list[at].last = last.or(list[at].last.take());
    }

    /// Most often first.
    pub fn list(&self) -> Vec<Invalidation> {
        let mut list = self.lock().clone();
        list.sort_by_key(|one| std::cmp::Reverse(one.times));
        list
    }

    /// [`Invalidations::list`] as it is shown. Tables have their numbers, and no names.
    pub fn status(&self) -> Vec<pumasi_status::Invalidation> {
        let shown = |one: Invalidation| pumasi_status::Invalidation {
            table: match one.by {
                InvalidatedBy::Table(table) => Some(pumasi_status::TableTold { number: table.number(), names: Vec::new() }),
                InvalidatedBy::Everything | InvalidatedBy::Others => None,
            },
            others: one.by == InvalidatedBy::Others,
            times: one.times,
            at_unix_ms: one.last.as_ref().map_or(0, |write| write.at_ms),
            statement: one.last.and_then(|write| write.statement.as_deref().map(str::to_owned)),
        };
        self.list().into_iter().map(shown).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Invalidation>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
