//! The samples that a model is judged on, and what it says about them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use disinherit_data::{DataSet, Samples, Splits};
use disinherit_nets::{Capture, Compute, StateDict, initial_state};
use disinherit_registry::Registry;
use umig::{Forget, ModelId, Umig};

use super::distance::{self, Distance};
use super::membership::membership;
use super::probe::probe;
use super::relearn::relearn;
use super::{Depth, Verdicts};
use crate::evaluate::Accuracy;
use crate::runner::run_weights;
use crate::{EngineError, Features, LoadedModel, Progress, Runner, Scores, forget_mask, own_data};

/// Samples of labels that a model has an output for.
pub(crate) struct Part {
    pub(crate) set: DataSet,
    /// The head row of each sample.
    pub(crate) rows: Vec<Option<u32>>,
    /// Those to be forgotten.
    pub(crate) forget: Vec<usize>,
    /// The others.
    pub(crate) retain: Vec<usize>,
}

impl Part {
    fn new(model: &LoadedModel, set: &DataSet, mask: &[bool]) -> Self {
        let labels = &model.manifest.labels;
        let names = set.label_names();
        let row_of: Vec<Option<u32>> = names
            .iter()
            .map(|name| labels.iter().position(|l| l == name).map(|row| row as u32))
            .collect();
        let known: Vec<usize> = (0..set.len())
            .filter(|&at| row_of[set.labels()[at] as usize].is_some())
            .collect();
        let set_known = set.select(&known);
        let places = |wanted: bool| {
            (0..known.len())
                .filter(|&at| mask[known[at]] == wanted)
                .collect()
        };
        Self {
            rows: set_known
                .labels()
                .iter()
                .map(|label| row_of[*label as usize])
                .collect(),
            forget: places(true),
            retain: places(false),
            set: set_known,
        }
    }

    fn accuracy(&self, captured: &Capture, picked: &[usize]) -> Option<f64> {
        let said = captured.predictions();
        let right = picked.iter().filter(|&&at| Some(said[at]) == self.rows[at]);
        (!picked.is_empty()).then(|| right.count() as f64 / picked.len() as f64)
    }
}

/// One model's samples.
pub(crate) struct Exam {
    pub(crate) model: LoadedModel,
    /// Its own training data.
    pub(crate) own: Part,
    /// Held-out data.
    pub(crate) heldout: Part,
    /// What a fresh network says about the forget data, own or held out.
    fresh: fiun::Matrix,
}

/// What one version of a model says about its exam.
pub(crate) struct Observation {
    pub(crate) own: Capture,
    pub(crate) heldout: Capture,
}

impl Observation {
    /// Keeps the logits only.
    pub(crate) fn forget_features(&mut self) -> Result<(), EngineError> {
        for captured in [&mut self.own, &mut self.heldout] {
            captured.features = fiun::Matrix::new(0, 0, Vec::new())
                .map_err(|e| EngineError::Refused(e.to_string()))?;
        }
        Ok(())
    }
}

/// Sets exams and judges what comes back.
pub(crate) struct Examiner<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) splits: &'a Splits,
    pub(crate) forget: &'a Forget,
    pub(crate) compute: Compute,
    pub(crate) runner: Option<&'a dyn Runner>,
    pub(crate) depth: Depth,
    pub(crate) progress: &'a dyn Progress,
}

