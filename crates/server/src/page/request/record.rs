//! All that is on record of one request, read for its pages.

use disinherit::evaluation::CertifiedVerdict;
use disinherit::registry::{
    ErasureId, ErasureRequest, Job, ModelOutcome, OperationId, OperationRow, Registry,
    UnlearnRecord,
};
use disinherit_desk::{Desk, ErasureScope};
use disinherit_report::{Recorded, ScopeGraph};

use crate::page::scope::graph_of;
use crate::problem::Problem;

/// What is on record of a request.
pub(super) struct Record {
    pub(super) erasure: ErasureRequest,
    pub(super) scope: Option<(ErasureScope, ScopeGraph)>,
    pub(super) jobs: Vec<Job>,
    pub(super) history: Vec<OperationRow>,
    /// What was published for it, oldest first.
    pub(super) published: Vec<(OperationId, UnlearnRecord)>,
    pub(super) outcomes: Vec<ModelOutcome>,
    pub(super) verdicts: Vec<CertifiedVerdict>,
}

impl Record {
    pub(super) fn read(
        desk: &Desk<'_>,
        registry: &Registry,
        id: ErasureId,
    ) -> Result<Self, Problem> {
        let erasure = registry.erasure(id)?;
        let scope = erasure.plan.as_ref().map(|plan| desk.scope(plan));
        let scope = match scope.transpose()? {
            Some(scope) => {
                let graph = graph_of(registry, &scope)?;
                Some((scope, graph))
            }
            None => None,
        };
        let verdicts = erasure.verdict.as_ref().map(|found| desk.verdicts(found));
        let published = desk.published(id)?;
        let outcomes = published.iter().flat_map(|(_, record)| &record.models);
        Ok(Self {
            outcomes: outcomes.cloned().collect(),
            published,
            verdicts: verdicts.transpose()?.unwrap_or_default(),
            scope,
            jobs: registry.jobs(id)?,
            history: registry.erasure_history(id)?,
            erasure,
        })
    }

    /// What it reached, for the judgement and the plots.
    pub(super) fn reached(&self) -> Recorded<'_> {
        Recorded {
            verdicts: &self.verdicts,
            outcomes: &self.outcomes,
        }
    }
}
