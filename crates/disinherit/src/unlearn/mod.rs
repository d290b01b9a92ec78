//! FIUn over a whole network: prepare what the request needs, mend every touched model in
//! parallel, publish all new versions at once.

mod edit;
mod evidence;
mod prepare;
mod publish;
mod tensor;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use disinherit_data::Splits;
use disinherit_formats::Tensor;
use disinherit_registry::{Digest, Registry};
use fiun::{AlphaChoice, Dampening, Selection, Target};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use umig::{ModelId, Plan, Request, Role, Scope, Umig};

use crate::add::next_version;
use crate::draft::Drafts;
use crate::{EngineError, Features, FisherOptions, LoadedModel, Method, Progress};

use self::edit::Edit;
use self::evidence::Evidence;
pub use self::prepare::{Needs, needs};
use self::prepare::{Preparation, Ready};
pub(crate) use self::prepare::{check_labels, check_remainder};
use self::publish::warnings;
pub(crate) use self::publish::{Publishing, publish, request_id};

/// How the selection threshold is found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alpha {
    /// Per model: by trying values on cached features where there is data, by rule where not.
    Auto,
    /// The data-free rule, [`fiun::DATA_FREE_ALPHA`], for every model.
    Rule,
    /// This value for every model.
    Value(f64),
}

/// Whether FIMs are compared as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Each divided by the mean of its own model's FIM, so that one alpha serves a network.
    Common,
    /// As they are, as in the paper.
    Raw,
}

/// How to unlearn.
#[derive(Debug, Clone, PartialEq)]
pub struct UnlearnOptions {
    /// How the selection threshold is found.
    pub alpha: Alpha,
    /// The dampening constant; chosen together with alpha where alpha is searched, and otherwise 1,
    /// when not given.
    pub lambda: Option<f64>,
    /// Whether FIMs are compared as they are.
    pub scale: Scale,
    /// The divisor of a merged FIM (MFIM), at least 1.
    pub merge_scale: f64,
    /// The accuracy on the forget data that the choice of alpha aims at. When not given, 0 for
    /// classes, and for samples and sources the accuracy on held-out samples of their labels.
    pub target_forget: Option<f64>,
    /// The loss of accuracy on the retained data that it allows.
    pub target_loss: f64,
    /// The layers that are edited, and how Fisher information is computed where there is no card.
    pub fisher: FisherOptions,
    /// Models mended at the same time; 0 for one per core.
    pub jobs: usize,
    /// Compute everything, write nothing.
    pub dry_run: bool,
    /// Judge every touched model by its own FIM of the forget data instead of the initial models'
    /// (SSD, Foster et al., arXiv:2308.07707).
    pub own_forget: bool,
    /// Whether, for classes, what no threshold makes a model forget is taken by lowering them
    /// ([`fiun::LogitSuppression`]).
    pub lower: bool,
}

impl Default for UnlearnOptions {
    fn default() -> Self {
        Self {
            alpha: Alpha::Auto,
            lambda: None,
            scale: Scale::Common,
            merge_scale: 1.0,
            target_forget: None,
            target_loss: Target::default().retain_loss,
            fisher: FisherOptions::default(),
            jobs: 0,
            dry_run: false,
            own_forget: false,
            lower: true,
        }
    }
}

/// Models whose samples or inner layers are held at the same time.
const FEW: usize = 16;

/// Models whose heads are held at the same time.
const MANY: usize = 256;

/// A request with everything that the edit needs: stage 1 of the plan is done.
pub struct Prepared<'a> {
    /// The plan.
    pub plan: Plan,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Touched models that had a FIM card.
    pub from_cards: usize,
    /// The models' parts in the request, also where each is judged alone.
    roles: Scope,
    graph: Umig,
    data: Option<&'a Splits>,
    features: &'a Features<'a>,
    ready: BTreeMap<ModelId, Ready>,
}

/// What happened to one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The version that was touched.
    pub before: ModelId,
    /// The version that replaces it.
    pub after: ModelId,
    /// Its part in the request.
    pub role: Role,
    /// The initial models whose FIMs were merged.
    pub initial: BTreeSet<ModelId>,
    /// The digest before.
    pub digest_before: Digest,
    /// The digest after; nothing in a dry run.
    pub digest_after: Option<Digest>,
    /// The threshold, for a method that dampens.
    pub alpha: Option<f64>,
    /// The dampening constant, for a method that dampens.
    pub lambda: Option<f64>,
    /// What they were chosen from, where they were chosen from data.
    pub choice: Option<AlphaChoice>,
    /// What was done to each tensor.
    pub tensors: BTreeMap<String, Selection>,
    /// Labels of the model that no initial model has; their rows stayed as they were.
    pub unmatched: Vec<String>,
    /// The version whose FIM card stood in for one of its own.
    #[serde(default)]
    pub stand_in: Option<ModelId>,
    /// Seconds for this model.
    pub seconds: f64,
}

