//! Fresh weights, seeded.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};

use crate::{Architecture, Array, NetError, Op, StateDict};

/// Fresh weights as PyTorch draws them: convolutions without bias (those before a batch norm) from
/// a normal distribution with variance `2 / fan_out` (torchvision's ResNet, after He et al.,
/// arXiv:1502.01852), everything else uniformly within `1 / sqrt(fan_in)`. The same seed gives the
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
    let draw = |error: &dyn std::fmt::Display| NetError::Training(error.to_string());
    if let Op::Residual { main, shortcut } = op {
        return main
            .iter()
            .chain(shortcut)
            .try_for_each(|op| fill(op, rng, state));
    }
    let fan_in = match op {
        Op::Conv {
            channels, kernel, ..
        } => channels[0] * kernel * kernel,
        Op::Linear { inputs, .. } => *inputs,
        _ => 1,
    };
    for (name, shape) in op.tensors() {
        let mut array = Array::filled(&shape, 0.0);
        match op {
            Op::BatchNorm { .. } => {
                let ones = name.ends_with(".weight") || name.ends_with(".running_var");
                array = Array::filled(&shape, if ones { 1.0 } else { 0.0 });
            }
            Op::Conv {
                channels,
                kernel,
                bias: false,
                ..
            } => {
                let fan_out = channels[1] * kernel * kernel;
                let normal =
                    Normal::new(0.0, (2.0 / fan_out as f32).sqrt()).map_err(|e| draw(&e))?;
                array
                    .values
                    .iter_mut()
                    .for_each(|v| *v = normal.sample(rng));
            }
            _ => {
                let bound = 1.0 / (fan_in as f32).sqrt();
                let uniform = Uniform::new(-bound, bound).map_err(|e| draw(&e))?;
                array
                    .values
                    .iter_mut()
                    .for_each(|v| *v = uniform.sample(rng));
            }
        }
        state.insert(name, array);
    }
    Ok(())
}
