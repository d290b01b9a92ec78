//! The penultimate layer of a network that runs elsewhere, described well enough for what lies above it to be run
//! here: from what it reads, what its output is added to, and the steps to the features.

use disinherit_formats::shape_text;
use fiun::{Correction, Matrix, linear};

use super::above::{Step, apply, steps_to};
use super::activations::Activations;
use super::entrances::Entrances;
use super::tensors::LayerTensors;
use crate::array::{Array, StateDict};
use crate::cpu::window::Window;
use crate::error::{NetError, backend};

/// Samples whose inputs are unfolded at a time.
const BATCH: usize = 64;

/// The longest side, and the most channels.
const LONGEST: usize = 1 << 16;

/// A penultimate layer, without its network.
#[derive(Debug, Clone)]
pub struct DescribedLayer {
    /// Where a correction goes.
    pub tensors: LayerTensors,
    /// The factor between the layer's output and the stream, by channel.
    pub scale: Vec<f32>,
    /// Height, width and channels of what it reads.
    pub reads: [usize; 3],
    /// The same of the stream.
    pub stream: [usize; 3],
    /// What it looks through.
    pub window: Window,
    /// From the stream to the features.
    pub above: Vec<Step>,
}

impl DescribedLayer {
    /// Describes a layer by some samples that were run elsewhere, `features`: `[samples, features]`; nothing where the
    /// features do not follow from the stream by steps that are known here.
    ///
    /// # Errors
    /// [`NetError`] when tensors of the layer are not there, or misshapen.
    pub fn found(
        tensors: LayerTensors,
        scale: Vec<f32>,
        activations: &Activations,
        features: &Matrix,
        state: &StateDict,
    ) -> Result<Option<Self>, NetError> {
        let Some(above) = steps_to(features, activations, state)? else {
            return Ok(None);
        };
        let shape = |size: [usize; 2], channels| [size[0], size[1], channels];
        let layer = Self {
            tensors,
            scale,
            reads: shape(activations.inputs.size, activations.inputs.channels),
            stream: shape(activations.stream.size, activations.stream.channels),
            window: activations.window,
            above,
        };
        layer.check(state)?;
        Ok(Some(layer))
    }

    /// Whether its parts fit together and are those of a model.
    ///
    /// # Errors
    /// [`NetError`] naming the tensor that is missing or of another size.
    pub fn check(&self, state: &StateDict) -> Result<(), NetError> {
        let outputs = self.scale.len();
        let window = self.window;
        let lengths = [
            window.kernel,
            window.stride,
            window.padding.saturating_add(1),
        ];
        let sides = self.reads.iter().chain(&self.stream);
        if lengths
            .iter()
            .chain(sides)
            .any(|length| !(1..=LONGEST).contains(length))
        {
            return Err(NetError::Backend(format!(
                "there is no layer that reads {} through {window}",
                shape_text(&self.reads)
            )));
        }
        let [height, width, channels] = self.reads;
        let wanted = [height, width].map(|side| self.window.outputs(side));
        if self.stream != [wanted[0], wanted[1], outputs] {
            return Err(NetError::Backend(format!(
                "a layer that reads {} does not write {}",
                shape_text(&self.reads),
                shape_text(&self.stream)
            )));
        }
        let depth = self
            .window
            .kernel
            .checked_pow(2)
            .and_then(|n| n.checked_mul(channels));
        let rows = depth.and_then(|depth| depth.checked_mul(outputs));
        let tensors = &self.tensors;
        let shift = tensors.shift.as_ref().map(|(name, _)| name);
        let of_factors = tensors
            .shift
            .as_ref()
            .is_none_or(|(_, factors)| factors.len() == outputs);
        let parts = [
            (Some(&tensors.weight), rows),
            (tensors.bias.as_ref(), Some(outputs)),
            (shift, Some(outputs)),
        ];
        for (name, count) in parts {
            let Some(name) = name else { continue };
            let found = state.get(name).map(|array| array.values.len());
            if found.is_none() || found != count || !of_factors {
                let count = count.map_or("fewer".into(), |count| count.to_string());
                return Err(NetError::Missing {
                    name: name.clone(),
                    expected: format!("{count} values"),
                });
            }
        }
        Ok(())
    }

