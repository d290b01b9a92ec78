//! A finished request, judged again from what the registry keeps.

use std::collections::BTreeMap;

use disinherit_data::Splits;
use disinherit_nets::Compute;
use disinherit_registry::{OperationRecord, OperationRow, Registry, UnlearnRecord, undone_by};
use umig::{ModelId, Relation, Request, Role};

use crate::error::suggest;
use crate::verdicts::{Depth, Examiner, Verdicts};
use crate::{
    Cost, EngineError, LoadedModel, Method, MethodResult, ModelOutcome, ModelResult, Progress,
    Runner, Study, StudyModel, Variant,
};

/// What a request did, as a study of one method. With data, every touched model is judged before
/// and after; without, only what the log says is known.
///
/// `request` is the request's id, the number of its operation, or nothing for the last one. Samples
/// that are elsewhere are run by `runner`.
///
/// # Errors
/// [`EngineError::Refused`] when there is no such request, or what the registry says.
pub fn revisit(
    registry: &Registry,
    request: Option<&str>,
    splits: Option<&Splits>,
    depth: Depth,
    compute: Compute,
    runner: Option<&dyn Runner>,
    progress: &dyn Progress,
) -> Result<Study, EngineError> {
    let operations = registry.operations()?;
    let row = chosen(&operations, request)?;
    let record = read_request(row)?;
    let (asked, method, outcomes) = (record.request, record.method, record.models);
    let method = Method::from_record(&method);
    let graph = registry.graph()?;
    let mut before: BTreeMap<ModelId, Verdicts> = BTreeMap::new();
    let mut results = Vec::new();
    for outcome in outcomes {
        let mut after = Verdicts::default();
        if let Some(splits) = splits {
            let examiner = Examiner {
                registry,
                splits,
                forget: &asked.forget,
                compute,
                runner,
                depth,
                progress,
            };
            let exam = examiner.exam(&graph, &outcome.before)?;
            let judge = |id: &ModelId, examiner: &Examiner<'_>, known| {
                let state = LoadedModel::open(registry, &graph, id)?.state(registry)?;
                let seen = examiner.observe(&exam, &state)?;
                examiner.verdicts(&exam, &state, &seen, None, known)
            };
            let untrained = Examiner {
                depth: Depth {
                    relearning: false,
                    ..depth
                },
                ..examiner
            };
            let first = judge(&outcome.before, &untrained, None)?;
            after = judge(&outcome.after, &examiner, first.scores.forget.heldout)?;
            before.insert(outcome.before.clone(), first);
        }
        results.push(ModelResult {
            id: outcome.before.clone(),
            verdicts: after,
            outcome,
        });
    }
    let seconds = results.iter().map(|r| r.outcome.seconds).sum();
    let result = MethodResult {
        variant: Variant::from(method),
        settings: None,
        request: record.id.to_string(),
        cost: Cost {
            seconds,
            ..Cost::default()
        },
        preparation: Cost::default(),
        models: results,
        warnings: record.warnings,
        failed: None,
    };
    Ok(Study {
        title: result.request.clone(),
        recipe: None,
        seed: 0,
        forget: asked.forget,
        device: compute.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        models: models(registry, &result, &mut before)?,
        results: vec![result],
    })
}

/// What was asked, by which method, and what happened to each model.
pub(crate) fn read_request(row: &OperationRow) -> Result<UnlearnRecord, EngineError> {
    match row.record()? {
        OperationRecord::Unlearn(record) => Ok(*record),
        _ => Err(EngineError::Refused(format!(
            "operation {} is no request",
            row.id
        ))),
    }
}

/// A request in the log: what was asked, and what happened to each model. The last one that was not
/// undone when none is named by its id or the number of its operation.
///
/// # Errors
/// As [`revisit`].
pub fn last_request(
    registry: &Registry,
    request: Option<&str>,
) -> Result<(Request, Vec<ModelOutcome>), EngineError> {
    let operations = registry.operations()?;
    let record = read_request(chosen(&operations, request)?)?;
    Ok((record.request, record.models))
}

pub(crate) fn chosen<'a>(
    operations: &'a [OperationRow],
    request: Option<&str>,
) -> Result<&'a OperationRow, EngineError> {
    let mut unlearned = operations
        .iter()
        .rev()
        .filter(|row| row.command == "unlearn");
    let id = |row: &OperationRow| match row.record() {
        Ok(OperationRecord::Unlearn(record)) => record.id.to_string(),
        _ => String::new(),
    };
    let Some(wanted) = request else {
        return unlearned
            .find(|row| undone_by(operations, row.id).is_none())
            .ok_or_else(|| {
                EngineError::Refused("nothing has been unlearned in this registry yet".into())
            });
    };
    let known: Vec<String> = unlearned.clone().map(id).collect();
    unlearned
        .find(|row| id(row) == wanted || row.id.to_string() == wanted)
        .ok_or_else(|| {
            EngineError::Refused(format!(
                "there is no request `{wanted}`{}; `disinherit log --operations` lists them",
                suggest(wanted, known.iter().map(String::as_str))
            ))
        })
}

/// The touched models and those around them as they were when the request came: every version
/// that was current then.
fn models(
    registry: &Registry,
    result: &MethodResult,
    before: &mut BTreeMap<ModelId, Verdicts>,
) -> Result<Vec<StudyModel>, EngineError> {
    let graph = registry.graph()?;
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
