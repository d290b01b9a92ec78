//! Forward passes: what feature capture and verification cost. ResNet-18 on 32x32 images, against PyTorch; larger
//! networks on 224x224 images and BERT on 128 tokens, against PyTorch and ONNX Runtime.

use std::error::Error;

use disinherit_nets::{
    Architecture, Compute, Kind, Network, Preprocessing, capture, initial_state,
};

use crate::line::{Line, try_shortest};
use crate::{family, peer};

const IMAGES: usize = 2048;
const ROUNDS: usize = 3;

/// Samples of a larger network, at least.
const LEAST: usize = 16;

/// A larger network, and the samples of a batch for each thread: those that our engine takes (as many as keep a step
/// within 2^24 values), and those that its peers were fastest with.
struct Larger {
    kind: Kind,
    ours: usize,
    peers: usize,
}

const LARGER: [Larger; 6] = [
    Larger {
        kind: Kind::AlexNet,
        ours: 64,
        peers: 32,
    },
    Larger {
        kind: Kind::Vgg16,
        ours: 4,
        peers: 8,
    },
    Larger {
        kind: Kind::DenseNet161,
        ours: 8,
        peers: 4,
    },
    Larger {
        kind: Kind::VitB32,
        ours: 64,
        peers: 16,
    },
    Larger {
        kind: Kind::BertTiny,
        ours: 128,
        peers: 8,
    },
    Larger {
        kind: Kind::BertBase,
        ours: 16,
        peers: 8,
    },
];

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let ours = rate(Compute::Cpu, IMAGES)?;
    let burn = rate(Compute::Flex, IMAGES / 4)?;
    let torch = peer::number("resnet18.py", &["forward".into(), "128".into()]);
    let mut lines = vec![
        Line::images("forward ResNet-18", ours, torch, peer::torch(torch)),
        Line::images("forward ResNet-18, burn", burn, torch, peer::torch(torch)),
    ];
    for network in &LARGER {
        lines.extend(beside_peers(network)?);
    }
    Ok(lines)
}

/// The lines of a larger network.
fn beside_peers(network: &Larger) -> Result<[Line; 2], Box<dyn Error>> {
    let kind = network.kind;
    let architecture = family::network(kind);
    let ours = rate_of(&architecture, Compute::Cpu, whole_rounds(network.ours))?;
    let name = format!("forward {}, {}", family::title(kind), family::reads(kind));
    let line = |mode: &str, called: &str| {
        let batch = network.peers * rayon::current_num_threads();
        let arguments = [mode.to_owned(), kind.to_string(), batch.to_string()];
        let other = peer::number("networks.py", &arguments);
        let against = peer::called(called, other);
        Line::rate(&name, ours, other, &against, family::unit(kind))
    };
    Ok([line("forward", "PyTorch"), line("onnx", "ONNX Runtime")])
}

/// As many samples as give every thread a full batch in every round.
fn whole_rounds(batch: usize) -> usize {
    let round = batch * rayon::current_num_threads();
    LEAST.div_ceil(round) * round
}

/// Images a second of ResNet-18.
pub(crate) fn rate(compute: Compute, images: usize) -> Result<f64, Box<dyn Error>> {
    rate_of(&family::resnet(), compute, images)
}

/// Samples a second.
fn rate_of(
    architecture: &Architecture,
    compute: Compute,
    samples: usize,
) -> Result<f64, Box<dyn Error>> {
    let network = Network::new(architecture, &initial_state(architecture, 1)?, compute)?;
    let set = family::noise(architecture.input, "noise", samples, 1)?;
    let preprocessing = Preprocessing::default();
    let seconds = try_shortest(ROUNDS, || {
        capture(&network, &set, &preprocessing, &mut |_| {})
    })?;
    Ok(samples as f64 / seconds)
}