    /// What the layer reads and what its output is added to, of each sample as one vector: all that lies above
    /// follows from that.
    ///
    /// # Errors
    /// [`NetError`] when the samples are of other sizes than described.
    pub fn entrances(&self, seen: &Activations, state: &StateDict) -> Result<Entrances, NetError> {
        let own = self.own(seen, state)?;
        if self.shapes(seen) != [self.reads, self.stream] {
            return Err(NetError::Data("its samples have different sizes".into()));
        }
        let sizes = self.sizes();
        let mut values = Vec::with_capacity(seen.samples() * (sizes[0] + sizes[1]));
        for at in 0..seen.samples() {
            values.extend_from_slice(&seen.inputs.values[at * sizes[0]..(at + 1) * sizes[0]]);
            let place = at * sizes[1]..(at + 1) * sizes[1];
            let pairs = seen.stream.values[place.clone()].iter().zip(&own[place]);
            values.extend(pairs.map(|(all, own)| all - own));
        }
        let width = sizes[0] + sizes[1];
        let values = Matrix::new(seen.samples(), width, values).map_err(backend)?;
        Entrances::new([1, 1, width], values)
    }

    /// What follows from them.
    ///
    /// # Errors
    /// [`NetError`] when they are of another size than described.
    pub fn behind(
        &self,
        entrances: &Entrances,
        state: &StateDict,
    ) -> Result<Activations, NetError> {
        let sizes = self.sizes();
        let values = entrances.values()?;
        if values.cols() != sizes[0] + sizes[1] {
            return Err(NetError::Data(format!(
                "a sample has {} values, not {} and {}",
                values.cols(),
                sizes[0],
                sizes[1]
            )));
        }
        let (mut inputs, mut stream) = (Vec::new(), Vec::new());
        for at in 0..values.rows() {
            let (read, rest) = values.row(at).split_at(sizes[0]);
            inputs.extend_from_slice(read);
            stream.extend_from_slice(rest);
        }
        let array = |[height, width, channels]: [usize; 3], values| Array {
            shape: vec![entrances.samples(), height, width, channels],
            values,
        };
        let [inputs, stream] = [array(self.reads, inputs), array(self.stream, stream)];
        let mut seen = Activations::new(inputs, stream, self.window)?;
        let own = self.own(&seen, state)?;
        seen.stream
            .values
            .iter_mut()
            .zip(own)
            .for_each(|(value, own)| *value += own);
        Ok(seen)
    }

    /// The features, `[samples, inputs of the head]`, after a correction of the layer; those of the network as it
    /// is without one.
    ///
    /// # Errors
    /// [`NetError`] when the correction does not fit.
    pub fn features(
        &self,
        seen: &Activations,
        correction: Option<&Correction>,
        state: &StateDict,
    ) -> Result<Matrix, NetError> {
        let stream = seen.corrected(correction, &self.scale, self.tensors.have_bias())?;
        let values = apply(&self.above, stream, state)?;
        let samples = seen.samples();
        Matrix::new(samples, values.len() / samples.max(1), values).map_err(backend)
    }

    /// The part of the stream that the layer's own weights make, bias and all, `[samples * positions, channels]`.
    fn own(&self, seen: &Activations, state: &StateDict) -> Result<Vec<f32>, NetError> {
        let outputs = self.scale.len();
        let tensor = |name: &str| {
            let found = state.get(name).map(|array| &array.values[..]);
            found.ok_or_else(|| NetError::Missing {
                name: name.to_owned(),
                expected: "a tensor of the penultimate layer".into(),
            })
        };
        let weight = tensor(&self.tensors.weight)?;
        let depth = weight.len() / outputs.max(1);
        let weight = match self.tensors.transposed {
            false => weight.to_vec(),
            true => (0..outputs)
                .flat_map(|row| (0..depth).map(move |at| weight[at * outputs + row]))
                .collect(),
        };
        let weight = Matrix::new(outputs, depth, weight).map_err(backend)?;
        let bias = match (&self.tensors.bias, &self.tensors.shift) {
            (Some(name), _) => tensor(name)?.to_vec(),
            (None, Some((name, factors))) => {
                let pairs = tensor(name)?.iter().zip(factors);
                pairs
                    .map(|(b, f)| if *f == 0.0 { 0.0 } else { b / f })
                    .collect()
            }
            (None, None) => vec![0.0; outputs],
        };
        let mut own = Vec::with_capacity(seen.samples() * seen.positions() * outputs);
        for first in (0..seen.samples()).step_by(BATCH) {
            let end = (first + BATCH).min(seen.samples());
            let inputs = seen.inputs(first, end)?;
            let made = linear(inputs.view(), weight.view(), &bias).map_err(backend)?;
            let rows = made.values().chunks_exact(outputs.max(1));
            own.extend(rows.flat_map(|row| row.iter().zip(&self.scale).map(|(v, s)| v * s)));
        }
        Ok(own)
    }

