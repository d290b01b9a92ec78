//! Recorded values, weights and samples from formulas.

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_nets::{Architecture, Array, Input, Kind, Op, StateDict, TextShape};
use safetensors::SafeTensors;

/// What `fixtures/make.py` recorded in `networks` and `fixtures/residual.py` in `residual`.
pub fn recorded(file: &str, name: &str) -> Vec<f32> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let bytes = std::fs::read(format!("{folder}/{file}.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let word = |chunk: &[u8]| f32::from_le_bytes(chunk.try_into().unwrap());
    file.tensor(name)
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(word)
        .collect()
}

/// The same numbers as `formula` in fixtures/patterns.py.
pub fn formula_state(architecture: &Architecture) -> StateDict {
    let tensors = architecture
        .program()
        .unwrap()
        .iter()
        .flat_map(Op::tensors)
        .collect::<Vec<_>>();
    let one = |(name, shape): (String, Vec<usize>)| {
        let phase = f64::from(name.bytes().map(u32::from).sum::<u32>() % 97);
        let fan = shape[1..].iter().product::<usize>() as f64;
        let value = |i: usize| {
            let wave = (i as f64 * 0.37 + phase).sin();
            if name.ends_with("running_var") {
                1.0 + 0.5 * wave * wave
            } else if name.ends_with("running_mean") || name.ends_with("bias") {
                0.1 * wave
            } else if shape.len() == 1 {
                1.0 + 0.1 * wave
            } else {
                wave * (2.0 / fan).sqrt()
            }
        };
        let count = shape.iter().product();
        let values = (0..count).map(|i| value(i) as f32).collect();
        (name, Array { shape, values })
    };
    tensors.into_iter().map(one).collect()
}

pub fn images(count: usize, shape: ImageShape) -> DataSet {
    let pixels = (0..count * shape.len())
        .map(|i| ((i * 31 + 7) % 256) as u8)
        .collect();
    DataSet::new(
        "pattern",
        Samples::Images { shape, pixels },
        (0..count as u32).map(|i| i % 10).collect(),
        (0..10).map(|i| i.to_string()).collect(),
        (0..count).map(|i| i.to_string()).collect(),
    )
    .unwrap()
}

/// Sequences of different lengths, the same as `tokens` in fixtures/make.py.
fn texts(count: usize, shape: TextShape) -> DataSet {
    let TextShape { vocabulary, length } = shape;
    let token = |i: usize, j: usize| (1 + (i * 31 + j * 7) % (vocabulary - 1)) as u32;
    let sequences = (0..count)
        .map(|i| (0..length - 3 * (i % 4)).map(|j| token(i, j)).collect())
        .collect();
    DataSet::new(
        "pattern",
        Samples::Tokens {
            vocabulary,
            sequences,
        },
        (0..count as u32).map(|i| i % 10).collect(),
        (0..10).map(|i| i.to_string()).collect(),
        (0..count).map(|i| i.to_string()).collect(),
    )
    .unwrap()
}

pub fn samples(count: usize, input: Input) -> DataSet {
    match input {
        Input::Images(shape) => images(count, shape),
        Input::Text(shape) => texts(count, shape),
        Input::Features(shape) => features(count, shape),
    }
}

fn features(count: usize, shape: disinherit_nets::FeatureShape) -> DataSet {
    let width = shape.features;
    let table = disinherit_data::FeatureTable {
        models: Vec::new(),
        width,
        values: (0..count * width)
            .map(|n| (n % 17) as f32 / 8.0 - 1.0)
            .collect(),
        logits: Vec::new(),
    };
    let names = (0..10).map(|l| l.to_string()).collect();
    let ids = (0..count).map(|i| i.to_string()).collect();
    let labels = (0..count).map(|i| (i % 10) as u32).collect();
    DataSet::new(
        "features",
        Samples::Features(vec![table]),
        labels,
        names,
        ids,
    )
    .unwrap()
}

pub fn architecture(kind: Kind, channels: usize, side: usize) -> Architecture {
    let input = if kind.reads_text() {
        Input::Text(TextShape {
            vocabulary: 50,
            length: 12,
        })
    } else {
        Input::Images(ImageShape {
            channels,
            height: side,
            width: side,
        })
    };
    Architecture {
        kind,
        input,
        classes: 10,
        head: None,
    }
}

pub fn close(ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(1.0f32, |top, v| top.max(v.abs()));
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * scale,
            "{index}: {a} against {b}"
        );
    }
}
