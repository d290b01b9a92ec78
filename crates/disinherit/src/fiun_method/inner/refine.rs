//! A few steps over the network's last stage, where an edit of its one last layer leaves the features as
//! telling as before.
//!
//! What one layer can do is bounded, and a probe is fitted anew to whatever is left. A properly trained network
//! that never knew a class had about six tenths of Fisher's criterion ([`fiun::Separation`]; docs/deep.md);
//! an edit that leaves much more is refined. The same holds one layer further down, of what enters the penultimate
//! layer. The weight of each criterion in the loss is searched for until about as much
//! is left as that: less would be a trace of its own. It is measured on samples that the model did not learn
//! where the data has such, since a model that knows its own by heart tells them apart in any case.

use std::collections::BTreeSet;

use disinherit_data::DataSet;
use disinherit_nets::{
    Entrances, LastStage, LastViews, RefineJob, RefineSettings, Refinement, StateDict,
};
use disinherit_registry::{RefinedInner, RefinedStage};
use fiun::{Matrix, Separation};

use super::choose::{Chooser, Chosen, KEEP};
use super::layer::Layer;
use super::material::{Material, Part, Samples};
use super::weight::{ENOUGH, WeightSearch, distance, far};
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::provenance::own_data;
use crate::refusal::Refusal;
use crate::work::Work;

/// Weights that are tried.
const TRIALS: usize = 5;

/// Samples of each kind that the model did not learn, at least and at most, on which the criterion is measured.
const UNSEEN: [usize; 2] = [50, 500];

/// Steps over the last stage with the first weight, and with each further one, from where the steps before led.
const STEPS: [usize; 2] = [40, 16];

/// Steps of all trials.
pub(in crate::fiun_method) const MOST_STEPS: usize = STEPS[0] + (TRIALS - 1) * STEPS[1];

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
    /// Of the samples that the edit is computed from.
    shares: Matrix,
}

/// What replaces the edit of one layer.
pub(super) struct Refined {
    /// The tensors of the stage and of the head.
    pub(super) changed: StateDict,
    pub(super) record: RefinedStage,
}

/// What was tried so far.
struct Trials {
    /// For the weights of both criteria.
    search: [WeightSearch; 2],
    /// Where the last steps led.
    led: Option<StateDict>,
    /// Of those that are within the bounds.
    nearest: Option<Nearest>,
    /// Why the last one that would have been taken is not.
    refused: Option<String>,
    /// Steps.
    taken: usize,
}

/// The trial that left nearest to what is wanted.
struct Nearest {
    /// By how much.
    away: f64,
    refined: Refined,
}

/// Samples in two parts, the first computed from and the second judged on, as values of some kind.
struct Both<T> {
    forget: [T; 2],
    retained: [T; 2],
}

/// What enters the stage of samples that the model did not learn.
struct Unseen {
    /// The head rows of the forgotten ones.
    rows: Vec<u32>,
    forget: Entrances,
    retained: Entrances,
}

/// Fisher's criterion of the features, and of what enters the penultimate layer where the stage changes that.
#[derive(Clone, Copy)]
struct Criteria {
    features: f64,
    inner: Option<f64>,
}

/// What enters the stage of the samples that the edit is made from, and of those that it is judged on where there
/// are such.
struct Views {
    entrances: Both<Entrances>,
    unseen: Option<Unseen>,
}

impl Criteria {
    /// The shares that are left of what there was.
    fn shares(self, before: Self) -> (f64, Option<f64>) {
        let inner = self.inner.zip(before.inner);
        (
            self.features / before.features,
            inner.map(|(now, before)| now / before),
        )
    }
}

