//! Errors as callers read them: problem+json (RFC 9457), with what can be done about them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use disinherit::registry::{self, ErasureRefusal, RegistryError};
use disinherit::{EngineError, Hint};
use disinherit_audit::AuditError;
use disinherit_desk::DeskError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ServeError;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem it is, as a path; the same for all of a kind.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The kind in words.
    pub(crate) title: &'static str,
    /// The status.
    pub(crate) status: u16,
    /// What is wrong.
    pub(crate) detail: String,
    /// What can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// After how many seconds the call may be made again.
    #[serde(skip)]
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
            retry_after: None,
        }
    }

    /// A call that cannot be understood.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "/problems/bad-request", detail)
    }

    /// Something that is not there.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "/problems/not-found", detail)
    }

    /// Something that is not possible as things are.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "/problems/conflict", detail)
    }

    /// A fault of the server, which is logged here and not told.
    pub(crate) fn fault(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a call failed");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(
            status,
            "/problems/fault",
            "the server could not do that; its log says why",
        )
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let asks = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, asks);
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        let hint = error.hint().map(|hint| of_registry(&hint));
        let problem = match &error {
            RegistryError::NoErasure(_) | RegistryError::NoOperation(_) => Self::missing(detail),
            RegistryError::Refused { reason, .. } => match reason {
                ErasureRefusal::Text { .. } | ErasureRefusal::Deadline => Self::bad(detail),
                _ => Self::new(StatusCode::CONFLICT, "/problems/refused", detail),
            },
            RegistryError::Conflict(_)
            | RegistryError::Busy(_)
            | RegistryError::CannotUndo { .. }
            | RegistryError::CannotPurge { .. } => Self::conflict(detail),
            other => return Self::fault(other),
        };
        Self { hint, ..problem }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let detail = error.to_string();
        let again = "plan the request anew, and have it approved again";
        match error {
            DeskError::Engine(EngineError::Registry(error)) => error.into(),
            DeskError::Engine(error) => of_engine(&error),
            _ => Self::conflict(detail).with_hint(again),
        }
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Desk(error) => error.into(),
            other => Self::fault(&other),
        }
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        let detail = error.to_string();
        match error {
            ServeError::Engine(error) => error.into(),
            ServeError::NoWebhook(_) => Self::missing(detail),
            ServeError::NotDelivered { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "/problems/not-delivered", detail)
            }
            ServeError::Webhook(_) | ServeError::Token(_) => Self::bad(detail),
            ServeError::Io { .. }
            | ServeError::Tls { .. }
            | ServeError::Issuer(_)
            | ServeError::SignIn(_) => Self::fault(&detail),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Registry(error) => error.into(),
            error => of_engine(&error),
        }
    }
}

fn of_engine(error: &EngineError) -> Problem {
    let detail = error.to_string();
    let problem = match error {
        EngineError::Registry(_)
        | EngineError::Data(_)
        | EngineError::Net { .. }
        | EngineError::Samples(_)
        | EngineError::Internal(_) => return Problem::fault(error),
        EngineError::Id(_)
        | EngineError::UnknownModel { .. }
        | EngineError::UnknownLabel { .. } => Problem::bad(detail),
        EngineError::Format(_)
        | EngineError::Graph(_)
        | EngineError::Request(_)
        | EngineError::Fisher { .. }
        | EngineError::UnknownRequest { .. }
        | EngineError::NothingUnlearned
        | EngineError::NotRunnable { .. }
        | EngineError::Runner { .. }
        | EngineError::NeedsData { .. }
        | EngineError::NothingRetained(_)
        | EngineError::LosesTooMuch { .. }
        | EngineError::OtherVersion { .. }
        | EngineError::Unsupported { .. }
        | EngineError::Layers { .. }
        | EngineError::BadFeatures(_)
        | EngineError::ForeignCard(_)
        | EngineError::CannotAdd { .. }
        | EngineError::NameTaken(_)
        | EngineError::Key(_)
        | EngineError::Certificate(_)
        | EngineError::Document(_)
        | EngineError::Setting(_)
        | EngineError::Stopped => Problem::conflict(detail),
    };
    let hint = error.hint().map(|hint| in_words(&hint));
    Problem { hint, ..problem }
}

