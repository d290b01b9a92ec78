//! Edits below the head: what they change, what they keep, and when they keep to the outputs.

use std::sync::Arc;

use disinherit::cards::{FisherOptions, compute_cards};
use disinherit::evaluation::{Depth, Evaluator, Verdicts};
use disinherit::registry::{Basis, LossBound, Registry};
use disinherit::{EditDepth, Engine, Fiun, FiunOptions, LoadedModel, RunOptions, Unlearned};
use disinherit_data::Splits;
use disinherit_lab::{Recipe, grow};
use umig::{Forget, ModelId, Request};

use crate::common::digits;

/// A root that never saw the class, and a model that inherited from one that did.
const RECIPE: &str = r#"
name = "small"
seed = 1
[data]
source = "digits"
clients = 2
[forget]
classes = ["3"]
from = ["r1"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-3
schedule = "cosine"
epochs = 60
batch_size = 16
[[model]]
name = "d"
client = 2
without_forgotten = true
[[model]]
name = "r1"
client = 1
parents = ["d"]
[[model]]
name = "r2"
client = 2
parents = ["r1"]
"#;

fn engine(registry: &Arc<Registry>) -> Engine<'static> {
    Engine::new(Arc::clone(registry)).with_feature_cache(0)
}

fn grown(splits: &Splits, recipe: &str) -> Arc<Registry> {
    let registry = Arc::new(Registry::in_memory().unwrap());
    let engine = engine(&registry);
    let engine = engine.with_data(splits);
    grow(&engine, &Recipe::parse(recipe).unwrap(), &splits.train).unwrap();
    registry
}

fn forget(engine: &Engine<'_>, options: FiunOptions) -> Unlearned {
    let request = Request::new(Forget::classes(["3"]));
    // What an edit may cost has tests of its own.
    let run = RunOptions {
        loss: LossBound::UNLIMITED,
        ..RunOptions::default()
    };
    let method = Fiun::new(options);
    let prepared = engine.prepare(&request, &method, run);
    prepared.unwrap().run().unwrap().unlearned
}

fn features() -> FiunOptions {
    FiunOptions {
        depth: EditDepth::Features,
        target_loss: 0.02,
        ..FiunOptions::default()
    }
}

/// The verdicts on a version, by the samples of the version before.
fn verdicts(engine: &Engine<'_>, before: &ModelId, version: &ModelId) -> Verdicts {
    let classes = Forget::classes(["3"]);
    let evaluator = Evaluator::new(engine, &classes, Depth::QUICK).unwrap();
    let graph = engine.registry().graph().unwrap();
    let set = evaluator.evaluation_set(&graph, before).unwrap();
    let model = LoadedModel::open(engine.registry(), &graph, version).unwrap();
    let state = model.state(engine.registry()).unwrap();
    let seen = evaluator.observe(&set, &state).unwrap();
    evaluator.verdicts(&set, &state, &seen, None, None).unwrap()
}

#[test]
fn features_forget_and_the_rest_is_kept() {
    let splits = digits();
    let registry = grown(&splits, RECIPE);
    let engine = engine(&registry).with_data(&splits);
    let done = forget(&engine, features());
    let root: ModelId = "d@1".parse().unwrap();
    assert_eq!(done.models.len(), 2);
    let mut fallen = Vec::new();
    for outcome in &done.models {
        let inner = outcome.inner.as_ref().unwrap();
        assert_eq!(inner.outputs_only, None, "{}", outcome.before);
        assert_eq!(inner.basis, Basis::Own);
        assert_eq!(inner.reference.as_ref(), Some(&root));
        assert_eq!(inner.layer.as_deref(), Some("fc1.weight"));
        let chosen = inner.trials.iter().find(|t| Some(t.ridge) == inner.ridge);
        assert_eq!(chosen.unwrap().forget, 0.0);
        // Nothing else is touched: the layer, its bias, the head.
        let changed: Vec<&str> = outcome
            .tensors
            .iter()
            .filter(|(_, selection)| selection.changed > 0)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            changed,
            ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]
        );

        let before = verdicts(&engine, &outcome.before, &outcome.before);
        let after = verdicts(&engine, &outcome.before, &outcome.after);
        assert_eq!(after.scores.forget.heldout, Some(0.0), "{}", outcome.before);
        let kept = [&before, &after].map(|v| v.scores.retain.heldout.unwrap());
        assert!(kept[1] >= kept[0] - 0.03, "{kept:?}");
        fallen.push(before.probe.unwrap() - after.probe.unwrap());
    }
    // Strength is chosen for each model, and a probe on 37 samples is unsure: the mean counts.
    let mean = fallen.iter().sum::<f64>() / fallen.len() as f64;
    assert!(mean > 0.02, "{fallen:?}");
}

