//! Which engine trains a network: our own on the CPU, or burn's.

use super::cpu::CpuTraining;
use super::engine::Engine;
use super::job::TuningJob;
#[cfg(feature = "burn")]
use crate::compute::Compute;
use crate::error::NetError;

/// The engine for a job, with the job's weights in place.
///
/// # Errors
/// [`NetError`] when the weights do not fit the network.
pub(super) fn engine<'a>(job: &TuningJob<'a>) -> Result<Box<dyn Engine + 'a>, NetError> {
    #[cfg(feature = "burn")]
    if job.compute != Compute::Cpu {
        return Ok(Box::new(super::device::DeviceTraining::new(job)?));
    }
    Ok(Box::new(CpuTraining::new(job)?))
}
