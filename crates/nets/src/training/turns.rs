//! The order of samples.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Orders of samples that start over when they end.
pub(crate) struct Turns {
    order: Vec<usize>,
    next: usize,
}

impl Turns {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            order: (0..count).collect(),
            next: 0,
        }
    }

    pub(crate) fn shuffle(&mut self, rng: &mut ChaCha8Rng) {
        self.order.shuffle(rng);
        self.next = 0;
    }

    /// The next samples: fewer at the end of the order, never none where there are any.
    pub(crate) fn take(&mut self, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        if self.next >= self.order.len() {
            self.shuffle(rng);
        }
        let end = (self.next + count).min(self.order.len());
        let taken = self.order[self.next..end].to_vec();
        self.next = end;
        taken
    }
}
