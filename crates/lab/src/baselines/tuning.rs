//! What the methods that train on one model at a time share: objectives as phases of training.

use std::collections::BTreeMap;

use disinherit::EngineError;
use disinherit::progress::Progress;
use disinherit_nets::{
    Compute, Phase, Source, StateDict, Term, TrainingConfig, TrainingEvent, TuningJob,
    initial_state, tune,
};
use fiun::Matrix;

use super::kind::MethodKind;
use super::sets::Sets;
use super::settings::Settings;

/// A method at work on one model.
pub(super) struct Tuning<'a> {
    pub(super) method: MethodKind,
    pub(super) settings: &'a Settings,
    pub(super) compute: Compute,
    pub(super) sets: &'a Sets,
    pub(super) progress: &'a dyn Progress,
}

impl Tuning<'_> {
    /// Cross-entropy on the retained data.
    pub(super) fn retained(&self, weight: f64, epochs: usize) -> Phase<'_> {
        let sets = self.sets;
        Phase {
            terms: vec![Term::labels(&sets.retain, &sets.retain_rows, weight)],
            epochs,
        }
    }

    pub(super) fn train(&self, phases: &[Phase<'_>]) -> Result<StateDict, EngineError> {
        let config = self.settings.training();
        self.train_from(&self.sets.state, &config, phases, &BTreeMap::new())
    }

    pub(super) fn train_from(
        &self,
        state: &StateDict,
        config: &TrainingConfig,
        phases: &[Phase<'_>],
        masks: &BTreeMap<String, Vec<f32>>,
    ) -> Result<StateDict, EngineError> {
        let model = &self.sets.model;
        let job = TuningJob {
            architecture: &model.architecture,
            state,
            preprocessing: &model.preprocessing,
            config,
            frozen: &|_| false,
            masks,
            compute: self.compute,
            seed: self.settings.seed,
        };
        let size = |phase: &Phase<'_>| {
            let first = phase.terms.first().map_or(0, |term| match term.source {
                Source::Set(set) => set.len(),
                Source::Noise(noise) => noise.rows.len(),
            });
            phase.epochs * first
        };
        let total: usize = phases.iter().map(size).sum();
        let title = format!("{} {}", self.method, model.id());
        let stage = self.progress.stage(&title, total as u64);
        let trained = tune(&job, phases, &mut |event| match event {
            TrainingEvent::Samples(count) => stage.advance(count as u64),
            TrainingEvent::Epoch(report) => stage.note(&format!("loss {:.3}", report.loss)),
        });
        Ok(trained.map_err(EngineError::net(model.id()))?.state)
    }

    pub(super) fn logits(
        &self,
        state: &StateDict,
        set: &disinherit_data::DataSet,
    ) -> Result<Matrix, EngineError> {
        self.sets.logits(state, set, self.compute, self.progress)
    }

    pub(super) fn fresh(&self) -> Result<StateDict, EngineError> {
        let model = &self.sets.model;
        initial_state(&model.architecture, self.settings.seed).map_err(EngineError::net(model.id()))
    }
}
