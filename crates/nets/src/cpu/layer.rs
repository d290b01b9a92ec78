//! What every layer on the CPU can do: run, run with what its way back needs kept, and go back.

use std::collections::BTreeMap;
use std::ops::Bound;

use fiun::FisherError;
use fiun::layers::Squares;
use rand_chacha::ChaCha8Rng;

use super::input_rows::InputRows;
use super::kernel_layout::KernelLayout;
use super::maps::Maps;
use super::window::Window;
use crate::error::NetError;

/// An operation with its weights, ready to run on the CPU.
pub(crate) trait CpuLayer: Send + Sync {
    /// The output alone, with samples shared out over so many threads.
    ///
    /// # Errors
    /// [`FisherError`] when a matrix product is refused.
    fn forward(&self, input: Maps, threads: usize) -> Result<Maps, FisherError>;

    /// The output; `record` keeps what [`CpuLayer::backward`] needs.
    ///
    /// # Errors
    /// As [`CpuLayer::forward`].
    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError>;

    /// The gradient at the input from that at the output; nothing when the pass ends here. A layer
    /// with parameters shows itself to the pass before it goes back.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the pass does not fit what was recorded.
    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError>;
}

/// What an operation can do in place of the one after it.
pub(crate) enum Fused {
    /// A factor and a shift for each channel.
    Affine(Affine),
    /// The positive part.
    Relu,
}

/// `value * factor + shift`, channel by channel.
pub(crate) struct Affine {
    pub(crate) factor: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

/// What a layer keeps for its way back.
pub(crate) struct Kept {
    /// Its input or its output; without values where the shape is enough.
    pub(crate) maps: Maps,
    /// For a maximum, where it was.
    pub(crate) places: Vec<u32>,
    /// What it was multiplied by: for dropout value by value, for a batch norm channel by channel.
    pub(crate) factors: Vec<f32>,
}

/// The statistics of a batch that a batch norm met in training.
pub(crate) struct BatchStatistics {
    /// The name that its tensors start with.
    pub(crate) name: String,
    pub(crate) mean: Vec<f32>,
    /// Without bias, as PyTorch keeps it.
    pub(crate) variance: Vec<f32>,
}

/// What a forward pass of a training draws and finds.
#[derive(Default)]
pub(crate) struct Training {
    /// Draws what dropout drops; nothing where it drops nothing.
    pub(crate) dropout: Option<ChaCha8Rng>,
    pub(crate) statistics: Vec<BatchStatistics>,
}

/// What a forward pass keeps, in the order of its layers.
pub(crate) struct Record {
    pub(crate) threads: usize,
    pub(crate) training: Training,
    kept: Vec<Kept>,
    watched: Option<InputRows>,
}

impl Record {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            training: Training::default(),
            kept: Vec::new(),
            watched: None,
        }
    }

    /// For a step of training, which drops what `dropout` draws.
    pub(crate) fn training(threads: usize, dropout: Option<ChaCha8Rng>) -> Self {
        Self {
            training: Training {
                dropout,
                statistics: Vec::new(),
            },
            ..Self::new(threads)
        }
    }

    /// For a pass without a way back, which keeps rows of the inputs of layers of weights and
    /// nothing else.
    pub(crate) fn watching(threads: usize, rows: InputRows) -> Self {
        Self {
            watched: Some(rows),
            ..Self::new(threads)
        }
    }

    /// The rows that a watching pass kept.
    pub(crate) fn into_watched(self) -> Option<InputRows> {
        self.watched
    }

    /// The input of a layer of weights, called by the layer before it runs.
    pub(crate) fn enter(&mut self, name: &str, input: &Maps, window: Window) {
        if let Some(rows) = &mut self.watched {
            rows.take(name, input, window);
        }
    }

    pub(crate) fn keep(&mut self, maps: Maps) {
        self.keep_places(maps, Vec::new());
    }

    pub(crate) fn keep_places(&mut self, maps: Maps, places: Vec<u32>) {
        self.push(maps, places, Vec::new());
    }

    pub(crate) fn keep_factors(&mut self, maps: Maps, factors: Vec<f32>) {
        self.push(maps, Vec::new(), factors);
    }

    fn push(&mut self, maps: Maps, places: Vec<u32>, factors: Vec<f32>) {
        if self.watched.is_none() {
            self.kept.push(Kept {
                maps,
                places,
                factors,
            });
        }
    }

    /// Runs some layers, one after the other.
    ///
    /// # Errors
    /// As [`CpuLayer::record`].
    pub(crate) fn layers(
        &mut self,
        layers: &[Box<dyn CpuLayer>],
        mut maps: Maps,
    ) -> Result<Maps, FisherError> {
        for layer in layers {
            maps = layer.record(maps, self)?;
        }
        Ok(maps)
    }
}