    fn shapes(&self, seen: &Activations) -> [[usize; 3]; 2] {
        [&seen.inputs, &seen.stream].map(|maps| [maps.size[0], maps.size[1], maps.channels])
    }

    /// The values of a sample that the layer reads, and of its stream.
    fn sizes(&self) -> [usize; 2] {
        [self.reads, self.stream].map(|shape| shape.iter().product())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wave(count: usize, speed: f32) -> Vec<f32> {
        (0..count).map(|at| (at as f32 * speed).sin()).collect()
    }

    /// A convolution of 3x3 over two channels of 4x4 positions, with a batch norm behind it and a shortcut.
    fn layer(transposed: bool) -> (DescribedLayer, StateDict, Activations) {
        let scale = vec![0.5, 2.0, -1.0];
        let tensors = LayerTensors {
            weight: "conv.weight".into(),
            transposed,
            bias: None,
            shift: Some(("norm.bias".into(), scale.clone())),
        };
        let array = |shape: &[usize], speed| Array {
            shape: shape.to_vec(),
            values: wave(shape.iter().product(), speed),
        };
        let state = StateDict::from([
            ("conv.weight".into(), array(&[3, 2, 3, 3], 0.7)),
            ("norm.bias".into(), array(&[3], 0.3)),
        ]);
        let window = Window {
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let seen = Activations::new(array(&[5, 4, 4, 2], 1.3), array(&[5, 4, 4, 3], 2.1), window);
        let layer = DescribedLayer {
            tensors,
            scale,
            reads: [4, 4, 2],
            stream: [4, 4, 3],
            window,
            above: vec![Step::Relu, Step::Mean],
        };
        (layer, state, seen.unwrap())
    }

    fn close(ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(theirs) {
            assert!((a - b).abs() <= 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn all_follows_from_the_entrances() {
        for transposed in [false, true] {
            let (layer, state, seen) = layer(transposed);
            layer.check(&state).unwrap();
            let entrances = layer.entrances(&seen, &state).unwrap();
            assert_eq!(entrances.shape(), [1, 1, 16 * 5]);
            let behind = layer.behind(&entrances, &state).unwrap();
            close(&behind.inputs.values, &seen.inputs.values);
            close(&behind.stream.values, &seen.stream.values);
        }
    }

    /// Corrected weights make of the same entrances what the correction makes of the stream.
    #[test]
    fn a_correction_is_that_of_the_weights() {
        let (layer, state, seen) = layer(false);
        let entrances = layer.entrances(&seen, &state).unwrap();
        let correction = Correction {
            weight: Matrix::new(3, 18, wave(54, 0.9)).unwrap(),
            bias: vec![0.1, -0.2, 0.3],
        };
        let ours = layer.features(&seen, Some(&correction), &state).unwrap();
        let mut changed = state.clone();
        changed.extend(layer.tensors.corrected(&state, &correction).unwrap());
        let behind = layer.behind(&entrances, &changed).unwrap();
        let theirs = layer.features(&behind, None, &changed).unwrap();
        close(ours.values(), theirs.values());
        let before = layer.features(&seen, None, &state).unwrap();
        let moved = ours.values().iter().zip(before.values());
        assert!(moved.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) > 0.01);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let wrong: [fn(&mut DescribedLayer); 7] = [
            |layer| layer.reads = [4, 4, 3],
            |layer| layer.stream = [4, 5, 3],
            |layer| layer.reads = [usize::MAX, 4, 2],
            |layer| layer.window.padding = usize::MAX,
            |layer| layer.window.kernel = 0,
            |layer| layer.scale.truncate(2),
            |layer| layer.tensors.weight = "other".into(),
        ];
        for change in wrong {
            let (mut layer, state, _) = layer(false);
            change(&mut layer);
            assert!(layer.check(&state).is_err(), "{layer:?}");
        }
        let (layer, state, _) = layer(false);
        let short = Entrances::new([1, 1, 3], Matrix::zeros(2, 3)).unwrap();
        assert!(layer.behind(&short, &state).is_err());
    }
}
