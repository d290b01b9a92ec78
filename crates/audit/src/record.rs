//! All that is on record of one request.

use disinherit::evaluation::CertifiedVerdict;
use disinherit::registry::{
    ErasureId, ErasureRequest, ModelOutcome, OperationId, OperationRow, UnlearnRecord,
};
use disinherit_desk::{Desk, ErasureScope};
use disinherit_report::{Recorded, ScopeGraph};

use crate::error::AuditError;
use crate::report::scope::graph_of;

/// What is on record of a request.
pub struct Record {
    /// The request as of its last step.
    pub erasure: ErasureRequest,
    /// Whom it touches, as planned, and the graph of those.
    pub scope: Option<(ErasureScope, ScopeGraph)>,
    /// The operations that concern it, oldest first.
    pub history: Vec<OperationRow>,
    /// What was published for it, oldest first.
    pub published: Vec<(OperationId, UnlearnRecord)>,
    /// What was done to each model.
    pub outcomes: Vec<ModelOutcome>,
    /// The verdict on each new version; none where nothing was judged.
    pub verdicts: Vec<CertifiedVerdict>,
}

impl Record {
    /// Reads what is on record of a request.
    ///
    /// # Errors
    /// [`AuditError`] when there is no such request, or something of it cannot be read.
    pub fn read(desk: &Desk<'_>, id: ErasureId) -> Result<Self, AuditError> {
        let registry = desk.registry();
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
            history: registry.erasure_history(id)?,
            erasure,
        })
    }

    /// What it reached, for the judgement and the plots.
    pub fn reached(&self) -> Recorded<'_> {
        Recorded {
            verdicts: &self.verdicts,
            outcomes: &self.outcomes,
        }
    }
}
