//! Verdicts on versions of the registry, for `verify` and certificates.

use std::borrow::Cow;
use std::collections::BTreeSet;

use disinherit_registry::RegistryError;
use umig::{Forget, Model, ModelId, Relation, Umig};

use super::beside_unseen::sample_verdict;
use super::evaluation_set::EvaluationSet;
use super::evaluator::Evaluator;
use super::measured::{Reference, ReferenceKind};
use super::scores::CertifiedVerdict;
use super::verdicts::Depth;
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::provenance::learned;

impl Evaluator<'_> {
    /// Judges versions of the registry: at most the share `at_most` of the forgotten held-out samples
    /// may still be recognised. With [`Depth::OUTPUTS`] by their outputs alone, and backbones that
    /// models share are run once. Otherwise also by what was found inside, beside the same of an
    /// untouched root of their network.
    ///
    /// # Errors
    /// [`EngineError`] when a model cannot be read, run or trained.
    pub fn judge(
        &self,
        ids: &[ModelId],
        at_most: f64,
    ) -> Result<Vec<CertifiedVerdict>, EngineError> {
        let graph = self.graph_with(ids)?;
        let graph = graph.as_ref();
        let touched = touched(graph, ids)?;
        ids.iter()
            .map(|id| {
                self.engine.go_on()?;
                let model = LoadedModel::open(self.engine.registry(), graph, id)?;
                let provenance =
                    learned(graph, trained_version(graph, &model.vertex)?).into_owned();
                if !matches!(&*self.forget, Forget::Classes(_)) {
                    return self.judge_samples(model, provenance, at_most);
                }
                let scores = self.scores(&model, &provenance)?;
                let verdict = CertifiedVerdict::new(id.clone(), scores, at_most);
                // What its outputs still name needs no look inside.
                if self.depth == Depth::OUTPUTS || verdict.passed != Some(true) {
                    return Ok(verdict);
                }
                self.with_inside(graph, &touched, verdict, (model, provenance))
            })
            .collect()
    }

    /// The graph that the evaluator was made with, where it has these versions; as it is now otherwise.
    fn graph_with(&self, ids: &[ModelId]) -> Result<Cow<'_, Umig>, EngineError> {
        match &self.graph {
            Some(graph) if ids.iter().all(|id| graph.get(id).is_some()) => Ok(Cow::Borrowed(graph)),
            _ => Ok(Cow::Owned(self.engine.registry().graph()?)),
        }
    }

    /// The verdict on a version that is to have forgotten single samples or a source. All that it takes is
    /// what the outputs say, whatever the depth: there is no class that a probe could look for.
    fn judge_samples(
        &self,
        model: LoadedModel,
        provenance: Model,
        at_most: f64,
    ) -> Result<CertifiedVerdict, EngineError> {
        let id = model.id().clone();
        let state = model.state(self.engine.registry())?;
        let set = self.set_of(model, provenance)?;
        let seen = self.observe(&set, &state)?;
        let scores = set.scores(&seen);
        Ok(match sample_verdict(&set, &seen, None) {
            Some(found) => CertifiedVerdict::of_samples(id, scores, found),
            None => CertifiedVerdict::new(id, scores, at_most),
        })
    }

    fn with_inside(
        &self,
        graph: &Umig,
        touched: &BTreeSet<ModelId>,
        verdict: CertifiedVerdict,
        (model, provenance): (LoadedModel, Model),
    ) -> Result<CertifiedVerdict, EngineError> {
        let state = model.state(self.engine.registry())?;
        let set = self.set_of(model, provenance)?;
        let known = self.known_before(graph, &set)?;
        let seen = self.observe(&set, &state)?;
        let found = self.verdicts(&set, &state, &seen, None, known)?;
        let root = self.untouched_root(graph, touched, &set, known)?;
        let reference = root.and_then(|root| {
            let found = root.verdicts.measured();
            Reference::new(ReferenceKind::UntouchedRoot, &[(root.id, found)])
        });
        Ok(verdict.with_inside(found.measured(), reference))
    }

    /// How well the version that was trained on the forget data named held-out samples of it. Where
    /// its weights are purged, all of them count as named: model and reference relearn to the same
    /// bound either way.
    fn known_before(&self, graph: &Umig, set: &EvaluationSet) -> Result<Option<f64>, EngineError> {
        let registry = self.engine.registry();
        let before = match LoadedModel::open(registry, graph, &set.provenance.id) {
            Err(EngineError::Registry(RegistryError::Purged(_))) => return Ok(Some(1.0)),
            other => other?,
        };
        let state = before.state(registry)?;
        let set = self.set_for(&before, set)?;
        let said = self.run(&before, &state, &set.heldout.set)?.predictions();
        Ok(set.heldout.accuracy(&said, &set.heldout.forget))
    }
}

/// The versions that are judged, and those in whose place they are.
fn touched(graph: &Umig, ids: &[ModelId]) -> Result<BTreeSet<ModelId>, EngineError> {
    let mut touched = BTreeSet::new();
    for vertex in ids.iter().filter_map(|id| graph.get(id)) {
        let trained = trained_version(graph, vertex)?;
        touched.extend([vertex.id.clone(), trained.id.clone()]);
    }
    Ok(touched)
}

/// The version that was trained on the forget data: unlearned versions no longer claim it. Where its list of
/// samples was purged with it, the first version that still has one: what was forgotten is named by the
/// request.
fn trained_version<'a>(graph: &'a Umig, vertex: &'a Model) -> Result<&'a Model, EngineError> {
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
        for training in &before.training {
            if training.samples.is_gone()? {
                return Ok(current);
            }
        }
        current = before;
    }
    Ok(current)
}
