//! Networks cut at their penultimate layer say what whole networks say, before a correction of that
//! layer and after it.

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_nets::{
    Architecture, Compute, Entrances, Input, Kind, Network, Penultimate, Preprocessing, StateDict,
    TextShape, capture, initial_state,
};
use fiun::{Correction, Matrix};

const COUNT: usize = 5;

fn samples(input: Input) -> DataSet {
    let kept = match input {
        Input::Images(shape) => Samples::Images {
            shape,
            pixels: (0..COUNT * shape.len())
                .map(|i| ((i * 31 + i / 7) % 256) as u8)
                .collect(),
        },
        Input::Text(TextShape { vocabulary, length }) => Samples::Tokens {
            vocabulary,
            sequences: (0..COUNT)
                .map(|i| {
                    (0..length - i)
                        .map(|j| (1 + (i * 31 + j * 7) % (vocabulary - 1)) as u32)
                        .collect()
                })
                .collect(),
        },
        Input::Features(_) => panic!("features have no penultimate layer"),
    };
    DataSet::new(
        "pattern",
        kept,
        vec![0; COUNT],
        vec!["a".into()],
        (0..COUNT).map(|i| i.to_string()).collect(),
    )
    .unwrap()
}

fn input(kind: Kind) -> Input {
    if kind.reads_text() {
        return Input::Text(TextShape {
            vocabulary: 30,
            length: 8,
        });
    }
    // Small, but with more than one position at the end of residual networks.
    let side = match kind {
        Kind::SmallCnn => 8,
        Kind::ResNet18 => 64,
        _ => 32,
    };
    Input::Images(ImageShape {
        channels: 3,
        height: side,
        width: side,
    })
}

fn features(architecture: &Architecture, state: &StateDict, set: &DataSet) -> Matrix {
    let network = Network::new(architecture, state, Compute::Cpu).unwrap();
    let preprocessing = Preprocessing::default();
    let captured = capture(&network, set, &preprocessing, &mut |_| {}).unwrap();
    captured.features
}

fn assert_close(found: &Matrix, expected: &Matrix, what: &str) {
    assert_eq!(found.rows(), expected.rows(), "{what}");
    assert_eq!(found.cols(), expected.cols(), "{what}");
    // Products of batches of other sizes add in another order: values are as sure as the largest one.
    let values = expected.values().iter();
    let largest = values.fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (found, expected) in found.values().iter().zip(expected.values()) {
        let close = (found - expected).abs() < 1e-4 * (1.0 + largest);
        assert!(
            close,
            "{what}: {found} instead of {expected}, the largest is {largest}"
        );
    }
}

#[test]
fn cut_networks_agree_with_whole_ones() {
    for (kind, layer) in [
        (Kind::SmallCnn, "fc1.weight"),
        (Kind::AlexNet32, "classifier.4.weight"),
        (Kind::ResNet18, "layer4.1.conv2.weight"),
        (
            Kind::DenseNet161,
            "features.denseblock4.denselayer24.conv2.weight",
        ),
        (Kind::VitB32, "encoder.layers.encoder_layer_11.mlp.3.weight"),
        (Kind::Lstm, "hidden.weight"),
        (Kind::GatedCnn, "hidden.weight"),
        (Kind::BertTiny, "bert.pooler.dense.weight"),
    ] {
        let architecture = Architecture::new(kind, input(kind), 4);
        let state = initial_state(&architecture, 1).unwrap();
        let set = samples(architecture.input);
        let cut = Penultimate::new(&architecture, &state);
        let cut = cut.unwrap().unwrap();
        assert_eq!(cut.weight(), layer);
        let preprocessing = Preprocessing::default();
        let activations = cut.run(&set, &preprocessing, &mut |_| {}).unwrap();
        assert_eq!(activations.samples(), COUNT);
        let before = cut.features(&activations, None).unwrap();
        assert_close(&before, &features(&architecture, &state, &set), layer);
        // The same from what enters the last block.
        let entrances = cut.entrances(&set, &preprocessing, &mut |_| {}).unwrap();
        let values = entrances.values().unwrap();
        let values = Matrix::new(values.rows(), values.cols(), values.values().to_vec());
        let again = Entrances::new(entrances.shape(), values.unwrap()).unwrap();
        let again = cut.features(&cut.behind(&again).unwrap(), None).unwrap();
        assert_close(&again, &before, layer);

        let (channels, depth) = (cut.scale().len(), activations.depth());
        let change = |i: usize| ((i * 37 % 101) as f32 / 101.0 - 0.5) * 0.1;
        let correction = Correction {
            weight: Matrix::new(channels, depth, (0..channels * depth).map(change).collect())
                .unwrap(),
            bias: (0..channels).map(change).collect(),
        };
        let after = cut.features(&activations, Some(&correction)).unwrap();
        assert_ne!(after, before, "{layer}");
        let mut edited = state.clone();
        edited.extend(cut.corrected(&state, &correction).unwrap());
        assert_close(&after, &features(&architecture, &edited, &set), layer);
    }
}

#[test]
fn what_the_layer_reads_and_writes_fits_its_weight() {
    let architecture = Architecture::new(Kind::ResNet18, input(Kind::ResNet18), 4);
    let state = initial_state(&architecture, 1).unwrap();
    let cut = Penultimate::new(&architecture, &state);
    let cut = cut.unwrap().unwrap();
    let set = samples(architecture.input);
    let activations = cut
        .run(&set, &Preprocessing::default(), &mut |_| {})
        .unwrap();
    assert_eq!(activations.positions(), 4);
    assert_eq!(activations.depth(), 512 * 9);
    let picked = activations.select(&[3, 1]);
    let inputs = activations.inputs(1, 2).unwrap();
    assert_eq!(picked.inputs(1, 2).unwrap(), inputs);
    assert_eq!(inputs.rows(), 4);
    assert!(activations.inputs(4, 6).is_err());
    let means = activations.mean_inputs();
    assert_eq!([means.rows(), means.cols()], [COUNT, 512]);
}

#[test]
fn a_head_alone_has_no_penultimate_layer() {
    let architecture = Architecture::for_head("head", 3, 2);
    let state = initial_state(&architecture, 1).unwrap();
    assert!(Penultimate::new(&architecture, &state).unwrap().is_none());
}
