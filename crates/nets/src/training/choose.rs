//! Which engine trains a network: that for image networks, or burn's.

use super::cpu::CpuTraining;
use super::engine::Engine;
use super::job::TuningJob;
use crate::architecture::description::Architecture;
use crate::compute::Compute;
use crate::error::NetError;

/// Whether the engine for image networks trains it.
///
/// # Errors
/// [`NetError`] for a network that this build does not train.
pub(super) fn runs_on_cpu(architecture: &Architecture, compute: Compute) -> Result<bool, NetError> {
    let sequential = architecture.kind.is_sequential();
    if sequential && cfg!(not(feature = "burn")) {
        return Err(NetError::no_sequences(architecture.kind));
    }
    Ok(compute == Compute::Cpu && !sequential)
}

/// The engine for a job, with the job's weights in place.
///
/// # Errors
/// [`NetError`] when the weights do not fit the network, or this build does not train it.
pub(super) fn engine<'a>(job: &TuningJob<'a>) -> Result<Box<dyn Engine + 'a>, NetError> {
    if runs_on_cpu(job.architecture, job.compute)? {
        return Ok(Box::new(CpuTraining::new(job)?));
    }
    on_device(job)
}

#[cfg(feature = "burn")]
fn on_device<'a>(job: &TuningJob<'a>) -> Result<Box<dyn Engine + 'a>, NetError> {
    Ok(Box::new(super::device::DeviceTraining::new(job)?))
}

#[cfg(not(feature = "burn"))]
fn on_device<'a>(job: &TuningJob<'a>) -> Result<Box<dyn Engine + 'a>, NetError> {
    Err(NetError::no_sequences(job.architecture.kind))
}
