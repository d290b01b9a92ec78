//! The one evaluator: what models say about samples, and the verdicts on it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use disinherit_data::{DataSet, Samples, Splits, is_for_aiming};
use disinherit_nets::{Capture, StateDict, initial_state};
use fiun::Matrix;
use umig::{Forget, Model, ModelId, Umig};

use super::beside_unseen::sample_verdict;
use super::evaluation_set::{EvalSplit, EvaluationSet, Observation, predictions};
use super::inner_layer::inner_layer;
use super::membership::membership;
use super::probe::probes;
use super::relearn::relearn;
use super::scores::{Accuracy, Scores};
use super::verdicts::{Depth, Verdicts};
use crate::engine::Engine;
use crate::error::{EngineError, Hint};
use crate::features::Features;
use crate::model::LoadedModel;
use crate::provenance::{forget_mask, forgotten_ids, own_data};
use crate::runner::run_weights;

/// Evaluates models on an engine's data, for one thing that is forgotten. Every report, certificate
/// and study gets its figures from here.
pub struct Evaluator<'a> {
    pub(super) engine: &'a Engine<'a>,
    splits: &'a Splits,
    pub(super) forget: Cow<'a, Forget>,
    pub(super) depth: Depth,
    features: Features<'a>,
    /// Of single samples and sources: the training samples that some model learnt and that are forgotten.
    /// A model that inherited from it is judged on them too.
    forgotten: BTreeSet<String>,
    /// The graph, where it was read for those.
    pub(super) graph: Option<Arc<Umig>>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator on the engine's data, for a request as it was made or as the log keeps it.
    ///
    /// # Errors
    /// [`EngineError::NeedsData`] when the engine has none; what the registry says.
    pub fn new(
        engine: &'a Engine<'a>,
        forget: &'a Forget,
        depth: Depth,
    ) -> Result<Self, EngineError> {
        let splits = engine.data().ok_or_else(|| EngineError::NeedsData {
            why: "models are evaluated on data, and none was given".into(),
            hint: Some(Hint::GiveData),
        })?;
        let ids = splits.train.ids().iter().chain(splits.heldout.ids());
        let forget = engine.registry().named(forget, ids.map(String::as_str))?;
        let graph = match &*forget {
            Forget::Classes(_) => None,
            _ => Some(Arc::new(engine.registry().graph()?)),
        };
        let forgotten = match &graph {
            None => BTreeSet::new(),
            Some(graph) => forgotten_ids(&forget, &splits.train, graph.models())?,
        };
        Ok(Self {
            features: engine.features(Some(&forget)),
            engine,
            splits,
            forget,
            depth,
            forgotten,
            graph,
        })
    }

    /// The same evaluator with other verdicts.
    #[must_use]
    pub fn with_depth(&self, depth: Depth) -> Self {
        Self {
            features: self.engine.features(Some(&self.forget)),
            forget: self.forget.clone(),
            depth,
            forgotten: self.forgotten.clone(),
            graph: self.graph.clone(),
            ..*self
        }
    }

    /// The scores of a version of the registry. `provenance` says what it was trained on itself: the
    /// version before unlearning, for one after it.
    ///
    /// # Errors
    /// [`EngineError`] when the model cannot be read or run.
    pub fn scores(&self, model: &LoadedModel, provenance: &Model) -> Result<Scores, EngineError> {
        let (own, mask) = self.own(provenance)?;
        let own = EvalSplit::new(model, &own, &mask);
        let heldout = self.heldout();
        let heldout = EvalSplit::new(model, &heldout, &self.heldout_mask(&heldout)?);
        let [own_said, heldout_said] = [&own, &heldout].map(|split| -> Result<_, EngineError> {
            if split.set.is_empty() {
                return Ok(Vec::new());
            }
            let progress = self.engine.progress();
            let features = self.features.of(model, &split.set, progress)?;
            Ok(predictions(&self.features.logits(model, &features)?))
        });
        let (own_said, heldout_said) = (own_said?, heldout_said?);
        let of = |own_picked: &[usize], heldout_picked: &[usize]| Accuracy {
            train: own.accuracy(&own_said, own_picked),
            heldout: heldout.accuracy(&heldout_said, heldout_picked),
        };
        Ok(Scores {
            forget: of(&own.forget, &heldout.forget),
            retain: of(&own.retain, &heldout.retain),
        })
    }

    /// The training samples that a model is judged on, and which of them are to be forgotten.
    fn own(&self, provenance: &Model) -> Result<(DataSet, Vec<bool>), EngineError> {
        let train = &self.splits.train;
        let own = own_data(provenance, train)?;
        if self.forgotten.is_empty() {
            let mask = forget_mask(&self.forget, &own, &provenance.training)?;
            return Ok((own, mask));
        }
        let known: BTreeSet<&String> = own.ids().iter().collect();
        let own =
            train.filter(|_, id| self.forgotten.contains(id) || known.contains(&id.to_owned()));
        let mask = own
            .ids()
            .iter()
            .map(|id| self.forgotten.contains(id))
            .collect();
        Ok((own, mask))
    }

    /// The held-out samples that verdicts are taken on. Of single samples and sources, a method may have
    /// aimed by unseen samples: those are left out, whatever the method.
    fn heldout(&self) -> Cow<'_, DataSet> {
        let heldout = &self.splits.heldout;
        match &*self.forget {
            Forget::Classes(_) => Cow::Borrowed(heldout),
            _ => Cow::Owned(heldout.filter(|_, id| !is_for_aiming(id))),
        }
    }

    /// The held-out samples that the request wants forgotten: of a source or a list there are none,
    /// since those are samples that somebody trained on.
    fn heldout_mask(&self, heldout: &DataSet) -> Result<Vec<bool>, EngineError> {
        match &*self.forget {
            Forget::Classes(_) => forget_mask(&self.forget, heldout, []),
            _ => Ok(vec![false; heldout.len()]),
        }
    }

    /// The evaluation set of a model, by the provenance of the version that was trained on the forget
    /// data.
    ///
    /// # Errors
    /// [`EngineError`] when the model cannot be read or run.
    pub fn evaluation_set(&self, graph: &Umig, id: &ModelId) -> Result<EvaluationSet, EngineError> {
        let model = LoadedModel::open(self.engine.registry(), graph, id)?;
        let provenance = model.learned().clone();
        self.set_of(model, provenance)
    }

    /// The evaluation set of a model whose own samples are those of another version.
    pub(super) fn set_of(
        &self,
        model: LoadedModel,
        provenance: Model,
    ) -> Result<EvaluationSet, EngineError> {
        let [own, heldout] = self.splits_of(&model, &model, &provenance)?;
        let mut set = EvaluationSet {
            own,
            heldout,
            provenance,
            fresh: Matrix::new(0, 0, Vec::new())
                .map_err(|error| EngineError::Internal(error.to_string()))?,
            model,
        };
        if self.depth.attacks {
            set.fresh = self.fresh_logits(&set)?;
        }
        Ok(set)
    }

    /// The same samples as another model reads them and has rows for them.
    pub(super) fn set_for(
        &self,
        other: &LoadedModel,
        set: &EvaluationSet,
    ) -> Result<EvaluationSet, EngineError> {
        let [own, heldout] = self.splits_of(other, &set.model, &set.provenance)?;
        Ok(EvaluationSet {
            own,
            heldout,
            provenance: set.provenance.clone(),
            fresh: set.fresh.clone(),
            model: other.clone(),
        })
    }

    /// The samples that `model` is judged on, its own and held-out ones, for `reader`.
    fn splits_of(
        &self,
        reader: &LoadedModel,
        model: &LoadedModel,
        provenance: &Model,
    ) -> Result<[EvalSplit; 2], EngineError> {
        let (own, mask) = self.own(provenance)?;
        let own = self.as_seen(reader, &own)?;
        let heldout = self.heldout();
        let heldout = self.as_seen(reader, &heldout)?;
        let heldout_mask = self.heldout_mask(&heldout)?;
        Ok([
            EvalSplit::with_rows_of(reader, model, &own, &mask),
            EvalSplit::with_rows_of(reader, model, &heldout, &heldout_mask),
        ])
    }

    /// What a network with fresh weights says about the forget data.
    fn fresh_logits(&self, set: &EvaluationSet) -> Result<Matrix, EngineError> {
        let model = &set.model;
        let mut fresh =
            initial_state(&model.architecture, 0).map_err(EngineError::net(model.id()))?;
        if self.engine.runner().is_some() {
            // Of an external network only the head can be drawn afresh.
            let known = model.state(self.engine.registry())?;
            fresh = known.into_iter().chain(fresh).collect();
        }
        let split = set.judged();
        Ok(self
            .run(model, &fresh, &split.set.select(&split.forget))?
            .logits)
    }

    /// Samples that are here as a model's versions see them: where only a model's head is known,
    /// all by the same features.
    fn as_seen<'s>(
        &self,
        model: &LoadedModel,
        set: &'s DataSet,
    ) -> Result<Cow<'s, DataSet>, EngineError> {
        if *set.samples() == Samples::External {
            return Ok(Cow::Borrowed(set));
        }
        self.features.as_seen(model, set, self.engine.progress())
    }

    /// What some weights say about an evaluation set.
    ///
    /// # Errors
    /// [`EngineError`] when the network cannot be run.
    pub fn observe(
        &self,
        set: &EvaluationSet,
        state: &StateDict,
    ) -> Result<Observation, EngineError> {
        Ok(Observation {
            own: self.run(&set.model, state, &set.own.set)?,
            heldout: self.run(&set.model, state, &set.heldout.set)?,
        })
    }

    pub(super) fn run(
        &self,
        model: &LoadedModel,
        state: &StateDict,
        set: &DataSet,
    ) -> Result<Capture, EngineError> {
        let title = format!("evaluating {}", model.id());
        let stage = self.engine.progress().stage(&title, set.len() as u64);
        let (runner, compute) = (self.engine.runner(), self.engine.compute());
        run_weights(runner, compute, model, state, set, stage.as_ref())
    }

    /// The verdicts on a model before unlearning: what its held-out samples say now is what was known.
    ///
    /// # Errors
    /// As [`Evaluator::verdicts`].
    pub fn verdicts_before(
        &self,
        set: &EvaluationSet,
        state: &StateDict,
        seen: &Observation,
    ) -> Result<Verdicts, EngineError> {
        let known = set.scores(seen).forget.heldout;
        self.verdicts(set, state, seen, None, known)
    }

    /// The verdicts on some weights; `reference` is what the retrained model says, and `before` how
    /// well held-out samples of the forgotten classes were known.
    ///
    /// # Errors
    /// [`EngineError`] when the network cannot be run or trained.
    pub fn verdicts(
        &self,
        set: &EvaluationSet,
        state: &StateDict,
        seen: &Observation,
        reference: Option<&Observation>,
        before: Option<f64>,
    ) -> Result<Verdicts, EngineError> {
        let mut verdicts = Verdicts {
            scores: set.scores(seen),
            drift: set.drift(seen),
            ..Verdicts::default()
        };
        if self.depth.attacks {
            verdicts.membership = membership(set, seen, reference);
            verdicts.samples = sample_verdict(set, seen, reference);
            verdicts.distance = reference.and_then(|reference| set.distance(seen, reference));
            verdicts.zero_retrain_forgetting = set.zero_retrain_forgetting(seen);
            let inner = inner_layer(self.engine, set, state)?;
            verdicts.probes = probes(set, seen, inner.as_ref());
            verdicts.probe = verdicts.probes.as_ref().map(|p| p.penultimate.mean);
        }
        if self.depth.relearning {
            verdicts.relearning = relearn(self.engine, set, state, seen, before)?;
        }
        Ok(verdicts)
    }
}
