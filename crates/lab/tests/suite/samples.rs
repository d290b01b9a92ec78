//! Single samples and sources: what matching makes of models that learnt them by heart.

use std::collections::BTreeMap;
use std::sync::Arc;

use disinherit::cards::{FisherOptions, compute_cards, import_card};
use disinherit::evaluation::{Depth, Judgement};
use disinherit::{
    Alpha, Engine, EngineError, Fiun, FiunOptions, LoadedModel, Matching, MatchingOptions,
    RunOptions, Unlearned,
};
use disinherit_data::{Splits, is_for_aiming};
use disinherit_lab::{MethodKind, Recipe, StudyOptions, Variant, forget, grow, run_study};
use disinherit_registry::{
    AddRecord, Digest, FisherCard, LossBound, ModelRow, NewModel, OperationRecord, Publication,
    Registry,
};
use fiun::Estimator;
use umig::{Forget, Model, Reads, Request, Task, Training};

use crate::common::digits;

/// A model that learnt its samples by heart, one that inherited from it, and one that learnt from several.
const RECIPE: &str = r#"
name = "by-heart"
seed = 1
[data]
source = "digits"
clients = 24
[forget]
samples = { share = 0.1 }
from = ["b"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
momentum = 0.9
weight_decay = 0.0
schedule = "cosine"
epochs = 60
batch_size = 16
[[model]]
name = "b"
clients = [1, 2]
[[model]]
name = "h"
client = 3
parents = ["b"]
epochs = 30
"#;

fn recipe() -> Recipe {
    Recipe::parse(RECIPE).unwrap()
}

fn grown(splits: &Splits) -> Engine<'_> {
    let engine = Engine::new(Registry::in_memory().unwrap()).with_feature_cache(0);
    let engine = engine.with_data(splits);
    grow(&engine, &recipe(), &splits.train).unwrap();
    engine
}

fn unlearn(engine: &Engine<'_>, wanted: Forget) -> Result<Unlearned, EngineError> {
    let loss = RunOptions::default().loss;
    unlearn_at(engine, wanted, loss)
}

fn unlearn_at(
    engine: &Engine<'_>,
    wanted: Forget,
    loss: LossBound,
) -> Result<Unlearned, EngineError> {
    let options = RunOptions {
        loss,
        ..RunOptions::default()
    };
    let from = ["b@1".parse().unwrap()];
    let request = Request::new(wanted).from_models(from);
    let method = Matching::new(MatchingOptions::default());
    let prepared = engine.prepare(&request, &method, options)?;
    Ok(prepared.run()?.unlearned)
}

fn digests(engine: &Engine<'_>) -> BTreeMap<String, Digest> {
    let all = engine.registry().digests().unwrap();
    all.into_iter().map(|(id, d)| (id.to_string(), d)).collect()
}

#[test]
fn forgotten_samples_become_as_certain_as_unseen_ones() {
    let splits = digits();
    let options = StudyOptions {
        fiun: FiunOptions::default(),
        jobs: 0,
        variants: [MethodKind::Matching, MethodKind::Retrain]
            .map(Variant::from)
            .to_vec(),
        depth: Depth::QUICK,
        publish: None,
        keep: None,
        shadows: 0,
    };
    let registry = Arc::new(Registry::in_memory().unwrap());
    let study = run_study(&Engine::new(registry), &recipe(), &splits, &options).unwrap();
    let result = study.result(MethodKind::Matching.into()).unwrap();
    let retrained = study.result(MethodKind::Retrain.into()).unwrap();
    assert_eq!(result.models.len(), 2);
    for model in &result.models {
        let matched = model.outcome.matched.unwrap();
        let [before, after] = matched.area;
        assert_eq!(matched.forgotten, 12);
        assert!(matched.views && !matched.head_only);
        assert_eq!(matched.carried.is_some(), model.id.name() == "h");
        // By the unseen samples that were aimed by: learnt by heart before, as unseen ones are after.
        assert!(before > matched.aim + 0.05, "{}: {matched:?}", model.id);
        assert!(
            (after - matched.aim).abs() < 0.03,
            "{}: {matched:?}",
            model.id
        );
        let before = &study
            .models
            .iter()
            .find(|m| m.id == model.id)
            .unwrap()
            .before;
        let kept = |of: &disinherit::evaluation::Verdicts| of.scores.retain.train.unwrap();
        assert!(kept(&model.verdicts) >= kept(before) - 0.02, "{}", model.id);
        // The model is judged on the samples that it inherited, too.
        let samples = model.verdicts.samples.as_ref().unwrap();
        assert_eq!(samples.forgotten, 12);
        assert!(samples.interval[0] < samples.area && samples.area < samples.interval[1]);
        assert!(samples.weakest.above_retrained.is_some());
        let again = retrained
            .model(&model.id)
            .unwrap()
            .verdicts
            .samples
            .as_ref()
            .unwrap();
        assert_eq!(again.weakest.above_retrained, Some(0.0));
        let was = before.samples.as_ref().unwrap();
        assert!(
            (samples.area - again.area).abs() < (was.area - again.area).abs(),
            "{}: {} to {}, retrained {}",
            model.id,
            was.area,
            samples.area,
            again.area
        );
    }
    assert_eq!(retrained.judgement, Some(Judgement::RetrainedBaseline));
    assert!(result.judgement.unwrap().reaches(Judgement::Outputs));
}

