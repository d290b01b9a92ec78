//! Graphs whose steps are those of a plain image network, run by the engine for image networks.

use disinherit_data::{DataSet, ImageShape};
use disinherit_formats::{GraphInput, GraphStep};
use fiun::Matrix;

use super::batches::image_dims;
use crate::architecture::input::Input;
use crate::array::{Array, StateDict};
use crate::cpu::layer::{CpuLayer, forward};
use crate::cpu::weights::{Purpose, Weights};
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::ops::adaptive_avg_pool::AdaptiveAvgPool;
use crate::ops::avg_pool::AvgPool;
use crate::ops::batch_norm::{EPSILON, batch_norm};
use crate::ops::conv::conv;
use crate::ops::flatten::Flatten;
use crate::ops::linear::linear;
use crate::ops::max_pool::max_pool;
use crate::ops::operation::{Op, cpu_layers};
use crate::ops::relu::Relu;
use crate::ops::residual::residual;
use crate::preprocessing::Preprocessing;
use crate::rounds::{Rounds, by_sample, cpu_batch};

/// The longest side of a window: a file may say any.
const LONGEST: usize = 1 << 10;

/// Values that one image may have after a step.
const LARGEST: usize = 1 << 28;

/// A graph with its weights whose steps are those of an image network, ready to be run.
pub struct KnownGraph {
    layers: Vec<Box<dyn CpuLayer>>,
    shape: ImageShape,
    /// Images run at a time on a thread.
    batch: usize,
}

impl KnownGraph {
    /// The network of these steps for the images of a data set; `inputs` are those of the graph. Nothing where the
    /// steps do not fit together, or the graph does not read such images: what runs any graph says why.
    ///
    /// # Errors
    /// [`NetError`] when the engine does not run what the steps are made of.
    pub fn new(
        steps: Vec<GraphStep>,
        inputs: &[GraphInput],
        set: &DataSet,
    ) -> Result<Option<Self>, NetError> {
        let images = set.image_shape().filter(|shape| !shape.is_empty());
        let (Some(shape), [input]) = (images, inputs) else {
            return Ok(None);
        };
        let Some(dims) = image_dims(input, shape) else {
            return Ok(None);
        };
        let mut known = Builder::default();
        // A graph of vectors has the images' values in one row.
        let row = GraphStep::Flatten { values: None };
        let start = (dims.len() == 1).then_some(row);
        let steps = start.into_iter().chain(steps);
        let Some((program, Flow::Vector(_))) = known.program(steps, Flow::Map(shape)) else {
            return Ok(None);
        };
        let weights = Weights::new(&known.state, Purpose::Outputs);
        Ok(Some(Self {
            layers: cpu_layers(&program, &weights)?,
            shape,
            batch: cpu_batch(known.largest),
        }))
    }

    /// What the graph makes of the samples of a data set, `[samples, values]`. `progress` is told how many samples are
    /// done.
    ///
    /// # Errors
    /// [`NetError::Data`] when the samples are no images of the shape that it was made for, [`NetError::Backend`] when
    /// a matrix product is refused.
    pub fn features(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Matrix, NetError> {
        let rounds = Rounds {
            inputs: Inputs::new(set, Input::Images(self.shape), preprocessing)?,
            samples: set.len(),
            batch: self.batch,
        };
        let mut values = Vec::new();
        rounds.run(
            |maps, samples| {
                let mut made = forward(&self.layers, maps, 1).map_err(backend)?;
                made.values.truncate(samples * made.channels);
                Ok(made.values)
            },
            |made| values.extend(made),
            progress,
        )?;
        by_sample(set.len(), values)
    }
}

/// What a step makes of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flow {
    Map(ImageShape),
    Vector(usize),
}

impl Flow {
    fn map(self) -> Option<ImageShape> {
        match self {
            Self::Map(shape) => Some(shape),
            Self::Vector(_) => None,
        }
    }

    fn channels(self) -> usize {
        match self {
            Self::Map(shape) => shape.channels,
            Self::Vector(values) => values,
        }
    }

    fn values(self) -> Option<usize> {
        match self {
            Self::Map(shape) => product([shape.channels, shape.height, shape.width]),
            Self::Vector(values) => Some(values),
        }
    }
}

/// A product that no file makes overflow.
fn product<const N: usize>(sides: [usize; N]) -> Option<usize> {
    sides
        .iter()
        .try_fold(1usize, |product, side| product.checked_mul(*side))
}

/// A window that meets the map wherever it is.
fn usable(window: [usize; 3]) -> Option<[usize; 3]> {
    let [kernel, stride, padding] = window;
    let fits = kernel <= LONGEST && stride > 0 && padding < kernel;
    fits.then_some(window)
}

/// Steps as operations: the weights so far.
#[derive(Default)]
struct Builder {
    state: StateDict,
    /// The most values that one image has after a step.
    largest: usize,
}

