//! An erasure request, and what each step makes of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use umig::ModelId;

use crate::digest::{Digest, ParseDigestError};
use crate::erasures::asked::Asked;
use crate::erasures::concern::Concern;
use crate::erasures::refusal::ErasureRefusal;
use crate::erasures::state::{ErasureState, StepKind};
use crate::erasures::step::{ErasurePlan, ErasureStep, ErasureVerdict, Filing};
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::log::entry::OperationRow;

/// The longest reference or legal basis, in characters.
const SHORT: usize = 200;

/// The longest comment or reason, in characters.
const LONG: usize = 4000;

/// An erasure request, as of its last step. It follows from the log alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErasureRequest {
    /// Its number.
    pub id: ErasureId,
    /// How far it has come.
    pub state: ErasureState,
    /// What must be forgotten.
    pub asked: Asked,
    /// The initial models, named by hand; found by provenance when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<ModelId>,
    /// Who asked, under a pseudonym.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// The legal basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// When it arrived, in milliseconds since 1970-01-01 UTC.
    pub received: u64,
    /// Until when it must be carried out, in milliseconds since 1970-01-01 UTC.
    pub deadline: u64,
    /// Why the deadline is another one than at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<String>,
    /// Who filed it, and when.
    pub filed: Stamp,
    /// What a run will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ErasurePlan>,
    /// Who approved that, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Stamp>,
    /// Who began the last run, and when; the operation names the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Stamp>,
    /// The operations that published new models for it, without those that were undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<OperationId>,
    /// What the evaluator said of the new models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ErasureVerdict>,
    /// The object with the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Digest>,
    /// Objects that its steps speak of, besides its list of samples.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects: BTreeSet<Digest>,
    /// Why it was rejected, or has failed, or who cancelled its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last step: who, when, by which operation. The operation is the request's revision.
    pub last: Stamp,
}

/// Who did something, when, and by which operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Who.
    pub by: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The operation of the log.
    pub operation: OperationId,
}

impl Stamp {
    /// The stamp of an operation.
    pub(crate) fn from_row(row: &OperationRow) -> Self {
        Self {
            by: row.actor.clone(),
            time: row.time,
            operation: row.id,
        }
    }
}

impl ErasureRequest {
    /// A request that was just filed.
    ///
    /// # Errors
    /// [`ErasureRefusal`] when a text cannot be kept, or the deadline is before the arrival.
    pub(crate) fn new(
        id: ErasureId,
        filing: &Filing,
        stamp: Stamp,
    ) -> Result<Self, ErasureRefusal> {
        let texts = [
            ("reference", &filing.requester),
            ("legal basis", &filing.basis),
        ];
        for (what, text) in texts {
            if let Some(text) = text {
                check_text(what, text, SHORT)?;
            }
        }
        if filing.deadline <= filing.received {
            return Err(ErasureRefusal::Deadline);
        }
        Ok(Self {
            id,
            state: ErasureState::Received,
            asked: filing.asked.clone(),
            from: filing.from.clone(),
            requester: filing.requester.clone(),
            basis: filing.basis.clone(),
            received: filing.received,
            deadline: filing.deadline,
            extended: None,
            filed: stamp.clone(),
            plan: None,
            approved: None,
            run: None,
            published: Vec::new(),
            verdict: None,
            certificate: None,
            objects: BTreeSet::new(),
            reason: None,
            last: stamp,
        })
    }

    /// Takes a step. Every step of every request goes through here, and only here; where it is refused, the
    /// request is as it was.
    ///
    /// # Errors
    /// [`ErasureRefusal`] when the step is not legal.
    pub(crate) fn apply(
        &mut self,
        concern: Concern<'_>,
        stamp: Stamp,
    ) -> Result<(), ErasureRefusal> {
        let kind = concern.kind();
        let refused = ErasureRefusal::State {
            state: self.state,
            step: kind,
        };
        let state = self.state.after(kind).ok_or(refused)?;
        match concern {
            Concern::Step(step) => self.take(step, &stamp)?,
            Concern::Unlearned { started } => {
                if self.run.as_ref().map(|run| run.operation) != Some(started) {
                    return Err(ErasureRefusal::TakenOver);
                }
                self.check_unpublished()?;
                self.published.push(stamp.operation);
            }
            Concern::Purged => {}
            Concern::Undone(operation) => {
                if !self.published.contains(&operation) {
                    return Err(ErasureRefusal::NotRun);
                }
                self.published.retain(|known| *known != operation);
                (self.verdict, self.certificate) = (None, None);
                self.reason = Some(format!("operation {operation} was undone"));
            }
        }
        if !matches!(
            kind,
            StepKind::Reject | StepKind::Fail | StepKind::Miss | StepKind::Undo | StepKind::Cancel
        ) && state != self.state
        {
            self.reason = None;
        }
        self.state = state;
        self.last = stamp;
        Ok(())
    }