#[test]
fn a_seed_decides_what_comes_out_and_the_plan_has_two_stages() {
    let splits = digits();
    let wanted = forget(&recipe(), &splits.train).unwrap();
    let Forget::Samples(ids) = &wanted else {
        panic!("{wanted}");
    };
    assert_eq!(ids.len(), 12);
    let made = [0, 1].map(|_| {
        let engine = grown(&splits);
        let request = Request::new(wanted.clone()).from_models(["b@1".parse().unwrap()]);
        let method = Matching::new(MatchingOptions::default());
        // Of seventeen samples one is more than a point.
        let run = RunOptions {
            loss: LossBound::UNLIMITED,
            ..RunOptions::default()
        };
        let prepared = engine.prepare(&request, &method, run).unwrap();
        let stages = &prepared.plan().stages;
        let edited: Vec<Vec<&str>> = stages
            .iter()
            .map(|stage| stage.tasks.iter().map(|task| task.model().name()).collect())
            .collect();
        assert_eq!(edited, [["b"], ["h"]]);
        let reads = |task: &Task| matches!(task, Task::Edit { features: true, .. });
        assert!(stages.iter().flat_map(|stage| &stage.tasks).all(reads));
        prepared.run().unwrap();
        digests(&engine)
    });
    assert_eq!(made[0].len(), 4);
    assert_eq!(made[0], made[1]);
}

#[test]
fn a_source_is_forgotten_where_others_were_learnt_too() {
    let splits = digits();
    let engine = grown(&splits);
    // Half of what the base learnt; a twelfth is one of the samples that are kept apart.
    let wanted = Forget::Source("client-2".into());
    let done = unlearn_at(&engine, wanted, LossBound::new(0.1)).unwrap();
    assert_eq!(done.method.as_str(), "matching");
    assert_eq!(done.models.len(), 2);
    for model in &done.models {
        let matched = model.matched.unwrap();
        assert!(matched.forgotten > 50, "{matched:?}");
        assert!(matched.area[1] < matched.area[0], "{matched:?}");
    }
    let graph = engine.registry().graph().unwrap();
    let left = &graph.get(&"b@2".parse().unwrap()).unwrap().training;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].source.as_deref(), Some("client-1"));
}

/// The card of a model on those samples alone that one source supplied, as the source would compute it.
fn card_of_source(model: &LoadedModel, engine: &Engine<'_>, source: &str) -> FisherCard {
    let tensors = engine.registry().tensors(&model.manifest).unwrap();
    let its = |training: &&Training| training.source.as_deref() == Some(source);
    let registry = Arc::new(Registry::in_memory().unwrap());
    let digest = registry.put_model(model.manifest.clone(), tensors).unwrap();
    assert_eq!(digest, model.digest);
    let vertex = Model {
        training: model.vertex.training.iter().filter(its).cloned().collect(),
        ..model.vertex.clone()
    };
    let record = OperationRecord::Add(AddRecord {
        model: vertex.id.clone(),
        digest,
    });
    let models = vec![NewModel {
        row: ModelRow::new(vertex, digest),
        parents: Vec::new(),
    }];
    let publication = Publication {
        models,
        ..Publication::new(0, record)
    };
    registry.publish(&publication).unwrap();
    let graph = registry.graph().unwrap();
    let its = LoadedModel::open(&registry, &graph, model.id()).unwrap();
    let there = Engine::new(Arc::clone(&registry)).with_feature_cache(0);
    let there = there.with_data(engine.data());
    compute_cards(&there, &[its], &FisherOptions::default(), false).unwrap();
    let card = registry.card(digest, Estimator::Empirical).unwrap();
    card.unwrap().card(&*registry).unwrap()
}

