//! The tensors that a correction of the penultimate layer changes.

use fiun::Correction;

use crate::array::StateDict;
use crate::error::NetError;

/// Channels whose batch norm has a smaller weight than this are as good as switched off.
pub(crate) const LEAST_GAMMA: f32 = 0.05;

/// Where a correction of the penultimate layer goes: the names of the tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerTensors {
    /// The layer's weight, whose values are a matrix `[outputs, depth]`.
    pub weight: String,
    /// Whether they are `[depth, outputs]` instead.
    pub transposed: bool,
    /// The layer's bias; nothing where it has none of its own.
    pub bias: Option<String>,
    /// The bias of the batch norm behind it, and the factor between the layer's output and what that is
    /// added to, by channel.
    pub shift: Option<(String, Vec<f32>)>,
}

impl LayerTensors {
    /// Whether the bias of a correction has a place: the layer's own, or else the batch norm's.
    pub fn have_bias(&self) -> bool {
        self.bias.is_some() || self.shift.is_some()
    }

    /// The names of the tensors that a correction changes.
    pub fn names(&self) -> Vec<&str> {
        let shift = self.shift.as_ref().map(|(name, _)| &name[..]);
        let bias = self.bias.as_deref().or(shift);
        [Some(&self.weight[..]), bias]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The tensors of a network's state that a correction changes, with their new values.
    ///
    /// # Errors
    /// [`NetError::Missing`] when one of them is not there.
    pub fn corrected(
        &self,
        state: &StateDict,
        correction: &Correction,
    ) -> Result<StateDict, NetError> {
        let mut changed = StateDict::new();
        let mut add = |name: &String, change: &mut dyn Iterator<Item = f32>| {
            let mut array = state.get(name).cloned().ok_or_else(|| NetError::Missing {
                name: name.clone(),
                expected: "a tensor of the penultimate layer".into(),
            })?;
            let pairs = array.values.iter_mut().zip(change);
            pairs.for_each(|(value, change)| *value += change);
            changed.insert(name.clone(), array);
            Ok(())
        };
        let (weight, rows) = (correction.weight.view(), correction.weight.rows());
        let mut columns =
            (0..weight.cols()).flat_map(|at| (0..rows).map(move |row| weight.row(row)[at]));
        match self.transposed {
            true => add(&self.weight, &mut columns)?,
            false => add(&self.weight, &mut weight.values().iter().copied())?,
        }
        let bias = correction.bias.iter();
        match (&self.bias, &self.shift) {
            (Some(name), _) => add(name, &mut bias.copied())?,
            (None, Some((name, factors))) => {
                add(name, &mut bias.zip(factors).map(|(b, factor)| b * factor))?;
            }
            (None, None) => {}
        }
        Ok(changed)
    }
}
