//! ONNX graphs, run up to their heads, against what PyTorch says (recorded by `fixtures/make.py`).
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_formats::{FileFormat, open, up_to_head};
use disinherit_nets::{GraphNetwork, NetError, Preprocessing};

fn network(name: &str) -> GraphNetwork {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let bundle = open(&path).unwrap();
    let FileFormat::Onnx(form) = &bundle.format.files[0].format else {
        panic!("{name} is no ONNX file");
    };
    let file = std::fs::read(&path).unwrap();
    let bytes = up_to_head(&file, &form.features, &BTreeMap::new()).unwrap();
    GraphNetwork::new(bytes, form.inputs.clone(), &form.features).unwrap()
}

fn set(samples: Samples) -> DataSet {
    let ids = (0..3).map(|n| n.to_string()).collect();
    DataSet::new("three", samples, vec![0; 3], vec!["a".into()], ids).unwrap()
}

fn texts() -> DataSet {
    set(Samples::Tokens {
        vocabulary: 20,
        sequences: vec![vec![1, 2, 3], vec![4, 5], vec![6]],
    })
}

fn images(side: usize) -> DataSet {
    let shape = ImageShape {
        channels: 1,
        height: side,
        width: side,
    };
    set(Samples::Images {
        shape,
        pixels: (0..3 * side * side).map(|n| (n * 5) as u8).collect(),
    })
}

fn features(name: &str, set: &DataSet) -> Result<Vec<f32>, NetError> {
    let mut done = 0;
    let made = network(name).features(set, &Preprocessing::default(), &mut |n| done += n);
    made.map(|matrix| {
        assert_eq!((matrix.rows(), done), (3, 3));
        matrix.into_values()
    })
}

fn close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= 1e-5, "{ours:?} {theirs:?}");
    }
}

#[test]
fn texts_are_masked_and_padded() {
    let expected = [
        0.3110524, 0.2829863, 0.1397183, 0.2634081, 0.2243095, -0.4107882, 0.1834024, 0.3628481,
        -0.0792793, -0.582612, 0.0680158, 0.0032023,
    ];
    close(&features("text.onnx", &texts()).unwrap(), &expected);
}

#[test]
fn a_fixed_batch_is_filled_up() {
    // The graph insists on two images at a time; there are three.
    let expected = [1.0017663, 0.0, 0.2703293, 0.0, 0.0, 0.1572918];
    close(
        &features("fixed-batch.onnx", &images(4)).unwrap(),
        &expected,
    );
}

#[test]
fn samples_must_fit_the_inputs() {
    for (name, set, words) in [
        ("text.onnx", images(4), "reads `input_ids`"),
        ("fixed-batch.onnx", texts(), "has tokens"),
        (
            "fixed-batch.onnx",
            images(3),
            "the images of `three` are 1x3x3",
        ),
    ] {
        let said = features(name, &set).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
    assert!(GraphNetwork::new(b"no graph".to_vec(), Vec::new(), "x").is_err());
}
