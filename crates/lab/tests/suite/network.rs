//! Whole networks: who is touched, what changes, what stays, on the embedded digits.

use std::collections::BTreeMap;

use disinherit::cards::{FisherOptions, compute_cards};
use disinherit::evaluation::{Depth, Evaluator};
use disinherit::import::{AddModel, add};
use disinherit::model::to_state;
use disinherit::progress::Silent;
use disinherit::{
    Alpha, Done, EditDepth, Engine, EngineError, Fiun, FiunOptions, Hint, LoadedModel, RunOptions,
    Scale, Unlearned,
};
use disinherit_data::Splits;
use disinherit_formats::{Tensor, write_checkpoint};
use disinherit_lab::{Grown, MethodKind, Recipe, Setup, grow, trainings};
use disinherit_registry::{Digest, LossBound, Registry};
use umig::{Forget, ModelId, Request, Role};

use crate::common::digits;

/// A federation with one model that inherits from `d` only.
const RECIPE: &str = r#"
name = "small"
seed = 1
[data]
source = "digits"
clients = 4
[forget]
classes = ["3"]
from = ["r1"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
weight_decay = 5e-3
schedule = "cosine"
epochs = 40
batch_size = 16
[[model]]
name = "d"
client = 3
without_forgotten = true
[[model]]
name = "s"
client = 4
without_forgotten = true
[[model]]
name = "aside"
client = 4
parents = ["d"]
without_forgotten = true
epochs = 2
[[model]]
name = "r1"
client = 1
parents = ["d", "s"]
[[model]]
name = "r2"
client = 1
parents = ["r1"]
[[model]]
name = "r3"
client = 2
parents = ["d", "r2"]
"#;

fn grown(engine: &Engine<'_>, recipe: &Recipe, splits: &Splits) -> Grown {
    grow(engine, recipe, &splits.train).unwrap()
}

/// An engine without a cache on disk over a registry in memory.
fn engine<'a>() -> Engine<'a> {
    Engine::new(Registry::in_memory().unwrap()).with_feature_cache(0)
}

fn forget(
    engine: &Engine<'_>,
    request: &Request,
    options: &FiunOptions,
) -> Result<Done, EngineError> {
    let method = Fiun::new(options.clone());
    engine
        .prepare(request, &method, RunOptions::default())?
        .run()
}

fn forgot(engine: &Engine<'_>, request: &Request, options: &FiunOptions) -> Unlearned {
    forget(engine, request, options).unwrap().unlearned
}

fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

/// Dampening alone: what this file is about.
fn outputs() -> FiunOptions {
    FiunOptions {
        depth: EditDepth::Outputs,
        ..FiunOptions::default()
    }
}

fn forget_three() -> Request {
    Request::new(Forget::classes(["3"])).from_models([id("r1@1")])
}

fn by_name(registry: &Registry) -> BTreeMap<String, Digest> {
    registry
        .digests()
        .unwrap()
        .into_iter()
        .map(|(id, d)| (id.to_string(), d))
        .collect()
}

#[test]
fn a_network_forgets_and_only_where_it_must() {
    let splits = digits();
    let recipe = Recipe::parse(RECIPE).unwrap();
    let engine = engine().with_data(&splits);
    let registry = engine.registry();
    grown(&engine, &recipe, &splits);
    let before = by_name(registry);

    // Growing again finds everything there.
    let again = grown(&engine, &recipe, &splits);
    assert!(again.seconds.values().all(|seconds| *seconds == 0.0));
    assert_eq!(by_name(registry), before);

    let options = outputs();
    let request = forget_three();
    let method = Fiun::new(options.clone());
    let run = |dry_run| {
        let run = RunOptions {
            dry_run,
            ..RunOptions::default()
        };
        engine.prepare(&request, &method, run).unwrap()
    };
    let prepared = run(false);
    let scope = &prepared.plan().scope;
    assert_eq!(scope.initial, [id("r1@1")].into());
    assert_eq!(scope.inherited, [id("r2@1"), id("r3@1")].into());
    for name in ["d@1", "s@1", "aside@1"] {
        assert_eq!(scope.role(&id(name)), Role::Untouched);
    }

    // A dry run writes nothing.
    run(true).run().unwrap();
    assert_eq!(by_name(registry), before);

    let done = prepared.run().unwrap().unlearned;
    let after = by_name(registry);
    for (name, digest) in &before {
        assert_eq!(after[name], *digest, "old versions stay as they were");
    }
    let new: Vec<&String> = after
        .keys()
        .filter(|name| !before.contains_key(*name))
        .collect();
    assert_eq!(new, ["r1@2", "r2@2", "r3@2"]);

    let graph = registry.graph().unwrap();
    let evaluator = Evaluator::new(&engine, &request.forget, Depth::OUTPUTS).unwrap();
    for outcome in &done.models {
        let old = LoadedModel::open(registry, &graph, &outcome.before).unwrap();
        let new = LoadedModel::open(registry, &graph, &outcome.after).unwrap();
        assert!(old.vertex.superseded && !new.vertex.superseded);
        assert!(new.vertex.training.iter().all(|t| !t.labels.contains("3")));
        for (name, tensor) in old.manifest.tensors.iter() {
            let same = new.manifest.tensors.get(name) == Some(tensor);
            assert!(
                same || name.starts_with("fc2."),
                "{name} is not of the head"
            );
        }
        let score = |model| evaluator.scores(model, &old.vertex).unwrap();
        let (was, is) = (score(&old), score(&new));
        assert!(was.forget.heldout.unwrap() > 0.8, "{was:?}");
        assert!(
            is.forget.heldout.unwrap() <= 0.01,
            "{}: {is:?}",
            outcome.after
        );
        assert!(
            is.retain.heldout.unwrap() >= was.retain.heldout.unwrap() - 0.02,
            "{is:?}"
        );
        let choice = outcome.choice.as_ref().unwrap();
        assert!(choice.reached && choice.curve.len() > 40);
        assert!(
            choice
                .curve
                .iter()
                .all(|trial| Some(trial.lambda) == outcome.lambda)
        );
    }
    // New versions inherit from new versions, and from what they replace.
    let parents: Vec<String> = graph
        .parents(&id("r3@2"))
        .into_iter()
        .map(|(p, r)| format!("{p} {}", r.name()))
        .collect();
    assert_eq!(
        parents,
        [
            "d@1 federated_average",
            "r2@2 federated_average",
            "r3@1 unlearned_from"
        ]
    );

    // The same request again finds no model left.
    let again = forget(&engine, &Request::new(Forget::classes(["3"])), &options);
    assert!(matches!(again, Err(EngineError::Request(_))));
}

#[test]
fn everything_repeats_itself() {
    let splits = digits();
    let mut recipe = Recipe::parse(RECIPE).unwrap();
    recipe.training.epochs = 3;
    let run = || {
        let engine = engine().with_data(&splits);
        grown(&engine, &recipe, &splits);
        let options = FiunOptions {
            alpha: Alpha::Rule,
            ..outputs()
        };
        forgot(&engine, &forget_three(), &options);
        by_name(engine.registry())
    };
    assert_eq!(run(), run());
}

#[test]
fn cards_make_data_unnecessary() {
    let splits = digits();
    let mut recipe = Recipe::parse(RECIPE).unwrap();
    recipe.training.epochs = 3;
    let engine = engine().with_data(&splits);
    let registry = engine.registry();
    grown(&engine, &recipe, &splits);
    let options = outputs();
    let bare = engine.clone().with_data(None);
    let refused = forget(&bare, &forget_three(), &options).unwrap_err();
    assert!(
        matches!(refused.hint(), Some(Hint::GiveDataOrCard(_))),
        "{refused}"
    );

    let graph = registry.graph().unwrap();
    let models: Vec<LoadedModel> = ["r1@1", "r2@1", "r3@1"]
        .iter()
        .map(|name| LoadedModel::open(registry, &graph, &id(name)).unwrap())
        .collect();
    let compute = |options: &FisherOptions, again| {
        compute_cards(&engine, &models, options, again)
            .unwrap()
            .len()
    };
    assert_eq!(compute(&FisherOptions::default(), false), 3);
    assert_eq!(compute(&FisherOptions::default(), false), 0, "kept");
    assert_eq!(compute(&FisherOptions::default(), true), 3);
    let done = forget(&bare, &forget_three(), &options).unwrap();
    assert_eq!(done.from_cards, 3);
    let done = done.unlearned;
    assert!(
        done.models
            .iter()
            .all(|m| m.choice.is_none() && m.alpha == Some(fiun::DATA_FREE_ALPHA))
    );
    assert!(done.models.iter().any(|m| m.selection().changed > 0));

    let raw = FiunOptions {
        scale: Scale::Raw,
        ..options
    };
    let request = Request::new(Forget::classes(["4"])).from_models([id("d@1")]);
    forgot(&engine, &request, &raw);
}

#[test]
fn single_samples_and_sources_are_requests_too() {
    let splits = digits();
    let mut recipe = Recipe::parse(RECIPE).unwrap();
    recipe.training.epochs = 3;
    let engine = engine().with_data(&splits);
    let registry = engine.registry();
    grown(&engine, &recipe, &splits);
    let graph = registry.graph().unwrap();
    let own = disinherit::provenance::own_data(graph.get(&id("r1@1")).unwrap(), &splits.train);
    let own = own.unwrap();
    let ids: std::collections::BTreeSet<String> = own.ids()[..5].iter().cloned().collect();
    let options = FiunOptions {
        alpha: Alpha::Value(2.0),
        ..FiunOptions::default()
    };
    let request = Request::new(Forget::Samples(ids.clone()));
    let method = Fiun::new(options.clone());
    let prepared = engine
        .prepare(&request, &method, RunOptions::default())
        .unwrap();
    // r1 and r2 are of client 1, r3 inherits.
    assert_eq!(
        prepared.plan().scope.initial,
        [id("r1@1"), id("r2@1")].into()
    );
    assert_eq!(prepared.plan().scope.inherited, [id("r3@1")].into());
    prepared.run().unwrap();
    let graph = registry.graph().unwrap();
    let left = disinherit::provenance::own_data(graph.get(&id("r1@2")).unwrap(), &splits.train);
    assert!(left.unwrap().ids().iter().all(|id| !ids.contains(id)));

    // With cards present the forget data is all that is needed, for the initial models only.
    let more: std::collections::BTreeSet<String> = own.ids()[5..9].iter().cloned().collect();
    let graph = registry.graph().unwrap();
    let models: Vec<LoadedModel> = ["r1@2", "r2@2", "r3@2"]
        .iter()
        .map(|name| LoadedModel::open(registry, &graph, &id(name)).unwrap())
        .collect();
    let fisher = FisherOptions::default();
    compute_cards(&engine, &models, &fisher, false).unwrap();
    let only = Splits {
        train: splits.train.filter(|_, id| more.contains(id)),
        heldout: splits.train.select(&[]),
    };
    assert_eq!(only.train.len(), 4);
    let request = Request::new(Forget::Samples(more));
    let options_auto = outputs();
    let few = engine.clone().with_data(&only);
    let done = forget(&few, &request, &options_auto).unwrap();
    assert_eq!(done.from_cards, 3);
    let done = done.unlearned;
    assert_eq!(done.models.len(), 3);
    assert!(done.models.iter().all(|m| m.choice.is_none()));

    // All of what r3 was trained on: nothing replaces it, and nothing is left to edit.
    let all_of_client = Request::new(Forget::Source("client-2".into()));
    let done = forgot(&engine, &all_of_client, &options);
    let retired: Vec<ModelId> = done.retired.into_iter().map(|gone| gone.model).collect();
    assert_eq!((retired, done.models.len()), (vec![id("r3@3")], 0));
    let graph = registry.graph().unwrap();
    assert!(graph.models().all(|m| m.id.name() != "r3" || m.superseded));
}

#[test]
fn retraining_leaves_the_class_out() {
    let splits = digits();
    let mut recipe = Recipe::parse(RECIPE).unwrap();
    recipe.training.epochs = 3;
    let engine = engine().with_data(&splits);
    let registry = engine.registry();
    grown(&engine, &recipe, &splits);
    let graph = registry.graph().unwrap();
    let forget = Forget::classes(["3"]);
    let setup = Setup {
        trainings: trainings(&recipe),
        ..Setup::for_method(MethodKind::Retrain)
    };
    let method = MethodKind::Retrain.with(&setup);
    let run = RunOptions {
        dry_run: true,
        keep_weights: true,
        // So few epochs leave less than there was: retrained, r3 loses three points of held-out accuracy.
        loss: LossBound::UNLIMITED,
        ..RunOptions::default()
    };
    let request = forget_three();
    let prepared = engine.prepare(&request, method.as_ref(), run).unwrap();
    // Parents before children: a stage for each generation.
    assert_eq!(prepared.plan().stages.len(), 3);
    let done = prepared.run().unwrap();
    assert!(done.cost.seconds > 0.0 && done.cost.processor_seconds.unwrap() > 0.0);
    assert_eq!(done.changed.len(), 3);
    let evaluator = Evaluator::new(&engine, &forget, Depth::OUTPUTS).unwrap();
    for (id, changed) in &done.changed {
        let set = evaluator.evaluation_set(&graph, id).unwrap();
        let mut state = set.model.state(registry).unwrap();
        state.extend(to_state(changed));
        let seen = evaluator.observe(&set, &state).unwrap();
        let verdicts = evaluator.verdicts(&set, &state, &seen, None, None).unwrap();
        let scores = verdicts.scores;
        assert!(scores.forget.heldout.unwrap() < 0.05, "{id}: {scores:?}");
    }
    assert_eq!(registry.graph().unwrap().len(), 6, "nothing is published");
}

#[test]
fn recipes_are_checked() {
    let refuse = |from: &str, to: &str| {
        assert!(RECIPE.contains(from));
        Recipe::parse(&RECIPE.replacen(from, to, 1))
            .unwrap_err()
            .to_string()
    };
    let unknown = refuse("clients = 4", "clients = 4\ncleints = 2");
    assert!(unknown.contains("cleints"), "{unknown}");
    let parent = refuse(r#"parents = ["d", "s"]"#, r#"parents = ["d", "r2"]"#);
    assert!(parent.contains("no model before it is called"), "{parent}");
    let own = refuse(r#"parents = ["r1"]"#, r#"parents = ["r2"]"#);
    assert!(own.contains("the parent `r2`"), "{own}");
    assert!(refuse("client = 3", "client = 5").contains("clients 1 to 4"));
    assert!(refuse(r#"name = "s""#, r#"name = "d""#).contains("two models"));
    assert!(refuse(r#"from = ["r1"]"#, r#"from = ["r9"]"#).contains("did you mean"));
    let network = refuse("small-cnn", "small-cnm");
    assert!(network.contains("small-cnm"), "{network}");
}

/// Counts the forward passes that are announced.
#[derive(Default)]
struct Counter(std::sync::Mutex<Vec<String>>);

impl disinherit::progress::Progress for Counter {
    fn stage(&self, title: &str, _: u64) -> Box<dyn disinherit::progress::Stage + '_> {
        self.0.lock().unwrap().push(title.to_owned());
        Box::new(Silent)
    }
}

#[test]
fn siblings_share_a_forward_pass() {
    let splits = digits();
    let mut recipe = Recipe::parse(RECIPE).unwrap();
    recipe.training.epochs = 3;
    let engine = engine().with_data(&splits);
    let registry = engine.registry();
    grown(&engine, &recipe, &splits);
    let graph = registry.graph().unwrap();
    let r1 = LoadedModel::open(registry, &graph, &id("r1@1")).unwrap();
    // A sibling with another head on the same backbone.
    let mut sibling = r1.clone();
    let mut bias = r1.tensor(registry, "fc2.bias").unwrap();
    bias.bytes[0] ^= 1;
    let changed = [("fc2.bias".to_owned(), bias)].into();
    sibling.digest = registry.put_model(r1.manifest.clone(), changed).unwrap();
    sibling.manifest = registry.manifest(sibling.digest).unwrap();
    assert_ne!(r1.digest, sibling.digest);
    assert_eq!(r1.backbone(), sibling.backbone());

    let counter = Counter::default();
    let options = FisherOptions {
        activations: false,
        ..FisherOptions::default()
    };
    let models = [r1, sibling];
    let engine = engine.with_progress(&counter);
    let rows = compute_cards(&engine, &models, &options, false);
    assert_eq!(rows.unwrap().len(), 2);
    assert_eq!(*counter.0.lock().unwrap(), ["running r1@1"]);

    // The choice of alpha finds the features of its evidence there too.
    forgot(&engine, &forget_three(), &outputs());
    let passes = counter.0.lock().unwrap();
    for name in ["r1@1", "r2@1", "r3@1"] {
        let title = format!("running {name}");
        let count = passes.iter().filter(|pass| **pass == title).count();
        // Again on the samples that are kept apart, and where they are few on those that the choice saw, to
        // measure what the edit costs.
        assert!((2..=3).contains(&count), "{passes:?}");
    }
}

/// Softmax does not see what all rows of the head share, dampening towards zero does: with all logits
/// far below zero a row of zeros wins everywhere.
#[test]
fn a_model_whose_logits_are_all_negative_forgets_by_its_biases() {
    let splits = digits();
    let mut recipe = Recipe::parse(RECIPE).unwrap();
    recipe.training.epochs = 15;
    let engine = engine().with_data(&splits);
    let registry = engine.registry();
    grown(&engine, &recipe, &splits);
    let graph = registry.graph().unwrap();
    let r1 = LoadedModel::open(registry, &graph, &id("r1@1")).unwrap();
    let mut tensors = registry.tensors(&r1.manifest).unwrap();
    let weight = tensors.get_mut("fc2.weight").unwrap();
    let sunk: Vec<f32> = weight.to_f32().unwrap().iter().map(|w| w - 5.0).collect();
    *weight = Tensor::from_f32(&weight.shape, &sunk);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sunk.safetensors");
    write_checkpoint(&file, &tensors, Default::default()).unwrap();
    let new = AddModel {
        name: "sunk".into(),
        file,
        architecture: r1.architecture.clone(),
        preprocessing: r1.preprocessing.clone(),
        labels: r1.manifest.labels.clone(),
        parents: Vec::new(),
        training: r1.vertex.training.clone(),
        time: None,
        untied: false,
    };
    let sunk = add(registry, &new).unwrap();
    let request = Request::new(Forget::classes(["3"])).from_models([sunk.clone()]);
    let evaluator = Evaluator::new(&engine, &request.forget, Depth::OUTPUTS).unwrap();
    let left = |suppress: bool, dry_run: bool| {
        let method = Fiun::new(FiunOptions {
            suppress,
            ..outputs()
        });
        let run = RunOptions {
            dry_run,
            ..RunOptions::default()
        };
        let prepared = engine.prepare(&request, &method, run).unwrap();
        prepared.run().unwrap().unlearned
    };
    let dampened = left(false, true);
    assert!(!dampened.models[0].choice.as_ref().unwrap().reached);
    assert!(dampened.warnings[0].contains("no alpha meets the target"));

    let done = left(true, false);
    let choice = done.models[0].choice.as_ref().unwrap();
    let suppression = choice.suppression.as_ref().unwrap();
    assert!(choice.reached && suppression.by > 0.0 && suppression.rows == [3]);
    assert!(done.warnings[0].contains("logit suppression: the biases of the forgotten labels"));
    let graph = registry.graph().unwrap();
    let old = LoadedModel::open(registry, &graph, &sunk).unwrap();
    let new = LoadedModel::open(registry, &graph, &done.models[0].after).unwrap();
    let scores = |model| evaluator.scores(model, &old.vertex).unwrap();
    let (was, is) = (scores(&old), scores(&new));
    assert!(was.forget.heldout.unwrap() > 0.8, "{was:?}");
    assert_eq!(is.forget.heldout, Some(0.0));
    assert!(is.retain.heldout.unwrap() >= was.retain.heldout.unwrap() - 0.02);
    let differs = |name: &str| old.manifest.tensors.get(name) != new.manifest.tensors.get(name);
    let changed: Vec<&str> = old
        .manifest
        .tensors
        .names()
        .filter(|name| differs(name))
        .collect();
    assert!(changed.iter().all(|name| name.starts_with("fc2.")));
    assert_eq!(changed.len(), done.models[0].tensors.len());
}
