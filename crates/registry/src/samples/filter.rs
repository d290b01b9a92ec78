//! A Bloom filter over marks. Its form is on disk, so it depends on no library's choice of hashes: the
//! marks are hashes already.

use crate::samples::key::Mark;

/// Bits for each id, and how many of them are looked at: of ids that are not in the list, 14 in a million
/// pass (`(1 - e^(-12/24))^12`).
const BITS: u64 = 24;
const PROBES: u64 = 12;

/// Says of an id that it is not in a list, or that it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// An empty filter for so many ids.
    pub(crate) fn new(count: u64) -> Self {
        Self {
            words: vec![0; Self::words_for(count) as usize],
        }
    }

    /// Words of 64 bits in the filter of so many ids.
    pub(crate) fn words_for(count: u64) -> u64 {
        count.saturating_mul(BITS).div_ceil(64).max(1)
    }

    /// A filter from its words.
    pub(crate) fn from_words(words: Vec<u64>) -> Self {
        Self { words }
    }

    /// Its words.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The bits of a mark (double hashing; Kirsch and Mitzenmacher 2006), as word and bit in it.
    fn bits(&self, mark: &Mark) -> impl Iterator<Item = (usize, u64)> + use<> {
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&mark[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (start, step) = (half(0), half(8) | 1);
        let bits = self.words.len() as u128 * 64;
        (0..PROBES).map(move |probe| {
            let hash = start.wrapping_add(probe.wrapping_mul(step));
            let bit = ((u128::from(hash) * bits) >> 64) as u64;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    /// Takes a mark in.
    pub(crate) fn insert(&mut self, mark: &Mark) {
        for (word, bit) in self.bits(mark) {
            self.words[word] |= bit;
        }
    }

    /// Whether an id with this mark may be in the list; if not, it is not.
    pub(crate) fn may_have(&self, mark: &Mark) -> bool {
        self.bits(mark)
            .all(|(word, bit)| self.words[word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::key::SampleKey;

    #[test]
    fn nothing_that_is_there_is_missed_and_little_else_passes() {
        let key = SampleKey::public();
        let mut filter = Filter::new(10_000);
        let mark = |n: usize| key.mark(format!("id-{n}").as_bytes());
        (0..10_000).for_each(|n| filter.insert(&mark(n)));
        assert!((0..10_000).all(|n| filter.may_have(&mark(n))));
        // 14 are expected of a million.
        let passed = (10_000..1_010_000).filter(|n| filter.may_have(&mark(*n)));
        let passed = passed.count();
        assert!(passed < 60, "{passed}");
    }
}
