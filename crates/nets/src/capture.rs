//! One pass over data that keeps what the head's Fisher information, the choice of alpha and the
//! accuracy need.

use data::DataSet;
use fiun::{Matrix, argmax, residuals};

use crate::input::Images;
use crate::network::read;
use crate::{NetError, Network, Preprocessing};

/// Images run at a time.
const BATCH: usize = 128;

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
    /// head row of each sample's label.
    ///
    /// # Errors
    /// [`NetError::Data`] when the lengths differ, a row is out of range, or a logit is not finite.
    pub fn residuals(&self, rows: &[u32]) -> Result<Matrix, NetError> {
        residuals(self.logits.view(), rows).map_err(|error| NetError::Data(error.to_string()))
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
    let images = Images::new(set, network.architecture().input, preprocessing)?;
    let all: Vec<usize> = (0..set.len()).collect();
    let (mut features, mut logits) = (Vec::new(), Vec::new());
    for batch in all.chunks(BATCH) {
        let (h, z) = network.forward(images.batch(batch, &network.device, None), None);
        features.extend(read(h)?);
        logits.extend(read(z)?);
        progress(batch.len());
    }
    let matrix = |values: Vec<f32>| {
        let cols = if set.is_empty() {
            0
        } else {
            values.len() / set.len()
        };
        Matrix::new(set.len(), cols, values).map_err(|e| NetError::Backend(e.to_string()))
    };
    Ok(Capture {
        features: matrix(features)?,
        logits: matrix(logits)?,
    })
}
