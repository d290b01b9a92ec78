//! The samples of an edit below the head: what the penultimate layer reads and writes of them, and
//! what a model that never knew the forget data makes of them.

use std::collections::BTreeSet;

use disinherit_data::DataSet;
use disinherit_registry::Basis;
use fiun::{Matrix, log_sum_exp};
use umig::ModelId;

use super::layer::{Layer, Seen};
use super::refusal::Refusal;
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::provenance::forget_mask;
use crate::reference::{open_untouched_module, open_untouched_root};
use crate::runner::runner_of;
use crate::work::Work;

/// Samples of each kind that an edit is computed from, at most, and that its strength is chosen on.
const FORGET: [usize; 2] = [400, 100];
const RETAINED: [usize; 2] = [1500, 500];

/// Forget samples without which an edit would fit noise.
const FEWEST: usize = 10;

/// The temperature of a model's own second guesses, which are too sharp: it was trained on them.
const OWN_TEMPERATURE: f32 = 2.0;

/// Samples of one kind, in two parts: the first the edit is computed from, its strength is chosen on
/// the second.
pub(super) struct Part {
    pub(super) seen: Seen,
    /// The head row of each sample's label.
    pub(super) rows: Vec<u32>,
    /// How many belong to the first part.
    pub(super) fitted: usize,
}

impl Part {
    /// The places of the samples that the edit is computed from, and of those that it is chosen on.
    pub(super) fn places(&self) -> [Vec<usize>; 2] {
        [
            (0..self.fitted).collect(),
            (self.fitted..self.rows.len()).collect(),
        ]
    }
}

/// Everything that an edit below the head is made from.
pub(super) struct Material {
    pub(super) basis: Basis,
    pub(super) forget: Part,
    pub(super) retained: Part,
    /// The head rows of the forgotten labels.
    pub(super) gone: BTreeSet<u32>,
    /// For every forget sample the proportions in which it goes to the head rows, `[samples, rows]`.
    pub(super) shares: Matrix,
    /// The mean log-odds of each forgotten row on its own samples, as the reference has them.
    pub(super) log_odds: Option<Vec<(u32, f32)>>,
    /// The model that never knew the forget data.
    pub(super) reference: Option<ModelId>,
}

impl Material {
    pub(super) fn collect(
        work: &Work<'_>,
        model: &LoadedModel,
        layer: &dyn Layer,
        classes: &BTreeSet<String>,
    ) -> Result<Self, Refusal> {
        if work.splits().is_err() {
            return Err("there is no data".into());
        }
        let own = work.own(model)?;
        let mask = forget_mask(work.forget(), &own, &model.vertex.training);
        let places = |wanted: bool| -> Vec<usize> {
            (0..own.len()).filter(|at| mask[*at] == wanted).collect()
        };
        let [forget, retained] = [true, false].map(|wanted| own.select(&places(wanted)));
        let (basis, forget) = if forget.len() < FEWEST {
            (Basis::Initial, initial_forget(work, model)?)
        } else {
            (Basis::Own, forget)
        };
        if forget.len() < FEWEST {
            let found = forget.len();
            return Err(Refusal::Reason(format!(
                "the data has {found} forget samples that it or an initial model was trained on, and \
                 {FEWEST} are needed"
            )));
        }
        let forget = part(work, model, layer, &forget, FORGET)?;
        let retained = part(work, model, layer, &retained, RETAINED)?;
        let gone: BTreeSet<u32> = (0u32..)
            .zip(&model.manifest.labels)
            .filter(|(_, label)| classes.contains(*label))
            .map(|(row, _)| row)
            .collect();
        let known: BTreeSet<u32> = retained.rows[..retained.fitted].iter().copied().collect();
        if known.len() < 2 {
            return Err("fewer than two labels are retained".into());
        }
        let guesses = Guesses {
            work,
            model,
            forget: &forget,
            gone: &gone,
            known: &known,
        };
        let (reference, shares, log_odds) = guesses.second(layer)?;
        Ok(Self {
            basis,
            forget,
            retained,
            gone,
            shares,
            log_odds,
            reference,
        })
    }
}

/// The forget samples that the initial models which reach a model were trained on, of labels that the
/// model has.
fn initial_forget(work: &Work<'_>, model: &LoadedModel) -> Result<DataSet, EngineError> {
    let mut ids = BTreeSet::new();
    for initial in work.reached_by(model.id()) {
        let vertex = work.graph().get(&initial);
        if let Some(forget) = vertex.and_then(|vertex| work.forget_data(vertex)) {
            ids.extend(forget.ids().iter().cloned());
        }
    }
    let train = &work.splits()?.train;
    let names = train.label_names();
    Ok(train.filter(|label, id| {
        ids.contains(id) && model.manifest.labels.contains(&names[label as usize])
    }))
}

