//! The last stage: where it is, that it sees what the network sees, and what a few steps over it do.

use std::collections::BTreeSet;

use disinherit_data::{DataSet, OpenOptions, open};
use disinherit_nets::{
    Compute, Kind, LastStage, LastViews, Network, Penultimate, Preprocessing, RefineJob,
    RefineSettings, StateDict, TrainingConfig, TrainingJob, capture, initial_state, train,
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

    fn views(&self, state: &StateDict, set: &DataSet) -> LastViews {
        let preprocessing = Preprocessing::default();
        let entrances = self
            .stage
            .entrances(&self.state, set, &preprocessing, &mut |_| {});
        self.stage.views(state, &entrances.unwrap()).unwrap()
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
            weights: [weight; 2],
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

    /// Fisher's criterion of the features, and of what enters the penultimate layer.
    fn separations(&self, state: &StateDict) -> [f64; 2] {
        let of = |f: &Matrix, r: &Matrix| {
            let fitted = Separation::fit(f.view(), r.view()).unwrap();
            fitted.criterion(f.view(), r.view()).unwrap().value
        };
        let [f, r] = [&self.forget, &self.retained].map(|set| self.views(state, set));
        [
            of(&f.features, &r.features),
            of(&f.inner.unwrap(), &r.inner.unwrap()),
        ]
    }

    /// The share of retained samples that are named.
    fn named(&self, state: &StateDict) -> f64 {
        let features = self.views(state, &self.retained).features;
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
    let views = known.views(&known.state, &known.forget);
    close(views.features.values(), seen.features.values(), 1e-4);
    let penultimate = Penultimate::new(&known.network, &known.state)
        .unwrap()
        .unwrap();
    let read = penultimate.run(&known.forget, &Preprocessing::default(), &mut |_| {});
    let read = read.unwrap().mean_inputs();
    close(views.inner.unwrap().values(), read.values(), 1e-4);

    let (before, right) = (known.separations(&known.state), known.named(&known.state));
    assert!(right > 0.9, "{right}");
    let targets = known.separations(&known.refined(0.0, 40));
    let refined = known.refined(0.4, 40);
    let after = known.separations(&refined);
    for at in 0..2 {
        assert!(after[at] < 0.7 * before[at], "{before:?} {after:?}");
        assert!(after[at] < targets[at], "{targets:?} {after:?}");
    }
    assert!(known.named(&refined) > right - 0.03);
    // Nothing but the stage has changed.
    let names: BTreeSet<String> = known.stage.tensors().into_iter().collect();
    for (name, array) in &known.state {
        assert_eq!(refined[name] != *array, names.contains(name), "{name}");
    }
}

#[test]
fn what_enters_a_layer_counts_only_where_the_stage_changes_it() {
    let network = architecture(Kind::SmallCnn, 1, 8);
    let stage = LastStage::for_architecture(&network).unwrap().unwrap();
    let set = open("digits", &OpenOptions::default()).unwrap().train;
    let set = set.select(&[0, 1, 2]);
    let state = initial_state(&network, 5).unwrap();
    let entrances = stage.entrances(&state, &set, &Preprocessing::default(), &mut |_| {});
    let views = stage.views(&state, &entrances.unwrap()).unwrap();
    assert!(views.inner.is_none());
    assert_eq!(views.features.rows(), 3);
}
