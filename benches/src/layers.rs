//! Training steps of ResNet-18 on 32x32 images, against PyTorch and burn; and the FIM of every layer, against a
//! training step and against per-sample gradients in PyTorch. `sequences` has the same of networks over sequences.

use std::error::Error;

use disinherit_data::DataSet;
use disinherit_nets::{
    Architecture, Compute, InnerJob, Preprocessing, StateDict, TrainingConfig, TrainingJob,
    inner_fisher, train,
};
use fiun::Estimator;

use crate::line::{Line, try_shortest};
use crate::{family, peer};

const IMAGES: usize = 512;
const TRAINED: usize = 128;
const ROUNDS: usize = 3;

/// Samples a second of a network's FIM of every layer and of its training steps, and those of PyTorch where it is
/// installed.
pub(crate) struct Rates {
    pub(crate) fisher: f64,
    pub(crate) step: f64,
    pub(crate) torch_step: Option<f64>,
    pub(crate) torch_func: Option<f64>,
}

impl Rates {
    /// The lines of both, under these names.
    pub(crate) fn lines(&self, training: &str, fisher: &str, unit: &'static str) -> Vec<Line> {
        let line = |name: &str, ours: f64, called: &str, other: Option<f64>| {
            Line::rate(name, ours, other, &peer::called(called, other), unit)
        };
        let func = "torch.func per-sample gradients";
        vec![
            line(training, self.step, "PyTorch", self.torch_step),
            line(fisher, self.fisher, "our training step", Some(self.step)),
            line(
                fisher,
                self.fisher,
                "PyTorch training step",
                self.torch_step,
            ),
            line(fisher, self.fisher, func, self.torch_func),
        ]
    }
}

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let architecture = family::resnet();
    let set = family::images("noise", IMAGES, 1)?;
    let state = family::state(1)?;
    let few: Vec<usize> = (0..TRAINED).collect();
    let small = set.select(&few);
    let config = one_epoch();
    let step = |compute| training_rate(&architecture, &small, &state, compute, &config);
    let torch = |mode: &str, batch: &str| peer::number("resnet18.py", &[mode.into(), batch.into()]);
    let rates = Rates {
        fisher: fisher_rate(&architecture, &set, &state)?,
        step: step(Compute::Cpu)?,
        torch_step: torch("train", "64"),
        torch_func: torch("func", "32"),
    };
    let flex = step(Compute::Flex)?;
    let training = "training step, batch 64";
    let burn = Line::images(training, rates.step, Some(flex), "burn's `flex`");
    let mut lines = vec![burn];
    lines.extend(rates.lines(training, "FIM of all layers", "images/s"));
    Ok(lines)
}

/// Samples a second of the FIM of every layer.
pub(crate) fn fisher_rate(
    architecture: &Architecture,
    set: &DataSet,
    state: &StateDict,
) -> Result<f64, Box<dyn Error>> {
    let seconds = try_shortest(ROUNDS, || fisher_of(architecture, set, state))?;
    Ok(set.len() as f64 / seconds)
}

pub(crate) fn fisher_of(
    architecture: &Architecture,
    set: &DataSet,
    state: &StateDict,
) -> Result<(), Box<dyn Error>> {
    let preprocessing = Preprocessing::default();
    let job = InnerJob {
        architecture,
        state,
        set,
        rows: set.labels(),
        preprocessing: &preprocessing,
        estimator: Estimator::Empirical,
        wanted: &|_| true,
        memory: None,
    };
    std::hint::black_box(inner_fisher(&job, &mut |_| {})?);
    Ok(())
}

/// Samples a second of training steps: of two passes more over the data, so that what a training begins and ends with
/// is left out.
pub(crate) fn training_rate(
    architecture: &Architecture,
    set: &DataSet,
    state: &StateDict,
    compute: Compute,
    config: &TrainingConfig,
) -> Result<f64, Box<dyn Error>> {
    const MORE: usize = 2;
    let passes = |epochs| {
        let config = TrainingConfig {
            epochs,
            ..config.clone()
        };
        try_shortest(1, || train_on(architecture, set, state, compute, &config))
    };
    let [mut few, mut many] = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        few = few.min(passes(1)?);
        many = many.min(passes(1 + MORE)?);
    }
    Ok((MORE * set.len()) as f64 / (many - few).max(f64::MIN_POSITIVE))
}

/// The settings of one pass over the data.
pub(crate) fn one_epoch() -> TrainingConfig {
    TrainingConfig {
        epochs: 1,
        ..TrainingConfig::default()
    }
}

/// Training on all of a data set.
pub(crate) fn train_on(
    architecture: &Architecture,
    set: &DataSet,
    state: &StateDict,
    compute: Compute,
    config: &TrainingConfig,
) -> Result<(), Box<dyn Error>> {
    let preprocessing = Preprocessing::default();
    let training = TrainingJob {
        architecture,
        state,
        set,
        rows: set.labels(),
        preprocessing: &preprocessing,
        config,
        frozen: &|_| false,
        compute,
        seed: 1,
    };
    std::hint::black_box(train(&training, &mut |_| {})?);
    Ok(())
}
