//! Lists of samples that models were trained on: objects of their own, sorted and compressed, with a filter
//! that says of most ids that they are not there. `docs/formats.md` has the form.

pub(crate) mod block;
pub(crate) mod builder;
pub(crate) mod filter;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod shelf;
#[cfg(test)]
mod tests;

/// Reads bytes as a list of samples and as a block of one, for fuzzing: neither may fail otherwise than with
/// a reason, and a list that can be read is written as it was.
///
/// # Panics
/// When a list is written otherwise than it was read.
#[cfg(feature = "fuzzing")]
pub fn read_sample_list(bytes: &[u8]) {
    if let Ok(index) = index::Index::read(bytes) {
        assert_eq!(index.to_bytes(), bytes);
    }
    let _ = block::Block::read(bytes, 3);
}
