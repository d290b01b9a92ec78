//! A few steps over the network's last stage, where an edit of its one last layer leaves the features as
//! telling as before.
//!
//! What one layer can do is bounded, and a probe is fitted anew to whatever is left. Properly trained networks
//! lose about a quarter of Fisher's criterion ([`fiun::Separation`]) where they never knew a class (docs/deep.md);
//! an edit that leaves more is refined, with the weight of the criterion in the loss chosen on samples that
//! nothing was computed from.

use disinherit_nets::{Entrances, LastStage, RefineJob, StateDict};
use disinherit_registry::RefinedStage;
use fiun::{Matrix, Separation};

use super::choose::{Chooser, Chosen, KEEP};
use super::layer::Layer;
use super::material::{Material, Part, Samples};
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::work::Work;

/// The share of the criterion that is to be left, at most.
const LEFT: f64 = 0.75;

/// The weights of the criterion that are tried, one after the other.
const WEIGHTS: [f64; 3] = [0.1, 0.2, 0.4];

/// Steps over the last stage.
const STEPS: usize = 40;

/// Forget samples without which steps would be taken on noise.
const FEWEST: usize = 64;

/// Refines the edit of one model.
pub(super) struct Refiner<'a> {
    work: &'a Work<'a>,
    model: &'a LoadedModel,
    layer: &'a dyn Layer,
    material: &'a Material,
    samples: &'a Samples,
    state: &'a StateDict,
    stage: LastStage,
}

/// What replaces the edit of one layer.
pub(super) struct Refined {
    /// The tensors of the stage and of the head.
    pub(super) changed: StateDict,
    pub(super) record: RefinedStage,
}

/// Samples in two parts, the first computed from and the second judged on, as values of some kind.
struct Both<T> {
    forget: [T; 2],
    retained: [T; 2],
}

impl<'a> Refiner<'a> {
    /// Nothing where there is nothing to refine on: too few samples, or a network of another kind.
    pub(super) fn new(
        work: &'a Work<'a>,
        model: &'a LoadedModel,
        layer: &'a dyn Layer,
        material: &'a Material,
    ) -> Result<Option<Self>, EngineError> {
        let (Some(state), Some(samples)) = (layer.state(), &material.samples) else {
            return Ok(None);
        };
        let stage = LastStage::of(&model.architecture).map_err(EngineError::net(model.id()))?;
        let enough = samples.part.fitted >= FEWEST;
        Ok(stage.filter(|_| enough).map(|stage| Self {
            work,
            model,
            layer,
            material,
            samples,
            state,
            stage,
        }))
    }

    /// The refined edit; nothing where the edit of one layer does, or no refinement is within the bounds.
    pub(super) fn refine(
        &self,
        chooser: &Chooser<'_>,
        chosen: &Chosen,
    ) -> Result<Option<Refined>, EngineError> {
        let entrances = self.entrances()?;
        let before = self.separation(&self.features(self.state, &entrances)?)?;
        let mut edited = self.state.clone();
        edited.extend(self.layer.corrected(&chosen.correction)?);
        let one = self.separation(&self.features(&edited, &entrances)?)?;
        if one <= LEFT * before {
            return Ok(None);
        }
        for weight in WEIGHTS {
            self.work.go_on()?;
            let mut changed = self.steps(&entrances, weight)?;
            let mut state = self.state.clone();
            state.extend(changed.clone());
            let features = self.features(&state, &entrances)?;
            let now = self.separation(&features)?;
            if now > LEFT * before {
                continue;
            }
            let Both { forget, retained } = &features;
            let (fitted, apart) = self.samples.part.rows.split_at(self.samples.part.fitted);
            let forget = [(&forget[0], fitted), (&forget[1], apart)];
            let head = chooser.within(forget, [&retained[0], &retained[1]])?;
            return Ok(head.map(|head| {
                let tensors = changed.keys().cloned().collect();
                changed.extend(head);
                Refined {
                    changed,
                    record: RefinedStage {
                        weight,
                        steps: STEPS,
                        separation: [before, one, now],
                        tensors,
                    },
                }
            }));
        }
        Ok(None)
    }

    fn steps(&self, entrances: &Both<Entrances>, weight: f64) -> Result<StateDict, EngineError> {
        let fitted = self.samples.part.fitted;
        let places: Vec<usize> = (0..fitted).collect();
        let retained = &self.material.retained;
        let job = RefineJob {
            state: self.state,
            forget: &entrances.forget[0],
            forget_rows: &self.samples.part.rows[..fitted],
            shares: &self.samples.shares.select_rows(&places),
            retained: &entrances.retained[0],
            retained_rows: &retained.rows[..retained.fitted],
            gone: &self.material.gone,
            keep: KEEP,
            weight: weight as f32,
            steps: STEPS,
            seed: 1,
        };
        self.stage.refine(&job).map_err(self.net())
    }

    /// What enters the stage.
    fn entrances(&self) -> Result<Both<Entrances>, EngineError> {
        let of = |part: &Part, at: usize| {
            let set = part.seen.set.select(&part.places()[at]);
            let preprocessing = &self.model.preprocessing;
            let run = self
                .stage
                .entrances(self.state, &set, preprocessing, &mut |_| {});
            run.map_err(self.net())
        };
        let both = |part: &Part| Ok::<_, EngineError>([of(part, 0)?, of(part, 1)?]);
        Ok(Both {
            forget: both(&self.samples.part)?,
            retained: both(&self.material.retained)?,
        })
    }

    fn features(
        &self,
        state: &StateDict,
        entrances: &Both<Entrances>,
    ) -> Result<Both<Matrix>, EngineError> {
        let of = |part: &Entrances| self.stage.features(state, part).map_err(self.net());
        let both = |parts: &[Entrances; 2]| Ok::<_, EngineError>([of(&parts[0])?, of(&parts[1])?]);
        Ok(Both {
            forget: both(&entrances.forget)?,
            retained: both(&entrances.retained)?,
        })
    }

    /// Fisher's criterion on the samples kept apart, along the direction of the others: the mean over the forgotten
    /// labels that both parts have samples of.
    fn separation(&self, features: &Both<Matrix>) -> Result<f64, EngineError> {
        let fitted = self.samples.part.fitted;
        let (first, second) = self.samples.part.rows.split_at(fitted);
        let (mut sum, mut count) = (0.0, 0.0);
        for gone in &self.material.gone {
            let of = |rows: &[u32]| -> Vec<usize> {
                (0..rows.len()).filter(|at| rows[*at] == *gone).collect()
            };
            let [own, apart] = [of(first), of(second)];
            if own.len().min(apart.len()) < 2 {
                continue;
            }
            let own = features.forget[0].select_rows(&own);
            let apart = features.forget[1].select_rows(&apart);
            let [kept, judged] = &features.retained;
            let wrap = || EngineError::fisher(self.model.id(), self.layer.weight());
            let fitted = Separation::fit(own.view(), kept.view()).map_err(wrap())?;
            sum += fitted
                .of(apart.view(), judged.view())
                .map_err(wrap())?
                .value;
            count += 1.0;
        }
        Ok(sum / f64::max(count, 1.0))
    }

    fn net(&self) -> impl FnOnce(disinherit_nets::NetError) -> EngineError {
        EngineError::net(self.model.id())
    }
}
