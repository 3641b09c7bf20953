//! The clients of one core, as far as they have something in common.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use super::client::{LOOK_OVER, Signals};

/// Who is connected on this core. Entered by each client when it comes.
#[derive(Default)]
pub struct Crowd(RefCell<HashMap<u32, Arc<Signals>>>);

/// A client's place in the crowd; leaves it when dropped.
pub struct Known {
    crowd: Rc<Crowd>,
    id: u32,
}

impl Crowd {
    /// `id`: the connection's, which no other has while it is there.
    pub fn enter(self: &Rc<Crowd>, id: u32, signals: &Arc<Signals>) -> Known {
        self.0.borrow_mut().insert(id, signals.clone());
        Known { crowd: self.clone(), id }
    }

    /// Makes everybody look around: a primary has fallen.
    pub fn tell(&self) {
        self.0.borrow().values().for_each(|signals| signals.tell());
    }

    /// Looks everybody over, again and again: one timer for all, instead of one set and taken back with every statement.
    pub async fn look_over(self: Rc<Crowd>) {
        loop {
            tokio::time::sleep(LOOK_OVER).await;
            self.0.borrow().values().for_each(|signals| signals.look_over());
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.crowd.0.borrow_mut().remove(&self.id);
    }
}

/// Buffers that commands are read into while they are answered: a core answers few at a time, so idle clients need none of their own.
#[derive(Default)]
pub struct Spare(RefCell<Vec<Vec<u8>>>);

/// Buffers kept, and what each may hold: one of an everyday statement's size for each of many statements in flight.
const SPARE_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 16 * 1024;

impl Spare {
    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub fn put(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < SPARE_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
