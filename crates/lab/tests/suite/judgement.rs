//! The judgement on models whose forgetting is known: retrained ones, masks, and edits that stop half
//! way or change the wrong layer, on the embedded digits.

use std::collections::BTreeSet;

use disinherit::evaluation::{
    Depth, EvaluationSet, Evaluator, Finding, Judged, Judgement, Reference, ReferenceKind, Verdicts,
};
use disinherit::{Engine, FORGOTTEN, LoadedModel, RunOptions};
use disinherit_lab::{MethodKind, Recipe, Setup, grow, trainings};
use disinherit_nets::{Array, StateDict};
use disinherit_registry::Registry;
use umig::{Forget, ModelId, Request};

use crate::common::digits;

const RECIPE: &str = r#"
name = "judged"
seed = 1
[data]
source = "digits"
clients = 2
[forget]
classes = ["3"]
from = ["a"]
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
name = "root"
client = 2
without_forgotten = true
[[model]]
name = "a"
client = 1
"#;

/// One model before, masked and retrained, with the reference that the graph has.
struct Bench<'a> {
    evaluator: Evaluator<'a>,
    set: EvaluationSet,
    before: StateDict,
    known: Option<f64>,
    root: Reference,
}

impl Bench<'_> {
    fn verdicts(&self, state: &StateDict) -> Verdicts {
        let seen = self.evaluator.observe(&self.set, state).unwrap();
        let verdicts = self
            .evaluator
            .verdicts(&self.set, state, &seen, None, self.known);
        verdicts.unwrap()
    }

    fn judged(&self, state: &StateDict, reference: &Reference) -> Judged {
        let verdicts = self.verdicts(state);
        let left = verdicts.scores.forget.heldout;
        Judged::new(left, FORGOTTEN, &verdicts.measured(), Some(reference))
    }
}

/// Weights after a method, without publishing them.
fn after(
    engine: &Engine<'_>,
    recipe: &Recipe,
    method: MethodKind,
    model: &LoadedModel,
) -> StateDict {
    let setup = Setup {
        trainings: trainings(recipe),
        ..Setup::for_method(method)
    };
    let options = RunOptions {
        dry_run: true,
        keep_weights: true,
        ..RunOptions::default()
    };
    let request = Request::new(Forget::classes(["3"]));
    let method = method.with(&setup);
    let prepared = engine.prepare(&request, method.as_ref(), options).unwrap();
    let changed = prepared.run().unwrap().changed;
    let state = model.state(engine.registry()).unwrap();
    model.edited_state(state, &changed[model.id()])
}

/// The weighted mean of two models' weights.
fn between(a: &StateDict, b: &StateDict, share: f32) -> StateDict {
    a.iter()
        .map(|(name, one)| {
            let pairs = one.values.iter().zip(&b[name].values);
            let values = pairs.map(|(a, b)| a + share * (b - a)).collect();
            let shape = one.shape.clone();
            (name.clone(), Array { shape, values })
        })
        .collect()
}

/// The same weights with the forgotten logit out of reach: what a mask does.
fn masked(model: &LoadedModel, state: &StateDict) -> StateDict {
    let row = model.manifest.labels.iter().position(|label| label == "3");
    let [_, bias] = model.head_tensors();
    let mut state = state.clone();
    state.get_mut(&bias).unwrap().values[row.unwrap()] = -1e4;
    state
}

/// The model `a` of a grown network, and its untouched root.
fn bench<'a>(engine: &'a Engine<'a>, forget: &'a Forget) -> Bench<'a> {
    let graph = engine.registry().graph().unwrap();
    let id: ModelId = "a@1".parse().unwrap();
    let evaluator = Evaluator::new(engine, forget, Depth::FULL).unwrap();
    let set = evaluator.evaluation_set(&graph, &id).unwrap();
    let before = set.model.state(engine.registry()).unwrap();
    let seen = evaluator.observe(&set, &before).unwrap();
    let first = evaluator.verdicts_before(&set, &before, &seen).unwrap();
    let known = first.scores.forget.heldout;
    let root = evaluator.untouched_root(&graph, &BTreeSet::from([id]), &set, known);
    let root = root.unwrap().unwrap();
    assert_eq!(root.id.to_string(), "root@1");
    let found = [(root.id, root.verdicts.measured())];
    Bench {
        root: Reference::new(ReferenceKind::UntouchedRoot, &found).unwrap(),
        evaluator,
        set,
        before,
        known,
    }
}

#[test]
fn sabotaged_edits_reach_outputs_at_most() {
    let splits = digits();
    let recipe = Recipe::parse(RECIPE).unwrap();
    let engine = Engine::new(Registry::in_memory().unwrap())
        .with_feature_cache(0)
        .with_data(&splits);
    grow(&engine, &recipe, &splits.train).unwrap();
    let forget = Forget::classes(["3"]);
    let bench = bench(&engine, &forget);
    let model = &bench.set.model;
    let retrained = after(&engine, &recipe, MethodKind::Retrain, model);
    let found = [(model.id().clone(), bench.verdicts(&retrained).measured())];
    let reference = Reference::new(ReferenceKind::Retrained, &found).unwrap();

    // The retrained model is what it is compared with: the judgement can be reached.
    let same = bench.judged(&retrained, &reference);
    assert_eq!(same.judgement, Judgement::Indistinguishable, "{same:?}");

    // The edit below the head, half of the way.
    let deep = after(&engine, &recipe, MethodKind::Fiun, model);
    let half = between(&bench.before, &deep, 0.5);
    // The head of the retrained model on the features of the one before.
    let head = model.head_tensors();
    let replaced = |(name, array): (&String, &Array)| {
        let from = head.contains(name).then(|| &retrained[name]);
        (name.clone(), from.unwrap_or(array).clone())
    };
    let wrong: StateDict = bench.before.iter().map(replaced).collect();
    for (what, state) in [
        ("mask", &bench.before),
        ("half the strength", &half),
        ("the wrong layer", &wrong),
    ] {
        let state = masked(model, state);
        for reference in [&reference, &bench.root] {
            let judged = bench.judged(&state, reference);
            assert_eq!(judged.judgement, Judgement::Outputs, "{what}: {judged:?}");
            // A mask is seen by relearning, whatever a probe on few samples makes of it.
            let seen = judged.findings.contains(&Finding::ProbeAbove);
            let faster = judged.findings.contains(&Finding::ResetFaster);
            assert!(seen || faster, "{what}: {judged:?}");
            assert!(faster || what == "half the strength", "{what}: {judged:?}");
        }
    }
    let unmasked = bench.judged(&bench.before, &reference);
    assert_eq!(unmasked.judgement, Judgement::Recognised);
}
