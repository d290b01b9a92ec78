//! Publication: all new versions at once.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_registry::{
    CardRow, Digest, ErasureRun, MethodName, ModelOutcome, ModelRow, NewModel, OperationId,
    OperationRecord, Publication, Registry, RequestId, RetiredModel, UnlearnRecord,
};
use umig::{Forget, Model, ModelId, Relation, Request, Umig};

use crate::error::EngineError;
use crate::model::{now, time_after};
use crate::outcome::Unlearned;

/// A name for the request that depends on what is asked, of whom and by which method, not on when.
pub(crate) fn request_id(
    request: &Request,
    method: &MethodName,
    digests: &[Digest],
) -> Result<RequestId, EngineError> {
    let text = serde_json::to_string(&(request, digests));
    let mut text = text.map_err(EngineError::json("request"))?;
    if *method != MethodName::default() {
        text.push_str(method.as_str());
    }
    let digest = Digest::from_content(text.as_bytes()).to_string();
    Ok(RequestId::new(format!("request-{}", &digest[..12])))
}

/// What is published.
pub(crate) struct Publishing<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) graph: &'a Umig,
    pub(crate) request: &'a Request,
    /// The new version of every model that was edited.
    pub(crate) becomes: &'a BTreeMap<ModelId, ModelId>,
    /// The models that are taken out of use without one.
    pub(crate) retired: &'a BTreeMap<ModelId, RetiredModel>,
    /// The run of an erasure request that this ends, where it is one.
    pub(crate) erasure: Option<ErasureRun>,
    /// Cards that were computed on the way.
    pub(crate) cards: Vec<CardRow>,
    /// The names of the drafts that this makes superfluous.
    pub(crate) drafts: Vec<String>,
}

/// All new versions with their edges, in one transaction. A new version inherits from the new
/// versions of its parents where those were edited too, not from parents that are taken out of use, and
/// from the version that it replaces.
pub(crate) fn publish(
    publishing: &Publishing<'_>,
    done: &mut Unlearned,
) -> Result<OperationId, EngineError> {
    let (models, dropped_cards) = (
        publishing.new_models(done)?,
        publishing.parts_of_forgotten()?,
    );
    let record = UnlearnRecord {
        id: done.request.clone(),
        request: Request {
            forget: publishing.registry.logged(&publishing.request.forget)?,
            ..publishing.request.clone()
        },
        method: done.method.clone(),
        // Lent: with thousands of models a copy would count.
        models: std::mem::take(&mut done.models),
        retired: done.retired.clone(),
        loss_bound: Some(done.loss_bound),
        warnings: done.warnings.clone(),
        erasure: publishing.erasure,
    };
    let publication = Publication {
        models,
        superseded: publishing
            .becomes
            .keys()
            .chain(publishing.retired.keys())
            .cloned()
            .collect(),
        cards: publishing.cards.clone(),
        dropped_cards,
        finished: publishing.drafts.clone(),
        ..Publication::new(now(), OperationRecord::Unlearn(Box::new(record)))
    };
    let operation = publishing.registry.publish(&publication)?;
    if let OperationRecord::Unlearn(record) = publication.operation.record {
        done.models = record.models;
    }
    let (models, retired) = (done.models.len(), done.retired.len());
    tracing::info!(request = %done.request, %operation, models, retired, "published");
    Ok(operation)
}

impl Publishing<'_> {
    /// The cards of the forgotten source's samples alone: they have done their work.
    fn parts_of_forgotten(&self) -> Result<Vec<CardRow>, EngineError> {
        let Forget::Source(source) = &self.request.forget else {
            return Ok(Vec::new());
        };
        let is_touched =
            |id: &ModelId| self.becomes.contains_key(id) || self.retired.contains_key(id);
        let digests = self.registry.digests()?.into_iter();
        let touched: BTreeSet<Digest> = digests
            .filter(|(id, _)| is_touched(id))
            .map(|(_, digest)| digest)
            .collect();
        let cards = self.registry.all_cards()?.into_iter();
        let of_source =
            |card: &CardRow| card.source() == Some(source) && touched.contains(&card.model);
        Ok(cards.filter(of_source).collect())
    }

    /// The new versions, parents before children.
    fn new_models(&self, done: &Unlearned) -> Result<Vec<NewModel>, EngineError> {
        let outcomes = done.models.iter();
        let by_id: BTreeMap<&ModelId, &ModelOutcome> =
            outcomes.map(|outcome| (&outcome.before, outcome)).collect();
        let old: Vec<ModelId> = self.becomes.keys().cloned().collect();
        let time = time_after(self.graph, &old);
        let ordered = self.graph.ordered().into_iter();
        let new = ordered.filter_map(|id| {
            let (outcome, vertex) = (by_id.get(id)?, self.graph.get(id)?);
            Some((id, vertex, *outcome, outcome.digest_after?))
        });
        new.map(|(id, vertex, outcome, digest)| {
            Ok(NewModel {
                row: ModelRow::new(self.vertex(vertex, outcome, time)?, digest),
                parents: self.parents(id, done),
            })
        })
        .collect()
    }

    /// The vertex of a new version: trained on what is left.
    fn vertex(
        &self,
        before: &Model,
        outcome: &ModelOutcome,
        time: u64,
    ) -> Result<Model, EngineError> {
        let forget = &self.request.forget;
        let mut training = Vec::with_capacity(before.training.len());
        for own in &before.training {
            training.extend(forget.remainder(own)?);
        }
        Ok(Model {
            id: outcome.after.clone(),
            time,
            training,
            ..before.clone()
        })
    }

    /// The parents of the version that replaces `id`.
    fn parents(&self, id: &ModelId, done: &Unlearned) -> Vec<(ModelId, Relation)> {
        let current = |parent: &ModelId| self.becomes.get(parent).unwrap_or(parent).clone();
        let from = Relation::UnlearnedFrom {
            request: done.request.to_string(),
        };
        let parents = self.graph.parents(id).into_iter();
        parents
            .filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }))
            .filter(|(parent, _)| !self.retired.contains_key(*parent))
            .map(|(parent, relation)| (current(parent), relation.clone()))
            .chain([(id.clone(), from)])
            .collect()
    }
}
