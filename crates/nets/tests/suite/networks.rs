//! The networks against recorded PyTorch values; batches of any size; heads alone.

use disinherit_data::{DataSet, ImageShape};
use disinherit_nets::{Architecture, Compute, Kind, Network, Preprocessing, capture};

use crate::common::{architecture, close, formula_state, images, recorded, samples};

#[test]
fn networks_are_those_of_pytorch() {
    let networks = [
        (Kind::SmallCnn, 3, 1, 8),
        (Kind::AlexNet32, 3, 3, 32),
        (Kind::AlexNet, 2, 3, 64),
        (Kind::ResNet18, 3, 3, 32),
        (Kind::DenseNet161, 2, 3, 64),
        (Kind::Vgg16, 2, 3, 32),
        (Kind::VitB32, 2, 3, 64),
        (Kind::Lstm, 3, 0, 0),
        (Kind::GatedCnn, 3, 0, 0),
        (Kind::BertTiny, 3, 0, 0),
    ];
    for (kind, count, channels, side) in networks {
        is_that_of_pytorch("networks", &architecture(kind, channels, side), count);
    }
}

#[test]
fn small_residual_networks_are_those_of_pytorch() {
    for (kind, count, channels, side) in [
        (Kind::ResNet18_32, 2, 3, 16),
        (Kind::ResNet20, 3, 3, 32),
        (Kind::ResNet8, 3, 1, 8),
    ] {
        is_that_of_pytorch("residual", &architecture(kind, channels, side), count);
    }
}

fn is_that_of_pytorch(file: &str, architecture: &Architecture, count: usize) {
    let state = formula_state(architecture);
    let set = samples(count, architecture.input);
    for compute in [Compute::Cpu, Compute::Flex] {
        let network = Network::new(architecture, &state, compute).unwrap();
        let captured = capture(&network, &set, &Preprocessing::default(), &mut |_| {}).unwrap();
        let recorded = |what: &str| recorded(file, &format!("{}.{what}", architecture.kind));
        close(captured.logits.values(), &recorded("logits"), 1e-4);
        close(captured.features.values(), &recorded("features"), 1e-4);
    }
}

#[test]
fn heads_alone_are_products() {
    let architecture = Architecture::for_head("last.layer", 6, 10);
    let state = formula_state(&architecture);
    assert!(state.contains_key("last.layer.weight"));
    let set = samples(37, architecture.input);
    let table = set.features_of("anybody").unwrap();
    let (weight, bias) = (
        &state["last.layer.weight"].values,
        &state["last.layer.bias"].values,
    );
    let expected: Vec<f32> = table
        .values
        .chunks_exact(6)
        .flat_map(|h| {
            let row = move |w: &[f32]| w.iter().zip(h).map(|(w, h)| w * h).sum::<f32>();
            weight
                .chunks_exact(6)
                .zip(bias)
                .map(move |(w, b)| row(w) + b)
        })
        .collect();
    for compute in [Compute::Cpu, Compute::Flex] {
        let network = Network::new(&architecture, &state, compute).unwrap();
        let captured = capture(&network, &set, &Preprocessing::default(), &mut |_| {}).unwrap();
        close(captured.logits.values(), &expected, 1e-5);
        assert_eq!(captured.features.values(), &table.values[..]);
    }
    let network = Network::new(&architecture, &state, Compute::Cpu).unwrap();
    let images = images(
        3,
        ImageShape {
            channels: 1,
            height: 2,
            width: 3,
        },
    );
    let refused = capture(&network, &images, &Preprocessing::default(), &mut |_| {});
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("the network reads features")
    );
}

#[test]
fn features_do_not_depend_on_the_rest_of_the_batch() {
    for (kind, side) in [
        (Kind::SmallCnn, 8),
        (Kind::ResNet18, 32),
        (Kind::ResNet8, 8),
        (Kind::AlexNet32, 32),
        (Kind::Lstm, 0),
        (Kind::GatedCnn, 0),
        (Kind::BertTiny, 0),
    ] {
        let architecture = architecture(kind, 3, side);
        let state = formula_state(&architecture);
        let network = Network::new(&architecture, &state, Compute::Cpu).unwrap();
        let set = samples(150, architecture.input);
        let run =
            |set: &DataSet| capture(&network, set, &Preprocessing::default(), &mut |_| {}).unwrap();
        let whole = run(&set);
        for range in [0..1, 5..8, 10..27, 0..140] {
            let indices: Vec<usize> = range.collect();
            let part = run(&set.select(&indices));
            assert!(
                part.features == whole.features.select_rows(&indices),
                "{kind}"
            );
            assert!(part.logits == whole.logits.select_rows(&indices), "{kind}");
        }
    }
}

/// Images as large as torchvision's own, in batches that the host makes smaller.
#[test]
fn large_images_give_the_same_alone_and_together() {
    let architecture = architecture(Kind::ResNet18, 3, 224);
    let state = formula_state(&architecture);
    let set = samples(18, architecture.input);
    let run = |set: &DataSet, compute| {
        let network = Network::new(&architecture, &state, compute).unwrap();
        capture(&network, set, &Preprocessing::default(), &mut |_| {}).unwrap()
    };
    let whole = run(&set, Compute::Cpu);
    let one = set.select(&[17]);
    let alone = run(&one, Compute::Cpu);
    assert!(alone.features == whole.features.select_rows(&[17]));
    let burn = run(&one, Compute::Flex);
    close(alone.logits.values(), burn.logits.values(), 1e-4);
}