#[test]
fn a_model_that_would_lose_too_much_keeps_to_its_outputs() {
    let splits = digits();
    let registry = grown(&splits, RECIPE);
    let engine = engine(&registry).with_data(&splits);
    // No edit gains accuracy by twenty points.
    let done = forget(
        &engine,
        FiunOptions {
            target_loss: -0.2,
            ..features()
        },
    );
    for outcome in &done.models {
        let inner = outcome.inner.as_ref().unwrap();
        let reason = inner.outputs_only.as_deref().unwrap();
        assert!(
            reason.contains("no strength forgets within the bound"),
            "{reason}"
        );
        assert_eq!(inner.basis, Basis::None);
        assert!(!outcome.tensors.contains_key("fc1.weight"));
        let warned = |w: &String| w.contains("outputs were edited");
        assert!(done.warnings.iter().any(warned));
    }
}

/// Cards of the touched models, made while there was data.
fn with_cards(splits: &Splits, activations: bool) -> Arc<Registry> {
    let registry = grown(splits, RECIPE);
    let knowing = engine(&registry).with_data(splits);
    let graph = registry.graph().unwrap();
    let open = |id: &str| LoadedModel::open(&registry, &graph, &id.parse().unwrap()).unwrap();
    let models = ["r1@1", "r2@1"].map(open);
    let options = FisherOptions {
        activations,
        ..FisherOptions::default()
    };
    assert_eq!(
        compute_cards(&knowing, &models, &options, false)
            .unwrap()
            .len(),
        2
    );
    registry
}

#[test]
fn without_data_or_statistics_the_outputs_are_edited_and_it_is_said() {
    let registry = with_cards(&digits(), false);
    let done = forget(&engine(&registry), features());
    for outcome in &done.models {
        let inner = outcome.inner.as_ref().unwrap();
        assert_eq!(
            inner.outputs_only.as_deref(),
            Some(
                "there is no data, and no activation statistics in its FIM card say what the class is \
                 like"
            )
        );
    }
}

#[test]
fn cards_alone_are_enough_for_features_to_forget() {
    let splits = digits();
    let registry = with_cards(&splits, true);
    let done = forget(&engine(&registry), features());
    let knowing = engine(&registry).with_data(&splits);
    let mut fallen = Vec::new();
    for outcome in &done.models {
        let inner = outcome.inner.as_ref().unwrap();
        assert_eq!(inner.outputs_only, None, "{}", outcome.before);
        assert_eq!((inner.basis, &inner.reference), (Basis::Card, &None));
        let before = verdicts(&knowing, &outcome.before, &outcome.before);
        let after = verdicts(&knowing, &outcome.before, &outcome.after);
        assert_eq!(after.scores.forget.heldout, Some(0.0), "{}", outcome.before);
        let kept = [&before, &after].map(|v| v.scores.retain.heldout.unwrap());
        assert!(kept[1] >= kept[0] - 0.03, "{kept:?}");
        fallen.push(before.probe.unwrap() - after.probe.unwrap());
    }
    let mean = fallen.iter().sum::<f64>() / fallen.len() as f64;
    assert!(mean > 0.02, "{fallen:?}");

    // The new versions have cards of their own only in what they inherit: the layers below are the same,
    // so the next class goes the same way.
    let first: ModelId = "r1@2".parse().unwrap();
    let request = Request::new(Forget::classes(["5"])).from_models([first]);
    let method = Fiun::new(features());
    let second = engine(&registry);
    let run = RunOptions {
        loss: LossBound::UNLIMITED,
        ..RunOptions::default()
    };
    let prepared = second.prepare(&request, &method, run);
    let done = prepared.unwrap().run().unwrap().unlearned;
    for outcome in &done.models {
        let inner = outcome.inner.as_ref().unwrap();
        assert_eq!(inner.basis, Basis::Card, "{:?}", inner.outputs_only);
    }
}

#[test]
fn cards_get_statistics_when_they_are_asked_for() {
    let splits = digits();
    let registry = with_cards(&splits, false);
    let knowing = engine(&registry).with_data(&splits);
    let graph = registry.graph().unwrap();
    let model = LoadedModel::open(&registry, &graph, &"r2@1".parse().unwrap()).unwrap();
    let options = FisherOptions::default();
    let models = [model];
    let [row] = &compute_cards(&knowing, &models, &options, false).unwrap()[..] else {
        panic!("one card is made again");
    };
    let card = registry.card_of(row).unwrap().card(&*registry).unwrap();
    let statistics = card.activations.as_ref().unwrap();
    assert_eq!(statistics.layer, "fc1.weight");
    assert_eq!(statistics.classes.len(), 10);
    assert!(statistics.of("3").unwrap().samples >= 10);
    // As a file, a card has them too.
    let bytes = card.to_bytes().unwrap();
    let read = disinherit::registry::FisherCard::from_bytes(&bytes).unwrap();
    assert_eq!(read.activations, card.activations);
    assert!(
        compute_cards(&knowing, &models, &options, false)
            .unwrap()
            .is_empty()
    );
}
