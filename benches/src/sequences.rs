//! Networks over sequences, BERT-tiny on 128 tokens and ViT-B/32 on 224x224 images: training steps, against PyTorch;
//! and the FIM of every layer, against a training step and against per-sample gradients in PyTorch.

use std::error::Error;

use disinherit_nets::{Compute, Kind, TrainingConfig, initial_state};

use crate::layers::{self, Rates};
use crate::line::Line;
use crate::{family, peer};

/// A network over sequences: the samples that it reads, those of a training step, and those whose gradients
/// `torch.func` keeps at a time.
struct Sequences {
    kind: Kind,
    samples: usize,
    batch: usize,
    together: usize,
}

const NETWORKS: [Sequences; 2] = [
    Sequences {
        kind: Kind::BertTiny,
        samples: 256,
        batch: 32,
        together: 8,
    },
    Sequences {
        kind: Kind::VitB32,
        samples: 32,
        batch: 16,
        together: 2,
    },
];

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    // One of them alone, where it is named.
    let only = std::env::var("BENCH_NETWORK").ok();
    let is_wanted = |kind: Kind| only.as_ref().is_none_or(|name| *name == kind.to_string());
    if !NETWORKS.iter().any(|network| is_wanted(network.kind)) {
        let known: Vec<String> = NETWORKS.iter().map(|n| n.kind.to_string()).collect();
        return Err(format!("BENCH_NETWORK names none of {}", known.join(", ")).into());
    }
    let mut lines = Vec::new();
    for network in NETWORKS.iter().filter(|network| is_wanted(network.kind)) {
        lines.extend(beside_peers(network)?);
    }
    Ok(lines)
}

/// The lines of one network.
fn beside_peers(network: &Sequences) -> Result<Vec<Line>, Box<dyn Error>> {
    let kind = network.kind;
    let architecture = family::network(kind);
    let state = initial_state(&architecture, 1)?;
    let set = family::noise(architecture.input, "noise", network.samples, 1)?;
    let config = TrainingConfig {
        batch_size: network.batch,
        // Transformers diverge at the rate that ResNets are trained with.
        learning_rate: 1e-3,
        ..layers::one_epoch()
    };
    let torch = |mode: &str, batch: usize| {
        let arguments = [mode.to_owned(), kind.to_string(), batch.to_string()];
        peer::number("networks.py", &arguments)
    };
    let rates = Rates {
        fisher: layers::fisher_rate(&architecture, &set, &state)?,
        step: layers::training_rate(&architecture, &set, &state, Compute::Cpu, &config)?,
        torch_step: torch("train", network.batch),
        torch_func: torch("func", network.together),
    };
    let title = family::title(kind);
    let training = format!("training step, {title}, batch {}", network.batch);
    let fisher = format!("FIM of all layers, {title}");
    Ok(rates.lines(&training, &fisher, family::unit(kind)))
}
