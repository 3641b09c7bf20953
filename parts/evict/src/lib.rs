//! A store with one exact byte budget, and the policies that decide who leaves when room is needed.
//!
//! Keys are the caller's: every call brings a 64-bit hash and a test for equality, so a key is hashed once and stored once, inside the
//! value. Everything is O(1). Not synchronised: a shard of a larger store is one [`Store`] behind one lock.
//!
//! **Invariant:** [`Store::bytes`] never exceeds the budget, and it counts what the caller said plus [`Store::OVERHEAD_BYTES`] for each
//! entry: node, index and ghost at their worst load. What the process uses for the store is never more than what the budget says.
mod ghost;
mod list;

use ghost::Ghost;
use hashbrown::HashTable;
use list::{List, NONE};

/// Who leaves when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// S3-FIFO (Yang et al., SOSP 2023): new entries prove themselves in a tenth of the room, so a crawler's one-time pages push out
    /// nothing that is used; a hit only counts up to three and moves nothing.
    #[default]
    S3Fifo,
    /// Least recently used.
    Lru,
    /// Least frequently used; among equals least recently used. Frequencies stop at 255.
    Lfu,
    /// Oldest first, whatever its use.
    Fifo,
}

/// Values with a weight in bytes, under one budget.
pub struct Store<V> {
    policy: Policy,
    budget: u64,
    bytes: u64,
    index: HashTable<u32>,
    nodes: Vec<Node<V>>,
    free: Vec<u32>,
    /// One list per rank: S3-FIFO uses 0 (small) and 1 (main), LFU one per frequency, the others one.
    lists: Vec<List>,
    ghost: Ghost,
}

struct Node<V> {
    /// `None` while the node is on the free list.
    value: Option<V>,
    hash: u64,
    bytes: u64,
    previous: u32,
    next: u32,
    /// S3-FIFO: uses since it was last looked at, up to three.
    uses: u8,
    /// Index into `lists`.
    rank: u8,
}

/// It is larger than the whole budget; here it is back.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge<V>(pub V);

impl<V> Store<V> {
    /// What an entry costs beside the caller's bytes: twice its node and its place on the free list (vectors grow by doubling), its index
    /// slot at the table's lowest load (4 bytes and a control byte, 16/7 slots per entry), and a ghost.
    pub const OVERHEAD_BYTES: u64 = (2 * (size_of::<Node<V>>() + 4) + 12 + ghost::BYTES) as u64;

    /// Room for `budget` bytes, everything included.
    pub fn new(policy: Policy, budget: u64) -> Store<V> {
        let lists = match policy {
            Policy::S3Fifo => 2,
            Policy::Lfu => 256,
            Policy::Lru | Policy::Fifo => 1,
        };
        Store {
            policy,
            budget,
            bytes: 0,
            index: HashTable::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            lists: (0..lists).map(|_| List::default()).collect(),
            ghost: Ghost::default(),
        }
    }

    /// The value, counted as used.
    pub fn get(&mut self, hash: u64, is: impl Fn(&V) -> bool) -> Option<&V> {
        let at = self.find(hash, is)?;
        self.used(at);
        self.nodes[at as usize].value.as_ref()
    }

    /// The value, without counting it as used.
    pub fn peek(&self, hash: u64, is: impl Fn(&V) -> bool) -> Option<&V> {
        self.nodes[self.find(hash, is)? as usize].value.as_ref()
    }

    /// Changes a value in place, without counting it as used. Its weight must stay what it is; to change that, insert anew.
    pub fn peek_mut(&mut self, hash: u64, is: impl Fn(&V) -> bool) -> Option<&mut V> {
        let at = self.find(hash, is)?;
        self.nodes[at as usize].value.as_mut()
    }

