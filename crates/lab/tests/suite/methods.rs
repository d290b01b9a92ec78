//! The methods beside each other, the verdicts, heads that grow and chains, on the embedded digits.

use std::collections::BTreeMap;

use disinherit::evaluation::{Depth, Judgement, ReferenceKind};
use disinherit::{Engine, EngineError, FiunOptions, LoadedModel, RunOptions, Unlearned, model};
use disinherit_data::Splits;
use disinherit_lab::{
    MethodKind, Recipe, Setup, Study, StudyOptions, Variant, grow, request_report, run_study,
    trainings,
};
use disinherit_registry::{Digest, Registry};
use std::sync::Arc;
use umig::{Forget, Request, Role};

use crate::common::digits;

const RECIPE: &str = r#"
name = "small"
seed = 1
[data]
source = "digits"
clients = 3
[forget]
classes = ["3"]
from = ["a"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
weight_decay = 5e-3
schedule = "cosine"
epochs = 60
batch_size = 16
[[model]]
name = "root"
client = 3
without_forgotten = true
[[model]]
name = "a"
client = 1
parents = ["root"]
[[model]]
name = "b"
client = 2
parents = ["a"]
"#;

fn study(
    methods: &[MethodKind],
    keep: Option<&std::path::Path>,
    registry: &Arc<Registry>,
) -> Study {
    let options = StudyOptions {
        fiun: FiunOptions::default(),
        jobs: 0,
        variants: methods.iter().copied().map(Variant::from).collect(),
        depth: Depth::FULL,
        publish: None,
        keep: keep.map(Into::into),
        shadows: 0,
    };
    let recipe = Recipe::parse(RECIPE).unwrap();
    run_study(
        &Engine::new(Arc::clone(registry)),
        &recipe,
        &digits(),
        &options,
    )
    .unwrap()
}

fn digests(registry: &Registry) -> BTreeMap<String, Digest> {
    let all = registry.digests().unwrap();
    all.into_iter().map(|(id, d)| (id.to_string(), d)).collect()
}

#[test]
fn every_method_is_run_and_judged() {
    let registry = Arc::new(Registry::in_memory().unwrap());
    let class = Forget::classes(["3"]);
    let all: Vec<MethodKind> = MethodKind::all().filter(|m| m.serves(&class)).collect();
    let study = study(&all, None, &registry);
    assert_eq!(digests(&registry).len(), 3, "nothing is published");
    assert_eq!(study.results.len(), all.len());
    assert!(study.untouched_are_same());
    let held_out = |method: MethodKind| {
        let result = study.result(method.into()).unwrap();
        let forget = result.mean(|v| v.scores.forget.heldout).unwrap();
        (forget, result.mean(|v| v.scores.retain.heldout).unwrap())
    };
    let before = study.models.iter().filter(|m| m.role != Role::Untouched);
    for model in before {
        assert!(
            model.before.scores.forget.heldout.unwrap() > 0.8,
            "{model:?}"
        );
    }
    for result in &study.results {
        assert_eq!(result.failed, None, "{}", result.variant);
        assert_eq!(result.models.len(), 2, "{}", result.variant);
        assert!(result.cost.seconds > 0.0 && result.cost.bytes_read > 0);
        for model in &result.models {
            let verdicts = &model.verdicts;
            let membership = verdicts.membership.unwrap();
            assert!((0.0..=1.0).contains(&membership.called_member));
            assert!((0.0..=1.0).contains(&verdicts.zero_retrain_forgetting.unwrap()));
            assert!(
                verdicts.probe.unwrap() > 0.5,
                "{}: {verdicts:?}",
                result.variant
            );
            assert!(verdicts.distance.is_some() && verdicts.relearning.is_some());
            let found = verdicts.measured();
            let shares = [found.probe, found.area, found.fitted].map(|found| found.unwrap().mean);
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            assert!((0.0..=64.0).contains(&found.reset.unwrap().mean));
            assert_eq!(found.probe.unwrap().count, 3);
            let shares: f64 = verdicts.drift.values().sum();
            assert!((shares - 1.0).abs() < 1e-9);
        }
    }
    // Those that promise to forget do, and keep the rest.
    for method in [
        MethodKind::Fiun,
        MethodKind::Retrain,
        MethodKind::Mask,
        MethodKind::Distill,
    ] {
        let (forget, retain) = held_out(method);
        assert!(forget <= 0.02, "{method}: {forget}");
        assert!(retain >= 0.85, "{method}: {retain}");
    }
    for method in [
        MethodKind::RandomLabels,
        MethodKind::NegGradPlus,
        MethodKind::SalUn,
        MethodKind::BoundaryShrink,
        MethodKind::Delete,
        MethodKind::Lfssd,
        MethodKind::Projection,
    ] {
        let (forget, retain) = held_out(method);
        assert!(
            forget <= 0.3 && retain >= 0.8,
            "{method}: {forget} {retain}"
        );
    }
    // The mask leaves everything where it was, and the judgement says so; the models that others are
    // compared with are the retrained ones.
    let judged = |method: MethodKind| {
        let result = study.result(method.into()).unwrap();
        assert_eq!(result.judgement, Some(study.judged(result).judgement));
        study.judged(result)
    };
    assert_eq!(judged(MethodKind::Mask).judgement, Judgement::Outputs);
    assert!(!judged(MethodKind::Mask).findings.is_empty());
    let retrained = judged(MethodKind::Retrain).judgement;
    assert_eq!(retrained, Judgement::RetrainedBaseline);
    let reference = study.reference().unwrap();
    assert_eq!(reference.kind, ReferenceKind::Retrained);
    assert_eq!(reference.models.len(), 2);
    // As published, UNSIR repairs for one epoch only.
    let (forget, retain) = held_out(MethodKind::Unsir);
    assert!(forget <= 0.1 && retain >= 0.6, "{forget} {retain}");
    // The retrained model is at no distance from itself; others are.
    let distance = |method: MethodKind| {
        let result = study.result(method.into()).unwrap();
        result
            .mean(|v| v.distance.map(|d| d.forget_divergence))
            .unwrap()
    };
    assert_eq!(distance(MethodKind::Retrain), 0.0);
    assert!(distance(MethodKind::Fiun) > 0.0);
    // An ascent leaves the same difference in the descendant as in the initial model.
    let ascent = study.result(MethodKind::GradientAscent.into()).unwrap();
    assert!(
        ascent
            .models
            .iter()
            .all(|m| m.outcome.selection().changed > 0)
    );
    // A mask changes one row and one bias.
    let mask = study.result(MethodKind::Mask.into()).unwrap();
    assert!(
        mask.models
            .iter()
            .all(|m| m.outcome.selection().changed <= 65)
    );
    assert!(study.time_ratio(Variant::default()).unwrap() < 1.0);
}

#[test]
fn a_study_that_was_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Arc::new(Registry::create(folder.path()).unwrap());
    let first = study(
        &[MethodKind::Retrain, MethodKind::Fiun],
        Some(folder.path()),
        &registry,
    );
    let again = study(
        &[MethodKind::Fiun, MethodKind::Mask, MethodKind::Retrain],
        Some(folder.path()),
        &registry,
    );
    // What is read back is what was written.
    let text = serde_json::to_string(&first).unwrap();
    let first: Study = serde_json::from_str(&text).unwrap();
    assert_eq!(first.models, again.models);
    // Metrics are worked out anew, from numbers whose last digit was rounded when they were written.
    let kept = |study: &Study, method: MethodKind| {
        let mut result = study.result(method.into()).unwrap().clone();
        for model in &mut result.models {
            assert!(model.metrics.take().unwrap().tug_of_war.is_some());
        }
        result
    };
    for method in [MethodKind::Retrain, MethodKind::Fiun] {
        assert_eq!(kept(&first, method), kept(&again, method));
    }
    let mask = again.result(MethodKind::Mask.into()).unwrap();
    assert!(mask.models.iter().all(|m| m.verdicts.distance.is_some()));
    std::fs::write(folder.path().join("fiun.json"), "{").unwrap();
    let options = StudyOptions {
        fiun: FiunOptions::default(),
        jobs: 0,
        variants: vec![Variant::default()],
        depth: Depth::FULL,
        publish: None,
        keep: Some(folder.path().into()),
        shadows: 0,
    };
    let recipe = Recipe::parse(RECIPE).unwrap();
    let refused = run_study(&Engine::new(registry), &recipe, &digits(), &options).unwrap_err();
    assert!(refused.to_string().contains("fiun.json"), "{refused}");
}

