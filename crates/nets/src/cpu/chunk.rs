//! How many samples go through a network together when the way back is kept.

use crate::architecture::description::Architecture;
use crate::error::NetError;

/// Samples run at a time, at most (a larger batch of the batch estimator stays whole).
pub(crate) const BATCH: usize = 128;

/// Values that a step may make of the samples that run at a time: with more, what one step writes has left the caches
/// when the next one reads it.
const VALUES: usize = 1 << 22;

/// Samples that run at a time as long as memory is no concern.
///
/// # Errors
/// As [`Architecture::program`].
pub(crate) fn batch(architecture: &Architecture) -> Result<usize, NetError> {
    let largest = architecture.activations()?.into_iter().max().unwrap_or(1);
    Ok((VALUES / largest.max(1)).clamp(1, BATCH))
}

/// The bytes that activations may take where no bound is given.
pub(crate) const ACTIVATIONS: u64 = 2 << 30;

/// What one sample's pass keeps: every step's result, its gradient, and as much again on the way.
///
/// # Errors
/// As [`Architecture::program`].
pub(crate) fn activation_bytes(architecture: &Architecture) -> Result<u64, NetError> {
    let values: usize = architecture.activations()?.iter().sum();
    Ok(values as u64 * 4 * 3)
}

/// Samples run at a time where no bound is given.
///
/// # Errors
/// As [`Architecture::program`].
pub(crate) fn samples_at_a_time(architecture: &Architecture) -> Result<usize, NetError> {
    let fit = ACTIVATIONS / activation_bytes(architecture)?.max(1);
    Ok(usize::try_from(fit).unwrap_or(BATCH).clamp(1, BATCH))
}
