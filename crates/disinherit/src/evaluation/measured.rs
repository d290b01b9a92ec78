//! What decides about the inside of a model, and the models that it is compared with.

use serde::{Deserialize, Serialize};
use umig::ModelId;

use super::estimate::Estimate;

/// The least half-width of the interval of a probe's balanced accuracy.
const PROBE_FLOOR: f64 = 0.03;

/// The least half-width of the interval of an area under a curve.
const AREA_FLOOR: f64 = 0.05;

/// The share of the reference's steps of relearning that may be missing.
const RESET_SHARE: f64 = 0.1;

/// What was measured inside a model, or inside several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Balanced accuracy of a probe on the penultimate layer, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Estimate>,
    /// The same on an inner layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_probe: Option<Estimate>,
    /// Steps of relearning from a neutral row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Estimate>,
    /// Whether relearning trained the head alone, on features that stayed as they were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub head_alone: bool,
    /// Membership: the area under the curve of confidence, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<Estimate>,
    /// Membership: the area under the curve of the fitted attack, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Estimate>,
}

/// One quantity of what was measured.
pub(super) type Pick = fn(&Measured) -> Option<Estimate>;

impl Measured {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What nothing was measured of where the head alone was relearnt, in words.
    pub fn not_measured(&self) -> Vec<&'static str> {
        let relearnt = "how fast the layers below the head relearn it: the head alone was trained, on \
                        features that stayed as they were";
        let inner = "what layers below the features still tell of it";
        let mut list = Vec::new();
        list.extend(self.head_alone.then_some(relearnt));
        list.extend((self.head_alone && self.inner_probe.is_none()).then_some(inner));
        list
    }

    /// The means over several models, with their spread from model to model; of one model, what was
    /// measured of it.
    pub fn over(models: &[Self]) -> Self {
        let of = |pick: Pick| {
            let each: Vec<Estimate> = models.iter().filter_map(pick).collect();
            match &each[..] {
                [only] => Some(*only),
                each => Estimate::new(&each.iter().map(|e| e.mean).collect::<Vec<f64>>()),
            }
        };
        Self {
            probe: of(|m| m.probe),
            inner_probe: of(|m| m.inner_probe),
            reset: of(|m| m.reset),
            head_alone: models.iter().any(|m| m.head_alone),
            area: of(|m| m.area),
            fitted: of(|m| m.fitted),
        }
    }
}

/// What the models that do not know the forget data reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Their mean.
    pub mean: f64,
    /// How far from it a model that has forgotten may be.
    pub half_width: f64,
}

impl Interval {
    /// The mean with two standard errors to each side, at least `floor`.
    fn new(found: &Estimate, floor: f64) -> Self {
        Self {
            mean: found.mean,
            half_width: (2.0 * found.standard_error()).max(floor),
        }
    }

    /// The interval of steps: a tenth of the mean and two standard errors may be missing.
    fn for_steps(found: &Estimate) -> Self {
        Self {
            mean: found.mean,
            half_width: RESET_SHARE * found.mean + 2.0 * found.standard_error(),
        }
    }

    /// Its lower end.
    pub fn low(&self) -> f64 {
        self.mean - self.half_width
    }

    /// Its upper end.
    pub fn high(&self) -> f64 {
        self.mean + self.half_width
    }

    /// Whether a value is below it by more than its half-width.
    pub fn is_far_below(&self, value: f64) -> bool {
        value < self.low() - self.half_width
    }
}

/// Which models stand for not knowing the forget data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceKind {
    /// The models themselves, retrained without the forget data.
    Retrained,
    /// A model of the same network that never saw the forget data.
    UntouchedRoot,
}

/// What models reach that do not know the forget data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Which models they are.
    pub kind: ReferenceKind,
    /// Their ids; of retrained models, those of the versions in whose place they are.
    pub models: Vec<ModelId>,
    /// The probe on the penultimate layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Interval>,
    /// The probe on an inner layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_probe: Option<Interval>,
    /// Steps of relearning from a neutral row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Interval>,
    /// Membership by confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<Interval>,
    /// Membership by the fitted attack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Interval>,
}

impl Reference {
    /// The reference that one or several models make; nothing where nothing was measured of them.
    pub fn new(kind: ReferenceKind, models: &[(ModelId, Measured)]) -> Option<Self> {
        let found: Vec<Measured> = models.iter().map(|(_, found)| *found).collect();
        let found = Measured::over(&found);
        let probe = |found: Estimate| Interval::new(&found, PROBE_FLOOR);
        let area = |found: Estimate| Interval::new(&found, AREA_FLOOR);
        (!found.is_empty()).then(|| Self {
            kind,
            models: models.iter().map(|(id, _)| id.clone()).collect(),
            probe: found.probe.map(probe),
            inner_probe: found.inner_probe.map(probe),
            reset: found.reset.map(|found| Interval::for_steps(&found)),
            area: found.area.map(area),
            fitted: found.fitted.map(area),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with_probe(values: &[f64]) -> Measured {
        Measured {
            probe: Estimate::new(values),
            ..Measured::default()
        }
    }

    #[test]
    fn an_interval_is_two_standard_errors_and_no_less_than_its_floor() {
        let ids = ["a@1", "b@1"].map(|id| id.parse::<ModelId>().unwrap());
        let models: Vec<_> = ids
            .iter()
            .cloned()
            .zip([0.6, 0.8].map(|v| with_probe(&[v])))
            .collect();
        let reference = Reference::new(ReferenceKind::Retrained, &models).unwrap();
        let interval = reference.probe.unwrap();
        // The deviation is 0.2 / sqrt(2), its error over two models 0.1.
        assert!((interval.mean - 0.7).abs() < 1e-12);
        assert!((interval.half_width - 0.2).abs() < 1e-12);
        assert_eq!(reference.reset, None);
        // Of one model, its seeds tell the error.
        let one = [(ids[0].clone(), with_probe(&[0.7, 0.7, 0.7]))];
        let one = Reference::new(ReferenceKind::UntouchedRoot, &one).unwrap();
        assert!((one.probe.unwrap().half_width - PROBE_FLOOR).abs() < 1e-12);
        let none = [(ids[0].clone(), Measured::default())];
        assert_eq!(Reference::new(ReferenceKind::Retrained, &none), None);
    }

    #[test]
    fn steps_may_be_a_tenth_and_two_standard_errors_fewer() {
        let found = Measured {
            reset: Estimate::new(&[28.0, 32.0]),
            ..Measured::default()
        };
        let model = [("a@1".parse().unwrap(), found)];
        let reference = Reference::new(ReferenceKind::Retrained, &model).unwrap();
        let steps = reference.reset.unwrap();
        // 30 - 3 - 2 * 2
        assert!((steps.low() - 23.0).abs() < 1e-9, "{steps:?}");
    }
}