impl Builder {
    /// The operations of some steps, and what they make; nothing where they do not fit what goes in.
    fn program(
        &mut self,
        steps: impl IntoIterator<Item = GraphStep>,
        mut flow: Flow,
    ) -> Option<(Vec<Op>, Flow)> {
        let mut ops = Vec::new();
        self.keep_size(flow)?;
        for step in steps {
            let op;
            (op, flow) = self.step(step, flow)?;
            self.keep_size(flow)?;
            ops.push(op);
        }
        Some((ops, flow))
    }

    fn keep_size(&mut self, flow: Flow) -> Option<()> {
        let values = flow
            .values()
            .filter(|values| (1..=LARGEST).contains(values))?;
        self.largest = self.largest.max(values);
        Some(())
    }

    fn step(&mut self, step: GraphStep, flow: Flow) -> Option<(Op, Flow)> {
        match step {
            GraphStep::Conv {
                channels,
                window,
                weight,
                bias,
            } => {
                let map = flow.map().filter(|map| map.channels == channels[0])?;
                let name = self.name();
                let [from, to] = channels;
                let has_bias = bias.is_some();
                self.put(&name, "weight", [to, from, window[0], window[0]], weight)?;
                if let Some(bias) = bias {
                    self.put(&name, "bias", [to], bias)?;
                }
                mapped(conv(name, channels, usable(window)?, has_bias), map)
            }
            GraphStep::BatchNorm { .. } => Some((self.batch_norm(step, flow.channels())?, flow)),
            GraphStep::Linear {
                sizes: [from, to],
                weight,
                bias,
            } => {
                let name = Some(self.name()).filter(|_| flow == Flow::Vector(from))?;
                self.put(&name, "weight", [to, from], weight)?;
                self.put(&name, "bias", [to], bias.unwrap_or_else(|| vec![0.0; to]))?;
                Some((linear(name, from, to), Flow::Vector(to)))
            }
            GraphStep::Relu => Some((Op::new(Relu), flow)),
            GraphStep::MaxPool(window) => {
                let [kernel, stride, padding] = usable(window)?;
                mapped(max_pool(kernel, stride, padding), flow.map()?)
            }
            GraphStep::AveragePool(side) => {
                usable([side, side, 0])?;
                mapped(Op::new(AvgPool { side }), flow.map()?)
            }
            GraphStep::GlobalAveragePool => {
                mapped(Op::new(AdaptiveAvgPool { side: 1 }), flow.map()?)
            }
            GraphStep::Flatten { values } => {
                let all = flow.values()?;
                let fits = values.is_none_or(|values| values == all);
                fits.then(|| (Op::new(Flatten), Flow::Vector(all)))
            }
            GraphStep::Residual { main, shortcut } => {
                let (main, made) = self.program(main, flow)?;
                let (shortcut, other) = self.program(shortcut, flow)?;
                (made == other).then(|| (residual(main, shortcut), made))
            }
        }
    }

    /// The engine adds [`EPSILON`] to the variance; the weight makes up for another one.
    fn batch_norm(&mut self, step: GraphStep, channels: usize) -> Option<Op> {
        let GraphStep::BatchNorm {
            mut weight,
            bias,
            mean,
            variance,
            epsilon,
        } = step
        else {
            return None;
        };
        for (weight, variance) in weight.iter_mut().zip(&variance) {
            let with = |epsilon: f32| f64::from(*variance) + f64::from(epsilon);
            *weight = (f64::from(*weight) * (with(EPSILON) / with(epsilon)).sqrt()) as f32;
            if !(*variance >= 0.0 && with(epsilon) > 0.0 && weight.is_finite()) {
                return None;
            }
        }
        let name = self.name();
        self.put(&name, "weight", [channels], weight)?;
        self.put(&name, "bias", [channels], bias)?;
        self.put(&name, "running_mean", [channels], mean)?;
        self.put(&name, "running_var", [channels], variance)?;
        Some(batch_norm(name, channels))
    }

    /// A name that no layer has.
    fn name(&self) -> String {
        self.state.len().to_string()
    }

    /// Keeps a tensor; nothing where it has not as many values as its shape.
    fn put<const N: usize>(
        &mut self,
        layer: &str,
        part: &str,
        shape: [usize; N],
        values: Vec<f32>,
    ) -> Option<()> {
        let fits = product(shape) == Some(values.len());
        let shape = shape.to_vec();
        fits.then(|| {
            let array = Array { shape, values };
            self.state.insert(format!("{layer}.{part}"), array);
        })
    }
}

/// An operation on a map, and what it makes of it.
fn mapped(op: Op, map: ImageShape) -> Option<(Op, Flow)> {
    let made = op.operation().output(map)?;
    Some((op, Flow::Map(made)))
}