#[test]
fn a_baseline_publishes_and_can_be_looked_at_again() {
    let splits = digits();
    let mut recipe = Recipe::parse(RECIPE).unwrap();
    recipe.training.epochs = 20;
    let engine = Engine::new(Registry::in_memory().unwrap()).with_feature_cache(0);
    let registry = engine.registry();
    grow(&engine, &recipe, &splits.train).unwrap();
    let run = |method: MethodKind, forget: Forget, splits: Option<&Splits>| {
        let setup = Setup {
            trainings: trainings(&recipe),
            ..Setup::for_method(method)
        };
        let engine = engine.clone().with_data(splits);
        let method = method.with(&setup);
        let prepared = engine.prepare(
            &Request::new(forget),
            method.as_ref(),
            RunOptions::default(),
        )?;
        Ok::<Unlearned, EngineError>(prepared.run()?.unlearned)
    };
    let samples = Forget::Samples([splits.train.ids()[0].clone()].into());
    for (method, forget, data, reason) in [
        (MethodKind::Mask, samples, Some(&splits), "whole classes"),
        (
            MethodKind::FineTune,
            Forget::classes(["3"]),
            None,
            "training data",
        ),
        (
            MethodKind::FineTune,
            Forget::classes(["three"]),
            Some(&splits),
            "unknown label",
        ),
    ] {
        let refused = run(method, forget, data).unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    let done = run(MethodKind::Mask, Forget::classes(["3"]), Some(&splits)).unwrap();
    assert_eq!(done.method.as_str(), "mask");
    let graph = registry.graph().unwrap();
    assert_eq!(model::find(&graph, "b").unwrap().id.version(), 2);
    let with_data = engine.clone().with_data(&splits);
    let again = request_report(&with_data, None, Depth::FULL).unwrap();
    assert_eq!(again.title, done.request.as_str());
    assert_eq!(again.results[0].request, done.request);
    // Nothing was retrained: the root that never saw the class is the reference.
    let reference = again.reference().unwrap();
    assert_eq!(reference.kind, ReferenceKind::UntouchedRoot);
    assert_eq!(reference.models, ["root@1".parse().unwrap()]);
    let judged = again.judged(&again.results[0]);
    assert_eq!(judged.judgement, Judgement::Outputs);
    let shown = &again.results[0];
    assert_eq!(shown.variant.method, MethodKind::Mask);
    assert!(
        shown
            .models
            .iter()
            .all(|m| m.verdicts.scores.forget.heldout == Some(0.0))
    );
    let of = |request| request_report(&engine, request, Depth::QUICK);
    assert_eq!(
        of(Some(done.request.as_str())).unwrap().results[0]
            .models
            .len(),
        2
    );
    assert!(
        of(Some("request-0"))
            .unwrap_err()
            .to_string()
            .contains("request")
    );
}

#[test]
fn heads_grow_row_by_row() {
    let text = RECIPE
        .replace(
            "architecture = \"small-cnn\"",
            "architecture = \"small-cnn\"\nheads = \"growing\"",
        )
        .replace("epochs = 60", "epochs = 1")
        .replace(
            "client = 3\nwithout_forgotten = true",
            "client = 3\nlabels = { share = 0.5 }",
        );
    let recipe = Recipe::parse(&text).unwrap();
    let registry = Registry::in_memory().unwrap();
    let splits = digits();
    let engine = Engine::new(registry);
    let registry = engine.registry();
    grow(&engine, &recipe, &splits.train).unwrap();
    let graph = registry.graph().unwrap();
    let model = |name: &str| {
        let id = model::find(&graph, name).unwrap().id.clone();
        LoadedModel::open(registry, &graph, &id).unwrap()
    };
    assert_eq!(model("root").manifest.labels, ["0", "1", "2", "3", "4"]);
    assert_eq!(model("a").manifest.labels.len(), 10);
    let (weight, bias) = model("root").head(registry).unwrap();
    assert_eq!((weight.rows(), bias.len()), (5, 5));
}

#[test]
fn chains_and_label_choices_are_read_from_recipes() {
    let chain = RECIPE.replace(
        "name = \"b\"\nclient = 2",
        "name = \"b\"\nclient = 2\nrepeat = { times = 4, clients = [2, 3], skip = 2 }",
    );
    let models = Recipe::parse(&chain).unwrap().models;
    let shown: Vec<(&str, usize, String)> = models[2..]
        .iter()
        .map(|m| (m.name.as_str(), m.client, m.parents.join(" ")))
        .collect();
    assert_eq!(
        shown,
        [
            ("b1", 2, "a".into()),
            ("b2", 3, "b1".into()),
            ("b3", 2, "b2 b1".into()),
            ("b4", 3, "b3 b2".into()),
        ]
    );
    for (from, to, reason) in [
        (
            "client = 2",
            "client = 2\nlabels = { part = 4, of = 3 }",
            "part",
        ),
        (
            "client = 2",
            "client = 2\nrepeat = { times = 0 }",
            "repeated",
        ),
        ("schedule", "shedule", "did you mean `schedule`"),
    ] {
        let refused = Recipe::parse(&RECIPE.replace(from, to)).unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

/// Short texts: a label's own words, some of its neighbour's, and words of all.
fn topics(count: usize, first: usize) -> disinherit_data::DataSet {
    let word = |i: usize, j: usize| match j % 4 {
        0 | 2 => 2 + (i % 5) * 4 + (i / 5 + j) % 4,
        1 => 2 + ((i + 1) % 5) * 4 + (i / 3 + j) % 4,
        _ => 22 + (i * 7 + j * 3) % 12,
    };
    let ids = first..first + count;
    let sequence = |i: usize| (0..6 + i % 5).map(|j| word(i, j) as u32).collect();
    disinherit_data::DataSet::new(
        "topics",
        disinherit_data::Samples::Tokens {
            vocabulary: 34,
            sequences: ids.clone().map(sequence).collect(),
        },
        ids.clone().map(|i| (i % 5) as u32).collect(),
        ["0", "3", "6", "8", "9"].map(String::from).to_vec(),
        ids.map(|i| format!("t{i}")).collect(),
    )
    .unwrap()
}

#[test]
fn an_lstm_forgets_texts() {
    texts_are_forgotten("lstm");
}

#[test]
fn a_gated_cnn_forgets_texts() {
    texts_are_forgotten("gated-cnn");
}

fn texts_are_forgotten(kind: &str) {
    let splits = Splits {
        train: topics(600, 0),
        heldout: topics(150, 600),
    };
    let text = RECIPE
        .replace("small-cnn", kind)
        .replace("clients = 3", "clients = 3\nlength = 10")
        .replace(
            "learning_rate = 0.05",
            "optimizer = \"adam\"\nlearning_rate = 0.01",
        )
        .replace("weight_decay = 5e-3", "weight_decay = 0.0")
        .replace("epochs = 60", "epochs = 6");
    let recipe = Recipe::parse(&text).unwrap();
    let registry = Registry::in_memory().unwrap();
    let options = StudyOptions {
        fiun: FiunOptions::default(),
        jobs: 0,
        variants: [
            "fiun",
            "random-labels",
            "fiun+all",
            "delete",
            "lfssd",
            "boundary-shrink",
            "projection",
        ]
        .map(|name| name.parse().unwrap())
        .to_vec(),
        depth: Depth::QUICK,
        publish: None,
        keep: None,
        shadows: 0,
    };
    let study = run_study(&Engine::new(registry), &recipe, &splits, &options).unwrap();
    let mut count = 0;
    for model in study
        .compared()
        .iter()
        .filter(|m| m.role != Role::Untouched)
    {
        assert!(
            model.before.forget.heldout.unwrap() > 0.9,
            "{kind}: {model:?}"
        );
        // A lead that is all in the other classes' negative logits cannot be dampened away;
        // then that is said.
        let forgotten = model.after.forget.heldout.unwrap() < 0.01;
        let warned = format!("{}@1: no alpha meets the target", model.name);
        let result = study.result(Variant::default()).unwrap();
        let said = result.warnings.iter().any(|w| w.starts_with(&warned));
        assert!(forgotten || said, "{kind}: {model:?}");
        count += usize::from(forgotten);
        assert!(
            model.after.retain.heldout.unwrap() > 0.9,
            "{kind}: {model:?}"
        );
    }
    assert!(count > 0, "{kind}");
    // Two need pixels, or the inputs of layers; they say so.
    let reason = |method: MethodKind| match method {
        MethodKind::BoundaryShrink => Some("pixels"),
        MethodKind::Projection => Some("sequences"),
        _ => None,
    };
    for result in &study.results {
        let (failed, reason) = (&result.failed, reason(result.variant.method));
        let as_said = match (failed, reason) {
            (Some(failed), Some(reason)) => failed.contains(reason),
            (failed, reason) => failed.is_none() && reason.is_none(),
        };
        assert!(as_said, "{kind} {}: {failed:?}", result.variant);
    }
    let whole = &study.results[2].models[0].outcome.tensors;
    assert!(whole.contains_key("embedding.weight"), "{whole:?}");
    for method in [MethodKind::RandomLabels, MethodKind::Delete] {
        let baseline = study.result(method.into()).unwrap();
        let left = baseline.mean(|v| v.scores.forget.heldout).unwrap();
        assert!(left < 0.9, "{kind} {method}: {left}");
    }
    let sensitive = study.result(MethodKind::Lfssd.into()).unwrap();
    for model in &sensitive.models {
        assert!(model.outcome.tensors.contains_key("embedding.weight"));
    }
}
