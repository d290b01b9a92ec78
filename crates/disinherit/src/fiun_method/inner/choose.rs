//! How strong an edit below the head is: ridges are tried on samples that it is not computed from.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_nets::{Array, StateDict};
use disinherit_registry::{InnerTrial, Registry};
use fiun::{
    Correction, HeadRow, Matrix, Remap, RemapSums, argmax, linear, log_sum_exp, prototypes,
};

use super::layer::Layer;
use super::material::{Material, Part};
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::refusal::Refusal;

/// The ridges that are tried, in the order in which they are wanted: the first leaves of a class what
/// retrained models have of it (compared on digits and CIFAR-10, docs/deep.md); where it loses too much,
/// weaker edits follow, and where those forget too little, stronger ones. They are divided by the number of
/// classes that are forgotten, since the sums of the regression are means over all of them.
const RIDGES: [f64; 9] = [0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 3.0, 0.02, 0.01];

/// The part of its own deviation that a sample keeps: less makes them alike, which relearning finds
/// easier (compared on two networks of digits, docs/deep.md).
pub(super) const KEEP: f32 = 0.7;

/// Samples whose inputs are unfolded at a time.
const CHUNK: usize = 64;

/// What an edit has to keep to, as shares of samples that it is not computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Forget samples that may still be recognised.
    pub(super) forget: f64,
    /// Retained accuracy that may be lost.
    pub(super) loss: f64,
    /// The only ridge that is tried, where one was asked for.
    pub(super) ridge: Option<f64>,
}

/// Tries ridges on one model.
pub(super) struct Chooser<'a> {
    bounds: Bounds,
    model: &'a LoadedModel,
    layer: &'a dyn Layer,
    material: &'a Material,
    sums: RemapSums,
    head: Matrix,
    bias: Vec<f32>,
    /// The log-odds of the forgotten rows that the edited model is to have.
    log_odds: Vec<(u32, f32)>,
}

/// The strength that was chosen.
pub(super) struct Chosen {
    pub(super) ridge: f64,
    pub(super) correction: Correction,
    /// The head's tensors.
    pub(super) head: StateDict,
    pub(super) trials: Vec<InnerTrial>,
}

/// One ridge with what it makes.
struct Tried {
    trial: InnerTrial,
    correction: Correction,
    head: Matrix,
    bias: Vec<f32>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(
        registry: &Registry,
        bounds: Bounds,
        model: &'a LoadedModel,
        layer: &'a dyn Layer,
        material: &'a Material,
    ) -> Result<Self, EngineError> {
        let (head, bias) = model.head(registry)?;
        let mut chooser = Self {
            bounds,
            model,
            layer,
            material,
            sums: RemapSums::new(
                material.forget.seen.activations.depth(),
                layer.scale().len(),
            ),
            head,
            bias,
            log_odds: Vec::new(),
        };
        chooser.sum()?;
        chooser.log_odds = match &material.log_odds {
            Some(known) => known.clone(),
            None => chooser.own_log_odds()?,
        };
        Ok(chooser)
    }

    fn wrap(&self) -> impl FnOnce(fiun::FisherError) -> EngineError {
        EngineError::fisher(self.model.id(), self.layer.weight())
    }

    fn net(&self) -> impl FnOnce(disinherit_nets::NetError) -> EngineError {
        EngineError::net(self.model.id())
    }

    /// The sums of the regression.
    fn sum(&mut self) -> Result<(), EngineError> {
        let material = self.material;
        let [fitted, _] = material.forget.places();
        let forget = material.forget.seen.activations.select(&fitted);
        let [kept, _] = material.retained.places();
        let retained = material.retained.seen.activations.select(&kept);
        let (means, _) = prototypes(
            retained.stream().map_err(self.net())?,
            &material.retained.rows[..kept.len()],
            self.head.rows(),
        )
        .map_err(self.wrap())?;
        let shares = material.shares.select_rows(&fitted);
        let corrections = Remap {
            stream: forget.stream().map_err(self.net())?,
            shares: shares.view(),
            prototypes: means.view(),
            labels: &material.forget.rows[..fitted.len()],
            keep: KEEP,
            scale: self.layer.scale(),
        }
        .corrections()
        .map_err(self.wrap())?;
        let positions = forget.positions();
        for first in (0..fitted.len()).step_by(CHUNK) {
            let end = (first + CHUNK).min(fitted.len());
            let inputs = forget.inputs(first, end).map_err(self.net())?;
            let rows: Vec<usize> = (first * positions..end * positions).collect();
            let part = corrections.select_rows(&rows);
            let total = corrections.rows();
            let added = self.sums.forget(inputs.view(), part.view(), total);
            added.map_err(self.wrap())?;
        }
        for first in (0..kept.len()).step_by(CHUNK) {
            let end = (first + CHUNK).min(kept.len());
            let inputs = retained.inputs(first, end).map_err(self.net())?;
            let added = self.sums.retained(inputs.view(), kept.len() * positions);
            added.map_err(self.wrap())?;
        }
        Ok(())
    }