impl Both<LastViews> {
    fn features(self) -> Both<Matrix> {
        Both {
            forget: self.forget.map(|views| views.features),
            retained: self.retained.map(|views| views.features),
        }
    }
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
        let stage = LastStage::for_architecture(&model.architecture)
            .map_err(EngineError::net(model.id()))?;
        let enough = samples.part.fitted >= FEWEST;
        let fitted: Vec<usize> = (0..samples.part.fitted).collect();
        Ok(stage.filter(|_| enough).map(|stage| Self {
            shares: samples.shares.select_rows(&fitted),
            work,
            model,
            layer,
            material,
            samples,
            state,
            stage,
        }))
    }

    /// The refined edit; nothing where the edit of one layer does.
    ///
    /// # Errors
    /// [`Refusal::Reason`] where no refinement is within the bounds.
    pub(super) fn refine(
        &self,
        chooser: &Chooser<'_>,
        chosen: &Chosen,
    ) -> Result<Option<Refined>, Refusal> {
        let views = Views {
            entrances: self.entrances()?,
            unseen: self.unseen()?,
        };
        let (_, before) = self.look(&views, StateDict::new())?;
        let (_, one) = self.look(&views, self.layer.corrected(&chosen.correction)?)?;
        if one.features <= ENOUGH * before.features {
            return Ok(None);
        }
        let refinement = self.refinement(&views.entrances)?;
        let mut trials = Trials {
            search: [WeightSearch::new(), WeightSearch::new()],
            led: None,
            nearest: None,
            refused: None,
            taken: 0,
        };
        for _ in 0..TRIALS {
            self.work.go_on()?;
            if self.trial(chooser, &refinement, &views, [before, one], &mut trials)? {
                break;
            }
        }
        match (trials.nearest, trials.refused) {
            (Some(near), _) => Ok(Some(near.refined)),
            (None, Some(why)) => Err(Refusal::Reason(why)),
            (None, None) => Err(Refusal::Reason(format!(
                "none of {TRIALS} trials left as much of what tells the class as a model has that never knew it"
            ))),
        }
    }

    /// Takes steps with the weights that the search points to; says whether so much is left as is wanted, within the
    /// bounds. What is outside of them may come back by more steps. `was`: what there was before, and after the edit
    /// of one layer.
    fn trial(
        &self,
        chooser: &Chooser<'_>,
        refinement: &Refinement<'_>,
        views: &Views,
        was: [Criteria; 2],
        trials: &mut Trials,
    ) -> Result<bool, EngineError> {
        let weights = trials.search.each_ref().map(WeightSearch::weight);
        let settings = RefineSettings {
            weights: weights.map(|weight| weight as f32),
            steps: STEPS[usize::from(trials.led.is_some())],
            from: trials.led.as_ref(),
        };
        let changed = self.steps(refinement, settings)?;
        trials.taken += settings.steps;
        let (features, now) = self.look(views, changed.clone())?;
        let [before, one] = was;
        let (share, inner) = now.shares(before);
        tracing::debug!(?weights, share, inner, "steps over the last stage");
        let [of_features, of_inner] = &mut trials.search;
        let found = of_features.told(share) & inner.is_none_or(|share| of_inner.told(share));
        // What is left of the features decides whether a trial is of use; one layer down it need not be met.
        let away = distance(share).map(|away| away + inner.map_or(0.0, far));
        let is_nearest = |away: &f64| trials.nearest.as_ref().is_none_or(|near| *away < near.away);
        let mut taken = false;
        if let Some(away) = away.filter(|away| found || is_nearest(away)) {
            let inner = now.inner.zip(before.inner);
            let record = RefinedStage {
                weight: weights[0],
                steps: trials.taken,
                separation: [before, one, now].map(|found| found.features),
                inner: inner.map(|(now, before)| RefinedInner {
                    weight: weights[1],
                    separation: [before, now],
                }),
                tensors: changed.keys().cloned().collect(),
            };
            match self.accepted(chooser, changed.clone(), &features, record) {
                Ok(refined) => {
                    trials.nearest = Some(Nearest { away, refined });
                    taken = found;
                }
                Err(Refusal::Reason(why)) => {
                    tracing::debug!(why, "steps over the last stage that are not taken");
                    trials.refused = Some(why);
                }
                Err(Refusal::Error(error)) => return Err(error),
            }
        }
        trials.led = Some(changed);
        Ok(taken)
    }

    /// The features of the samples that the edit is made from once some tensors have changed, and how far they still
    /// tell the forgotten labels from the rest.
    fn look(
        &self,
        views: &Views,
        changed: StateDict,
    ) -> Result<(Both<Matrix>, Criteria), EngineError> {
        let mut state = self.state.clone();
        state.extend(changed);
        let of = |part: &Entrances| self.stage.views(&state, part).map_err(self.net());
        let both = |parts: &[Entrances; 2]| Ok::<_, EngineError>([of(&parts[0])?, of(&parts[1])?]);
        let seen = Both {
            forget: both(&views.entrances.forget)?,
            retained: both(&views.entrances.retained)?,
        };
        let criteria = match &views.unseen {
            Some(unseen) => {
                let judged = [of(&unseen.forget)?, of(&unseen.retained)?];
                self.criteria(&seen, [&judged[0], &judged[1]], &unseen.rows)
            }
            None => {
                let apart = &self.samples.part.rows[self.samples.part.fitted..];
                self.criteria(&seen, [&seen.forget[1], &seen.retained[1]], apart)
            }
        }?;
        Ok((seen.features(), criteria))
    }

    /// Both criteria of forgotten (with their head rows) and of retained samples.
    fn criteria(
        &self,
        seen: &Both<LastViews>,
        [forget, retained]: [&LastViews; 2],
        rows: &[u32],
    ) -> Result<Criteria, EngineError> {
        let fitted = [&seen.forget[0], &seen.retained[0]];
        let features = self.separation(
            fitted.map(|views| &views.features),
            [&forget.features, &retained.features],
            rows,
        )?;
        let inner = match (
            fitted.map(|views| views.inner.as_ref()),
            &forget.inner,
            &retained.inner,
        ) {
            ([Some(own), Some(others)], Some(forget), Some(retained)) => {
                Some(self.separation([own, others], [forget, retained], rows)?)
            }
            _ => None,
        };
        Ok(Criteria { features, inner })
    }

    /// The edit with the head that goes with it, where that is within the bounds.
    fn accepted(
        &self,
        chooser: &Chooser<'_>,
        mut changed: StateDict,
        features: &Both<Matrix>,
        record: RefinedStage,
    ) -> Result<Refined, Refusal> {
        let Both { forget, retained } = features;
        let (fitted, apart) = self.samples.part.rows.split_at(self.samples.part.fitted);
        let forget = [(&forget[0], fitted), (&forget[1], apart)];
        changed.extend(chooser.within(forget, [&retained[0], &retained[1]])?);
        Ok(Refined { changed, record })
    }

    /// Samples that neither the model nor what it inherits from was trained on; nothing where there are few.
    fn unseen(&self) -> Result<Option<Unseen>, EngineError> {
        let (graph, train) = (self.work.graph(), &self.work.splits()?.train);
        let mut line = graph.ancestors(self.model.id())?;
        line.insert(self.model.id().clone());
        let mut seen = BTreeSet::new();
        for vertex in line.iter().filter_map(|id| graph.get(id)) {
            seen.extend(own_data(vertex, train)?.ids().iter().cloned());
        }
        let unseen = self.model.known(&train.filter(|_, id| !seen.contains(id)));
        let rows = self.model.rows(&unseen)?;
        let of = |gone: bool| {
            let picked =
                (0..rows.len()).filter(|at| self.material.gone.contains(&rows[*at]) == gone);
            let set = unseen.select(&picked.collect::<Vec<usize>>());
            set.sample(UNSEEN[1], 0)
        };
        let (forget, retained) = (of(true), of(false));
        if forget.len().min(retained.len()) < UNSEEN[0] {
            return Ok(None);
        }
        Ok(Some(Unseen {
            rows: self.model.rows(&forget)?,
            forget: self.entrance(&forget)?,
            retained: self.entrance(&retained)?,
        }))
    }

    fn refinement<'b>(
        &'b self,
        entrances: &'b Both<Entrances>,
    ) -> Result<Refinement<'b>, EngineError> {
        let retained = &self.material.retained;
        let job = RefineJob {
            state: self.state,
            forget: &entrances.forget[0],
            forget_rows: &self.samples.part.rows[..self.samples.part.fitted],
            shares: &self.shares,
            retained: &entrances.retained[0],
            retained_rows: &retained.rows[..retained.fitted],
            gone: &self.material.gone,
            keep: KEEP,
            seed: 1,
        };
        self.stage.refinement(job).map_err(self.net())
    }

    fn steps(
        &self,
        refinement: &Refinement<'_>,
        settings: RefineSettings<'_>,
    ) -> Result<StateDict, EngineError> {
        let title = format!("last stage of {}", self.model.id());
        let stage = self.work.progress().stage(&title, settings.steps as u64);
        let refined = refinement.run(settings, &mut || stage.advance(1));
        refined.map_err(self.net())
    }

    /// What enters the stage.
    fn entrances(&self) -> Result<Both<Entrances>, EngineError> {
        let of = |part: &Part, at: usize| self.entrance(&part.seen.set.select(&part.places()[at]));
        let both = |part: &Part| Ok::<_, EngineError>([of(part, 0)?, of(part, 1)?]);
        Ok(Both {
            forget: both(&self.samples.part)?,
            retained: both(&self.material.retained)?,
        })
    }

    fn entrance(&self, set: &DataSet) -> Result<Entrances, EngineError> {
        let preprocessing = &self.model.preprocessing;
        let run = self
            .stage
            .entrances(self.state, set, preprocessing, &mut |_| {});
        run.map_err(self.net())
    }

    /// Fisher's criterion of some vectors of forgotten (with their head rows) and of retained samples, along the
    /// direction of those that the edit is computed from (`own`): the mean over the forgotten labels that both have
    /// samples of.
    fn separation(
        &self,
        [own, others]: [&Matrix; 2],
        [forget, retained]: [&Matrix; 2],
        rows: &[u32],
    ) -> Result<f64, EngineError> {
        let fitted = &self.samples.part.rows[..self.samples.part.fitted];
        let (mut sum, mut count) = (0.0, 0.0);
        for gone in &self.material.gone {
            let of = |rows: &[u32]| -> Vec<usize> {
                (0..rows.len()).filter(|at| rows[*at] == *gone).collect()
            };
            let [fitted, judged] = [of(fitted), of(rows)];
            if fitted.len().min(judged.len()) < 2 {
                continue;
            }
            let own = own.select_rows(&fitted);
            let judged = forget.select_rows(&judged);
            let wrap = || EngineError::fisher(self.model.id(), self.layer.weight());
            let fitted = Separation::fit(own.view(), others.view());
            let fitted = fitted.map_err(wrap())?;
            sum += fitted
                .criterion(judged.view(), retained.view())
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