    fn take(&mut self, step: &ErasureStep, stamp: &Stamp) -> Result<(), ErasureRefusal> {
        match step {
            ErasureStep::New(_) | ErasureStep::Purge | ErasureStep::Close => {}
            ErasureStep::Comment { text } => check_text("comment", text, LONG)?,
            ErasureStep::Plan(plan) => {
                self.objects.insert(plan.scope);
                self.plan = Some(plan.clone());
                (self.approved, self.verdict) = (None, None);
            }
            ErasureStep::Approve { four_eyes } => {
                if *four_eyes && stamp.by == self.filed.by {
                    let filed_by = self.filed.by.clone();
                    return Err(ErasureRefusal::FourEyes { filed_by });
                }
                self.approved = Some(stamp.clone());
            }
            ErasureStep::Reject { reason } | ErasureStep::Fail { reason } => {
                check_text("reason", reason, LONG)?;
                self.reason = Some(reason.clone());
            }
            ErasureStep::Extend { deadline, reason } => {
                check_text("reason", reason, LONG)?;
                if *deadline <= self.deadline {
                    return Err(ErasureRefusal::Deadline);
                }
                self.deadline = *deadline;
                self.extended = Some(reason.clone());
            }
            ErasureStep::Run { .. } => {
                self.check_unpublished()?;
                self.run = Some(stamp.clone());
            }
            ErasureStep::Cancel { run, reason, .. } => {
                if let Some(reason) = reason {
                    check_text("reason", reason, LONG)?;
                }
                if *run {
                    self.check_unpublished()?;
                    self.reason = Some(cancelled(&stamp.by, reason.as_deref()));
                }
            }
            ErasureStep::Verify(verdict) => {
                if self.published.is_empty() {
                    return Err(ErasureRefusal::NotRun);
                }
                if let Some(why) = &verdict.not_judged {
                    check_text("reason", why, LONG)?;
                }
                self.reason = (!verdict.passed).then(|| missed(verdict));
                self.objects.extend(verdict.verdicts);
                self.verdict = Some(verdict.clone());
            }
            ErasureStep::Certify { certificate, .. } => {
                self.objects.insert(*certificate);
                self.certificate = Some(*certificate);
            }
        }
        Ok(())
    }

    /// The object with the list of samples that it asks to forget, where it asks for samples.
    pub(crate) fn list(&self) -> Result<Option<Digest>, ParseDigestError> {
        match &self.asked {
            Asked::Samples(list) => list.list().parse().map(Some),
            Asked::Classes(_) | Asked::Source(_) => Ok(None),
        }
    }

    /// Whether a step of this kind is legal now: for callers that have work to do before they take it.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] when it is not.
    pub fn check(&self, step: StepKind) -> Result<(), RegistryError> {
        if self.state.after(step).is_none() {
            return Err(self.refuse(step));
        }
        if step == StepKind::Run {
            let request = self.id;
            let refused = |reason| RegistryError::Refused {
                request,
                step,
                reason,
            };
            self.check_unpublished().map_err(refused)?;
        }
        Ok(())
    }

    /// The refusal of a step that is not legal in the request's state.
    pub fn refuse(&self, step: StepKind) -> RegistryError {
        RegistryError::Refused {
            request: self.id,
            step,
            reason: ErasureRefusal::State {
                state: self.state,
                step,
            },
        }
    }

    /// The operation that the last run published its models by, if it did.
    pub fn published_by_run(&self) -> Option<OperationId> {
        let started = self.run.as_ref()?.operation;
        let last = self.published.last().copied();
        last.filter(|operation| *operation > started)
    }

    /// Whether a run has begun that has neither published its models nor ended, as far as the log says.
    pub fn is_being_run(&self) -> bool {
        self.state == ErasureState::Running && self.published_by_run().is_none()
    }

    /// A run that has published its models is not run again.
    fn check_unpublished(&self) -> Result<(), ErasureRefusal> {
        match self.published_by_run() {
            Some(operation) if self.state == ErasureState::Running => {
                Err(ErasureRefusal::Published { operation })
            }
            _ => Ok(()),
        }
    }
}

/// Who cancelled something, and why.
pub(crate) fn cancelled(by: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("cancelled by {by}: {reason}"),
        None => format!("cancelled by {by}"),
    }
}

/// Why a verdict is not enough.
fn missed(verdict: &ErasureVerdict) -> String {
    let ErasureVerdict {
        judged, recognised, ..
    } = verdict;
    match (&verdict.required, recognised) {
        (_, 1..) => format!("{recognised} of {judged} models still recognise the forget data"),
        (Some(required), 0) => format!("not all of {judged} models reach the judgement {required}"),
        (None, 0) => format!("not all of {judged} models could be judged"),
    }
}

/// Refuses a text that is empty, too long, or would do something to a terminal that shows it.
fn check_text(what: &'static str, text: &str, longest: usize) -> Result<(), ErasureRefusal> {
    let refuse = |reason| Err(ErasureRefusal::Text { what, reason });
    if text.trim().is_empty() {
        return refuse("is empty");
    }
    if text.chars().count() > longest {
        return refuse("is too long");
    }
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
    {
        return refuse("holds control characters");
    }
    Ok(())
}