#[test]
fn a_source_among_others_is_forgotten_from_its_part_of_a_card() {
    let splits = digits();
    let engine = grown(&splits);
    let registry = engine.registry();
    let graph = registry.graph().unwrap();
    let models = ["b@1", "h@1"].map(|id| {
        let id = id.parse().unwrap();
        LoadedModel::open(registry, &graph, &id).unwrap()
    });
    compute_cards(&engine, &models, &FisherOptions::default(), false).unwrap();
    let method = Fiun::new(FiunOptions {
        alpha: Alpha::Value(2.0),
        ..FiunOptions::default()
    });
    let request = Request::new(Forget::Source("client-2".into()));
    let trial = RunOptions {
        dry_run: true,
        keep_weights: true,
        loss: LossBound::UNLIMITED,
        ..RunOptions::default()
    };
    let changed = |engine: &Engine<'_>| {
        let prepared = engine.prepare(&request, &method, trial).unwrap();
        prepared.run().unwrap().changed
    };
    let from_data = changed(&engine);
    assert_eq!(from_data.len(), 2);

    let without = engine.clone().with_data(None);
    let reads = |reads: Reads| {
        let plan = RunOptions {
            plan_only: true,
            ..trial
        };
        let prepared = without.prepare(&request, &method, plan).unwrap();
        let mut tasks = prepared.plan().stages.iter().flat_map(|stage| &stage.tasks);
        tasks.any(|task| matches!(task, Task::ForgetFisher { reads: own, .. } if *own == reads))
    };
    assert!(reads(Reads::ForgetData) && !reads(Reads::Card));
    let [b, h] = &models;
    let part = card_of_source(b, &engine, "client-2");
    let bring = |model: &LoadedModel, card: &FisherCard, source: &str| {
        import_card(registry, &graph, card, Some(model.id()), Some(source))
    };
    let strange = bring(b, &part, "client-3").unwrap_err().to_string();
    assert!(strange.contains("no samples of `client-3`"), "{strange}");
    bring(b, &part, "client-2").unwrap();
    // What is all of a model's own is no part of it.
    bring(h, &card_of_source(h, &engine, "client-3"), "client-3").unwrap();
    let cards = || -> Vec<String> {
        let rows = registry.all_cards().unwrap().into_iter();
        let mut cards: Vec<String> = rows.map(|row| row.estimator).collect();
        cards.sort_unstable();
        cards
    };
    let all = ["empirical", "empirical", "empirical; source=client-2"];
    assert_eq!(cards(), all);
    assert!(reads(Reads::Card) && !reads(Reads::ForgetData));
    let from_card = changed(&without);
    assert_eq!(from_card.len(), 2);
    for (id, changed) in &from_data {
        assert_eq!(changed.keys().len(), from_card[id].keys().len());
        for (name, tensor) in changed {
            let values = tensor.to_f32().unwrap().into_iter();
            let card = from_card[id][name].to_f32().unwrap();
            let near = |(one, other): (f32, f32)| (one - other).abs() <= 1e-4 * one.abs().max(1e-2);
            let (same, count) = (
                values.zip(card.clone()).filter(|p| near(*p)).count(),
                card.len(),
            );
            assert!(same * 1000 >= count * 999, "{id} {name}: {same} of {count}");
        }
    }

    let run = RunOptions {
        dry_run: false,
        ..trial
    };
    let done = without.prepare(&request, &method, run).unwrap().run();
    assert_eq!(done.unwrap().unlearned.models.len(), 2);
    assert_eq!(cards(), all[..2], "the part goes with the source");
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
}

#[test]
fn what_matching_cannot_do_is_refused() {
    let splits = digits();
    let engine = grown(&splits);
    let refused = |engine: &Engine<'_>, wanted: Forget, reason: &str| {
        let error = unlearn(engine, wanted).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(digests(engine).len(), 2);
    };
    refused(&engine, Forget::classes(["3"]), "samples and sources");
    let wanted = || forget(&recipe(), &splits.train).unwrap();
    refused(&engine.clone().with_data(None), wanted(), "training data");
    // Everything there is was trained on, and no held-out sample is for aiming.
    let own = disinherit::provenance::own_data;
    let graph = engine.registry().graph().unwrap();
    let b = graph.get(&"b@1".parse().unwrap()).unwrap();
    let few = Splits {
        train: own(b, &splits.train).unwrap(),
        heldout: splits.heldout.filter(|_, id| !is_for_aiming(id)),
    };
    refused(&engine.clone().with_data(&few), wanted(), "never saw");
}