/// A hint of the engine in the words of the service: its paths, the fields of its bodies, and what its operator
/// can do.
fn in_words(hint: &Hint) -> String {
    let text = match hint {
        Hint::Registry(hint) => return of_registry(hint),
        Hint::GiveData => "start the server with data",
        Hint::GiveDataOrCard(_) | Hint::GiveDataOrAlpha => {
            "start the server with data, or compute FIM cards for the models"
        }
        Hint::ListModels => "GET /api/v1/models lists the models",
        Hint::ListOperations | Hint::NameModelsAndForget => {
            "GET /api/v1/requests lists the requests"
        }
        Hint::UseFiun => "plan the request without `method`",
        Hint::NameInitialModels => {
            "name the initial models in `from` if their provenance is unknown"
        }
        Hint::AcceptLoss(least) => {
            return format!(
                "plan the request with another `method`, or with the loss: `accept_loss` of {least}"
            );
        }
        Hint::UseSameVersion(version) => {
            return format!("the operator runs version {version} everywhere, or drops its drafts");
        }
        Hint::EditHeadOnly
        | Hint::EditWhereNetworkRuns
        | Hint::ChooseLayers
        | Hint::UseSampleEstimator
        | Hint::BoundSamples => {
            "the service has no setting for this: the operator carries it out on the command line"
        }
        Hint::GiveLabels
        | Hint::GiveHead
        | Hint::AddUntied
        | Hint::UseOtherRegistry
        | Hint::GiveTime
        | Hint::CheckArchitecture
        | Hint::UseEarlierCheckpoint
        | Hint::FetchAgain => "the operator adds the model again",
        Hint::GiveSize => "the operator starts the server with a size for images",
        Hint::LowerLearningRate => "the operator trains with a lower learning rate",
        Hint::AllowMemory => "the operator allows more memory",
        Hint::UseFullBuild => "the operator runs a build with all features",
    };
    text.to_owned()
}

/// A hint of the registry, likewise.
fn of_registry(hint: &registry::Hint) -> String {
    use registry::Hint;
    let text = match hint {
        Hint::WaitForOtherProcess => "another job writes; try again when it is done",
        Hint::RunAgain => "try again",
        Hint::OtherApprover => "somebody else must approve it",
        Hint::ErasureStep { request, state } => {
            return format!("request {request} is {state}: take the step that comes next");
        }
        Hint::TakeOver { .. } => "wait until that run has ended, or has been silent for a minute",
        Hint::ListErasures => "GET /api/v1/requests lists the requests",
        Hint::ShowErasure { request } => {
            return format!("GET /api/v1/requests/{request} shows the request as it is now");
        }
        Hint::ShowLog | Hint::UndoLaterFirst => "the operator sees in the log what was done",
        Hint::CheckRegistry => "the operator has the registry checked and repaired",
        Hint::InitRegistry | Hint::GiveLocation | Hint::GiveCatalog => {
            "the operator names a registry and its catalog"
        }
        Hint::SetCredentials | Hint::CreateBucket { .. } | Hint::CheckEndpoint { .. } => {
            "the operator checks the address and the credentials of the storage"
        }
        Hint::UseNewerVersion | Hint::BuildWith { .. } => {
            "the operator runs a version, and a build, that can"
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use disinherit::umig::RequestError;

    use super::*;

    fn hint(error: EngineError) -> String {
        Problem::from(error).hint.unwrap_or_default()
    }

    #[test]
    fn hints_of_the_engine_are_worded_for_callers() {
        let unknown = EngineError::UnknownModel {
            name: "bose".into(),
            near: None,
        };
        assert!(hint(unknown).contains("/api/v1/models"));
        let needs = EngineError::NeedsData {
            why: "it works on training data".into(),
            hint: Some(Hint::GiveData),
        };
        assert_eq!(hint(needs), "start the server with data");
        let untrained = EngineError::Request(RequestError::NoModelTrained {
            what: "class `bird`".into(),
            known: String::new(),
        });
        assert!(hint(untrained).contains("`from`"));
        let busy = EngineError::Registry(RegistryError::Busy("here".into()));
        assert!(hint(busy).contains("try again"));
        assert_eq!(hint(EngineError::Stopped), "");
    }

    #[test]
    fn hints_name_no_flag() {
        let refused = EngineError::Unsupported {
            reason: "not served".into(),
            hint: Some(Hint::UseFiun),
        };
        assert!(!hint(refused).contains("--"));
    }
}
