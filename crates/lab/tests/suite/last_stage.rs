//! Steps over the last stage: taken where the edit of one layer leaves a class as easy to find as before, and only
//! where they may be.

use std::collections::BTreeSet;
use std::sync::Arc;

use disinherit::registry::{LossBound, ModelOutcome, Registry};
use disinherit::{Engine, Fiun, FiunOptions, RunOptions};
use disinherit_data::{DataSet, Samples, Splits};
use disinherit_lab::{Recipe, grow};
use umig::{Forget, Request, Task};

use crate::common::digits;

const RECIPE: &str = r#"
name = "hard"
seed = 1
[data]
source = "digits"
clients = 1
[forget]
classes = ["3"]
from = ["u0"]
[network]
architecture = "resnet-8"
[training]
learning_rate = 0.05
momentum = 0.9
schedule = "cosine"
epochs = 4
batch_size = 64
[[model]]
name = "u0"
client = 1
"#;

/// Every digit this often, each time moved and with noise over it.
const COPIES: usize = 8;

/// A class that nothing tells from the others at once: digits that are moved by up to two pixels, two thirds
/// of each pixel noise.
fn hard(set: &DataSet) -> DataSet {
    let Samples::Images { shape, pixels } = set.samples() else {
        panic!("digits are images");
    };
    let (each, mut word) = (shape.len(), 1u64);
    let mut draw = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (word >> 40) as usize
    };
    let (mut moved, mut labels, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for copy in 0..COPIES {
        for (at, image) in pixels.chunks_exact(each).enumerate() {
            let by = [draw() % 3, draw() % 3];
            for y in 0..shape.height {
                for x in 0..shape.width {
                    let from = [y + by[0], x + by[1]].map(|at| at.checked_sub(1));
                    let value = match from {
                        [Some(y), Some(x)] if y < shape.height && x < shape.width => {
                            usize::from(image[y * shape.width + x])
                        }
                        _ => 0,
                    };
                    moved.push(((value + 2 * (draw() % 256)) / 3) as u8);
                }
            }
            labels.push(set.labels()[at]);
            ids.push(format!("{}/{copy}", set.ids()[at]));
        }
    }
    let samples = Samples::Images {
        shape: *shape,
        pixels: moved,
    };
    DataSet::new("hard", samples, labels, set.label_names().to_vec(), ids).unwrap()
}

fn splits() -> Splits {
    let splits = digits();
    Splits {
        train: hard(&splits.train),
        heldout: hard(&splits.heldout),
    }
}

fn grown(splits: &Splits) -> Engine<'_> {
    let registry = Arc::new(Registry::in_memory().unwrap());
    let engine = Engine::new(registry).with_feature_cache(0);
    let engine = engine.with_data(splits);
    grow(&engine, &Recipe::parse(RECIPE).unwrap(), &splits.train).unwrap();
    engine
}

/// Whether steps are planned, what is done, and what is warned of.
fn forgotten(engine: &Engine<'_>, options: FiunOptions) -> (bool, ModelOutcome, Vec<String>) {
    let request = Request::new(Forget::classes(["3"]));
    let run = RunOptions {
        dry_run: true,
        loss: LossBound::UNLIMITED,
        ..RunOptions::default()
    };
    let method = Fiun::new(options);
    let prepared = engine.prepare(&request, &method, run).unwrap();
    let planned = prepared.plan().tasks().any(|task| match task {
        Task::Edit {
            last_stage_steps, ..
        } => *last_stage_steps == Some(104),
        _ => false,
    });
    let mut done = prepared.run().unwrap().unlearned;
    assert_eq!(done.models.len(), 1);
    (planned, done.models.pop().unwrap(), done.warnings)
}

#[test]
fn steps_follow_where_one_layer_leaves_a_class_as_easy_to_find() {
    let splits = splits();
    let engine = grown(&splits);
    let (planned, outcome, _) = forgotten(&engine, FiunOptions::default());
    let inner = outcome.inner.as_ref().unwrap();
    let refined = inner.refined.as_ref().unwrap();
    let [before, one, now] = refined.separation;
    assert!(planned);
    assert!(one > 0.78 * before, "{refined:?}");
    assert!((0.54..=0.66).contains(&(now / before)), "{refined:?}");
    // What enters the last layer, which the edit of that layer cannot change, tells less too: about as much is aimed at.
    let [before, now] = refined.inner.unwrap().separation;
    assert!((0.4..=0.78).contains(&(now / before)), "{refined:?}");
    assert!(refined.steps >= 40 && refined.steps <= 104, "{refined:?}");
    // The stage and the head, and nothing below.
    let changed = outcome.tensors.iter().filter(|(_, s)| s.changed > 0);
    let changed: BTreeSet<&str> = changed.map(|(name, _)| name.as_str()).collect();
    assert!(changed.contains("layer3.0.conv1.weight"), "{changed:?}");
    let within = |name: &&&str| name.starts_with("layer3.") || name.starts_with("fc.");
    assert_eq!(
        changed.iter().filter(within).count(),
        changed.len(),
        "{changed:?}"
    );
    assert_eq!(inner.trials.last().unwrap().forget, 0.0);
}

#[test]
fn none_follow_where_they_may_not() {
    let splits = splits();
    let engine = grown(&splits);
    let never = FiunOptions {
        last_stage: false,
        ..FiunOptions::default()
    };
    let ridge = FiunOptions {
        ridge: Some(0.04),
        ..FiunOptions::default()
    };
    for options in [never, ridge] {
        let (planned, outcome, _) = forgotten(&engine, options);
        let inner = outcome.inner.unwrap();
        assert!(!planned && inner.refined.is_none() && inner.one_layer_only.is_none());
        assert_eq!(inner.layer.as_deref(), Some("layer3.0.conv2.weight"));
    }
}

/// What a model may lose binds the steps too: where they cost more than the edit of one layer, that stays, and why is
/// told. More training makes this model better, so that the bound is a gain.
#[test]
fn steps_that_would_cost_too_much_are_not_taken() {
    let splits = splits();
    let engine = grown(&splits);
    let bounds = (10..20).map(|tenths| f64::from(-tenths) / 1000.0);
    let edits = bounds.map(|target_loss| {
        let options = FiunOptions {
            target_loss,
            ..FiunOptions::default()
        };
        forgotten(&engine, options)
    });
    let stayed = |(_, outcome, _): &(bool, ModelOutcome, Vec<String>)| {
        outcome.inner.as_ref().is_some_and(|i| i.refined.is_none())
    };
    let mut edits = edits.filter(stayed);
    let (planned, outcome, warnings) = edits.next().unwrap();
    let inner = outcome.inner.unwrap();
    assert_eq!(inner.layer.as_deref(), Some("layer3.0.conv2.weight"));
    let why = inner.one_layer_only.unwrap();
    assert!(
        planned && why.contains("points of retained accuracy"),
        "{why}"
    );
    let told =
        |words: &&String| words.contains("only one layer below its head") && words.ends_with(&why);
    assert_eq!(warnings.iter().filter(told).count(), 1, "{warnings:?}");
}