impl ModelOutcome {
    /// All tensors together.
    pub fn selection(&self) -> Selection {
        self.tensors
            .values()
            .copied()
            .fold(Selection::default(), Selection::plus)
    }
}

/// A finished request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unlearned {
    /// The request's id.
    pub request: String,
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// The operation's number in the log; nothing in a dry run.
    pub operation: Option<i64>,
    /// What happened to each model.
    pub models: Vec<ModelOutcome>,
    /// Seconds for stage 2 and publication.
    pub seconds: f64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Plans a request and obtains the Fisher information that it needs: from cards where there are
/// any, from the data's training part otherwise. Of the registry's catalog nothing is changed;
/// values of new cards are stored unless it is a dry run.
///
/// # Errors
/// [`EngineError`] when the request cannot be planned, names labels that nobody has, would leave a
/// model with nothing to retain, or needs data that was not given.
pub fn prepare<'a>(
    registry: &Registry,
    request: &Request,
    data: Option<&'a Splits>,
    options: &UnlearnOptions,
    features: &'a Features<'a>,
    progress: &dyn Progress,
) -> Result<Prepared<'a>, EngineError> {
    let start = Instant::now();
    Dampening::new(1.0, options.lambda.unwrap_or(1.0))
        .map_err(|e| EngineError::Refused(e.to_string()))?;
    let graph = registry.graph()?;
    check_labels(&graph, &request.forget)?;
    let plan = graph.plan(request)?;
    let roles = plan.scope.clone();
    let plan = if options.own_forget {
        plan.each_alone()
    } else {
        plan
    };
    for id in plan.scope.touched() {
        if let Some(model) = graph.get(id) {
            check_remainder(model, &request.forget)?;
        }
    }
    let preparation = Preparation {
        registry,
        graph: &graph,
        plan: &plan,
        data,
        options,
        features,
        progress,
    };
    let touched: Vec<&ModelId> = plan.scope.touched().collect();
    // Of several errors the first in the graph's order is told, whichever thread was faster.
    let loaded: Vec<Result<_, EngineError>> =
        pool(options.jobs)?.install(|| touched.par_iter().map(|id| preparation.load(id)).collect());
    let loaded = loaded.into_iter().collect::<Result<Vec<_>, _>>()?;
    // One model after the other: a forward pass uses all cores, and siblings share it.
    let ready = touched
        .into_iter()
        .zip(loaded)
        .map(|(id, loaded)| Ok((id.clone(), preparation.ready(loaded)?)))
        .collect::<Result<BTreeMap<ModelId, Ready>, EngineError>>()?;
    Ok(Prepared {
        seconds: start.elapsed().as_secs_f64(),
        from_cards: ready.values().filter(|r| !r.card.new).count(),
        roles,
        plan,
        graph,
        data,
        features,
        ready,
    })
}

/// Mends every touched model, each on its own and all in parallel, and publishes the new versions
/// in one transaction. What was computed from the forgotten data is dropped from the cache.
///
/// # Errors
/// [`EngineError`]; nothing is published then.
pub fn unlearn(
    registry: &Registry,
    prepared: &Prepared<'_>,
    options: &UnlearnOptions,
    progress: &dyn Progress,
) -> Result<Unlearned, EngineError> {
    unlearn_keeping(registry, prepared, options, progress, &mut |_, _| {})
}

/// Is given the tensors of every model that changed.
pub(crate) type Keep<'a> = dyn FnMut(&ModelId, &BTreeMap<String, Tensor>) + 'a;

/// As [`unlearn`]; `keep` is given what changed in each model.
pub(crate) fn unlearn_keeping(
    registry: &Registry,
    prepared: &Prepared<'_>,
    options: &UnlearnOptions,
    progress: &dyn Progress,
    keep: &mut Keep<'_>,
) -> Result<Unlearned, EngineError> {
    let start = Instant::now();
    let method = if options.own_forget {
        Method::Ssd
    } else {
        Method::Fiun
    };
    let digests: Vec<Digest> = prepared.ready.values().map(|r| r.model.digest).collect();
    let request = request_id(&prepared.plan.request, method, &digests)?;
    let ids: BTreeMap<&ModelId, ModelId> = prepared
        .ready
        .keys()
        .map(|id| Ok((id, next_version(&prepared.graph, id.name())?)))
        .collect::<Result<_, EngineError>>()?;
    // How many at a time, and whether it is written, decides nothing about what comes out.
    let same = UnlearnOptions {
        jobs: 0,
        ..options.clone()
    };
    let data = prepared.data.filter(|_| !options.dry_run);
    let data = data.map(|splits| (splits.train.digest(), splits.heldout.digest()));
    let drafts = Drafts::open(registry, &request, &(same, data))?;
    let mended = mend_all(registry, prepared, options, &ids, &drafts, progress, keep)?;
    let mut done = Unlearned {
        request,
        method,
        operation: None,
        warnings: warnings(prepared, &mended),
        models: mended,
        seconds: 0.0,
    };
    if !options.dry_run {
        let publishing = Publishing {
            registry,
            graph: &prepared.graph,
            request: &prepared.plan.request,
            ids: &ids,
            cards: prepared
                .ready
                .values()
                .filter_map(|ready| ready.card.row.clone())
                .collect(),
            drafts: [drafts.name]
                .into_iter()
                .chain(prepared.ready.values().filter_map(|r| r.card.draft.clone()))
                .collect(),
        };
        done.operation = Some(publish(&publishing, &done)?);
        let forget = &prepared.plan.request.forget;
        if let Err(error) = prepared.features.drop_forgotten(forget) {
            done.warnings.push(format!(
                "features of forgotten data are still in the registry's cache: {error}"
            ));
        }
    }
    done.seconds = start.elapsed().as_secs_f64();
    Ok(done)
}

