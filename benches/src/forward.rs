//! Forward passes of ResNet-18 on 32x32 images: what feature capture and verification cost.

use std::error::Error;

use disinherit_nets::{Compute, Network, Preprocessing, capture};

use crate::line::{Line, shortest};
use crate::{family, peer};

const IMAGES: usize = 2048;
const ROUNDS: usize = 3;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let ours = rate(Compute::Cpu, IMAGES)?;
    let burn = rate(Compute::Flex, IMAGES / 4)?;
    let torch = peer::number("resnet18.py", &["forward".into(), "128".into()]);
    Ok(vec![
        Line::images("forward ResNet-18", ours, torch, peer::torch(torch)),
        Line::images("forward ResNet-18, burn", burn, torch, peer::torch(torch)),
    ])
}

/// Images a second.
pub(crate) fn rate(compute: Compute, images: usize) -> Result<f64, Box<dyn Error>> {
    let network = Network::new(&family::resnet(), &family::state(1)?, compute)?;
    let set = family::images("noise", images, 1)?;
    let preprocessing = Preprocessing::default();
    let seconds = shortest(ROUNDS, || {
        let captured = capture(&network, &set, &preprocessing, &mut |_| {});
        std::hint::black_box(captured.is_ok());
    });
    Ok(images as f64 / seconds)
}
