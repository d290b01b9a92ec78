//! One pass over data that keeps what the head's Fisher information, the choice of alpha and the
//! accuracy need.

use disinherit_data::DataSet;
use fiun::{Estimator, Matrix, argmax, residuals};

use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::compute::Compute;
use crate::cpu::network::CpuNetwork;
use crate::cpu::weights::Purpose;
#[cfg(feature = "burn")]
use crate::device::network::DeviceNetwork;
#[cfg(feature = "burn")]
use crate::device::transfer::read;
use crate::error::NetError;
use crate::inputs::Inputs;
use crate::preprocessing::Preprocessing;
#[cfg(feature = "burn")]
use crate::rounds::BATCH;
use crate::rounds::{Rounds, by_sample, cpu_batch};

/// A network with its weights in place, ready to be evaluated.
pub struct Network {
    architecture: Architecture,
    engine: Engine,
}

enum Engine {
    Cpu(CpuNetwork),
    #[cfg(feature = "burn")]
    Device(Box<DeviceNetwork>),
}

impl Network {
    /// Puts weights in place.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that is missing, misshapen or not finite.
    pub fn new(
        architecture: &Architecture,
        state: &StateDict,
        compute: Compute,
    ) -> Result<Self, NetError> {
        let engine = match compute {
            #[cfg(feature = "burn")]
            other if other != Compute::Cpu => {
                let frozen = |_: &str| false;
                let network = DeviceNetwork::new(architecture, state, other.device(), &frozen)?;
                Engine::Device(Box::new(network))
            }
            _ => Engine::Cpu(CpuNetwork::new(architecture, state, Purpose::Outputs)?),
        };
        Ok(Self {
            architecture: architecture.clone(),
            engine,
        })
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }
}

/// The input and the output of a network's head, for every sample of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// `[samples, inputs of the head]`.
    pub features: Matrix,
    /// `[samples, outputs of the head]`.
    pub logits: Matrix,
}

impl Capture {
    /// The residuals `softmax(logits) - onehot(rows)` of the cross-entropy, where `rows` gives the
    /// head row of each sample's label; for the true FIM, with labels drawn instead.
    ///
    /// # Errors
    /// [`NetError::Data`] when the lengths differ, a row is out of range, or a logit is not finite.
    pub fn residuals(&self, rows: &[u32], estimator: Estimator) -> Result<Matrix, NetError> {
        residuals(self.logits.view(), rows, estimator)
            .map_err(|error| NetError::Data(error.to_string()))
    }

    /// The head row with the largest logit, for every sample (the first one of equals).
    pub fn predictions(&self) -> Vec<u32> {
        let logits = self.logits.view();
        (0..logits.rows())
            .map(|sample| argmax(logits.row(sample)) as u32)
            .collect()
    }
}

/// Runs a network over a data set in evaluation mode and keeps features and logits. `progress` is
/// told how many samples are done.
///
/// # Errors
/// [`NetError::Data`] when the images do not fit the network, [`NetError::Backend`] when the
/// device fails.
pub fn capture(
    network: &Network,
    set: &DataSet,
    preprocessing: &Preprocessing,
    progress: &mut dyn FnMut(usize),
) -> Result<Capture, NetError> {
    let architecture = network.architecture();
    let inputs = Inputs::new(set, architecture.input, preprocessing)?;
    let (mut features, mut logits) = (Vec::new(), Vec::new());
    match &network.engine {
        #[cfg(feature = "burn")]
        Engine::Device(network) => {
            let all: Vec<usize> = (0..set.len()).collect();
            for batch in all.chunks(BATCH) {
                let (h, z) = network.forward(inputs.batch(batch, &network.device, None), None);
                features.extend(read(h)?);
                logits.extend(read(z)?);
                progress(batch.len());
            }
        }
        Engine::Cpu(network) => {
            let largest = architecture.activations()?.into_iter().max();
            let rounds = Rounds {
                inputs,
                samples: set.len(),
                batch: cpu_batch(largest.unwrap_or(1)),
            };
            rounds.run(
                |maps, samples| {
                    let mut h = network.features(maps, 1)?;
                    let mut z = network.logits(&h)?;
                    h.values.truncate(samples * h.channels);
                    z.values.truncate(samples * z.channels);
                    Ok((h.values, z.values))
                },
                |(h, z)| {
                    features.extend(h);
                    logits.extend(z);
                },
                progress,
            )?;
        }
    }
    Ok(Capture {
        features: by_sample(set.len(), features)?,
        logits: by_sample(set.len(), logits)?,
    })
}
