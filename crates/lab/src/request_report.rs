//! The report of a finished request, from what the registry keeps.

use std::collections::BTreeMap;

use disinherit::evaluation::{Depth, Evaluator, Verdicts};
use disinherit::{Cost, Engine, LoadedModel, past_request};
use disinherit_registry::{ModelOutcome, Registry};
use umig::{Forget, ModelId, Relation, Role, Umig};

use crate::baselines::MethodKind;
use crate::error::LabError;
use crate::study::{MethodResult, ModelResult, Study, StudyModel};
use crate::variant::Variant;

/// What a request did, as a study of one method. With data in the engine, every touched model is
/// judged before and after; without, only what the log says is known.
///
/// `request` is the request's id, the number of its operation, or nothing for the last one.
///
/// # Errors
/// [`LabError`] when there is no such request, or what the registry says.
pub fn request_report(
    engine: &Engine<'_>,
    request: Option<&str>,
    depth: Depth,
) -> Result<Study, LabError> {
    let registry = engine.registry();
    let past = past_request(registry, request)?;
    let graph = registry.graph()?;
    let method: MethodKind = past.method.as_str().parse().map_err(LabError::Foreign)?;
    let mut before: BTreeMap<ModelId, Verdicts> = BTreeMap::new();
    let mut results = Vec::new();
    for outcome in past.models {
        let mut after = Verdicts::default();
        if engine.data().is_some() {
            let judged = judge(engine, &graph, &past.request.forget, depth, &outcome)?;
            before.insert(outcome.before.clone(), judged.0);
            after = judged.1;
        }
        results.push(ModelResult {
            id: outcome.before.clone(),
            verdicts: after,
            outcome,
        });
    }
    let result = MethodResult {
        variant: Variant::from(method),
        settings: None,
        request: past.id.to_string(),
        cost: Cost {
            seconds: results.iter().map(|r| r.outcome.seconds).sum(),
            ..Cost::default()
        },
        preparation: Cost::default(),
        models: results,
        warnings: past.warnings,
        failed: None,
        judgement: None,
    };
    Ok(Study {
        title: result.request.clone(),
        recipe: None,
        seed: 0,
        forget: past.request.forget,
        device: engine.compute().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        models: models(registry, &graph, &result, &mut before)?,
        results: vec![result],
    }
    .judged())
}

/// The verdicts on a model before and after its edit.
fn judge(
    engine: &Engine<'_>,
    graph: &Umig,
    forget: &Forget,
    depth: Depth,
    outcome: &ModelOutcome,
) -> Result<(Verdicts, Verdicts), LabError> {
    let evaluator = Evaluator::new(engine, forget, depth)?;
    let set = evaluator.evaluation_set(graph, &outcome.before)?;
    let registry = engine.registry();
    let judge = |id: &ModelId, evaluator: &Evaluator<'_>, known| {
        let state = LoadedModel::open(registry, graph, id)?.state(registry)?;
        let seen = evaluator.observe(&set, &state)?;
        evaluator.verdicts(&set, &state, &seen, None, known)
    };
    let untrained = evaluator.with_depth(Depth {
        relearning: false,
        ..depth
    });
    let before = judge(&outcome.before, &untrained, None)?;
    let after = judge(&outcome.after, &evaluator, before.scores.forget.heldout)?;
    Ok((before, after))
}

/// The touched models and those around them as they were when the request came: every version
/// that was current then.
fn models(
    registry: &Registry,
    graph: &Umig,
    result: &MethodResult,
    before: &mut BTreeMap<ModelId, Verdicts>,
) -> Result<Vec<StudyModel>, LabError> {
    let depths = graph.depths();
    let touched: BTreeMap<&str, &ModelResult> =
        result.models.iter().map(|m| (m.id.name(), m)).collect();
    let shown = |id: &ModelId| match touched.get(id.name()) {
        Some(model) => model.id == *id,
        None => graph.get(id).is_some_and(|model| !model.superseded),
    };
    let mut list = Vec::new();
    for id in graph.ordered().into_iter().filter(|id| shown(id)) {
        let known = touched.get(id.name());
        let current = graph.resolve(id.name()).map_or(id, |model| &model.id);
        let digest = registry.digest(id)?;
        let (Some(digest), Some(digest_now)) = (digest, registry.digest(current)?) else {
            continue;
        };
        let parents = graph.parents(id).into_iter();
        list.push(StudyModel {
            id: id.clone(),
            role: known.map_or(Role::Untouched, |model| model.outcome.role),
            depth: depths.get(id).copied().unwrap_or_default(),
            parents: parents
                .filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }))
                .map(|(parent, relation)| (parent.clone(), relation.name().to_owned()))
                .collect(),
            digest,
            digest_now,
            before: before.remove(id).unwrap_or_default(),
        });
    }
    Ok(list)
}
