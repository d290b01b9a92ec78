//! What the benchmarks run on: a ResNet-18 and made-up images.

use std::collections::BTreeMap;
use std::error::Error;

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_formats::Tensor;
use disinherit_nets::{Architecture, Kind, Preprocessing, StateDict, initial_state};
use disinherit_registry::Manifest;

pub(crate) const CLASSES: usize = 10;

pub(crate) fn shape() -> ImageShape {
    ImageShape {
        channels: 3,
        height: 32,
        width: 32,
    }
}

pub(crate) fn resnet() -> Architecture {
    Architecture {
        kind: Kind::ResNet18,
        input: shape().into(),
        classes: CLASSES,
        head: None,
    }
}

pub(crate) fn labels() -> Vec<String> {
    (0..CLASSES).map(|c| format!("c{c}")).collect()
}

/// Images of noise, seeded; labels in turn.
pub(crate) fn images(name: &str, count: usize, seed: usize) -> Result<DataSet, Box<dyn Error>> {
    images_of(shape().height, name, count, seed)
}

/// The same with other sides.
pub(crate) fn images_of(
    side: usize,
    name: &str,
    count: usize,
    seed: usize,
) -> Result<DataSet, Box<dyn Error>> {
    let shape = ImageShape {
        height: side,
        width: side,
        ..shape()
    };
    let mut word = seed as u64 + 1;
    let pixels = (0..count * shape.len())
        .map(|_| {
            // A linear congruential generator is random enough for timing.
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (word >> 56) as u8
        })
        .collect();
    Ok(DataSet::new(
        name,
        Samples::Images { shape, pixels },
        (0..count).map(|n| (n % CLASSES) as u32).collect(),
        labels(),
        (0..count).map(|n| format!("{name}/{n}")).collect(),
    )?)
}

pub(crate) fn state(seed: u64) -> Result<StateDict, Box<dyn Error>> {
    Ok(initial_state(&resnet(), seed)?)
}

pub(crate) fn tensors(state: &StateDict) -> BTreeMap<String, Tensor> {
    state
        .iter()
        .map(|(name, array)| (name.clone(), Tensor::from_f32(&array.shape, &array.values)))
        .collect()
}

pub(crate) fn manifest() -> Result<Manifest, Box<dyn Error>> {
    Ok(Manifest {
        architecture: Some(serde_json::to_value(resnet())?),
        preprocessing: Some(serde_json::to_value(Preprocessing::default())?),
        labels: labels(),
        head: "fc".into(),
        ..Manifest::default()
    })
}