fn mend_all(
    registry: &Registry,
    prepared: &Prepared<'_>,
    options: &UnlearnOptions,
    ids: &BTreeMap<&ModelId, ModelId>,
    drafts: &Drafts<'_>,
    progress: &dyn Progress,
    keep: &mut Keep<'_>,
) -> Result<Vec<ModelOutcome>, EngineError> {
    let stage = progress.stage("unlearning", prepared.ready.len() as u64);
    let edit = Edit {
        registry,
        prepared,
        options,
        ids,
        stage: stage.as_ref(),
    };
    let preparation = Preparation {
        registry,
        graph: &prepared.graph,
        plan: &prepared.plan,
        data: prepared.data,
        options,
        features: prepared.features,
        progress,
    };
    let pool = pool(options.jobs)?;
    let mut mended = BTreeMap::new();
    let mut todo: Vec<&Ready> = Vec::with_capacity(prepared.ready.len());
    for (id, ready) in &prepared.ready {
        let finished = drafts.get::<ModelOutcome>(&id.to_string());
        match finished.filter(|outcome| Some(&outcome.after) == ids.get(id)) {
            Some(outcome) if !options.dry_run => {
                if let Some(digest) = outcome.digest_after {
                    keep(id, &difference(registry, &ready.model, digest)?);
                }
                stage.advance(1);
                mended.insert(id.clone(), outcome);
            }
            _ => todo.push(ready),
        }
    }
    let search = options.alpha == Alpha::Auto && prepared.data.is_some();
    let heads_only = todo.iter().all(|ready| ready.selected.inner.is_empty());
    let window = if search || !heads_only { FEW } else { MANY };
    for models in todo.chunks(window) {
        let evidence: Vec<Option<Evidence>> = models
            .iter()
            .map(|ready| {
                if search {
                    preparation.evidence(ready)
                } else {
                    Ok(None)
                }
            })
            .collect::<Result<_, _>>()?;
        let done: Vec<Result<_, EngineError>> = pool.install(|| {
            models
                .par_iter()
                .zip(&evidence)
                .map(|(ready, evidence)| edit.mend(ready, evidence.as_ref()))
                .collect()
        });
        let done = done.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (mut outcomes, changed): (Vec<ModelOutcome>, Vec<_>) = done.into_iter().unzip();
        for (outcome, tensors) in outcomes.iter().zip(&changed) {
            keep(&outcome.before, tensors);
        }
        if !options.dry_run {
            let manifests = models.iter().map(|ready| ready.model.manifest.clone());
            let digests = registry.put_models(manifests.zip(changed).collect())?;
            for (outcome, digest) in outcomes.iter_mut().zip(digests) {
                outcome.digest_after = Some(digest);
            }
            drafts.keep(outcomes.iter().map(|outcome| {
                let blobs = outcome.digest_after.into_iter().collect();
                (outcome.before.to_string(), outcome, blobs)
            }))?;
        }
        mended.extend(outcomes.into_iter().map(|o| (o.before.clone(), o)));
    }
    Ok(mended.into_values().collect())
}

/// The tensors of a stored manifest that are not a model's.
fn difference(
    registry: &Registry,
    model: &LoadedModel,
    digest: Digest,
) -> Result<BTreeMap<String, Tensor>, EngineError> {
    let tensors = registry.manifest(digest)?.tensors.into_iter();
    tensors
        .filter(|(name, tensor)| model.manifest.tensors.get(name) != Some(tensor))
        .map(|(name, tensor)| Ok((name, registry.tensor(&tensor)?)))
        .collect()
}

fn pool(jobs: usize) -> Result<rayon::ThreadPool, EngineError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| EngineError::Refused(format!("cannot start {jobs} threads: {error}")))
}