/// Runs some layers for their output alone.
///
/// # Errors
/// As [`CpuLayer::forward`].
pub(crate) fn forward(
    layers: &[Box<dyn CpuLayer>],
    mut maps: Maps,
    threads: usize,
) -> Result<Maps, FisherError> {
    for layer in layers {
        maps = layer.forward(maps, threads)?;
    }
    Ok(maps)
}

/// A layer with parameters, as the backward pass meets it.
pub(crate) struct Tapped<'a> {
    /// The name that its tensors start with.
    pub(crate) name: &'a str,
    /// The sums over groups of samples of the squared gradients of its tensors.
    pub(crate) squares: &'a dyn Fn(usize) -> Result<Squares, FisherError>,
    /// The gradients of its tensors, summed over the samples.
    pub(crate) gradients: &'a dyn Fn() -> Result<Gradients, FisherError>,
}

impl Tapped<'_> {
    /// The full name of one of its tensors, by its name in the layer; of a layer that is one tensor that is empty.
    pub(crate) fn tensor(&self, part: &str) -> String {
        if part.is_empty() {
            return self.name.to_owned();
        }
        format!("{}.{part}", self.name)
    }

    /// Whether tensors of its name are among those of a table; a layer inside of it may be what is found.
    pub(crate) fn has_one_among<T>(&self, tensors: &BTreeMap<String, T>) -> bool {
        let after = tensors.range::<str, _>((Bound::Included(self.name), Bound::Unbounded));
        let mut like = after.map_while(|(name, _)| name.strip_prefix(self.name));
        like.any(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// The gradient of one of a layer's tensors.
pub(crate) struct Gradient {
    /// The tensor, by PyTorch's name for it.
    pub(crate) part: &'static str,
    pub(crate) values: Vec<f32>,
    /// How the values lie where they do not lie as PyTorch's.
    layout: Option<KernelLayout>,
}

impl Gradient {
    /// In PyTorch's layout.
    pub(crate) fn new(part: &'static str, values: Vec<f32>) -> Self {
        Self {
            part,
            values,
            layout: None,
        }
    }

    /// Of a kernel, laid out for products.
    pub(crate) fn of_kernel(values: Vec<f32>, layout: KernelLayout) -> Self {
        Self {
            layout: Some(layout),
            ..Self::new("weight", values)
        }
    }

    /// Its values in PyTorch's layout.
    pub(crate) fn into_pytorch(self) -> Vec<f32> {
        match self.layout {
            Some(layout) => layout.to_pytorch(&self.values),
            None => self.values,
        }
    }
}

/// The gradients of a layer's tensors.
pub(crate) type Gradients = Vec<Gradient>;

/// Is given every layer with parameters; says whether the backward pass goes on.
pub(crate) type Sink<'a> = dyn FnMut(Tapped<'_>) -> Result<bool, NetError> + 'a;

/// A backward pass: what the forward pass kept, and who looks at the layers on the way.
pub(crate) struct Backward<'a> {
    pub(crate) threads: usize,
    kept: Vec<Kept>,
    sink: &'a mut Sink<'a>,
}

impl<'a> Backward<'a> {
    pub(crate) fn new(record: Record, sink: &'a mut Sink<'a>) -> Self {
        Self {
            threads: record.threads,
            kept: record.kept,
            sink,
        }
    }

    /// What the layer kept on the way here.
    ///
    /// # Errors
    /// [`NetError::Backend`] when nothing is left.
    pub(crate) fn kept(&mut self) -> Result<Kept, NetError> {
        self.kept.pop().ok_or_else(|| {
            NetError::Backend("the backward pass does not fit the forward pass".into())
        })
    }

    /// Shows a layer with parameters; `false` when the pass has seen enough.
    ///
    /// # Errors
    /// Those of the sink.
    pub(crate) fn show(&mut self, layer: Tapped<'_>) -> Result<bool, NetError> {
        (self.sink)(layer)
    }

    /// Walks back through some layers, the last one first.
    ///
    /// # Errors
    /// As [`CpuLayer::backward`].
    pub(crate) fn layers(
        &mut self,
        layers: &[Box<dyn CpuLayer>],
        mut delta: Maps,
    ) -> Result<Option<Maps>, NetError> {
        for layer in layers.iter().rev() {
            match layer.backward(delta, self)? {
                Some(next) => delta = next,
                None => return Ok(None),
            }
        }
        Ok(Some(delta))
    }
}
