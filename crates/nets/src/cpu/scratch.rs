//! Buffers that are used again: a fresh one is zeroed first, which takes as long as filling it.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Buffers that a thread keeps. Of those that a layer needs at a time there are fewer; work that a thread takes on
/// while it waits may need as many again.
const KEPT: usize = 6;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer, given back when it is dropped.
pub(super) struct Scratch {
    buffer: Vec<f32>,
    length: usize,
}

impl Scratch {
    /// So many values; what they are is whatever was there before.
    pub(super) fn with_length(length: usize) -> Self {
        let mut scratch = Self {
            buffer: SPARE.with_borrow_mut(Vec::pop).unwrap_or_default(),
            length: 0,
        };
        scratch.resize(length);
        scratch
    }

    /// The same for another number of values.
    pub(super) fn resize(&mut self, length: usize) {
        if self.buffer.len() < length {
            self.buffer.resize(length, 0.0);
        }
        self.length = length;
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.length]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.length]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // A thread that ends has none to keep it in.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_have_the_length_that_is_asked_for() {
        let mut first = Scratch::with_length(5);
        first.fill(1.0);
        let second = Scratch::with_length(3);
        assert_eq!((&first[..], &second[..]), (&[1.0; 5][..], &[0.0; 3][..]));
        drop(first);
        let mut again = Scratch::with_length(2);
        assert_eq!(&again[..], [1.0; 2]);
        again.resize(8);
        assert_eq!(again.len(), 8);
        assert_eq!(&again[..5], [1.0; 5]);
    }
}
