//! Projection: weights lose the directions of activations that only the forget data has.
//!
//! For every linear layer and convolution, the inputs that retained and forget samples give it (of
//! convolutions, patches) span two spaces, in which every direction has an importance
//! ([`super::scaled_space`]). With `M_r` and `M_f` the scaled projections onto them, the weight becomes
//! `W (I - M_f + M_f M_r)ᵀ`: it no longer reacts to what lies in the forget space alone. Biases and
//! batch norms stay. No gradients, no labels beyond the sampling. Source: Kodge et al., "Deep
//! Unlearning: Fast and Efficient Gradient-free Class Forgetting", TMLR 2024, arXiv:2312.00761,
//! Algorithm 1; 900 samples of each kind, at most 10,000 patches, `a_f` of 3 and the list of `a_r` as in
//! the authors' code, the best pair by `accuracy retained * (1 - accuracy forgotten)` on the same
//! samples.
//!
//! What differs: patches are drawn sample by sample, and fewer where a layer has more samples than
//! that. Networks over sequences, the vision transformer among them, are not served: the inputs of
//! their layers are not read ([`disinherit_nets::layer_inputs`]).

use std::collections::BTreeMap;

use disinherit::EngineError;
use disinherit_data::DataSet;
use disinherit_nets::{Array, LayerInputsJob, StateDict, layer_inputs};
use fiun::{FisherError, Matrix, argmax};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::scaled_space::{Scaled, Space};
use super::tuning::Tuning;

/// Samples of the retained and of the forget data, each.
const SAMPLES: usize = 900;

/// Rows kept of a layer's inputs.
const ROWS: usize = 10_000;

/// How much of the forget space counts (`a_f`), and what is tried for the retained space (`a_r`).
const FORGET: f64 = 3.0;
const RETAIN: [f64; 5] = [10.0, 30.0, 100.0, 300.0, 1000.0];

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Projection,
    name: "projection",
    purpose: "project every layer's weights away from activations that only the forget data has",
    source: "Kodge et al., arXiv:2312.00761",
    classes_only: true,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let id = sets.model.id();
    let (retain, retain_rows) = sets.retained_of_each(SAMPLES / sets.retained_classes().max(1));
    let forget = sets.forget.sample(SAMPLES, tuning.settings.seed);
    let forget_rows = sets.model.rows(&forget)?;
    let spaces = Spaces {
        retain: spaces(tuning, &retain)?,
        forget: spaces(tuning, &forget)?,
    };
    let away = spaces
        .forget
        .iter()
        .map(|(name, space)| {
            let scaled = space
                .scaled(FORGET)
                .map_err(EngineError::fisher(id, name))?;
            Ok((name, scaled))
        })
        .collect::<Result<BTreeMap<_, _>, EngineError>>()?;
    let score = |state: &StateDict| -> Result<f64, EngineError> {
        let kept = accuracy(&tuning.logits(state, &retain)?, &retain_rows);
        let left = accuracy(&tuning.logits(state, &forget)?, &forget_rows);
        Ok(kept * (1.0 - left))
    };
    let mut best = (score(&sets.state)?, sets.state.clone());
    for alpha in RETAIN {
        let state = spaces.project(tuning, &away, alpha)?;
        let reached = score(&state)?;
        if reached > best.0 {
            best = (reached, state);
        }
    }
    Ok(best.1)
}

/// The spaces of every layer's inputs, by the name of its weight.
struct Spaces {
    retain: BTreeMap<String, Space>,
    forget: BTreeMap<String, Space>,
}

impl Spaces {
    /// The weights with every layer projected, `a_r` being `alpha`.
    fn project(
        &self,
        tuning: &Tuning<'_>,
        away: &BTreeMap<&String, Scaled<'_>>,
        alpha: f64,
    ) -> Result<StateDict, EngineError> {
        let sets = tuning.sets;
        let mut state = sets.state.clone();
        for (name, space) in &self.retain {
            if let (Some(array), Some(away)) = (state.get_mut(name), away.get(name)) {
                let project = || projected(array, &space.scaled(alpha)?, away);
                array.values = project().map_err(EngineError::fisher(sets.model.id(), name))?;
            }
        }
        Ok(state)
    }
}

/// `W (I - M_f + M_f M_r)ᵀ`, that is `W - (W - W M_r) M_f`.
fn projected(
    array: &Array,
    shared: &Scaled<'_>,
    away: &Scaled<'_>,
) -> Result<Vec<f32>, FisherError> {
    let outputs = array.shape.first().copied().unwrap_or(0);
    let inputs = array.values.len() / outputs.max(1);
    let weight = Matrix::new(outputs, inputs, array.values.clone())?;
    let mut own = shared.times(&weight)?;
    let pairs = own.values_mut().iter_mut().zip(&array.values);
    pairs.for_each(|(kept, value)| *kept = value - *kept);
    let lost = away.times(&own)?;
    let pairs = array.values.iter().zip(lost.values());
    Ok(pairs.map(|(value, lost)| value - lost).collect())
}

/// The spaces of what some samples give to every layer.
fn spaces(tuning: &Tuning<'_>, set: &DataSet) -> Result<BTreeMap<String, Space>, EngineError> {
    let sets = tuning.sets;
    let model = &sets.model;
    let title = format!("{} {}", DESCRIPTION.name, model.id());
    let stage = tuning.progress.stage(&title, set.len() as u64);
    let job = LayerInputsJob {
        architecture: &model.architecture,
        state: &sets.state,
        set,
        preprocessing: &model.preprocessing,
        rows: ROWS,
        seed: tuning.settings.seed,
    };
    let inputs = layer_inputs(&job, &mut |samples| stage.advance(samples as u64))
        .map_err(EngineError::net(model.id()))?;
    inputs
        .into_iter()
        .map(|(name, rows)| {
            let space = Space::new(rows).map_err(EngineError::fisher(model.id(), &name))?;
            Ok((name, space))
        })
        .collect()
}

/// The share of samples whose largest logit is that of their row.
fn accuracy(logits: &Matrix, rows: &[u32]) -> f64 {
    let right =
        |(sample, row): &(usize, &u32)| argmax(logits.view().row(*sample)) == **row as usize;
    rows.iter().enumerate().filter(right).count() as f64 / rows.len().max(1) as f64
}
