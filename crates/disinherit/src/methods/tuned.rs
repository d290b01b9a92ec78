//! The methods that train on one model at a time, as objectives.

use std::collections::BTreeMap;

use disinherit_nets::{
    Array, Compute, NoiseJob, Phase, Source, StateDict, Teacher, Term, TrainingConfig,
    TrainingEvent, TrainingJob, TuningJob, error_maximising_noise, initial_state, loss_gradient,
    tune,
};
use fiun::Matrix;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::subject::Subject;
use super::{Method, Settings};
use crate::{EngineError, Progress};

/// What a masked output says: below every other, and within half precision.
const MASKED: f32 = -3e4;

/// UNSIR's noise: images for each forgotten class, and steps that train them.
const NOISE_IMAGES: usize = 64;
const NOISE_STEPS: usize = 40;

/// SCRUB's epochs in which it gets away from the old model on the forget data.
const SCRUB_AWAY: usize = 2;

/// SCRUB's weights of the cross-entropy and of the distance to the old model on retained data.
const SCRUB_STAY: [f64; 2] = [0.99, 0.001];

/// A method at work on one model.
pub(super) struct Tuned<'a> {
    pub(super) method: Method,
    pub(super) settings: &'a Settings,
    pub(super) compute: Compute,
    pub(super) subject: &'a Subject,
    pub(super) progress: &'a dyn Progress,
}

