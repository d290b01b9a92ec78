//! Fresh weights, seeded.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::description::Architecture;
use crate::array::{Array, StateDict};
use crate::error::NetError;
use crate::ops::operation::Op;

/// Fresh weights as PyTorch draws them: convolutions without bias (those before a batch norm) from
/// a normal distribution with variance `2 / fan_out` (torchvision's ResNet, after He et al.,
/// arXiv:1502.01852), tables of vectors from narrow normal distributions, everything else uniformly
/// within `1 / sqrt(fan_in)`. The same seed gives the same weights on every device.
///
/// # Errors
/// As [`Architecture::program`].
pub fn initial_state(architecture: &Architecture, seed: u64) -> Result<StateDict, NetError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut state = StateDict::new();
    fill(&architecture.program()?, &mut rng, &mut state)?;
    Ok(state)
}

/// Draws in the order of the program; an operation's own tensors come before its branches.
fn fill(ops: &[Op], rng: &mut ChaCha8Rng, state: &mut StateDict) -> Result<(), NetError> {
    for op in ops.iter().map(Op::operation) {
        for (name, shape) in op.tensors() {
            let count = shape.iter().product();
            let values = op.initial(&name, &shape).draw(count, rng)?;
            state.insert(name, Array { shape, values });
        }
        for branch in op.branches() {
            fill(branch, rng, state)?;
        }
    }
    Ok(())
}
