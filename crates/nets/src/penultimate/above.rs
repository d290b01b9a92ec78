//! What leads from a network's stream to its features, where that is plain: an activation, a mean, a norm.

use std::fmt;
use std::str::FromStr;

use fiun::Matrix;

use super::activations::Activations;
use super::agreement::agrees;
use crate::array::StateDict;
use crate::cpu::functions::gelu;
use crate::cpu::maps::Maps;
use crate::error::NetError;

/// What a layer norm adds to the variance, in the networks that people use.
const EPSILONS: [f32; 3] = [1e-5, 1e-6, 1e-12];

/// One step from the stream to the features.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// x times the normal distribution's share below x
    Gelu,
    /// The same by the hyperbolic tangent
    GeluTanh,
    /// x / (1 + exp(-x))
    Silu,
    /// x min(max(x + 3, 0), 6) / 6
    HardSwish,
    /// The hyperbolic tangent
    Tanh,
    /// The mean over positions
    Mean,
    /// All positions as one vector, channel by channel
    Flatten,
    /// Layer norm over the channels of a position
    LayerNorm {
        /// The name of the norm: its tensors are `NAME.weight` and `NAME.bias`.
        name: String,
        /// What is added to the variance.
        epsilon: f32,
    },
    /// The same without a mean and a bias (RMS norm)
    RmsNorm {
        /// The name of the norm: its tensor is `NAME.weight`.
        name: String,
        /// What is added to the mean square.
        epsilon: f32,
    },
}

/// What the names of norms start with.
const LAYER_NORM: &str = "layer-norm ";
const RMS_NORM: &str = "rms-norm ";

/// Activations that are tried.
const ACTIVATIONS: [Step; 7] = [
    Step::Relu,
    Step::Relu6,
    Step::Gelu,
    Step::GeluTanh,
    Step::Silu,
    Step::HardSwish,
    Step::Tanh,
];

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu-tanh",
            Self::Silu => "silu",
            Self::HardSwish => "hard-swish",
            Self::Tanh => "tanh",
            Self::Mean => "mean",
            Self::Flatten => "flatten",
            Self::LayerNorm { name, epsilon } => return write!(f, "{LAYER_NORM}{epsilon} {name}"),
            Self::RmsNorm { name, epsilon } => return write!(f, "{RMS_NORM}{epsilon} {name}"),
        };
        f.write_str(name)
    }
}

impl FromStr for Step {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let plain = ACTIVATIONS.into_iter().chain([Self::Mean, Self::Flatten]);
        if let Some(step) = plain.into_iter().find(|step| step.to_string() == text) {
            return Ok(step);
        }
        let norm = |prefix: &str| {
            let (epsilon, name) = text.strip_prefix(prefix)?.split_once(' ')?;
            let epsilon = epsilon.parse::<f32>().ok()?;
            (epsilon > 0.0 && epsilon.is_finite()).then_some((name.to_owned(), epsilon))
        };
        let layer = norm(LAYER_NORM).map(|(name, epsilon)| Self::LayerNorm { name, epsilon });
        let norm =
            layer.or_else(|| norm(RMS_NORM).map(|(name, epsilon)| Self::RmsNorm { name, epsilon }));
        norm.ok_or_else(|| NetError::Backend(format!("there is no step `{text}` to the features")))
    }
}

/// The steps from a stream to the features that it makes of some samples, `[samples, features]`; nothing where
/// none of those that are known do. `state` has the norms' weights.
///
/// # Errors
/// [`NetError`] when a norm's weights have another size than they should.
pub fn steps_to(
    features: &Matrix,
    activations: &Activations,
    state: &StateDict,
) -> Result<Option<Vec<Step>>, NetError> {
    // Of features that are all zero nothing can be told.
    if features.values().iter().all(|value| *value == 0.0) {
        return Ok(None);
    }
    for steps in candidates(activations, state) {
        let made = apply(&steps, activations.stream.clone(), state)?;
        if agrees(&made, features.values()) {
            return Ok(Some(steps));
        }
    }
    Ok(None)
}

