//! The last stage: where it is, that it sees what the network sees, and what a few steps over it do.

#[allow(dead_code)]
use std::collections::BTreeSet;

use disinherit_data::{DataSet, OpenOptions, open};
use disinherit_nets::{
    Compute, Kind, LastStage, Network, Preprocessing, RefineJob, RefineSettings, StateDict,
    TrainingConfig, TrainingJob, capture, initial_state, train,
};
use fiun::{Matrix, Separation, linear};

use crate::common::{architecture, close};

#[test]
fn it_begins_where_maps_change_their_size_for_the_last_time() {
    let tensors = |kind, channels, side| {
        let stage = LastStage::for_architecture(&architecture(kind, channels, side)).unwrap();
        stage.map(|stage| stage.tensors())
    };
    assert_eq!(
        tensors(Kind::SmallCnn, 1, 8).unwrap(),
        ["fc1.weight", "fc1.bias"]
    );
    let resnet = tensors(Kind::ResNet20, 3, 32).unwrap();
    assert!(resnet.iter().all(|name| name.starts_with("layer3.")));
    for name in [
        "layer3.0.conv1.weight",
        "layer3.0.downsample.0.weight",
        "layer3.2.bn2.bias",
    ] {
        assert!(resnet.iter().any(|known| known == name), "{name}");
    }
    // Batch norms keep their factors and their statistics.
    assert!(!resnet.iter().any(|name| name.contains("bn2.weight")));
    assert!(!resnet.iter().any(|name| name.contains("running")));
    // Dense connections have no stream that a layer writes whole.
    assert!(tensors(Kind::DenseNet161, 3, 32).is_none());
}

/// A small residual network that knows the digits, with samples of one of them and of the others.
struct Known {
    state: StateDict,
    forget: DataSet,
    retained: DataSet,
    stage: LastStage,
    network: disinherit_nets::Architecture,
}

const GONE: u32 = 3;

impl Known {
    fn new() -> Self {
        let splits = open("digits", &OpenOptions::default()).unwrap();
        let network = architecture(Kind::ResNet8, 1, 8);
        let config = TrainingConfig {
            learning_rate: 0.05,
            epochs: 4,
            batch_size: 32,
            ..TrainingConfig::default()
        };
        let job = TrainingJob {
            architecture: &network,
            state: &initial_state(&network, 5).unwrap(),
            set: &splits.train,
            rows: splits.train.labels(),
            preprocessing: &Preprocessing::default(),
            config: &config,
            frozen: &|_| false,
            compute: Compute::Cpu,
            seed: 3,
        };
        let state = train(&job, &mut |_| {}).unwrap().state;
        let of = |wanted: bool| {
            let labels = splits.train.labels().iter().enumerate();
            let picked = labels.filter(|(_, label)| (**label == GONE) == wanted);
            let places: Vec<usize> = picked.map(|(at, _)| at).take(600).collect();
            splits.train.select(&places)
        };
        Self {
            forget: of(true),
            retained: of(false),
            stage: LastStage::for_architecture(&network).unwrap().unwrap(),
            network,
            state,
        }
    }

    fn features(&self, state: &StateDict, set: &DataSet) -> Matrix {
        let preprocessing = Preprocessing::default();
        let entrances = self
            .stage
            .entrances(&self.state, set, &preprocessing, &mut |_| {});
        self.stage.features(state, &entrances.unwrap()).unwrap()
    }

    /// The refined weights of the stage, with this weight of the criterion.
    fn refined(&self, weight: f32, steps: usize) -> StateDict {
        let preprocessing = Preprocessing::default();
        let entrances = |set| {
            let run = self
                .stage
                .entrances(&self.state, set, &preprocessing, &mut |_| {});
            run.unwrap()
        };
        let rows = 0..self.forget.len() * 10;
        // Every sample is taken for an eight.
        let shares = rows.map(|at| f32::from(u8::from(at % 10 == 8))).collect();
        let job = RefineJob {
            state: &self.state,
            forget: &entrances(&self.forget),
            forget_rows: self.forget.labels(),
            shares: &Matrix::new(self.forget.len(), 10, shares).unwrap(),
            retained: &entrances(&self.retained),
            retained_rows: self.retained.labels(),
            gone: &BTreeSet::from([GONE]),
            keep: 0.7,
            seed: 1,
        };
        let refinement = self.stage.refinement(job).unwrap();
        let settings = RefineSettings {
            weight,
            steps,
            from: None,
        };
        let changed = refinement.run(settings, &mut || ()).unwrap();
        let again = refinement.run(settings, &mut || ()).unwrap();
        assert_eq!(changed, again, "it repeats itself");
        let no_more = RefineSettings {
            steps: 0,
            from: Some(&changed),
            ..settings
        };
        assert_eq!(refinement.run(no_more, &mut || ()).unwrap(), changed);
        let mut state = self.state.clone();
        state.extend(changed);
        state
    }

    fn separation(&self, state: &StateDict) -> f64 {
        let [f, r] = [&self.forget, &self.retained].map(|set| self.features(state, set));
        let fitted = Separation::fit(f.view(), r.view()).unwrap();
        fitted.criterion(f.view(), r.view()).unwrap().value
    }

    /// The share of retained samples that are named.
    fn named(&self, state: &StateDict) -> f64 {
        let features = self.features(state, &self.retained);
        let head = &state[&format!("{}.weight", self.network.head())];
        let weight = Matrix::new(10, features.cols(), head.values.clone()).unwrap();
        let bias = &state[&format!("{}.bias", self.network.head())].values;
        let logits = linear(features.view(), weight.view(), bias).unwrap();
        let labels = self.retained.labels().iter().enumerate();
        let right =
            labels.filter(|(at, label)| fiun::argmax(logits.view().row(*at)) == **label as usize);
        right.count() as f64 / self.retained.len() as f64
    }
}

#[test]
fn it_sees_what_the_network_sees_and_steps_make_a_class_less_distinct() {
    let known = Known::new();
    let network = Network::new(&known.network, &known.state, Compute::Cpu).unwrap();
    let seen = capture(
        &network,
        &known.forget,
        &Preprocessing::default(),
        &mut |_| {},
    )
    .unwrap();
    close(
        known.features(&known.state, &known.forget).values(),
        seen.features.values(),
        1e-4,
    );

    let (before, right) = (known.separation(&known.state), known.named(&known.state));
    assert!(right > 0.9, "{right}");
    let targets = known.refined(0.0, 40);
    let refined = known.refined(0.4, 40);
    let after = known.separation(&refined);
    assert!(after < 0.7 * before, "{before} {after}");
    assert!(after < known.separation(&targets));
    assert!(known.named(&refined) > right - 0.03);
    // Nothing but the stage has changed.
    let names: BTreeSet<String> = known.stage.tensors().into_iter().collect();
    for (name, array) in &known.state {
        assert_eq!(refined[name] != *array, names.contains(name), "{name}");
    }
}
