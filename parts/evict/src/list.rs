//! Doubly linked lists through the nodes of a [`Store`]: no allocation, removal from the middle.
use crate::Store;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

pub(crate) struct List {
    pub first: u32,
    pub last: u32,
    pub bytes: u64,
}

impl Default for List {
    fn default() -> List {
        List { first: NONE, last: NONE, bytes: 0 }
    }
}

impl<V> Store<V> {
    /// Puts an unlinked node at the front of the list of its rank.
    pub(crate) fn push_front(&mut self, at: u32) {
        let node = &mut self.nodes[at as usize];
        let list = &mut self.lists[usize::from(node.rank)];
        node.previous = NONE;
        node.next = list.first;
        list.first = at;
        list.bytes += node.bytes;
        match node.next {
            NONE => list.last = at,
            next => self.nodes[next as usize].previous = at,
        }
    }

    /// Takes a node out of the list of its rank.
    pub(crate) fn unlink(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let (previous, next) = (node.previous, node.next);
        let list = &mut self.lists[usize::from(node.rank)];
        list.bytes -= node.bytes;
        match previous {
            NONE => list.first = next,
            previous => self.nodes[previous as usize].next = next,
        }
        match next {
            NONE => list.last = previous,
            next => self.nodes[next as usize].previous = previous,
        }
    }
}
