//! The steps of a plain image network.

/// One step of an image network that came as a graph, with its weights. Windows are given by their side, their stride
/// and the cells added around the map; values lie row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum GraphStep {
    /// A convolution.
    Conv {
        /// Channels in and out.
        channels: [usize; 2],
        /// Kernel, stride and padding.
        window: [usize; 3],
        /// `[channels out, channels in, kernel, kernel]`.
        weight: Vec<f32>,
        /// `[channels out]`.
        bias: Option<Vec<f32>>,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, channel by channel.
    BatchNorm {
        /// `[channels]`.
        weight: Vec<f32>,
        /// `[channels]`.
        bias: Vec<f32>,
        /// `[channels]`.
        mean: Vec<f32>,
        /// `[channels]`.
        variance: Vec<f32>,
        /// What is added to the variance.
        epsilon: f32,
    },
    /// A linear layer on vectors.
    Linear {
        /// Values in and out.
        sizes: [usize; 2],
        /// `[outputs, inputs]`.
        weight: Vec<f32>,
        /// `[outputs]`.
        bias: Option<Vec<f32>>,
    },
    /// The positive part.
    Relu,
    /// The maximum over windows; cells added around the map never win.
    MaxPool([usize; 3]),
    /// The mean over windows of this side, next to each other; what fills no window is left out.
    AveragePool(usize),
    /// The mean of each channel.
    GlobalAveragePool,
    /// All values of a sample as one vector, channels before positions.
    Flatten {
        /// How many there must be, where the graph says so.
        values: Option<usize>,
    },
    /// The sum of what two rows of steps make of the same value; one without steps is the value itself.
    Residual {
        /// The one with more steps.
        main: Vec<GraphStep>,
        /// The other one.
        shortcut: Vec<GraphStep>,
    },
}