    /// Adds `value`, replacing the one that `is` it, if any; it then inherits what that one has proven. Whatever left (the replaced one as
    /// well) is appended to `left`, so that the caller drops it outside its lock; `bytes` is what the value weighs beside
    /// [`Store::OVERHEAD_BYTES`].
    ///
    /// Errors: `TooLarge` if it can never fit. A former value with that key has left nevertheless: it is no longer true.
    pub fn insert(&mut self, hash: u64, value: V, bytes: u64, is: impl Fn(&V) -> bool, left: &mut Vec<V>) -> Result<(), TooLarge<V>> {
        let former = self.find(hash, is).map(|at| {
            let Node { rank, uses, .. } = self.nodes[at as usize];
            left.extend(self.take_out(at));
            (rank, uses)
        });
        let weight = bytes.saturating_add(Self::OVERHEAD_BYTES);
        if weight > self.budget {
            return Err(TooLarge(value));
        }
        while self.bytes + weight > self.budget {
            left.extend(self.evict());
        }
        let (rank, uses) = former.unwrap_or_else(|| match self.policy {
            Policy::S3Fifo if self.ghost.take(hash) => (MAIN, 0),
            Policy::S3Fifo => (SMALL, 0),
            Policy::Lru | Policy::Lfu | Policy::Fifo => (0, 0),
        });
        let node = Node { value: Some(value), hash, bytes: weight, previous: NONE, next: NONE, uses, rank };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("4 Gi entries weigh more than any budget")
            }
        };
        self.bytes += weight;
        self.push_front(at);
        let nodes = &self.nodes;
        self.index.insert_unique(hash, at, |at| nodes[*at as usize].hash);
        Ok(())
    }

    pub fn remove(&mut self, hash: u64, is: impl Fn(&V) -> bool) -> Option<V> {
        let at = self.find(hash, is)?;
        self.take_out(at)
    }

    /// Removes what `keep` refuses, appending it to `left`. Linear.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool, left: &mut Vec<V>) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].value.as_mut().is_some_and(|value| !keep(value)) {
                left.extend(self.take_out(at as u32));
            }
        }
    }

    /// Another budget; what no longer fits is appended to `left`.
    pub fn set_budget(&mut self, budget: u64, left: &mut Vec<V>) {
        self.budget = budget;
        while self.bytes > budget {
            left.extend(self.evict());
        }
    }

    /// What is used of the budget.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn budget(&self) -> u64 {
        self.budget
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Every value, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &V> {
        self.nodes.iter().filter_map(|node| node.value.as_ref())
    }

    fn find(&self, hash: u64, is: impl Fn(&V) -> bool) -> Option<u32> {
        let same = |at: &u32| {
            let node = &self.nodes[*at as usize];
            node.hash == hash && node.value.as_ref().is_some_and(&is)
        };
        self.index.find(hash, same).copied()
    }

    fn used(&mut self, at: u32) {
        let node = &mut self.nodes[at as usize];
        match self.policy {
            Policy::S3Fifo => node.uses = (node.uses + 1).min(USES_MAX),
            Policy::Fifo => {}
            Policy::Lru => self.move_to(at, 0),
            Policy::Lfu => {
                let rank = node.rank.saturating_add(1);
                self.move_to(at, rank);
            }
        }
    }

    /// Makes some room. Called only while there is something to evict: `bytes` is more than 0.
    fn evict(&mut self) -> Option<V> {
        match self.policy {
            Policy::S3Fifo => self.evict_s3(),
            Policy::Lru | Policy::Fifo => self.take_out(self.lists[0].last),
            Policy::Lfu => {
                let least = self.lists.iter().find(|list| list.last != NONE)?.last;
                self.take_out(least)
            }
        }
    }

    /// Looks at tails until one leaves. Each look lowers a count or moves an entry from small to main, so it ends, and each was paid for
    /// by a use or an insertion before.
    fn evict_s3(&mut self) -> Option<V> {
        loop {
            let small = &self.lists[usize::from(SMALL)];
            if small.last != NONE && (small.bytes * SMALL_SHARE >= self.budget || self.lists[usize::from(MAIN)].last == NONE) {
                let at = small.last;
                if self.nodes[at as usize].uses > 1 {
                    self.nodes[at as usize].uses = 0;
                    self.move_to(at, MAIN);
                    continue;
                }
                let hash = self.nodes[at as usize].hash;
                let value = self.take_out(at);
                self.ghost.add(hash, self.index.len());
                return value;
            }
            let at = self.lists[usize::from(MAIN)].last;
            let node = &mut self.nodes[at as usize];
            if node.uses == 0 {
                return self.take_out(at);
            }
            node.uses -= 1;
            self.move_to(at, MAIN);
        }
    }

    fn take_out(&mut self, at: u32) -> Option<V> {
        self.unlink(at);
        let node = &mut self.nodes[at as usize];
        self.bytes -= node.bytes;
        let (hash, value) = (node.hash, node.value.take());
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        self.free.push(at);
        value
    }

    fn move_to(&mut self, at: u32, rank: u8) {
        self.unlink(at);
        self.nodes[at as usize].rank = rank;
        self.push_front(at);
    }
}

// === helpers ===

/// S3-FIFO's two queues.
const SMALL: u8 = 0;
const MAIN: u8 = 1;

/// The small queue gets one part in this many of the room (the paper's tenth).
const SMALL_SHARE: u64 = 10;

/// Uses are counted up to this: enough to tell popular from seen twice, and few enough to be forgotten within three rounds.
const USES_MAX: u8 = 3;

#[cfg(test)]
mod tests;
