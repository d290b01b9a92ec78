//! Accuracy on what was to be forgotten and on the rest, on training and held-out data apart.

use disinherit_data::{DataSet, Splits};
use disinherit_nets::StateDict;
use disinherit_registry::Registry;
use fiun::{Matrix, argmax};
use serde::{Deserialize, Serialize};
use umig::{Forget, Model, ModelId, Relation, Umig};

use crate::{
    CertifiedVerdict, EngineError, Features, LoadedModel, Progress, forget_mask, own_data,
};

/// Accuracies between 0 and 1; `None` where there is nothing to measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// On the model's own training data.
    pub train: Option<f64>,
    /// On held-out data.
    pub heldout: Option<f64>,
}

/// How well a model knows what was to be forgotten, and the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// On the forget data (for a held-out class: samples of that class).
    pub forget: Accuracy,
    /// On everything else.
    pub retain: Accuracy,
}

/// Accuracy on forget samples and on the others.
type Shares = (Option<f64>, Option<f64>);

/// Measures a model on a data set whose forget samples are marked.
type Score<'a> = dyn FnMut(&DataSet, &[bool]) -> Result<Shares, EngineError> + 'a;

/// Evaluates models, running each backbone only once on each data set: a version whose head alone
/// has changed costs a matrix product.
pub struct Evaluator<'a> {
    splits: &'a Splits,
    features: &'a Features<'a>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator on some data.
    pub fn new(splits: &'a Splits, features: &'a Features<'a>) -> Self {
        Self { splits, features }
    }

    /// The scores of a model of the registry. `provenance` says what it was trained on itself
    /// (that of the version before unlearning, for a version after it).
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn scores(
        &self,
        model: &LoadedModel,
        provenance: &Model,
        forget: &Forget,
        progress: &dyn Progress,
    ) -> Result<Scores, EngineError> {
        let mut score = |set: &DataSet, is_forget: &[bool]| {
            if set.is_empty() {
                return Ok((None, None));
            }
            let features = self.features.of(model, set, progress)?;
            let logits = self.features.logits(model, &features)?;
            Ok(split_accuracy(
                &logits,
                &model.manifest.labels,
                set,
                is_forget,
            ))
        };
        self.both(provenance, forget, &mut score)
    }

    /// The scores of weights that are not in the registry, in the network of a model that is.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn scores_of_state(
        &self,
        state: &StateDict,
        like: &LoadedModel,
        forget: &Forget,
        progress: &dyn Progress,
    ) -> Result<Scores, EngineError> {
        let mut score = |set: &DataSet, is_forget: &[bool]| {
            let stage = progress.stage(&format!("evaluating {}", like.id()), set.len() as u64);
            let captured = self.features.run(like, state, set, stage.as_ref())?;
            Ok(split_accuracy(
                &captured.logits,
                &like.manifest.labels,
                set,
                is_forget,
            ))
        };
        self.both(&like.vertex, forget, &mut score)
    }

    fn both(
        &self,
        provenance: &Model,
        forget: &Forget,
        score: &mut Score<'_>,
    ) -> Result<Scores, EngineError> {
        let own = own_data(provenance, &self.splits.train);
        let heldout = &self.splits.heldout;
        let of_own = score(&own, &forget_mask(forget, &own, &provenance.training))?;
        let of_heldout = match forget {
            // Nobody else's samples are the forget data of a source or a list.
            Forget::Classes(_) => score(heldout, &forget_mask(forget, heldout, []))?,
            _ => (None, score(heldout, &vec![false; heldout.len()])?.1),
        };
        Ok(Scores {
            forget: Accuracy {
                train: of_own.0,
                heldout: of_heldout.0,
            },
            retain: Accuracy {
                train: of_own.1,
                heldout: of_heldout.1,
            },
        })
    }
}

/// Accuracy on the forget samples and on the others, over the labels that the model has an output
/// for.
fn split_accuracy(logits: &Matrix, labels: &[String], set: &DataSet, is_forget: &[bool]) -> Shares {
    let (mut right, mut count) = ([0u64; 2], [0u64; 2]);
    for (sample, &label) in set.labels().iter().enumerate() {
        let name = &set.label_names()[label as usize];
        let Some(row) = labels.iter().position(|known| known == name) else {
            continue;
        };
        let group = usize::from(is_forget[sample]);
        count[group] += 1;
        right[group] += u64::from(argmax(logits.view().row(sample)) == row);
    }
    let share =
        |group: usize| (count[group] > 0).then(|| right[group] as f64 / count[group] as f64);
    (share(1), share(0))
}

/// Whether each of some models has forgotten: its accuracy on forgotten held-out samples (or where
/// there are none, on training samples) must be `at_most`.
///
/// # Errors
/// [`EngineError`].
pub fn judge(
    registry: &Registry,
    evaluator: &Evaluator<'_>,
    ids: &[ModelId],
    forget: &Forget,
    at_most: f64,
    progress: &dyn Progress,
) -> Result<Vec<CertifiedVerdict>, EngineError> {
    let graph = registry.graph()?;
    let mut results = Vec::new();
    for id in ids {
        let model = LoadedModel::open(registry, &graph, id)?;
        let provenance = trained_version(&graph, &model.vertex);
        let scores = evaluator.scores(&model, provenance, forget, progress)?;
        let measured = scores.forget.heldout.or(scores.forget.train);
        results.push(CertifiedVerdict {
            model: id.clone(),
            scores,
            at_most,
            passed: measured.map(|accuracy| accuracy <= at_most),
        });
    }
    Ok(results)
}

/// The version that was trained on the forget data: unlearned versions no longer claim it.
fn trained_version<'a>(graph: &'a Umig, vertex: &'a Model) -> &'a Model {
    let mut current = vertex;
    while let Some(before) = graph
        .parents(&current.id)
        .into_iter()
        .find_map(|(id, relation)| {
            matches!(relation, Relation::UnlearnedFrom { .. })
                .then(|| graph.get(id))
                .flatten()
        })
    {
        current = before;
    }
    current
}
