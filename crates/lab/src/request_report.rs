//! The report of a finished request, from what the registry keeps.

use std::collections::{BTreeMap, BTreeSet};

use disinherit::evaluation::{Depth, Evaluator, UntouchedRoot, Verdicts};
use disinherit::{Cost, Engine, LoadedModel, past_request};
use disinherit_registry::{ModelOutcome, Registry, RequestId, RetiredModel};
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
    let mut before: BTreeMap<ModelId, Before> = BTreeMap::new();
    let mut results = Vec::new();
    let both = |outcome: &ModelOutcome| [outcome.before.clone(), outcome.after.clone()];
    let judging = Judging {
        engine,
        graph: &graph,
        forget: &past.request.forget,
        depth,
        touched: past.models.iter().flat_map(both).collect(),
    };
    let retired: BTreeMap<ModelId, RetiredModel> = past
        .retired
        .into_iter()
        .map(|gone| (gone.model.clone(), gone))
        .collect();
    for outcome in past.models {
        let (known, after) = match engine.data() {
            Some(_) => judging.judge(&outcome)?,
            None => Default::default(),
        };
        before.insert(outcome.before.clone(), known);
        results.push(ModelResult {
            id: outcome.before.clone(),
            verdicts: after,
            judged: None,
            metrics: None,
            outcome,
        });
    }
    let result = result(method, past.id.clone(), results, past.warnings);
    Ok(Study {
        title: result.request.to_string(),
        recipe: None,
        seed: 0,
        forget: past.request.forget,
        device: engine.compute().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        models: models(registry, &graph, (&result, &retired), &mut before)?,
        results: vec![result],
    }
    .with_judgements())
}

/// What the request made, as a method's result.
fn result(
    method: MethodKind,
    request: RequestId,
    models: Vec<ModelResult>,
    warnings: Vec<String>,
) -> MethodResult {
    MethodResult {
        variant: Variant::from(method),
        settings: None,
        request,
        cost: Cost {
            seconds: models.iter().map(|r| r.outcome.seconds).sum(),
            ..Cost::default()
        },
        preparation: Cost::default(),
        models,
        warnings,
        failed: None,
        judgement: None,
        findings: Vec::new(),
    }
}

/// What is known of a model before its edit.
#[derive(Default)]
struct Before {
    verdicts: Verdicts,
    root: Option<UntouchedRoot>,
}

/// How the models of a request are judged.
struct Judging<'a> {
    engine: &'a Engine<'a>,
    graph: &'a Umig,
    forget: &'a Forget,
    depth: Depth,
    /// The versions that the request touched, and those that it made.
    touched: BTreeSet<ModelId>,
}

impl Judging<'_> {
    /// What is known of a model before its edit, and the verdicts on it afterwards.
    fn judge(&self, outcome: &ModelOutcome) -> Result<(Before, Verdicts), LabError> {
        let evaluator = Evaluator::new(self.engine, self.forget, self.depth)?;
        let set = evaluator.evaluation_set(self.graph, &outcome.before)?;
        let registry = self.engine.registry();
        let state = |id: &ModelId| LoadedModel::open(registry, self.graph, id)?.state(registry);
        let weights = state(&outcome.before)?;
        let seen = evaluator.observe(&set, &weights)?;
        let verdicts = evaluator.verdicts_before(&set, &weights, &seen)?;
        let known = verdicts.scores.forget.heldout;
        let weights = state(&outcome.after)?;
        let seen = evaluator.observe(&set, &weights)?;
        let after = evaluator.verdicts(&set, &weights, &seen, None, known)?;
        let root = match self.depth.attacks {
            true => evaluator.untouched_root(self.graph, &self.touched, &set, known)?,
            false => None,
        };
        Ok((Before { verdicts, root }, after))
    }
}

/// The touched models and those around them as they were when the request came: every version
/// that was current then.
fn models(
    registry: &Registry,
    graph: &Umig,
    (result, retired): (&MethodResult, &BTreeMap<ModelId, RetiredModel>),
    before: &mut BTreeMap<ModelId, Before>,
) -> Result<Vec<StudyModel>, LabError> {
    let depths = graph.depths();
    let touched: BTreeMap<&str, &ModelResult> =
        result.models.iter().map(|m| (m.id.name(), m)).collect();
    let shown = |id: &ModelId| match touched.get(id.name()) {
        Some(model) => model.id == *id,
        None if retired.contains_key(id) => true,
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
        let Before { verdicts, root } = before.remove(id).unwrap_or_default();
        list.push(StudyModel {
            id: id.clone(),
            role: match (known, retired.get(id)) {
                (Some(model), _) => model.outcome.role,
                (None, Some(gone)) => gone.role,
                (None, None) => Role::Untouched,
            },
            retired: retired.contains_key(id),
            depth: depths.get(id).copied().unwrap_or_default(),
            parents: parents
                .filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }))
                .map(|(parent, relation)| (parent.clone(), relation.name().to_owned()))
                .collect(),
            digest,
            digest_now,
            before: verdicts,
            root,
        });
    }
    Ok(list)
}
