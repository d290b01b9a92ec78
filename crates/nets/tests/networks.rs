//! The networks and the optimizers against recorded PyTorch values; training; refusals.
#![allow(clippy::unwrap_used, missing_docs)]

use disinherit_data::{DataSet, ImageShape, OpenOptions, Samples, open};
use disinherit_nets::{
    Architecture, Array, Compute, Input, Kind, NetError, Network, Op, Optimizer, Preprocessing,
    Schedule, StateDict, TextShape, TrainingConfig, TrainingJob, capture, initial_state, train,
};
use safetensors::SafeTensors;

fn recorded(name: &str) -> Vec<f32> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/networks.safetensors"
    );
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let word = |chunk: &[u8]| f32::from_le_bytes(chunk.try_into().unwrap());
    file.tensor(name)
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(word)
        .collect()
}

/// The same numbers as `formula` in fixtures/make.py.
fn formula_state(architecture: &Architecture) -> StateDict {
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

fn images(count: usize, shape: ImageShape) -> DataSet {
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

fn samples(count: usize, input: Input) -> DataSet {
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

fn architecture(kind: Kind, channels: usize, side: usize) -> Architecture {
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

fn close(ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(1.0f32, |top, v| top.max(v.abs()));
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * scale,
            "{index}: {a} against {b}"
        );
    }
}

#[test]
fn networks_are_those_of_pytorch() {
    for (kind, count, channels, side) in [
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
    ] {
        let architecture = architecture(kind, channels, side);
        let state = formula_state(&architecture);
        let set = samples(count, architecture.input);
        for compute in [Compute::Cpu, Compute::Flex] {
            let network = Network::new(&architecture, &state, compute).unwrap();
            let captured = capture(&network, &set, &Preprocessing::default(), &mut |_| {}).unwrap();
            close(
                captured.logits.values(),
                &recorded(&format!("{kind}.logits")),
                1e-4,
            );
            close(
                captured.features.values(),
                &recorded(&format!("{kind}.features")),
                1e-4,
            );
        }
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
        (Kind::AlexNet32, 32),
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

#[test]
fn optimizers_step_as_pytorchs() {
    for (name, optimizer, learning_rate) in [
        ("sgd", Optimizer::Sgd, 0.05),
        ("adam", Optimizer::Adam, 0.01),
    ] {
        let architecture = architecture(Kind::SmallCnn, 1, 8);
        let set = samples(6, architecture.input);
        let config = TrainingConfig {
            optimizer,
            learning_rate,
            epochs: 3,
            batch_size: 6,
            ..TrainingConfig::default()
        };
        let state = formula_state(&architecture);
        let trained = run(&architecture, &state, &set, &config, &|_| false).unwrap();
        close(
            &trained["fc2.weight"].values,
            &recorded(&format!("{name}.weight")),
            2e-4,
        );
        close(
            &trained["conv1.weight"].values,
            &recorded(&format!("{name}.conv")),
            2e-4,
        );
    }
}

fn run(
    architecture: &Architecture,
    state: &StateDict,
    set: &DataSet,
    config: &TrainingConfig,
    frozen: &dyn Fn(&str) -> bool,
) -> Result<StateDict, NetError> {
    let job = TrainingJob {
        architecture,
        state,
        set,
        rows: set.labels(),
        preprocessing: &Preprocessing::default(),
        config,
        frozen,
        compute: Compute::Cpu,
        seed: 3,
    };
    train(&job, &mut |_| {}).map(|trained| trained.state)
}

#[test]
fn training_learns_and_repeats_itself() {
    let splits = open("digits", &OpenOptions::default()).unwrap();
    let architecture = architecture(Kind::SmallCnn, 1, 8);
    let fresh = initial_state(&architecture, 5).unwrap();
    let set = splits.train.sample(600, 1);
    let config = TrainingConfig {
        learning_rate: 0.05,
        epochs: 6,
        batch_size: 32,
        schedule: Schedule::Cosine,
        ..TrainingConfig::default()
    };
    let first = run(&architecture, &fresh, &set, &config, &|_| false).unwrap();
    let second = run(&architecture, &fresh, &set, &config, &|_| false).unwrap();
    assert_eq!(first, second, "the same seed gives the same weights");

    let network = Network::new(&architecture, &first, Compute::Cpu).unwrap();
    let captured = capture(
        &network,
        &splits.heldout,
        &Preprocessing::default(),
        &mut |_| {},
    )
    .unwrap();
    let predictions = captured.predictions();
    let right = predictions
        .iter()
        .zip(splits.heldout.labels())
        .filter(|(a, b)| a == b)
        .count();
    let accuracy = right as f64 / splits.heldout.len() as f64;
    assert!(accuracy > 0.85, "{accuracy}");
}

#[test]
fn frozen_tensors_stay_bit_for_bit() {
    let set = images(
        16,
        ImageShape {
            channels: 3,
            height: 32,
            width: 32,
        },
    );
    let architecture = architecture(Kind::ResNet18, 3, 32);
    let state = formula_state(&architecture);
    let config = TrainingConfig {
        epochs: 1,
        batch_size: 8,
        ..TrainingConfig::default()
    };
    let trained = run(&architecture, &state, &set, &config, &|name| {
        !name.starts_with("fc.")
    })
    .unwrap();
    for (name, array) in &state {
        assert_eq!(trained[name] == *array, !name.starts_with("fc."), "{name}");
    }
    let free = run(&architecture, &state, &set, &config, &|_| false).unwrap();
    assert_ne!(free["bn1.running_mean"], state["bn1.running_mean"]);
}

#[test]
fn bad_weights_and_settings_are_named() {
    let architecture = architecture(Kind::SmallCnn, 1, 8);
    let good = initial_state(&architecture, 1).unwrap();
    let refuse = |change: &dyn Fn(&mut StateDict)| {
        let mut state = good.clone();
        change(&mut state);
        architecture.check(&state).unwrap_err().to_string()
    };
    let missing = refuse(&|state| {
        state.remove("conv2.bias");
    });
    assert!(missing.contains("no tensor `conv2.bias`"), "{missing}");
    let shape = refuse(&|state| {
        state.insert("fc2.weight".into(), Array::filled(&[9, 64], 0.0));
    });
    assert_eq!(
        shape,
        "tensor `fc2.weight` is [9, 64], the architecture expects [10, 64]"
    );
    let nan = refuse(&|state| state.get_mut("fc1.weight").unwrap().values[5] = f32::NAN);
    assert!(nan.contains("`fc1.weight` holds NaN at index 5"), "{nan}");

    let set = samples(8, architecture.input);
    for config in [
        TrainingConfig {
            epochs: 0,
            ..TrainingConfig::default()
        },
        TrainingConfig {
            learning_rate: -1.0,
            ..TrainingConfig::default()
        },
        TrainingConfig {
            momentum: 1.0,
            ..TrainingConfig::default()
        },
    ] {
        assert!(matches!(
            run(&architecture, &good, &set, &config, &|_| false),
            Err(NetError::Training(_))
        ));
    }
    let wild = TrainingConfig {
        learning_rate: 1e12,
        ..TrainingConfig::default()
    };
    assert!(matches!(
        run(&architecture, &good, &set, &wild, &|_| false),
        Err(NetError::Diverged { .. })
    ));
    let other = images(
        2,
        ImageShape {
            channels: 3,
            height: 8,
            width: 8,
        },
    );
    let network = Network::new(&architecture, &good, Compute::Cpu).unwrap();
    let refused = capture(&network, &other, &Preprocessing::default(), &mut |_| {}).unwrap_err();
    assert!(
        refused.to_string().contains("the network reads 1x8x8"),
        "{refused}"
    );
    assert!(
        "resnet-19"
            .parse::<Kind>()
            .unwrap_err()
            .to_string()
            .contains("resnet-18")
    );
    let small = Architecture {
        input: other.image_shape().unwrap().into(),
        ..self::architecture(Kind::AlexNet, 3, 8)
    };
    assert!(
        small
            .program()
            .unwrap_err()
            .to_string()
            .contains("at least 63"),
        "too small"
    );
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
