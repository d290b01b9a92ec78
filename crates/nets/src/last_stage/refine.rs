//! The last stage taught, in a few steps, to write of forgotten samples what a model that never knew them would,
//! and to tell them from the rest no better than such a model.

use std::collections::{BTreeMap, BTreeSet};

use fiun::{Matrix, MatrixRef, Remap, prototypes};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::loss::{Separations, hold, towards};
use super::pieces::Views;
use super::stage::{LastStage, matrix, positions};
use crate::array::StateDict;
use crate::cpu::layer::Tapped;
use crate::cpu::maps::Maps;
use crate::cpu::network::training_parts;
use crate::cpu::rows::column_sums;
use crate::cpu::weights::Purpose;
use crate::error::{NetError, backend};
use crate::penultimate::entrances::Entrances;
use crate::training::cpu::optimizer::Steps;
use crate::training::turns::Turns;

/// Forgotten and retained samples of a step.
const BATCH: [usize; 2] = [128, 256];

/// Steps in which the rate goes up to the whole; after them it falls along half a cosine.
const WARM_UP: f64 = 4.0;
const RATE: f64 = 1e-3;

/// Adam's decays: the second one forgets within the few steps that there are.
const DECAYS: [f64; 2] = [0.9, 0.99];

/// What a refinement is made from.
pub struct RefineJob<'a> {
    /// The network's weights.
    pub state: &'a StateDict,
    /// What enters the stage of forgotten samples.
    pub forget: &'a Entrances,
    /// The head row of each one's label.
    pub forget_rows: &'a [u32],
    /// For each the proportions in which it goes to the head's rows, `[samples, rows]`; each row sums to 1.
    pub shares: &'a Matrix,
    /// What enters the stage of retained samples.
    pub retained: &'a Entrances,
    /// The head row of each one's label.
    pub retained_rows: &'a [u32],
    /// The head rows of the forgotten labels.
    pub gone: &'a BTreeSet<u32>,
    /// The part of its own deviation that a sample keeps, as in [`fiun::Remap`].
    pub keep: f32,
    /// Decides which samples make a batch.
    pub seed: u64,
}

/// How the last stage is refined: how many steps, from where, and how strong the criteria are.
#[derive(Clone, Copy)]
pub struct RefineSettings<'a> {
    /// The weight of Fisher's criterion ([`fiun::Separation`]) of the features, and of what enters the penultimate
    /// layer.
    pub weights: [f32; 2],
    /// How many there are.
    pub steps: usize,
    /// What they begin from, in place of the network's weights: the stage's tensors after other steps.
    pub from: Option<&'a StateDict>,
}

/// A refinement of one network, with what it aims at; any number of settings can be tried.
pub struct Refinement<'a> {
    stage: &'a LastStage,
    job: RefineJob<'a>,
    aim: Aim,
}

/// What is aimed at: the streams, and what retained samples were taken for.
struct Aim {
    forget: Vec<f32>,
    retained: Vec<f32>,
    logits: Matrix,
    /// Of each channel of the stream, over retained samples.
    variances: Vec<f32>,
}

impl LastStage {
    /// A refinement of the network's last stage.
    ///
    /// # Errors
    /// [`NetError`] when what it is made from does not fit together.
    pub fn refinement<'a>(&'a self, job: RefineJob<'a>) -> Result<Refinement<'a>, NetError> {
        let aim = self.aim(&job)?;
        Ok(Refinement {
            stage: self,
            job,
            aim,
        })
    }

    fn aim(&self, job: &RefineJob<'_>) -> Result<Aim, NetError> {
        let forget = self.run(job.state, job.forget)?;
        let retained = self.run(job.state, job.retained)?;
        let variances = variances(&retained.stream);
        let logits = matrix(retained.logits)?;
        let stream = positions(&retained.stream)?;
        let (means, _) = prototypes(stream, job.retained_rows, logits.cols()).map_err(backend)?;
        let channels = forget.stream.channels;
        let corrections = Remap {
            stream: positions(&forget.stream)?,
            shares: job.shares.view(),
            prototypes: means.view(),
            labels: job.forget_rows,
            keep: job.keep,
            scale: &vec![1.0; channels],
        }
        .corrections()
        .map_err(backend)?;
        let mut targets = forget.stream.values;
        let pairs = targets.iter_mut().zip(corrections.values());
        pairs.for_each(|(t, d)| *t += d);
        Ok(Aim {
            forget: targets,
            retained: retained.stream.values,
            logits,
            variances,
        })
    }
}

