//! Training steps of ResNet-18 on 32x32 images, against PyTorch and burn; and the FIM of every layer, against a
//! training step and against per-sample gradients in PyTorch.

use std::error::Error;

use disinherit_data::DataSet;
use disinherit_nets::{
    Architecture, Compute, InnerJob, Preprocessing, StateDict, TrainingConfig, TrainingJob,
    inner_fisher, train,
};
use fiun::Estimator;

use crate::line::{Line, shortest};
use crate::{family, peer};

const IMAGES: usize = 512;
const TRAINED: usize = 256;
const ROUNDS: usize = 3;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let set = family::images("noise", IMAGES, 1)?;
    let state = family::state(1)?;
    let ours = fisher(&set, &state);
    let step = training_step(&set, &state, Compute::Cpu);
    let flex = training_step(&set, &state, Compute::Flex);
    let torch = |mode: &str, batch: &str| peer::number("resnet18.py", &[mode.into(), batch.into()]);
    let (torch_step, torch_func) = (torch("train", "64"), torch("func", "32"));
    let name = "FIM of all layers";
    let training = "training step, batch 64";
    Ok(vec![
        Line::images(training, step, Some(flex), "burn's `flex`"),
        Line::images(training, step, torch_step, peer::torch(torch_step)),
        Line::images(name, ours, Some(step), "our training step"),
        Line::images(
            name,
            ours,
            torch_step,
            match torch_step {
                Some(_) => "PyTorch training step",
                None => "PyTorch (not installed)",
            },
        ),
        Line::images(
            name,
            ours,
            torch_func,
            match torch_func {
                Some(_) => "torch.func per-sample gradients",
                None => "PyTorch (not installed)",
            },
        ),
    ])
}

/// Images a second of the FIM of every layer.
fn fisher(set: &DataSet, state: &StateDict) -> f64 {
    let seconds = shortest(ROUNDS, || {
        std::hint::black_box(fisher_of(&family::resnet(), set, state).is_ok());
    });
    IMAGES as f64 / seconds
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

/// Images a second of training steps.
fn training_step(set: &DataSet, state: &StateDict, compute: Compute) -> f64 {
    let few: Vec<usize> = (0..TRAINED).collect();
    let small = set.select(&few);
    let seconds = shortest(ROUNDS, || {
        std::hint::black_box(train_on(&family::resnet(), &small, state, compute).is_ok());
    });
    TRAINED as f64 / seconds
}

/// An epoch of training.
pub(crate) fn train_on(
    architecture: &Architecture,
    set: &DataSet,
    state: &StateDict,
    compute: Compute,
) -> Result<(), Box<dyn Error>> {
    let config = TrainingConfig {
        epochs: 1,
        ..TrainingConfig::default()
    };
    let preprocessing = Preprocessing::default();
    let training = TrainingJob {
        architecture,
        state,
        set,
        rows: set.labels(),
        preprocessing: &preprocessing,
        config: &config,
        frozen: &|_| false,
        compute,
        seed: 1,
    };
    std::hint::black_box(train(&training, &mut |_| {})?);
    Ok(())
}
