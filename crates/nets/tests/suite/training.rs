//! Training: the optimizers against recorded PyTorch values, repetition, what stays frozen, refusals.

use disinherit_data::{DataSet, ImageShape, OpenOptions, open};
use disinherit_nets::{
    Architecture, Array, Augment, Compute, Kind, NetError, Network, Optimizer, Preprocessing,
    Schedule, StateDict, TrainingConfig, TrainingJob, capture, initial_state, train,
};

use crate::common::{architecture, close, formula_state, images, recorded, samples};

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
            &recorded("networks", &format!("{name}.weight")),
            2e-4,
        );
        close(
            &trained["conv1.weight"].values,
            &recorded("networks", &format!("{name}.conv")),
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

/// Two engines that share no code but the seed's draws take the same steps, dropout included: gradients of all layers
/// over sequences are those of automatic differentiation.
#[test]
fn sequences_are_trained_as_by_automatic_differentiation() {
    for kind in [Kind::Lstm, Kind::GatedCnn, Kind::BertTiny] {
        let architecture = architecture(kind, 0, 0);
        let set = samples(9, architecture.input);
        let config = TrainingConfig {
            learning_rate: 0.05,
            epochs: 2,
            batch_size: 4,
            ..TrainingConfig::default()
        };
        let state = initial_state(&architecture, 5).unwrap();
        let trained = |compute, frozen: &dyn Fn(&str) -> bool| {
            let job = TrainingJob {
                architecture: &architecture,
                state: &state,
                set: &set,
                rows: set.labels(),
                preprocessing: &Preprocessing::default(),
                config: &config,
                frozen,
                compute,
                seed: 3,
            };
            train(&job, &mut |_| {}).unwrap().state
        };
        let ours = trained(Compute::Cpu, &|_| false);
        for (name, theirs) in trained(Compute::Flex, &|_| false) {
            let ours = &ours[&name].values;
            let moved = ours.iter().zip(&state[&name].values);
            let moved = moved.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            for (at, (a, b)) in ours.iter().zip(&theirs.values).enumerate() {
                let off = (a - b).abs();
                assert!(
                    off <= 1e-6 + 0.01 * moved,
                    "{kind} {name} {at}: {a} {b}, of {moved}"
                );
            }
        }
        let head = trained(Compute::Cpu, &|name| !name.starts_with(architecture.head()));
        let changed = head.iter().filter(|(name, array)| **array != state[*name]);
        let changed: Vec<&String> = changed.map(|(name, _)| name).collect();
        assert_eq!(changed.len(), 2, "{kind} {changed:?}");
    }
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

/// Sums over samples are made in the same parts however many threads there are.
#[test]
fn the_number_of_threads_does_not_matter() {
    let splits = open("digits", &OpenOptions::default()).unwrap();
    let narrow = architecture(Kind::ResNet8, 1, 8);
    // Has layers whose kernels are cut into parts instead of the samples.
    let wide = architecture(Kind::ResNet18, 3, 32);
    let images = samples(24, wide.input);
    for (network, set) in [(narrow, splits.train.sample(100, 1)), (wide, images)] {
        let fresh = initial_state(&network, 5).unwrap();
        let config = TrainingConfig {
            epochs: 1,
            batch_size: set.len().div_ceil(2),
            ..TrainingConfig::default()
        };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let train = || run(&network, &fresh, &set, &config, &|_| false).unwrap();
            pool.build().unwrap().install(train)
        };
        let one = with(1);
        for threads in [2, 5] {
            assert_eq!(one, with(threads), "{threads}");
        }
    }
}

#[test]
fn random_changes_repeat_themselves() {
    let splits = open("digits", &OpenOptions::default()).unwrap();
    let architecture = architecture(Kind::ResNet8, 1, 8);
    let fresh = initial_state(&architecture, 5).unwrap();
    let set = splits.train.sample(60, 1);
    let crops = Augment {
        crop: 1,
        flip: false,
    };
    let [none, standard, cropped] = [Augment::NONE, Augment::STANDARD, crops].map(|augment| {
        let config = TrainingConfig {
            epochs: 1,
            batch_size: 16,
            augment,
            schedule: Schedule::OneCycle,
            ..TrainingConfig::default()
        };
        let train = || run(&architecture, &fresh, &set, &config, &|_| false).unwrap();
        let first = train();
        assert_eq!(first, train());
        first
    });
    assert_ne!(none, standard);
    assert_ne!(none, cropped);
    assert_ne!(standard, cropped);
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