impl Examiner<'_> {
    /// The exam of a model, by the provenance of the version that was trained on the forget data.
    pub(crate) fn exam(&self, graph: &Umig, id: &ModelId) -> Result<Exam, EngineError> {
        let model = LoadedModel::open(self.registry, graph, id)?;
        let own = own_data(&model.vertex, &self.splits.train);
        let own = self.as_seen(&model, &own)?;
        let mask = forget_mask(self.forget, &own, &model.vertex.training);
        let heldout = self.as_seen(&model, &self.splits.heldout)?;
        let heldout = &*heldout;
        let heldout_mask = match self.forget {
            Forget::Classes(_) => forget_mask(self.forget, heldout, []),
            // Nobody else's samples are the forget data of a source or a list.
            _ => vec![false; heldout.len()],
        };
        let mut exam = Exam {
            own: Part::new(&model, &own, &mask),
            heldout: Part::new(&model, heldout, &heldout_mask),
            fresh: fiun::Matrix::new(0, 0, Vec::new())
                .map_err(|e| EngineError::Refused(e.to_string()))?,
            model,
        };
        if self.depth.attacks {
            let net = || EngineError::net(exam.model.id());
            let mut fresh = initial_state(&exam.model.architecture, 0).map_err(net())?;
            if self.runner.is_some() {
                // Of a network that runs elsewhere only the head can be drawn afresh.
                let known = exam.model.state(self.registry)?;
                fresh = known.into_iter().chain(fresh).collect();
            }
            let part = exam.judged();
            let set = part.set.select(&part.forget);
            exam.fresh = self.run(&exam.model, &fresh, &set)?.logits;
        }
        Ok(exam)
    }

    /// Samples that are here as a model's versions see them: of a model of which only the head is
    /// known, all by the same features.
    fn as_seen<'s>(
        &self,
        model: &LoadedModel,
        set: &'s DataSet,
    ) -> Result<Cow<'s, DataSet>, EngineError> {
        if *set.samples() == Samples::External {
            return Ok(Cow::Borrowed(set));
        }
        Features::new(self.registry, self.compute, 0).as_seen(model, set, self.progress)
    }

    /// What some weights say.
    pub(crate) fn observe(
        &self,
        exam: &Exam,
        state: &StateDict,
    ) -> Result<Observation, EngineError> {
        Ok(Observation {
            own: self.run(&exam.model, state, &exam.own.set)?,
            heldout: self.run(&exam.model, state, &exam.heldout.set)?,
        })
    }

    fn run(
        &self,
        model: &LoadedModel,
        state: &StateDict,
        set: &DataSet,
    ) -> Result<Capture, EngineError> {
        let title = format!("evaluating {}", model.id());
        let stage = self.progress.stage(&title, set.len() as u64);
        run_weights(self.runner, self.compute, model, state, set, stage.as_ref())
    }

    /// The verdicts on some weights; `reference` is what the retrained model says, and `before` how
    /// well held-out samples of the forgotten classes were known.
    pub(crate) fn verdicts(
        &self,
        exam: &Exam,
        state: &StateDict,
        seen: &Observation,
        reference: Option<&Observation>,
        before: Option<f64>,
    ) -> Result<Verdicts, EngineError> {
        let mut verdicts = Verdicts {
            scores: exam.scores(seen),
            drift: exam.drift(seen),
            ..Verdicts::default()
        };
        if self.depth.attacks {
            verdicts.membership = membership(exam, seen, reference);
            verdicts.distance = reference.and_then(|reference| exam.distance(seen, reference));
            verdicts.zero_retrain_forgetting = exam.zero_retrain_forgetting(seen);
            verdicts.probe = probe(exam, seen);
        }
        if self.depth.relearning {
            verdicts.relearning = relearn(self, exam, state, before)?;
        }
        Ok(verdicts)
    }
}

impl Exam {
    /// The part whose forget data outputs are compared on: the own one where there is some.
    fn judged(&self) -> &Part {
        if self.own.forget.is_empty() {
            &self.heldout
        } else {
            &self.own
        }
    }

    fn judged_logits<'a>(&self, seen: &'a Observation) -> &'a fiun::Matrix {
        if self.own.forget.is_empty() {
            &seen.heldout.logits
        } else {
            &seen.own.logits
        }
    }

    pub(crate) fn scores(&self, seen: &Observation) -> Scores {
        let (own, heldout) = (&self.own, &self.heldout);
        Scores {
            forget: Accuracy {
                train: own.accuracy(&seen.own, &own.forget),
                heldout: heldout.accuracy(&seen.heldout, &heldout.forget),
            },
            retain: Accuracy {
                train: own.accuracy(&seen.own, &own.retain),
                heldout: heldout.accuracy(&seen.heldout, &heldout.retain),
            },
        }
    }

    fn drift(&self, seen: &Observation) -> BTreeMap<String, f64> {
        let said = seen.heldout.predictions();
        let forget = &self.heldout.forget;
        let mut shares = BTreeMap::new();
        for &at in forget {
            if let Some(label) = self.model.manifest.labels.get(said[at] as usize) {
                *shares.entry(label.clone()).or_default() += 1.0 / forget.len() as f64;
            }
        }
        shares
    }

    fn distance(&self, seen: &Observation, reference: &Observation) -> Option<Distance> {
        let forget = &self.judged().forget;
        let (forget_divergence, forget_activation) = distance::between(
            (self.judged_logits(seen), forget),
            (self.judged_logits(reference), forget),
        )?;
        let retain = &self.heldout.retain;
        let (retain_divergence, retain_activation) = distance::between(
            (&seen.heldout.logits, retain),
            (&reference.heldout.logits, retain),
        )?;
        Some(Distance {
            forget_divergence,
            forget_activation,
            retain_divergence,
            retain_activation,
        })
    }

    fn zero_retrain_forgetting(&self, seen: &Observation) -> Option<f64> {
        let forget = &self.judged().forget;
        let all: Vec<usize> = (0..self.fresh.rows()).collect();
        let (divergence, _) =
            distance::between((self.judged_logits(seen), forget), (&self.fresh, &all))?;
        Some(1.0 - divergence)
    }
}
