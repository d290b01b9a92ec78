//! The Fisher information of the layers below the head.

use super::closed;
use super::job::{InnerFisher, InnerJob};
use crate::error::NetError;

/// The exact diagonal FIM of the layers below the head: for every sample (or batch), gradients of
/// its own loss, squared, then averaged. Samples go through the network some at a time, and no
/// sample's gradient of a whole tensor is ever kept: memory holds the activations of one chunk and
/// one sum for each parameter. Always runs on the CPU.
///
/// The gradient at the logits is brought to a size near 1 before it is sent back, and the squares
/// are put back to their size in double precision: sure predictions do not underflow.
///
/// # Errors
/// [`NetError`] when the data does not fit the network, or `memory` does not suffice for a single
/// sample (or batch).
pub fn inner_fisher(
    job: &InnerJob<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<InnerFisher, NetError> {
    let samples = job.set.len();
    if samples == 0 || job.rows.len() != samples {
        return Err(NetError::Data(format!(
            "{} labels for {samples} samples",
            job.rows.len()
        )));
    }
    closed::fisher(job, progress)
}