impl Tuned<'_> {
    /// The new weights.
    pub(super) fn run(&self) -> Result<StateDict, EngineError> {
        match self.method {
            Method::FineTune => self.tuned(&[self.retained(1.0, self.settings.epochs)]),
            Method::Distill => self.distilled(),
            Method::Mask => Ok(self.masked()),
            Method::RandomLabels => self.randomised(&BTreeMap::new()),
            Method::SalUn => self.randomised(&self.salient()?),
            Method::NegGradPlus => self.opposed(),
            Method::Scrub => self.scrubbed(),
            Method::Unsir => self.impaired(),
            Method::BadTeacher => self.badly_taught(),
            Method::Fiun | Method::Ssd | Method::Retrain | Method::GradientAscent => Err(
                EngineError::Refused(format!("`{}` does not work model by model", self.method)),
            ),
        }
    }

    /// Ascent on the forget data alone.
    pub(super) fn ascended(&self) -> Result<StateDict, EngineError> {
        let subject = self.subject;
        subject.need_forget(self.method)?;
        self.tuned(&[Phase {
            terms: vec![Term::labels(&subject.forget, &subject.forget_rows, -1.0)],
            epochs: self.settings.epochs,
        }])
    }

    /// Cross-entropy on the retained data.
    fn retained(&self, weight: f64, epochs: usize) -> Phase<'_> {
        let subject = self.subject;
        Phase {
            terms: vec![Term::labels(&subject.retain, &subject.retain_rows, weight)],
            epochs,
        }
    }

    fn tuned(&self, phases: &[Phase<'_>]) -> Result<StateDict, EngineError> {
        let config = self.settings.training();
        self.tuned_from(&self.subject.state, &config, phases, &BTreeMap::new())
    }

    fn tuned_from(
        &self,
        state: &StateDict,
        config: &TrainingConfig,
        phases: &[Phase<'_>],
        masks: &BTreeMap<String, Vec<f32>>,
    ) -> Result<StateDict, EngineError> {
        let model = &self.subject.model;
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

    fn logits(
        &self,
        state: &StateDict,
        set: &disinherit_data::DataSet,
    ) -> Result<Matrix, EngineError> {
        self.subject.logits(state, set, self.compute, self.progress)
    }

    fn fresh(&self) -> Result<StateDict, EngineError> {
        let model = &self.subject.model;
        initial_state(&model.architecture, self.settings.seed).map_err(EngineError::net(model.id()))
    }

    fn distilled(&self) -> Result<StateDict, EngineError> {
        let subject = self.subject;
        let mut logits = self.logits(&subject.state, &subject.retain)?.into_values();
        let classes = subject.model.architecture.classes.max(1);
        for row in logits.chunks_exact_mut(classes) {
            for forgotten in &subject.forgotten {
                row[*forgotten as usize] = MASKED;
            }
        }
        let logits = Matrix::new(subject.retain.len(), classes, logits)
            .map_err(|error| EngineError::Refused(format!("`{}`: {error}", subject.model.id())))?;
        let teacher = Teacher {
            logits: &logits,
            temperature: self.settings.temperature,
            weight: 1.0,
        };
        let phase = Phase {
            terms: vec![Term::teacher(&subject.retain, teacher)],
            epochs: self.settings.epochs,
        };
        let config = self.settings.training();
        self.tuned_from(&self.fresh()?, &config, &[phase], &BTreeMap::new())
    }

    fn masked(&self) -> StateDict {
        let subject = self.subject;
        let mut state = subject.state.clone();
        let [weight, bias] = subject.model.head_tensors();
        let zero = |array: &mut Array, row: usize, value: f32| {
            let width: usize = array.shape.iter().skip(1).product();
            if let Some(place) = array.values.get_mut(row * width..(row + 1) * width) {
                place.fill(value);
            }
        };
        for row in &subject.forgotten {
            if let Some(array) = state.get_mut(&weight) {
                zero(array, *row as usize, 0.0);
            }
            if let Some(array) = state.get_mut(&bias) {
                zero(array, *row as usize, MASKED);
            }
        }
        state
    }

    /// A wrong label for every forget sample: none that is forgotten itself.
    fn wrong_rows(&self) -> Vec<u32> {
        let subject = self.subject;
        let all: Vec<u32> = (0..subject.model.architecture.classes as u32).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.settings.seed);
        let wrong = |own: &u32| {
            let others: Vec<u32> = all
                .iter()
                .copied()
                .filter(|row| row != own && !subject.forgotten.contains(row))
                .collect();
            others.choose(&mut rng).copied().unwrap_or(*own)
        };
        subject.forget_rows.iter().map(wrong).collect()
    }

    fn randomised(&self, masks: &BTreeMap<String, Vec<f32>>) -> Result<StateDict, EngineError> {
        let subject = self.subject;
        subject.need_forget(self.method)?;
        let wrong = self.wrong_rows();
        let mut phase = self.retained(1.0, self.settings.epochs);
        let weight = self.settings.forget_weight;
        phase
            .terms
            .push(Term::labels(&subject.forget, &wrong, weight));
        let config = self.settings.training();
        self.tuned_from(&subject.state, &config, &[phase], masks)
    }

    /// 1 for the parameters in which the forget data's gradient is largest, over all tensors.
    fn salient(&self) -> Result<BTreeMap<String, Vec<f32>>, EngineError> {
        let subject = self.subject;
        subject.need_forget(self.method)?;
        let model = &subject.model;
        let job = TrainingJob {
            architecture: &model.architecture,
            state: &subject.state,
            set: &subject.forget,
            rows: &subject.forget_rows,
            preprocessing: &model.preprocessing,
            config: &self.settings.training(),
            frozen: &|_| false,
            compute: self.compute,
            seed: self.settings.seed,
        };
        let gradient = loss_gradient(&job).map_err(EngineError::net(model.id()))?;
        let mut sizes: Vec<f32> = gradient
            .values()
            .flat_map(|array| array.values.iter().map(|v| v.abs()))
            .collect();
        let kept = (self.settings.saliency.clamp(0.0, 1.0) * sizes.len() as f64) as usize;
        let bound = match sizes.len().checked_sub(kept.max(1)) {
            Some(place) => *sizes.select_nth_unstable_by(place, f32::total_cmp).1,
            None => 0.0,
        };
        let mask = |array: &Array| {
            let above = |v: &f32| f32::from(u8::from(v.abs() >= bound));
            array.values.iter().map(above).collect()
        };
        Ok(gradient
            .iter()
            .map(|(name, array)| (name.clone(), mask(array)))
            .collect())
    }

    fn opposed(&self) -> Result<StateDict, EngineError> {
        let subject = self.subject;
        subject.need_forget(self.method)?;
        let weight = self.settings.forget_weight;
        let mut phase = self.retained(1.0 - weight, self.settings.epochs);
        let away = Term::labels(&subject.forget, &subject.forget_rows, -weight);
        phase.terms.push(away);
        self.tuned(&[phase])
    }

    fn scrubbed(&self) -> Result<StateDict, EngineError> {
        let subject = self.subject;
        subject.need_forget(self.method)?;
        let of_forget = self.logits(&subject.state, &subject.forget)?;
        let of_retain = self.logits(&subject.state, &subject.retain)?;
        let temperature = self.settings.temperature;
        let away = || Phase {
            terms: vec![Term::teacher(
                &subject.forget,
                Teacher {
                    logits: &of_forget,
                    temperature,
                    weight: -self.settings.forget_weight,
                },
            )],
            epochs: 1,
        };
        let stay = || Phase {
            terms: vec![Term {
                source: Source::Set(&subject.retain),
                labels: Some((&subject.retain_rows, SCRUB_STAY[0])),
                teacher: Some(Teacher {
                    logits: &of_retain,
                    temperature,
                    weight: SCRUB_STAY[1],
                }),
            }],
            epochs: 1,
        };
        let mut phases = Vec::new();
        for epoch in 0..self.settings.epochs {
            if epoch < SCRUB_AWAY {
                phases.push(away());
            }
            phases.push(stay());
        }
        self.tuned(&phases)
    }

    fn impaired(&self) -> Result<StateDict, EngineError> {
        let subject = self.subject;
        let model = &subject.model;
        let noise = error_maximising_noise(&NoiseJob {
            architecture: &model.architecture,
            state: &subject.state,
            rows: &subject.forgotten,
            count: NOISE_IMAGES,
            steps: NOISE_STEPS,
            compute: self.compute,
            seed: self.settings.seed,
        })
        .map_err(EngineError::net(model.id()))?;
        let mut impair = self.retained(1.0, 1);
        impair.terms.push(Term {
            source: Source::Noise(&noise),
            labels: Some((&noise.rows, self.settings.forget_weight)),
            teacher: None,
        });
        let state = self.tuned(&[impair])?;
        // The paper repairs at half the rate.
        let repair = TrainingConfig {
            learning_rate: self.settings.learning_rate / 2.0,
            ..self.settings.training()
        };
        let epochs = self.settings.epochs.saturating_sub(1).max(1);
        self.tuned_from(
            &state,
            &repair,
            &[self.retained(1.0, epochs)],
            &BTreeMap::new(),
        )
    }

    fn badly_taught(&self) -> Result<StateDict, EngineError> {
        let subject = self.subject;
        subject.need_forget(self.method)?;
        let competent = self.logits(&subject.state, &subject.retain)?;
        let incompetent = self.logits(&self.fresh()?, &subject.forget)?;
        let teacher = |logits, weight| Teacher {
            logits,
            temperature: self.settings.temperature,
            weight,
        };
        let terms = vec![
            Term::teacher(&subject.retain, teacher(&competent, 1.0)),
            Term::teacher(
                &subject.forget,
                teacher(&incompetent, self.settings.forget_weight),
            ),
        ];
        self.tuned(&[Phase {
            terms,
            epochs: self.settings.epochs,
        }])
    }
}
