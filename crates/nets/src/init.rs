//! Fresh weights, seeded.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};

use crate::architecture::Architecture;
use crate::array::{Array, StateDict};
use crate::error::NetError;
use crate::op::Op;

/// Fresh weights as PyTorch draws them: convolutions without bias (those before a batch norm) from
/// a normal distribution with variance `2 / fan_out` (torchvision's ResNet, after He et al.,
/// arXiv:1502.01852), tables of vectors from narrow normal distributions, everything else uniformly
/// within `1 / sqrt(fan_in)`. The same seed gives the
/// same weights on every device.
///
/// # Errors
/// As [`Architecture::program`].
pub fn initial_state(architecture: &Architecture, seed: u64) -> Result<StateDict, NetError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut state = StateDict::new();
    for op in architecture.program()? {
        fill(&op, &mut rng, &mut state)?;
    }
    Ok(state)
}

fn fill(op: &Op, rng: &mut ChaCha8Rng, state: &mut StateDict) -> Result<(), NetError> {
    match op {
        Op::Residual { main, shortcut } => {
            return main
                .iter()
                .chain(shortcut)
                .try_for_each(|op| fill(op, rng, state));
        }
        Op::Dense(branch) => return branch.iter().try_for_each(|op| fill(op, rng, state)),
        _ => {}
    }
    for (name, shape) in op.tensors() {
        let mut array = Array::filled(&shape, 0.0);
        match law(op, &name, &shape) {
            Law::Constant(value) => array = Array::filled(&shape, value),
            Law::Normal(deviation) => {
                let normal = Normal::new(0.0, deviation).map_err(|e| draw(&e))?;
                let values = array.values.iter_mut();
                values.for_each(|v| *v = normal.sample(rng));
            }
            Law::Uniform(bound) => {
                let uniform = Uniform::new(-bound, bound).map_err(|e| draw(&e))?;
                let values = array.values.iter_mut();
                values.for_each(|v| *v = uniform.sample(rng));
            }
        }
        state.insert(name, array);
    }
    Ok(())
}

fn draw(error: &dyn std::fmt::Display) -> NetError {
    NetError::Training(error.to_string())
}

/// How a tensor's values are drawn.
enum Law {
    Constant(f32),
    /// With this standard deviation.
    Normal(f32),
    /// Between minus and plus this.
    Uniform(f32),
}

/// The standard deviation of BERT's and ViT's tables.
const NARROW: f32 = 0.02;

fn law(op: &Op, name: &str, shape: &[usize]) -> Law {
    let within = |fan: usize| Law::Uniform(1.0 / (fan as f32).sqrt());
    match op {
        Op::BatchNorm { .. } | Op::LayerNorm { .. } => {
            let ones = name.ends_with(".weight") || name.ends_with(".running_var");
            Law::Constant(if ones { 1.0 } else { 0.0 })
        }
        Op::Conv {
            channels,
            kernel,
            bias: false,
            ..
        } => Law::Normal((2.0 / (channels[1] * kernel * kernel) as f32).sqrt()),
        Op::Conv {
            channels, kernel, ..
        } => within(channels[0] * kernel * kernel),
        Op::Linear { inputs, .. } => within(*inputs),
        // Smaller than PyTorch's 1: the mean over a text must not drown in its rare words.
        Op::Embedding { .. } => Law::Normal(0.1),
        Op::TokenEmbedding { .. } | Op::Patches { .. } => Law::Normal(NARROW),
        Op::Attention { size, .. } if shape.len() == 2 => Law::Uniform((3.0 / *size as f32).sqrt()),
        Op::Attention { .. } => Law::Constant(0.0),
        Op::Lstm { hidden, .. } => within(*hidden),
        Op::GatedConv {
            channels, kernel, ..
        } => within(channels * kernel),
        _ => Law::Constant(0.0),
    }
}
