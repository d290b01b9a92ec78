//! Weights on the host, in PyTorch's layout.

use std::collections::BTreeMap;

use crate::error::NetError;

/// A dense tensor of single-precision values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The values, as many as the product of the shape.
    pub values: Vec<f32>,
}

impl Array {
    /// A tensor of one repeated value.
    pub fn filled(shape: &[usize], value: f32) -> Self {
        Self {
            shape: shape.to_vec(),
            values: vec![value; shape.iter().product()],
        }
    }
}

/// Named tensors, as a PyTorch `state_dict`.
pub type StateDict = BTreeMap<String, Array>;

/// The weighted average of several models' weights, tensor by tensor (FedAvg, McMahan et al.,
/// arXiv:1602.05629). The weights are brought to a sum of 1.
///
/// # Errors
/// [`NetError::Missing`] or [`NetError::Shape`] when the models' tensors do not agree,
/// [`NetError::Training`] when there is nothing to average or a weight is not positive.
pub fn average(parts: &[(f64, &StateDict)]) -> Result<StateDict, NetError> {
    let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
    let positive = parts.iter().all(|(weight, _)| *weight > 0.0);
    let Some(((_, first), true)) = parts.first().map(|p| (p, positive && total.is_finite())) else {
        return Err(NetError::Training(
            "an average needs at least one parent, and positive weights".into(),
        ));
    };
    let mut out = StateDict::new();
    for (name, array) in *first {
        let mut sum = vec![0.0f64; array.values.len()];
        for (weight, state) in parts {
            let other = state.get(name).ok_or_else(|| NetError::Missing {
                name: name.clone(),
                expected: format!("{:?}", array.shape),
            })?;
            if other.shape != array.shape {
                return Err(NetError::Shape {
                    name: name.clone(),
                    found: format!("{:?}", other.shape),
                    expected: format!("{:?}", array.shape),
                });
            }
            for (s, v) in sum.iter_mut().zip(&other.values) {
                *s += weight / total * f64::from(*v);
            }
        }
        out.insert(
            name.clone(),
            Array {
                shape: array.shape.clone(),
                values: sum.into_iter().map(|s| s as f32).collect(),
            },
        );
    }
    Ok(out)
}

/// `after - before`, tensor by tensor; tensors that `before` lacks are as they are.
pub fn difference(after: &StateDict, before: &StateDict) -> StateDict {
    let mut change = after.clone();
    for (name, array) in &mut change {
        if let Some(old) = before.get(name) {
            let pairs = array.values.iter_mut().zip(&old.values);
            pairs.for_each(|(value, old)| *value -= old);
        }
    }
    change
}

/// Adds `share` times a change to weights, tensor by tensor; tensors without a change of their shape
/// stay.
pub fn add_change(state: &mut StateDict, change: &StateDict, share: f32) {
    for (name, array) in state {
        if let Some(change) = change.get(name).filter(|c| c.shape == array.shape) {
            let pairs = array.values.iter_mut().zip(&change.values);
            pairs.for_each(|(value, change)| *value += share * change);
        }
    }
}

/// Checks that all values of a tensor are finite.
///
/// # Errors
/// [`NetError::NotFinite`] naming the tensor and the first value that is not.
pub fn check_finite(name: &str, first: usize, values: &[f32]) -> Result<(), NetError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(NetError::NotFinite {
            name: name.to_owned(),
            value: values[index],
            index: first + index,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn averages_are_weighted_and_checked() {
        let state = |values: &[f32]| {
            let array = Array {
                shape: vec![values.len()],
                values: values.to_vec(),
            };
            StateDict::from([("w".to_owned(), array)])
        };
        let (a, b) = (state(&[0.0, 4.0]), state(&[4.0, 0.0]));
        let mean = average(&[(3.0, &a), (1.0, &b)]).unwrap();
        assert_eq!(mean["w"].values, [1.0, 3.0]);
        assert!(average(&[(1.0, &a), (1.0, &state(&[1.0]))]).is_err());
        assert!(average(&[(1.0, &a), (1.0, &StateDict::new())]).is_err());
        assert!(average(&[(0.0, &a)]).is_err());
        assert!(average(&[]).is_err());
    }
}
