//! What a model that never knew the forget data makes of it: an untouched root's answers, or a model's own
//! second guesses.

use std::collections::BTreeSet;

use fiun::{Matrix, log_sum_exp};
use umig::ModelId;

use super::layer::Layer;
use super::material::Part;
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::reference::open_untouched_root;
use crate::runner::runner_of;
use crate::work::Work;

/// The temperature of a model's own second guesses, which are too sharp: it was trained on them.
const OWN_TEMPERATURE: f32 = 2.0;

/// What forget samples are taken for once their own label is left out.
pub(super) struct Guesses<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) forget: &'a Part,
    pub(super) rows: Rows<'a>,
}

/// Who was asked, the proportions `[samples, rows]`, and the log-odds of the forgotten rows.
pub(super) type Answer = (Option<ModelId>, Matrix, Option<Vec<(u32, f32)>>);

impl Guesses<'_> {
    /// By an untouched root where the graph has one, by the model itself where not.
    pub(super) fn second(&self, layer: &dyn Layer) -> Result<Answer, EngineError> {
        let work = self.work;
        let model = self.rows.model;
        let runner = runner_of(work.features.runner(), &self.forget.seen.set)?;
        let touched = work.scope().touched().cloned().collect();
        let (registry, graph) = (work.registry(), work.graph());
        let root = open_untouched_root(registry, graph, &touched, model, work.forget(), runner)?;
        let Some(root) = root else {
            return Ok((None, self.rows.own_shares(work, self.forget, layer)?, None));
        };
        let features = work
            .features
            .of(&root, &self.forget.seen.set, work.progress())?;
        let logits = work.features.logits(&root, &features)?;
        let row_of = |label: &String| {
            let labels = &self.rows.model.manifest.labels;
            labels.iter().position(|own| own == label).map(|r| r as u32)
        };
        let rows: Vec<Option<u32>> = root.manifest.labels.iter().map(row_of).collect();
        let log_odds = self.log_odds(&logits, &rows);
        let shares = self.rows.shares(&logits, &rows, 1.0)?;
        Ok((Some(root.id().clone()), shares, log_odds))
    }

    /// How likely the reference finds each forgotten label on its own samples; nothing where its head
    /// lacks one of them.
    fn log_odds(&self, logits: &Matrix, rows: &[Option<u32>]) -> Option<Vec<(u32, f32)>> {
        let retained = |at: usize| {
            rows.get(at)
                .copied()
                .flatten()
                .is_some_and(|row| !self.rows.gone.contains(&row))
        };
        let others = log_sum_exp(logits.view(), &retained);
        self.rows
            .gone
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

/// The rows of a head that an answer is spread over.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) model: &'a LoadedModel,
    pub(super) gone: &'a BTreeSet<u32>,
    /// The rows that retained samples are known of.
    pub(super) known: &'a BTreeSet<u32>,
}

impl Rows<'_> {
    /// The second guesses of the model itself, `[samples, rows]`.
    pub(super) fn own_shares(
        &self,
        work: &Work<'_>,
        forget: &Part,
        layer: &dyn Layer,
    ) -> Result<Matrix, EngineError> {
        let places: Vec<usize> = (0..forget.rows.len()).collect();
        let features = layer.features(&forget.seen, &places, None)?;
        let logits = work.features.logits(self.model, &features)?;
        let own = 0..self.model.manifest.labels.len();
        let rows: Vec<Option<u32>> = own.map(|row| Some(row as u32)).collect();
        self.shares(&logits, &rows, OWN_TEMPERATURE)
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
}
