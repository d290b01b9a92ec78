//! What an untrusted file may become in memory.

#[cfg(feature = "parquet")]
use bytesize::ByteSize;

/// The most labels that may be without names.
const LARGEST_LABEL: u32 = 1 << 16;

/// Names for labels that have none: their numbers. One label of four billion would ask for as many
/// names.
///
/// # Errors
/// A sentence when a label is too large.
pub(crate) fn numbered(labels: &[u32]) -> Result<Vec<String>, String> {
    let top = labels.iter().max().map_or(0, |top| top.saturating_add(1));
    if top > LARGEST_LABEL {
        return Err(format!(
            "it has the label {}, and no names for its labels: number them from 0, or name them",
            top - 1
        ));
    }
    Ok((0..top).map(|label| label.to_string()).collect())
}

/// What a file's rows may become in memory: so much for every byte of the file.
#[cfg(feature = "parquet")]
pub(crate) struct Allowance {
    left: u64,
    whole: u64,
}

/// What every file may become, however small.
#[cfg(feature = "parquet")]
const FREE: u64 = 256 << 20;

#[cfg(feature = "parquet")]
impl Allowance {
    /// For a file of `length` bytes; each byte may become `each`.
    pub(crate) fn new(length: u64, each: u64) -> Self {
        let whole = length.saturating_mul(each).saturating_add(FREE);
        Self { left: whole, whole }
    }

    /// Takes some.
    ///
    /// # Errors
    /// A sentence when there is no more.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            format!(
                "its rows become more than {}, which a file of its size does not in earnest; split \
                 it, or scale its images down, if it can be trusted",
                ByteSize(self.whole)
            )
        })?;
        Ok(())
    }
}
