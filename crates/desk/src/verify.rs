//! Verifying: the evaluator's judgement of what a run published.

use disinherit::evaluation::{CertifiedVerdict, Depth, Evaluator, Judgement};
use disinherit::registry::{ErasureId, ErasureRequest, ErasureStep, ErasureVerdict, StepKind};
use disinherit::umig::ModelId;

use crate::desk::{Desk, document};
use crate::error::DeskError;

/// What the new models must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// What is looked at.
    pub depth: Depth,
    /// The judgement that every model must reach, where one is asked for.
    pub required: Option<Judgement>,
    /// The largest share of forgotten held-out samples that may still be recognised.
    pub at_most: f64,
}

impl Default for Bar {
    fn default() -> Self {
        Self {
            depth: Depth::OUTPUTS,
            required: None,
            at_most: disinherit::FORGOTTEN,
        }
    }
}

impl Bar {
    fn accepts(&self, verdict: &CertifiedVerdict) -> bool {
        let judgement = verdict.judgement();
        let reached = |required| judgement.reaches(required);
        verdict.passed != Some(false) && self.required.is_none_or(reached)
    }
}

impl Desk<'_> {
    /// Has the evaluator judge the versions that were published for a request and are in use. The request is
    /// verified where all of them reach the bar, and failed otherwise; either way the verdicts are on
    /// record.
    ///
    /// # Errors
    /// [`DeskError`] when the request is not at that point, there is no data, or a model cannot be run.
    pub fn verify(
        &self,
        id: ErasureId,
        bar: &Bar,
    ) -> Result<(ErasureRequest, Vec<CertifiedVerdict>), DeskError> {
        self.verify_by(id, bar, |models| self.judge(id, models, bar))
    }

    /// The same by the verdicts that somebody else gives, one on each model in their order: from
    /// [`Desk::judge`] on other machines.
    ///
    /// # Errors
    /// As [`Desk::verify`], and [`DeskError::Verdicts`] where they are on other models.
    pub fn verify_by(
        &self,
        id: ErasureId,
        bar: &Bar,
        judge: impl FnOnce(&[ModelId]) -> Result<Vec<CertifiedVerdict>, DeskError>,
    ) -> Result<(ErasureRequest, Vec<CertifiedVerdict>), DeskError> {
        let erasure = self.registry().erasure(id)?;
        erasure.check(StepKind::Verify)?;
        let models = self.new_versions(&erasure)?;
        let verdicts = judge(&models)?;
        if !verdicts.iter().map(|verdict| &verdict.model).eq(&models) {
            return Err(DeskError::Verdicts {
                request: id,
                asked: models.len(),
                given: verdicts.len(),
            });
        }
        let text = serde_json::to_vec(&verdicts).map_err(document("verdicts on a request"))?;
        let least = verdicts.iter().map(CertifiedVerdict::judgement);
        let verdict = ErasureVerdict {
            passed: verdicts.iter().all(|verdict| bar.accepts(verdict)),
            verdicts: Some(self.registry().put_document(text)?),
            judged: verdicts.len(),
            recognised: verdicts.iter().filter(|v| v.passed == Some(false)).count(),
            judgement: least
                .reduce(Judgement::at_most)
                .map(|word| word.to_string()),
            required: bar.required.map(|word| word.to_string()),
            not_judged: None,
        };
        let seen = Some(erasure.last.operation);
        let step = ErasureStep::Verify(verdict);
        Ok((self.registry().step_erasure(id, step, seen)?, verdicts))
    }

    /// The evaluator's verdicts on models, about what a request asks for. Nothing is put on record.
    ///
    /// # Errors
    /// [`DeskError`] when there is no such request, no data, or a model cannot be run.
    pub fn judge(
        &self,
        id: ErasureId,
        models: &[ModelId],
        bar: &Bar,
    ) -> Result<Vec<CertifiedVerdict>, DeskError> {
        let erasure = self.registry().erasure(id)?;
        let forget = self.registry().forget_of(&erasure.asked)?;
        let evaluator = Evaluator::new(self.engine, &forget, bar.depth)?;
        Ok(evaluator.judge(models, bar.at_most)?)
    }

    /// Takes a request as verified though nothing was judged, with the reason: the data is gone, for
    /// instance. The certificate then has no verdicts.
    ///
    /// # Errors
    /// [`DeskError`] when the request is not at that point.
    pub fn leave_unjudged(&self, id: ErasureId, why: String) -> Result<ErasureRequest, DeskError> {
        let step = ErasureStep::Verify(ErasureVerdict {
            passed: true,
            verdicts: None,
            judged: 0,
            recognised: 0,
            judgement: None,
            required: None,
            not_judged: Some(why),
        });
        Ok(self.registry().step_erasure(id, step, None)?)
    }

    /// The verdicts that are on record for a request; none where nothing was judged.
    ///
    /// # Errors
    /// [`DeskError`] when they cannot be read.
    pub fn verdicts(&self, verdict: &ErasureVerdict) -> Result<Vec<CertifiedVerdict>, DeskError> {
        let Some(digest) = verdict.verdicts else {
            return Ok(Vec::new());
        };
        let text = self.registry().document(digest)?;
        serde_json::from_slice(&text).map_err(document("verdicts on a request"))
    }

    /// The versions that were published for a request and are in use.
    fn new_versions(&self, erasure: &ErasureRequest) -> Result<Vec<ModelId>, DeskError> {
        let mut models = Vec::new();
        for (_, record) in self.published_for(erasure)? {
            for outcome in record.models {
                let row = self.registry().model(&outcome.after)?;
                if row.is_some_and(|row| !row.vertex.superseded) {
                    models.push(outcome.after);
                }
            }
        }
        Ok(models)
    }
}
