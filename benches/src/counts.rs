//! Instructions of the kernels, counted by valgrind: unlike times they hardly depend on what else a machine does, so that
//! the tests can refuse what takes many more than it did (`benches/tests/counts.rs`).

use std::error::Error;
use std::process::Command;

use disinherit_data::{DataSet, ImageShape};
use disinherit_nets::{
    Architecture, Compute, Kind, Network, Preprocessing, StateDict, capture, initial_state,
};
use fiun::{Dampening, Estimator, FisherTensor, Matrix, RemapSums, Scalar, dampen, head_fisher};
use half::f16;
use rayon::prelude::*;

use crate::line::Line;
use crate::{family, layers, plan};

/// The argument that starts a counted process; a kernel's name and how often it runs follow.
pub(crate) const CHILD: &str = "--count";

/// Runs in the two processes whose difference is counted, so that what comes before the kernel does not count.
const RUNS: [u64; 2] = [1, 2];

/// A kernel, ready to be run again and again.
type Kernel = Box<dyn FnMut() -> Result<(), Box<dyn Error>> + Send>;

/// What is prepared before it counts.
type Prepare = fn() -> Result<Kernel, Box<dyn Error>>;

const KERNELS: [(&str, Prepare); 8] = [
    ("dampening, 1 M f32", dampening::<f32>),
    ("dampening, 1 M f16", dampening::<f16>),
    ("FIM of a head, 512 samples", head),
    ("edit below the head, 256 samples", remap),
    ("forward pass, ResNet-8, 16 images of 8 x 8", forward),
    (
        "FIM of all layers, ResNet-8, 16 images of 8 x 8",
        all_layers,
    ),
    ("training step, ResNet-8, 16 images of 8 x 8", training_step),
    ("plan over 1,000 models", planning),
];

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let counted = |(name, _)| {
        let [few, many] = RUNS.map(|runs| instructions(name, runs));
        let one = (many? - few?) / (RUNS[1] - RUNS[0]) as f64;
        Ok(Line::plain(name.into(), one / 1e6, "M instructions"))
    };
    // Side by side: counting is slow, and none disturbs another.
    let lines: Result<Vec<Line>, String> = KERNELS.into_par_iter().map(counted).collect();
    Ok(lines?)
}

/// Instructions of a process that runs a kernel so often.
fn instructions(kernel: &str, runs: u64) -> Result<f64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().map_err(|error| error.to_string())?)
        .args([CHILD, kernel, &runs.to_string()])
        // One after the other they count the same every time.
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("Collected :"));
    let number = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    match (output.status.success(), number) {
        (true, Some(number)) => Ok(number),
        _ => Err(format!("valgrind says of {kernel}: {said}")),
    }
}

/// Runs a kernel as often as the arguments say.
pub(crate) fn child() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(2);
    let wanted = arguments.next().ok_or("no kernel")?;
    let runs: u64 = arguments.next().ok_or("no number of runs")?.parse()?;
    let kernel = KERNELS.into_iter().find(|(name, _)| *name == wanted);
    let mut kernel = kernel.ok_or("no such kernel")?.1()?;
    // On the pool's only thread, which then hands nothing to another one.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let done = pool.install(|| (0..runs).try_for_each(|_| kernel().map_err(|e| e.to_string())));
    Ok(done?)
}

fn pattern(rows: usize, cols: usize, step: usize) -> Result<Matrix, Box<dyn Error>> {
    let value = |i: usize| ((i * step) % 1000) as f32 / 1000.0;
    Ok(Matrix::new(
        rows,
        cols,
        (0..rows * cols).map(value).collect(),
    )?)
}

fn dampening<T: Scalar + Default + 'static>() -> Result<Kernel, Box<dyn Error>> {
    const SIDE: usize = 1024;
    let fim = |step| {
        let values = pattern(SIDE, SIDE, step)?.values().to_vec();
        let fim = FisherTensor::from_parts(vec![SIDE, SIDE], values, vec![1.0; SIDE])?;
        Ok::<_, Box<dyn Error>>(fim)
    };
    let (forget, own) = (fim(7919)?, fim(31)?);
    let theta = vec![T::default(); SIDE * SIDE];
    let mut out = theta.clone();
    let dampening = Dampening::new(10.0, 1.0)?;
    Ok(Box::new(move || {
        dampen(&theta, &forget, &own, dampening, &mut out)?;
        Ok(())
    }))
}

fn head() -> Result<Kernel, Box<dyn Error>> {
    let (features, residuals) = (pattern(512, 512, 7919)?, pattern(512, 10, 31)?);
    let labels = vec![0; 512];
    let estimator = Estimator::Empirical;
    Ok(Box::new(move || {
        head_fisher(features.view(), residuals.view(), &labels, 1, estimator)?;
        Ok(())
    }))
}

fn remap() -> Result<Kernel, Box<dyn Error>> {
    let (inputs, corrections) = (pattern(256, 128, 7919)?, pattern(256, 64, 31)?);
    Ok(Box::new(move || {
        let mut sums = RemapSums::new(128, 64);
        sums.forget(inputs.view(), corrections.view(), 256)?;
        sums.retained(inputs.view(), 256)?;
        sums.solve(0.04)?;
        Ok(())
    }))
}

/// A network and images that are small enough to be counted: arithmetic is slow in valgrind.
fn small() -> Result<(Architecture, DataSet, StateDict), Box<dyn Error>> {
    const SIDE: usize = 8;
    let shape = ImageShape {
        height: SIDE,
        width: SIDE,
        ..family::shape()
    };
    let architecture = Architecture {
        kind: Kind::ResNet8,
        input: shape.into(),
        ..family::resnet()
    };
    let state = initial_state(&architecture, 1)?;
    let set = family::images_of(SIDE, "noise", 16, 1)?;
    Ok((architecture, set, state))
}

fn forward() -> Result<Kernel, Box<dyn Error>> {
    let (architecture, set, state) = small()?;
    let network = Network::new(&architecture, &state, Compute::Cpu)?;
    Ok(Box::new(move || {
        capture(&network, &set, &Preprocessing::default(), &mut |_| {})?;
        Ok(())
    }))
}

fn all_layers() -> Result<Kernel, Box<dyn Error>> {
    let (architecture, set, state) = small()?;
    Ok(Box::new(move || {
        layers::fisher_of(&architecture, &set, &state)
    }))
}

fn training_step() -> Result<Kernel, Box<dyn Error>> {
    let (architecture, set, state) = small()?;
    Ok(Box::new(move || {
        let config = layers::one_epoch();
        layers::train_on(&architecture, &set, &state, Compute::Cpu, &config)
    }))
}

fn planning() -> Result<Kernel, Box<dyn Error>> {
    let (graph, request) = plan::inheritance(1000)?;
    Ok(Box::new(move || {
        graph.plan(&request)?;
        Ok(())
    }))
}