    /// How likely the model finds a retained label on samples of other retained labels: what a label
    /// that it does not know should be like where no reference says so.
    fn own_log_odds(&self) -> Result<Vec<(u32, f32)>, EngineError> {
        let [kept, _] = self.material.retained.places();
        let features = self
            .layer
            .features(&self.material.retained.seen, &kept, None)?;
        let logits = linear(features.view(), self.head.view(), &self.bias).map_err(self.wrap())?;
        let others = log_sum_exp(logits.view(), &|row| !self.is_gone(row));
        let (mut sum, mut count) = (0.0, 0.0f32);
        for (sample, label) in self.material.retained.rows[..kept.len()].iter().enumerate() {
            for (row, z) in logits.view().row(sample).iter().enumerate() {
                if row != *label as usize && !self.is_gone(row) {
                    sum += z - others[sample];
                    count += 1.0;
                }
            }
        }
        let mean = sum / count.max(1.0);
        Ok(self.material.gone.iter().map(|row| (*row, mean)).collect())
    }

    fn is_gone(&self, row: usize) -> bool {
        self.material.gone.contains(&(row as u32))
    }

    /// The first edit that forgets as much and loses as little as is asked for, in the order of
    /// [`RIDGES`]. Weaker or stronger ones are not tried once one does: of a network that runs elsewhere each
    /// is a pass of the whole network.
    pub(super) fn choose(&self) -> Result<Chosen, Refusal> {
        let before = self.retained_before()?;
        let bounds = self.bounds;
        let ridges = match bounds.ridge {
            Some(ridge) => vec![ridge],
            None => self.ridges(),
        };
        let mut trials = Vec::with_capacity(ridges.len());
        let mut chosen: Option<Tried> = None;
        for ridge in ridges {
            let tried = self.attempt(ridge)?;
            let trial = tried.trial;
            trials.push(trial);
            let fits = trial.forget <= bounds.forget
                && self.surely_lost(before - trial.retain) <= bounds.loss;
            if fits {
                chosen = Some(tried);
                break;
            }
        }
        trials.sort_by(|a, b| a.ridge.total_cmp(&b.ridge));
        let Some(chosen) = chosen else {
            return Err(Refusal::Reason(refused(&trials, before, bounds.loss)));
        };
        Ok(Chosen {
            ridge: chosen.trial.ridge,
            correction: chosen.correction,
            head: self.head_state(chosen.head, chosen.bias),
            trials,
        })
    }

    /// [`RIDGES`] for so many classes as are forgotten.
    fn ridges(&self) -> Vec<f64> {
        let forgotten: BTreeSet<u32> = self.material.forget.rows.iter().copied().collect();
        let classes = forgotten.len().max(1) as f64;
        RIDGES.map(|ridge| ridge / classes).to_vec()
    }

    /// A loss of accuracy less its standard error: one of thirty samples is no loss of three points.
    fn surely_lost(&self, lost: f64) -> f64 {
        let [_, apart] = self.material.retained.places();
        lost - (lost * (1.0 - lost) / apart.len().max(1) as f64)
            .max(0.0)
            .sqrt()
    }

    /// The head for features of the samples that an edit is computed from, if what it names of those kept apart is
    /// within the bounds; otherwise what is not. `forget` and `retained`: features of either part.
    pub(super) fn within(
        &self,
        forget: [(&Matrix, &[u32]); 2],
        retained: [&Matrix; 2],
    ) -> Result<StateDict, Refusal> {
        let (head, bias) = self.calibrated(forget[0], retained[0])?;
        let right = |features: &Matrix, rows: &[u32]| -> Result<f64, EngineError> {
            let logits = linear(features.view(), head.view(), &bias).map_err(self.wrap())?;
            let named = rows
                .iter()
                .enumerate()
                .filter(|(at, row)| argmax(logits.view().row(*at)) == **row as usize);
            Ok(named.count() as f64 / rows.len().max(1) as f64)
        };
        let still = right(forget[1].0, forget[1].1)?;
        let kept = self.material.retained.fitted;
        let now = right(retained[1], &self.material.retained.rows[kept..])?;
        let lost = self.retained_before()? - now;
        if still > self.bounds.forget {
            return Err(Refusal::Reason(format!(
                "the outputs would still name {:.1} % of the forget samples",
                100.0 * still
            )));
        }
        if self.surely_lost(lost) > self.bounds.loss {
            return Err(Refusal::Reason(format!(
                "it would lose {:.1} points of retained accuracy, {:.1} are allowed",
                100.0 * lost,
                100.0 * self.bounds.loss
            )));
        }
        Ok(self.head_state(head, bias))
    }

    fn head_state(&self, head: Matrix, bias: Vec<f32>) -> StateDict {
        let [weight, bias_name] = self.model.head_tensors();
        let mut state = StateDict::new();
        let shape = vec![head.rows(), head.cols()];
        let values = head.into_values();
        state.insert(weight, Array { shape, values });
        if self.model.has_bias() {
            let shape = vec![bias.len()];
            let values = bias;
            state.insert(bias_name, Array { shape, values });
        }
        state
    }