/// Some samples in a seeded order, of which every beginning has all labels in their shares, run up to
/// the penultimate layer.
fn part(
    work: &Work<'_>,
    model: &LoadedModel,
    layer: &dyn Layer,
    set: &DataSet,
    [fitted, chosen]: [usize; 2],
) -> Result<Part, Refusal> {
    let mut order = set.deal(0);
    order.truncate(fitted + chosen);
    let set = set.select(&order);
    let title = format!("activations of {}", model.id());
    let stage = work.progress().stage(&title, set.len() as u64);
    let rows = model.rows(&set)?;
    let seen = layer.run(set, stage.as_ref())?;
    // Where there are few, one in five is kept for the choice.
    let fitted = fitted.min(rows.len() - rows.len().div_ceil(5));
    Ok(Part { seen, rows, fitted })
}

/// What forget samples are taken for once their own label is left out.
struct Guesses<'a> {
    work: &'a Work<'a>,
    model: &'a LoadedModel,
    forget: &'a Part,
    gone: &'a BTreeSet<u32>,
    /// The rows that retained samples are known of.
    known: &'a BTreeSet<u32>,
}

/// Who was asked, the proportions `[samples, rows]`, and the log-odds of the forgotten rows.
type Answer = (Option<ModelId>, Matrix, Option<Vec<(u32, f32)>>);

impl Guesses<'_> {
    /// By an untouched root where the graph has one, by the model itself where not.
    fn second(&self, layer: &dyn Layer) -> Result<Answer, EngineError> {
        let work = self.work;
        let root = match runner_of(work.features.runner(), &self.forget.seen.set)? {
            Some(runner) => open_untouched_module(work, self.model, runner)?,
            None => {
                let touched = work.scope().touched().cloned().collect();
                let (registry, graph) = (work.registry(), work.graph());
                open_untouched_root(registry, graph, &touched, self.model, work.forget())?
            }
        };
        let Some(root) = root else {
            let places: Vec<usize> = (0..self.forget.rows.len()).collect();
            let features = layer.features(&self.forget.seen, &places, None)?;
            let logits = work.features.logits(self.model, &features)?;
            let rows: Vec<Option<u32>> = self.own_rows().collect();
            return Ok((None, self.shares(&logits, &rows, OWN_TEMPERATURE)?, None));
        };
        let features = work
            .features
            .of(&root, &self.forget.seen.set, work.progress())?;
        let logits = work.features.logits(&root, &features)?;
        let row_of = |label: &String| {
            let labels = &self.model.manifest.labels;
            labels.iter().position(|own| own == label).map(|r| r as u32)
        };
        let rows: Vec<Option<u32>> = root.manifest.labels.iter().map(row_of).collect();
        let log_odds = self.log_odds(&logits, &rows);
        let shares = self.shares(&logits, &rows, 1.0)?;
        Ok((Some(root.id().clone()), shares, log_odds))
    }

    fn own_rows(&self) -> impl Iterator<Item = Option<u32>> {
        (0..self.model.manifest.labels.len()).map(|row| Some(row as u32))
    }

    /// Softmax over the rows that are known and retained; `rows` gives the model's row for each of the
    /// answer's.
    fn shares(
        &self,
        logits: &Matrix,
        rows: &[Option<u32>],
        sharpness: f32,
    ) -> Result<Matrix, EngineError> {
        let wanted = |at: usize| {
            rows.get(at)
                .copied()
                .flatten()
                .filter(|row| !self.gone.contains(row) && self.known.contains(row))
        };
        let sharp: Vec<f32> = logits.values().iter().map(|z| z * sharpness).collect();
        let matrix = |rows, cols, values| {
            Matrix::new(rows, cols, values).map_err(|e| EngineError::Internal(e.to_string()))
        };
        let sharp = matrix(logits.rows(), logits.cols(), sharp)?;
        let sums = log_sum_exp(sharp.view(), &|at| wanted(at).is_some());
        let classes = self.model.architecture.classes;
        let mut shares = vec![0.0; logits.rows() * classes];
        for (sample, sum) in sums.iter().enumerate() {
            for (at, z) in sharp.view().row(sample).iter().enumerate() {
                if let Some(row) = wanted(at) {
                    shares[sample * classes + row as usize] = (z - sum).exp();
                }
            }
        }
        matrix(logits.rows(), classes, shares)
    }

    /// How likely the reference finds each forgotten label on its own samples; nothing where its head
    /// lacks one of them.
    fn log_odds(&self, logits: &Matrix, rows: &[Option<u32>]) -> Option<Vec<(u32, f32)>> {
        let retained = |at: usize| {
            rows.get(at)
                .copied()
                .flatten()
                .is_some_and(|row| !self.gone.contains(&row))
        };
        let others = log_sum_exp(logits.view(), &retained);
        self.gone
            .iter()
            .map(|row| {
                let at = rows.iter().position(|known| known == &Some(*row))?;
                let picked = (0..self.forget.rows.len()).filter(|s| self.forget.rows[*s] == *row);
                let odds: Vec<f32> = picked
                    .map(|sample| logits.view().row(sample)[at] - others[sample])
                    .collect();
                let mean = odds.iter().sum::<f32>() / odds.len() as f32;
                mean.is_finite().then_some((*row, mean))
            })
            .collect()
    }
}
