//! What the penultimate layer reads, and what its output becomes part of, for some samples.

use disinherit_formats::shape_text;
use fiun::{Correction, Matrix, MatrixRef};

use crate::array::Array;
use crate::cpu::maps::Maps;
use crate::cpu::window::Window;
use crate::error::{NetError, backend};

/// The longest side, stride and padding of a window.
const MOST_LENGTH: usize = 1 << 12;

/// The input of a network's penultimate layer and the stream that its output becomes part of, before
/// the next non-linearity, for some samples.
#[derive(Debug, Clone)]
pub struct Activations {
    /// What the layer reads.
    pub(crate) inputs: Maps,
    /// What its output becomes part of; channels that the layer does not write are not in it.
    pub(crate) stream: Maps,
    /// Channels before those of the stream, where the layer's output is put behind others.
    pub(super) beside: Option<Maps>,
    /// What the layer looks through.
    pub(super) window: Window,
}

impl Activations {
    /// Activations of a network that runs elsewhere: what the layer reads, and the stream at every
    /// position of the layer's window. Both are `[samples, height, width, channels]`.
    ///
    /// # Errors
    /// [`NetError::Data`] when one is no such map, or they do not belong together.
    pub fn new(inputs: Array, stream: Array, window: Window) -> Result<Self, NetError> {
        let lengths = [
            window.kernel,
            window.stride,
            window.padding.saturating_add(1),
        ];
        if lengths
            .iter()
            .any(|length| !(1..=MOST_LENGTH).contains(length))
        {
            return Err(NetError::Data(format!("there is no window like {window}")));
        }
        let [inputs, stream] = [
            maps("what the layer reads", inputs)?,
            maps("the stream", stream)?,
        ];
        let expected = inputs.size.map(|side| window.outputs(side));
        if stream.samples != inputs.samples || stream.size != expected {
            return Err(NetError::Data(format!(
                "the stream has {} samples of {} positions, what the layer reads makes {} of {}",
                stream.samples,
                shape_text(&stream.size),
                inputs.samples,
                shape_text(&expected)
            )));
        }
        Ok(Self {
            inputs,
            stream,
            beside: None,
            window,
        })
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.stream.samples
    }

    /// The positions that each sample has at the layer's output: 1 for a vector.
    pub fn positions(&self) -> usize {
        self.stream.size[0] * self.stream.size[1]
    }

    /// The values that the layer reads at a position: those of the window, for a convolution.
    pub fn depth(&self) -> usize {
        self.inputs.channels * self.window.kernel * self.window.kernel
    }

    /// The stream, `[samples * positions, channels]`.
    ///
    /// # Errors
    /// [`NetError::Backend`] when it has another number of values.
    pub fn stream(&self) -> Result<MatrixRef<'_>, NetError> {
        let rows = self.samples() * self.positions();
        MatrixRef::new(rows, self.stream.channels, &self.stream.values).map_err(backend)
    }

    /// The stream after a correction of the layer, by way of the factors between its output and the stream;
    /// the bias counts where it has a place.
    pub(crate) fn corrected(
        &self,
        correction: Option<&Correction>,
        factors: &[f32],
        has_bias: bool,
    ) -> Result<Maps, NetError> {
        let mut stream = self.stream.clone();
        let Some(Correction { weight, bias }) = correction else {
            return Ok(stream);
        };
        let inputs = self.inputs(0, self.samples())?;
        // Without a bias of its own or a batch norm's, there is nowhere to put one.
        let none = vec![0.0; bias.len()];
        let bias = if has_bias { bias } else { &none };
        let change = fiun::linear(inputs.view(), weight.view(), bias).map_err(backend)?;
        let rows = stream.values.chunks_exact_mut(factors.len().max(1));
        let changes = change.values().chunks_exact(factors.len().max(1));
        for (row, change) in rows.zip(changes) {
            for ((value, change), factor) in row.iter_mut().zip(change).zip(factors) {
                *value += change * factor;
            }
        }
        Ok(stream)
    }

    /// These samples, and after them those of others of the same layer.
    #[must_use]
    pub fn followed_by(mut self, more: Self) -> Self {
        self.inputs.append(more.inputs);
        self.stream.append(more.stream);
        if let (Some(beside), Some(more)) = (&mut self.beside, more.beside) {
            beside.append(more);
        }
        self
    }

    /// The same for the samples at these places.
    ///
    /// # Panics
    /// When a place is not below [`Activations::samples`].
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        let pick = |maps: &Maps| maps.select(places);
        Self {
            inputs: pick(&self.inputs),
            stream: pick(&self.stream),
            beside: self.beside.as_ref().map(pick),
            window: self.window,
        }
    }

    /// What the layer reads, as one vector a sample: the mean over the map for a convolution,
    /// `[samples, channels]`.
    pub fn mean_inputs(&self) -> Matrix {
        let channels = self.inputs.channels;
        let mut means = Matrix::zeros(self.samples(), channels);
        means
            .values_mut()
            .copy_from_slice(&self.inputs.means().values);
        means
    }

    /// What the layer reads at every position of the samples from `first` to before `end`,
    /// `[samples * positions, depth]`: of a convolution the window, in the order of PyTorch's weights
    /// (channel, row, column), zeros beside the map.
    ///
    /// # Errors
    /// [`NetError::Backend`] when there are not so many samples.
    pub fn inputs(&self, first: usize, end: usize) -> Result<Matrix, NetError> {
        let each = self.inputs.per_sample();
        let held = self.inputs.values.get(first * each..end * each);
        let values = held
            .ok_or_else(|| NetError::Backend(format!("there are no samples {first} to {end}")))?;
        let rows = end.saturating_sub(first) * self.positions();
        if self.window == Window::POINT {
            return Matrix::new(rows, self.depth(), values.to_vec()).map_err(backend);
        }
        let mut unfolded = Vec::with_capacity(rows * self.depth());
        let stride = self.window.stride;
        for sample in values.chunks_exact(each.max(1)) {
            for position in 0..self.positions() {
                let width = self.stream.size[1];
                let corner = [position / width, position % width].map(|at| at * stride);
                self.window
                    .append(&self.inputs, sample, corner, &mut unfolded);
            }
        }
        Matrix::new(rows, self.depth(), unfolded).map_err(backend)
    }
}

/// Values as maps.
fn maps(what: &str, array: Array) -> Result<Maps, NetError> {
    let Array { shape, values } = array;
    let count = shape
        .iter()
        .try_fold(1usize, |count, side| count.checked_mul(*side));
    match shape[..] {
        [samples, height, width, channels] if count == Some(values.len()) => {
            Ok(Maps::new(samples, [height, width], channels, values))
        }
        _ => Err(NetError::Data(format!(
            "{what} is {} with {} values, not [samples, height, width, channels]",
            shape_text(&shape),
            values.len()
        ))),
    }
}