impl Refinement<'_> {
    /// The stage's tensors ([`LastStage::tensors`]) after a few steps of Adam on
    ///
    /// ```text
    /// mean_f (s - t)^2 / v + mean_r (s - s_0)^2 / v + mean_r KL(p_0 || p) + sum (c_1 J + c_2 K)
    /// ```
    ///
    /// `s`: the stream, `s_0` before; `t`: REMAP's targets ([`fiun::Remap`]); `v`: the variance of each channel of the
    /// stream on retained samples; `p`: the answer over retained labels; `J` and `K`: Fisher's criterion
    /// of each forgotten label beside the retained ones, of the features and of what enters the penultimate layer (nothing where the
    /// stage has no weights before that); `c_1` and `c_2`: the weights. Batch norms keep their statistics and factors. `progress` is
    /// told of every step.
    ///
    /// # Errors
    /// [`NetError`] when a product is refused, or nothing finite comes out.
    pub fn run(
        &self,
        settings: RefineSettings<'_>,
        progress: &mut dyn FnMut(),
    ) -> Result<StateDict, NetError> {
        let (stage, job) = (self.stage, &self.job);
        let names: BTreeSet<String> = stage.tensors().into_iter().collect();
        let mut state = job.state.clone();
        state.extend(settings.from.cloned().unwrap_or_default());
        let mut rng = ChaCha8Rng::seed_from_u64(job.seed);
        let mut turns = Turns::new(job.forget.samples());
        turns.shuffle(&mut rng);
        let mut adam = Steps::adam(DECAYS);
        let mut separations = settings.weights.map(Separations::new);
        for step in 0..settings.steps {
            let forget = turns.take(BATCH[0], &mut rng);
            let draw = |_| rng.random_range(0..job.retained.samples());
            let retained: Vec<usize> = (0..BATCH[1]).map(draw).collect();
            let batch = [&forget[..], &retained[..]];
            let gradients = self.gradients(&state, batch, &mut separations)?;
            let wanted = gradients
                .into_iter()
                .filter(|(name, _)| names.contains(name));
            let part = step as f64 / settings.steps as f64;
            let falling = 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
            let rate = RATE * falling * ((step + 1) as f64 / WARM_UP).min(1.0);
            adam.step(rate, &mut state, wanted.collect(), &BTreeMap::new());
            progress();
        }
        state.retain(|name, _| names.contains(name));
        finite(&state)?;
        Ok(state)
    }

    /// The gradients of one batch, by full name. `separations`: of the features, and of what enters the penultimate
    /// layer.
    fn gradients(
        &self,
        state: &StateDict,
        [forget, retained]: [&[usize]; 2],
        separations: &mut [Separations; 2],
    ) -> Result<BTreeMap<String, Vec<f32>>, NetError> {
        let job = &self.job;
        let pieces = self.stage.pieces(state, Purpose::Gradients)?;
        let mut input = job.forget.select(forget);
        input.append(job.retained.select(retained));
        let threads = training_parts(forget.len() + retained.len());
        let (now, records) = pieces.record(input, threads).map_err(backend)?;

        let labels: Vec<u32> = forget.iter().map(|at| job.forget_rows[*at]).collect();
        let [of_features, of_inner] = separations;
        let at_inner = match self.stage.changes_inner() {
            true => {
                let gradient = of_inner.gradient(&now.inner.means(), &labels)?;
                now.inner.behind_means(&gradient)
            }
            false => now.inner.with(vec![0.0; now.inner.values.len()]),
        };
        let at = Views {
            inner: at_inner,
            stream: now
                .stream
                .with(self.at_stream(&now.stream, [forget, retained])),
            features: now
                .features
                .with(of_features.gradient(&now.features, &labels)?),
            logits: now.logits.with(self.at_logits(&now.logits, retained)?),
        };
        let mut gradients = BTreeMap::new();
        let mut collect = |layer: Tapped<'_>| {
            for gradient in (layer.gradients)().map_err(backend)? {
                let name = format!("{}.{}", layer.name, gradient.part);
                gradients.insert(name, gradient.into_pytorch());
            }
            Ok(true)
        };
        pieces.backward(records, at, &mut collect)?;
        Ok(gradients)
    }

    /// The gradient at the stream of what it is to become.
    fn at_stream(&self, stream: &Maps, [forget, retained]: [&[usize]; 2]) -> Vec<f32> {
        let each = stream.per_sample();
        let picked = |all: &[f32], places: &[usize]| -> Vec<f32> {
            let rows = places.iter().map(|at| &all[at * each..(at + 1) * each]);
            rows.flatten().copied().collect()
        };
        let aim = &self.aim;
        let (own, rest) = stream.values.split_at(forget.len() * each);
        let mut gradient = vec![0.0; stream.values.len()];
        let (at_own, at_rest) = gradient.split_at_mut(own.len());
        towards(own, &picked(&aim.forget, forget), &aim.variances, at_own);
        towards(
            rest,
            &picked(&aim.retained, retained),
            &aim.variances,
            at_rest,
        );
        gradient
    }

    /// The gradient at the logits of what retained samples are to be taken for: the forgotten ones come first.
    fn at_logits(&self, logits: &Maps, retained: &[usize]) -> Result<Vec<f32>, NetError> {
        let classes = logits.channels;
        let first = (logits.samples - retained.len()) * classes;
        let now = MatrixRef::new(retained.len(), classes, &logits.values[first..]);
        let before = self.aim.logits.select_rows(retained);
        let mut gradient = vec![0.0; first];
        gradient.extend(hold(now.map_err(backend)?, before.view(), self.job.gone));
        Ok(gradient)
    }
}

/// Refuses weights that are not finite.
fn finite(state: &StateDict) -> Result<(), NetError> {
    for (name, array) in state {
        if let Some(index) = array.values.iter().position(|v| !v.is_finite()) {
            return Err(NetError::NotFinite {
                name: name.clone(),
                value: array.values[index],
                index,
            });
        }
    }
    Ok(())
}

/// The variance of each channel over samples and positions.
fn variances(maps: &Maps) -> Vec<f32> {
    let rows = (maps.values.len() / maps.channels.max(1)).max(1) as f32;
    let mean: Vec<f32> = maps.sums().iter().map(|sum| sum / rows).collect();
    let centred = |value: f32, _, mean: f32| (value - mean).powi(2);
    let sums = column_sums(&maps.values, &maps.values, &mean, centred);
    sums.iter().map(|sum| (sum / rows).max(1e-6)).collect()
}