/// What is tried, the plainest first.
fn candidates(activations: &Activations, state: &StateDict) -> Vec<Vec<Step>> {
    let joins: &[&[Step]] = match activations.positions() {
        1 => &[&[]],
        _ => &[&[Step::Mean], &[Step::Flatten]],
    };
    let mut all: Vec<Vec<Step>> = joins.iter().map(|join| join.to_vec()).collect();
    let norms = norms(state, activations.stream.channels);
    for step in ACTIVATIONS.into_iter().chain(norms) {
        for join in joins {
            all.push([std::slice::from_ref(&step), join].concat());
        }
        if joins.len() > 1 {
            all.push(vec![Step::Mean, step]);
        }
    }
    all
}

/// What may be a norm over so many channels, by the shapes of a model's tensors.
fn norms(state: &StateDict, channels: usize) -> Vec<Step> {
    let vector = |name: &str| {
        let found = state.get(name);
        found.is_some_and(|array| array.shape == [channels])
    };
    let names = state.keys().filter_map(|name| name.strip_suffix(".weight"));
    let weighted = names.filter(|name| vector(&format!("{name}.weight")));
    let of = |name: &str| {
        let (name, shifted) = (name.to_owned(), vector(&format!("{name}.bias")));
        EPSILONS.map(|epsilon| match (name.clone(), shifted) {
            (name, true) => Step::LayerNorm { name, epsilon },
            (name, false) => Step::RmsNorm { name, epsilon },
        })
    };
    weighted.flat_map(of).collect()
}

/// What steps make of a stream, `[samples, features]`.
pub(super) fn apply(
    steps: &[Step],
    mut maps: Maps,
    state: &StateDict,
) -> Result<Vec<f32>, NetError> {
    for step in steps {
        maps = one(step, maps, state)?;
    }
    Ok(maps.flattened().values)
}

fn one(step: &Step, mut maps: Maps, state: &StateDict) -> Result<Maps, NetError> {
    let function: fn(f32) -> f32 = match step {
        Step::Relu => |x| x.max(0.0),
        Step::Relu6 => |x| x.clamp(0.0, 6.0),
        Step::Gelu => gelu,
        Step::GeluTanh => |x| 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()),
        Step::Silu => |x| x / (1.0 + (-x).exp()),
        Step::HardSwish => |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Step::Tanh => f32::tanh,
        Step::Mean => return Ok(mean(&maps)),
        Step::Flatten => return Ok(maps.flattened()),
        Step::LayerNorm { name, epsilon } => {
            let bias = norm_part(state, name, "bias", maps.channels)?;
            let weight = norm_part(state, name, "weight", maps.channels)?;
            normalise(&mut maps, weight, Some(bias), *epsilon);
            return Ok(maps);
        }
        Step::RmsNorm { name, epsilon } => {
            let weight = norm_part(state, name, "weight", maps.channels)?;
            normalise(&mut maps, weight, None, *epsilon);
            return Ok(maps);
        }
    };
    maps.values
        .iter_mut()
        .for_each(|value| *value = function(*value));
    Ok(maps)
}

fn mean(maps: &Maps) -> Maps {
    let positions = (maps.size[0] * maps.size[1]).max(1);
    let mut means = Maps::zeros(maps.samples, [1, 1], maps.channels);
    let channels = maps.channels.max(1);
    let samples = maps.values.chunks_exact(channels * positions);
    for (mean, sample) in means.values.chunks_exact_mut(channels).zip(samples) {
        for position in sample.chunks_exact(channels) {
            mean.iter_mut().zip(position).for_each(|(m, v)| *m += v);
        }
        mean.iter_mut().for_each(|m| *m /= positions as f32);
    }
    means
}

/// A tensor of a norm over so many channels.
fn norm_part<'a>(
    state: &'a StateDict,
    name: &str,
    part: &str,
    channels: usize,
) -> Result<&'a [f32], NetError> {
    let name = format!("{name}.{part}");
    match state
        .get(&name)
        .filter(|array| array.values.len() == channels)
    {
        Some(array) => Ok(&array.values),
        None => Err(NetError::Missing {
            name,
            expected: format!("[{channels}]"),
        }),
    }
}

