//! The steps of a request as callers take them: the same for programs and for the page.

use std::sync::Arc;

use disinherit::model::now;
use disinherit::registry::{
    ErasureId, ErasureRequest, ErasureStep, Job, JobKind, JobState, OperationId, Registry,
    StepKind, months_after,
};
use disinherit_desk::{Desk, LAST_EXTENSION, Terms};

use crate::app::{App, Caller};
use crate::problem::Problem;

/// A step that somebody takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    Comment {
        text: String,
    },
    Plan(Terms),
    Approve,
    Reject {
        reason: String,
    },
    Extend {
        deadline: Option<u64>,
        reason: String,
    },
    Run,
    Cancel {
        reason: Option<String>,
    },
    Verify,
    Certify,
    Purge,
    Close,
}

impl Act {
    /// Takes the step, if the request is still as it was seen; and returns what it is then.
    pub(crate) async fn take(
        self,
        app: &Arc<App>,
        caller: &Caller,
        id: ErasureId,
        seen: Option<OperationId>,
    ) -> Result<ErasureRequest, Problem> {
        let (shared, actor) = (Arc::clone(app), caller.name.clone());
        let taken = app
            .at_desk(&caller.name, move |desk, registry| {
                let erasure = registry.erasure(id)?;
                if seen.is_some_and(|seen| seen != erasure.last.operation) {
                    return Err(changed(&erasure));
                }
                self.take_at(&shared, desk, registry, (&erasure, &actor))
            })
            .await?;
        app.news.notify_waiters();
        Ok(taken)
    }

    fn take_at(
        self,
        app: &App,
        desk: &Desk<'_>,
        registry: &Registry,
        (erasure, actor): (&ErasureRequest, &str),
    ) -> Result<ErasureRequest, Problem> {
        let id = erasure.id;
        let seen = Some(erasure.last.operation);
        let step = match self {
            Self::Plan(terms) => return Ok(desk.plan(id, &terms)?),
            Self::Run => return job(registry, erasure, (JobKind::Run, StepKind::Run), actor),
            Self::Verify => {
                if app.lacks_data() {
                    return Err(
                        Problem::conflict("this server has no data to judge models on").with_hint(
                            "verify from where the data is, or start the server with data",
                        ),
                    );
                }
                return job(
                    registry,
                    erasure,
                    (JobKind::Verify, StepKind::Verify),
                    actor,
                );
            }
            Self::Certify => {
                let Some(key) = &app.settings.key else {
                    return Err(Problem::conflict("this server has no key to sign with")
                        .with_hint("certify from where the key is, or start the server with one"));
                };
                return Ok(desk.certify(id, key)?.0);
            }
            // What is to be stopped may take a step of its own at any moment.
            Self::Cancel { reason } => {
                return Ok(registry.step_erasure(id, ErasureStep::cancel(reason), None)?);
            }
            Self::Purge => {
                desk.purge(id, None, false)?;
                return Ok(registry.erasure(id)?);
            }
            Self::Comment { text } => ErasureStep::Comment { text },
            // Whether four eyes are asked for is the registry's to say, in the transaction.
            Self::Approve => ErasureStep::Approve { four_eyes: false },
            Self::Reject { reason } => ErasureStep::Reject { reason },
            Self::Extend { deadline, reason } => {
                let latest = || months_after(erasure.received, LAST_EXTENSION);
                let deadline = deadline.unwrap_or_else(latest);
                ErasureStep::Extend { deadline, reason }
            }
            Self::Close => ErasureStep::Close,
        };
        Ok(registry.step_erasure(id, step, seen)?)
    }
}

/// Files a job for what takes long.
fn job(
    registry: &Registry,
    erasure: &ErasureRequest,
    (kind, step): (JobKind, StepKind),
    actor: &str,
) -> Result<ErasureRequest, Problem> {
    erasure.check(step)?;
    let filed = registry.file_job(&Job {
        id: 0,
        erasure: erasure.id,
        kind,
        actor: actor.to_owned(),
        state: JobState::Waiting,
        filed: now(),
        ended: None,
        said: String::new(),
    })?;
    match filed {
        Some(_) => Ok(registry.erasure(erasure.id)?),
        None => Err(Problem::conflict(
            "a job of this request waits or goes on already",
        )),
    }
}

fn changed(erasure: &ErasureRequest) -> Problem {
    let by = erasure.last.operation;
    let status = axum::http::StatusCode::PRECONDITION_FAILED;
    let detail = format!(
        "request {} is not what was seen: operation {by} changed it",
        erasure.id
    );
    Problem::new(status, "/problems/changed", detail).with_hint("read it again")
}
