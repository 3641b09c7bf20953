//! Buffers that a core's connections share: an idle connection holds none.

use std::cell::RefCell;

/// Free buffers of one core. Both lists are bounded by [`FREE_MAX`]; what is beyond it goes back to the allocator.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    inputs: RefCell<Vec<Vec<u8>>>,
    outputs: RefCell<Vec<Vec<u8>>>,
}

/// Bytes read at once. Large enough that a big body takes few system calls, small enough to stay in the L2 cache.
pub(crate) const INPUT_BYTES: usize = 32 << 10;

/// An output buffer that grew past this is not kept.
const OUTPUT_KEEP_MAX: usize = 256 << 10;

/// Buffers kept for later, each kind: 8 MiB of inputs per core at most.
const FREE_MAX: usize = 256;

impl Buffers {
    pub fn take_input(&self) -> Vec<u8> {
        self.inputs.borrow_mut().pop().unwrap_or_else(|| vec![0; INPUT_BYTES])
    }

    pub fn give_input(&self, buffer: Vec<u8>) {
        let mut free = self.inputs.borrow_mut();
        if free.len() < FREE_MAX && buffer.len() == INPUT_BYTES {
            free.push(buffer);
        }
    }

    pub fn take_output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4 << 10))
    }

    pub fn give_output(&self, mut buffer: Vec<u8>) {
        let mut free = self.outputs.borrow_mut();
        if free.len() < FREE_MAX && buffer.capacity() <= OUTPUT_KEEP_MAX {
            buffer.clear();
            free.push(buffer);
        }
    }
}
