//! What the benchmarks run on: a ResNet-18 and made-up images, larger networks, and made-up texts.

use std::collections::BTreeMap;
use std::error::Error;

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_formats::Tensor;
use disinherit_nets::{
    Architecture, Input, Kind, Preprocessing, StateDict, TextShape, initial_state,
};
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

/// A network of any kind on 224x224 images, or on 128 tokens of BERT's.
pub(crate) fn network(kind: Kind) -> Architecture {
    let input = match kind.reads_text() {
        true => Input::Text(TextShape {
            vocabulary: 30_522,
            length: 128,
        }),
        false => Input::Images(ImageShape {
            height: 224,
            width: 224,
            ..shape()
        }),
    };
    Architecture::new(kind, input, CLASSES)
}

/// What such a network is called in a table.
pub(crate) fn title(kind: Kind) -> String {
    match kind {
        Kind::AlexNet => "AlexNet".into(),
        Kind::Vgg16 => "VGG-16".into(),
        Kind::DenseNet161 => "DenseNet-161".into(),
        Kind::VitB32 => "ViT-B/32".into(),
        Kind::BertTiny => "BERT-tiny".into(),
        Kind::BertBase => "BERT-base".into(),
        other => other.to_string(),
    }
}

/// What such a network reads, in a table.
pub(crate) fn reads(kind: Kind) -> &'static str {
    match kind.reads_text() {
        true => "128 tokens",
        false => "224x224",
    }
}

/// The unit of its speed.
pub(crate) fn unit(kind: Kind) -> &'static str {
    match kind.reads_text() {
        true => "texts/s",
        false => "images/s",
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
    noise(shape.into(), name, count, seed)
}

/// Noise that a network with this input reads, seeded; labels in turn.
pub(crate) fn noise(
    input: Input,
    name: &str,
    count: usize,
    seed: usize,
) -> Result<DataSet, Box<dyn Error>> {
    let mut word = seed as u64 + 1;
    let mut next = || {
        // A linear congruential generator is random enough for timing.
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        word
    };
    let samples = match input {
        Input::Images(shape) => {
            let pixels = (0..count * shape.len()).map(|_| (next() >> 56) as u8);
            Samples::Images {
                shape,
                pixels: pixels.collect(),
            }
        }
        Input::Text(TextShape { vocabulary, length }) => {
            // Token 0 fills texts up.
            let mut token = || 1 + (next() >> 32) as u32 % (vocabulary as u32 - 1);
            let mut text = || -> Vec<u32> { (0..length).map(|_| token()).collect() };
            let sequences = (0..count).map(|_| text()).collect();
            Samples::Tokens {
                vocabulary,
                sequences,
            }
        }
        Input::Features(_) => return Err("features are made by a network".into()),
    };
    Ok(DataSet::new(
        name,
        samples,
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