    fn retained_before(&self) -> Result<f64, EngineError> {
        let [_, chosen_on] = self.material.retained.places();
        let retained = &self.material.retained;
        let features = self.layer.features(&retained.seen, &chosen_on, None)?;
        let logits = linear(features.view(), self.head.view(), &self.bias).map_err(self.wrap())?;
        Ok(accuracy(&logits, &self.material.retained, &chosen_on))
    }

    /// What one ridge makes, and how that does on the samples kept apart.
    fn attempt(&self, ridge: f64) -> Result<Tried, EngineError> {
        let correction = self.sums.solve(ridge).map_err(self.wrap())?;
        let features = |part: &Part, places: &[usize]| {
            self.layer.features(&part.seen, places, Some(&correction))
        };
        let (forget, retained) = (&self.material.forget, &self.material.retained);
        let [fitted, forget_apart] = forget.places();
        let [kept, retained_apart] = retained.places();
        let (head, bias) = self.calibrated(
            (&features(forget, &fitted)?, &forget.rows[..fitted.len()]),
            &features(retained, &kept)?,
        )?;
        let logits =
            |features: &Matrix| linear(features.view(), head.view(), &bias).map_err(self.wrap());
        let on_forget = logits(&features(forget, &forget_apart)?)?;
        let on_retained = logits(&features(retained, &retained_apart)?)?;
        let divergences = self.divergences(&on_forget, &forget_apart);
        let trial = InnerTrial {
            ridge,
            divergence: mean(&divergences),
            forget: accuracy(&on_forget, forget, &forget_apart),
            retain: accuracy(&on_retained, retained, &retained_apart),
        };
        Ok(Tried {
            trial,
            correction,
            head,
            bias,
        })
    }

    /// The head with the forgotten rows written anew for features of forget samples, with their head rows, and
    /// of retained ones.
    fn calibrated(
        &self,
        (forget, rows): (&Matrix, &[u32]),
        retained: &Matrix,
    ) -> Result<(Matrix, Vec<f32>), EngineError> {
        let (mut head, mut bias) = (self.head.clone(), self.bias.clone());
        let width = head.cols();
        let mut mean = vec![0.0f32; width];
        for row in 0..retained.rows() {
            let values = retained.view().row(row);
            mean.iter_mut().zip(values).for_each(|(m, v)| *m += v);
        }
        mean.iter_mut()
            .for_each(|m| *m /= retained.rows().max(1) as f32);
        let odds: BTreeMap<u32, f32> = self.log_odds.iter().copied().collect();
        for gone in &self.material.gone {
            let own: Vec<usize> = (0..forget.rows()).filter(|at| rows[*at] == *gone).collect();
            let own = if own.is_empty() {
                (0..forget.rows()).collect()
            } else {
                own
            };
            let features = forget.select_rows(&own);
            let logits = linear(features.view(), self.head.view(), &self.bias);
            let logits = logits.map_err(self.wrap())?;
            let others = log_sum_exp(logits.view(), &|row| !self.is_gone(row));
            let wanted = odds.get(gone).copied().unwrap_or_default();
            let has_bias = self.model.has_bias();
            let row = HeadRow::calibrated(&mean, features.view(), &others, wanted, has_bias);
            let row = row.map_err(self.wrap())?;
            let place = *gone as usize;
            head.values_mut()[place * width..(place + 1) * width].copy_from_slice(&row.weight);
            bias[place] = row.bias;
        }
        Ok((head, bias))
    }

    /// The divergence of each sample's outputs from the reference's answer, over retained labels.
    fn divergences(&self, logits: &Matrix, places: &[usize]) -> Vec<f64> {
        let sums = log_sum_exp(logits.view(), &|row| !self.is_gone(row));
        let shares = self.material.shares.view();
        let of = |(at, (place, sum)): (usize, (&usize, &f32))| {
            let pairs = shares.row(*place).iter().zip(logits.view().row(at));
            let term = |(share, z): (&f32, &f32)| match *share > 0.0 {
                true => f64::from(share * (share.ln() - (z - sum))),
                false => 0.0,
            };
            pairs.map(term).sum()
        };
        places.iter().zip(&sums).enumerate().map(of).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The share of some samples whose label is named.
fn accuracy(logits: &Matrix, part: &Part, places: &[usize]) -> f64 {
    let right = places
        .iter()
        .enumerate()
        .filter(|(at, place)| argmax(logits.view().row(*at)) == part.rows[**place] as usize);
    right.count() as f64 / places.len().max(1) as f64
}

/// Why no ridge was taken, with the figures of the one that lost least.
fn refused(trials: &[InnerTrial], before: f64, allowed: f64) -> String {
    let least = trials.iter().max_by(|a, b| a.retain.total_cmp(&b.retain));
    let Some(least) = least else {
        return "nothing was tried".into();
    };
    format!(
        "no strength forgets within the bound: at ridge {}, {:.1} % of the forget samples are still \
         recognised and {:.1} points of retained accuracy are lost, {:.1} are allowed",
        least.ridge,
        least.forget * 100.0,
        (before - least.retain) * 100.0,
        allowed * 100.0
    )
}