/// Layer norm; without a bias RMS norm, which subtracts no mean.
fn normalise(maps: &mut Maps, weight: &[f32], bias: Option<&[f32]>, epsilon: f32) {
    let channels = maps.channels.max(1);
    for row in maps.values.chunks_exact_mut(channels) {
        let mean = match bias {
            Some(_) => row.iter().sum::<f32>() / channels as f32,
            None => 0.0,
        };
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / channels as f32;
        let factor = (variance + epsilon).sqrt().recip();
        for (at, (value, weight)) in row.iter_mut().zip(weight).enumerate() {
            *value = (*value - mean) * factor * weight + bias.map_or(0.0, |bias| bias[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::array::Array;
    use crate::cpu::window::Window;

    fn wave(count: usize) -> Vec<f32> {
        (0..count).map(|at| 3.0 * (at as f32 * 1.7).sin()).collect()
    }

    /// Three samples of 2x2 positions and four channels.
    fn seen() -> Activations {
        let array = || Array {
            shape: vec![3, 2, 2, 4],
            values: wave(48),
        };
        Activations::new(array(), array(), Window::POINT).unwrap()
    }

    fn state() -> StateDict {
        let vector = |values: &[f32]| Array {
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        StateDict::from([
            ("norm.weight".into(), vector(&[0.5, 1.0, -2.0, 3.0])),
            ("norm.bias".into(), vector(&[0.1, 0.2, 0.3, -0.4])),
            ("rms.weight".into(), vector(&[1.0, 2.0, 0.5, 0.25])),
            ("other.weight".into(), vector(&[1.0, 2.0])),
        ])
    }

    #[test]
    fn steps_are_found_by_what_they_make() {
        let norm = |name: &str| (name.to_owned(), 1e-6);
        let (layer, rms) = (norm("norm"), norm("rms"));
        for steps in [
            vec![Step::Mean],
            vec![Step::Flatten],
            vec![Step::Relu, Step::Mean],
            vec![Step::Mean, Step::Relu],
            vec![Step::Gelu, Step::Flatten],
            vec![
                Step::LayerNorm {
                    name: layer.0,
                    epsilon: layer.1,
                },
                Step::Mean,
            ],
            vec![
                Step::Mean,
                Step::RmsNorm {
                    name: rms.0,
                    epsilon: rms.1,
                },
            ],
        ] {
            let made = apply(&steps, seen().stream, &state()).unwrap();
            let features = Matrix::new(3, made.len() / 3, made).unwrap();
            let found = steps_to(&features, &seen(), &state()).unwrap().unwrap();
            let again = apply(&found, seen().stream, &state()).unwrap();
            for (a, b) in again.iter().zip(features.values()) {
                assert!((a - b).abs() <= 1e-3 * 5.0, "{steps:?} {found:?}");
            }
            // As text they are the same.
            let text = |step: &Step| step.to_string().parse::<Step>().unwrap();
            assert_eq!(steps.iter().map(text).collect::<Vec<_>>(), steps);
        }
        let other = Matrix::new(3, 4, wave(12)).unwrap();
        assert_eq!(steps_to(&other, &seen(), &state()).unwrap(), None);
        let none = Matrix::zeros(3, 4);
        assert_eq!(steps_to(&none, &seen(), &state()).unwrap(), None);
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for text in [
            "",
            "softmax",
            "layer-norm",
            "layer-norm x y",
            "rms-norm -1 y",
            "layer-norm NaN y",
        ] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
        let missing = Step::RmsNorm {
            name: "nothing".into(),
            epsilon: 1e-5,
        };
        assert!(apply(&[missing], seen().stream, &state()).is_err());
    }

    #[test]
    fn activations_have_the_values_that_they_have_in_pytorch() {
        let of = |step: Step, x: f32| {
            let maps = Maps::new(1, [1, 1], 1, vec![x]);
            apply(&[step], maps, &StateDict::new()).unwrap()[0]
        };
        for (step, x, wanted) in [
            (Step::Gelu, 1.0, 0.841_344_7),
            (Step::Gelu, -0.5, -0.154_268_8),
            (Step::GeluTanh, 1.0, 0.841_192),
            (Step::Silu, 2.0, 1.761_594_2),
            (Step::HardSwish, 1.0, 0.666_666_7),
            (Step::Relu6, 7.0, 6.0),
        ] {
            let made = of(step.clone(), x);
            assert!((made - wanted).abs() < 1e-6, "{step} {made} {wanted}");
        }
    }
}
