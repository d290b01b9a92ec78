//! What can go wrong with a registry, and what can be done about it.

use std::fmt;
use std::path::{Path, PathBuf};

use disinherit_formats::FormatError;
use umig::ModelId;

use crate::digest::{Digest, ParseDigestError};
use crate::erasures::refusal::ErasureRefusal;
use crate::erasures::state::{ErasureState, StepKind};
use crate::ids::{ErasureId, OperationId};

/// A registry or a file that cannot be read, written or trusted. It says what is wrong and where;
/// what can be done about it is in [`RegistryError::hint`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The disk said no.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no registry here.
    #[error("there is no registry at {path}", path = .0.display())]
    NoRegistry(PathBuf),
    /// There is a registry here already.
    #[error("there is a registry at {path} already", path = .0.display())]
    Exists(PathBuf),
    /// The registry was made by a newer version.
    #[error(
        "the registry at {path} has format {found}, this version reads up to {known}",
        path = path.display()
    )]
    Newer {
        /// The registry.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that this version reads.
        known: u64,
    },
    /// Text that is no address of a registry or a catalog.
    #[error("`{address}` is no address of a {what}: {reason}")]
    Address {
        /// The text, without a password.
        address: String,
        /// What it should be the address of: `registry` or `catalog`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A registry on shared storage without a database for its catalog.
    #[error("a registry at {0} needs a database for its catalog")]
    NeedsCatalog(String),
    /// A location that this build cannot reach.
    #[error("this build has no support for `{scheme}://` locations")]
    Unsupported {
        /// The scheme of the location.
        scheme: &'static str,
        /// The cargo feature that such locations need.
        feature: &'static str,
    },
    /// A blob that the registry should hold and does not.
    #[error("the registry lacks the object {0}; it has been damaged")]
    Missing(Digest),
    /// A blob whose bytes are not what its name says.
    #[error("the object {0} is damaged: its bytes have another digest")]
    Damaged(Digest),
    /// A pack of objects that cannot be read, so that it is unknown what lies in it.
    #[error("the pack {pack} is damaged: {reason}")]
    Pack {
        /// Its digest.
        pack: Digest,
        /// What is wrong.
        reason: String,
    },
    /// A stored document that cannot be read.
    #[error("the registry's {what} cannot be read: {reason}")]
    Document {
        /// What it is.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A file with tensors.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A FIM card that is damaged or does not fit.
    #[error("the FIM card cannot be used: {0}")]
    Card(String),
    /// Something that somebody else changed first.
    #[error("{0}; somebody else published meanwhile")]
    Conflict(String),
    /// Objects cannot be removed while another process writes some.
    #[error("another process is writing in this registry ({path} is locked)", path = .0.display())]
    Busy(PathBuf),
    /// A version whose weights were deleted.
    #[error("the weights of `{0}` were purged; what is left is its record in the log")]
    Purged(ModelId),
    /// The log has no operation with this number.
    #[error("there is no operation {0}")]
    NoOperation(OperationId),
    /// There is no erasure request with this number.
    #[error("there is no request {0}")]
    NoErasure(ErasureId),
    /// A step of an erasure request that is not taken.
    #[error("request {request} cannot be {participle}: {reason}", participle = step.participle())]
    Refused {
        /// The request.
        request: ErasureId,
        /// The step.
        step: StepKind,
        /// Why not.
        reason: ErasureRefusal,
    },
    /// An operation that cannot be taken back.
    #[error("operation {operation} {reason}")]
    CannotUndo {
        /// The operation.
        operation: OperationId,
        /// Why not.
        reason: UndoRefusal,
    },
    /// A version that cannot be purged.
    #[error("`{model}` {reason}")]
    CannotPurge {
        /// The version.
        model: ModelId,
        /// Why not.
        reason: PurgeRefusal,
    },
    /// The storage has no bucket with this name.
    #[error("the bucket `{bucket}` does not exist{at}", at = at(endpoint.as_deref()))]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// The address of the storage's server, when it was given.
        endpoint: Option<String>,
    },
    /// The storage refuses the credentials, or what they were used for.
    #[error("the storage refuses access to `{location}`: {reason}")]
    Denied {
        /// The location.
        location: String,
        /// The storage's words.
        reason: String,
    },
    /// The storage's server cannot be reached.
    #[error("the storage of `{location}` cannot be reached{at}: {reason}", at = at(endpoint.as_deref()))]
    Unreachable {
        /// The location.
        location: String,
        /// The address of the storage's server, when it was given.
        endpoint: Option<String>,
        /// Why not.
        reason: String,
    },
    /// The object storage failed.
    #[error("the object storage failed: {0}")]
    Objects(#[from] object_store::Error),
    /// The catalog failed.
    #[error("the catalog failed: {0}")]
    Catalog(#[from] sqlx::Error),
    /// A digest that cannot be read.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

fn at(endpoint: Option<&str>) -> String {
    endpoint.map_or_else(String::new, |endpoint| format!(" at {endpoint}"))
}

/// Why an operation cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UndoRefusal {
    /// Operations of this kind never can.
    Final {
        /// The command.
        command: String,
    },
    /// It was taken back already.
    Undone {
        /// The operation that did it.
        by: OperationId,
    },
    /// Its entry is from before the log kept what was made.
    MadeUnknown {
        /// The command.
        command: String,
    },
    /// A version that it made is no longer there.
    Gone(ModelId),
    /// A version that it made was replaced since.
    Superseded(ModelId),
    /// A later version inherits from one that it made.
    Inherited {
        /// The later version.
        child: ModelId,
        /// The version that the operation made.
        parent: ModelId,
    },
    /// The weights of a version that it replaced were deleted.
    Purged(ModelId),
}

impl fmt::Display for UndoRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Final { command } => write!(f, "(`{command}`) cannot be undone"),
            Self::Undone { by } => write!(f, "was undone already, by operation {by}"),
            Self::MadeUnknown { command } => {
                write!(
                    f,
                    "(`{command}`) does not say what it made; it is older than that"
                )
            }
            Self::Gone(model) => write!(f, "cannot be undone: `{model}`, which it made, is gone"),
            Self::Superseded(model) => write!(
                f,
                "cannot be undone: `{model}`, which it made, was replaced since"
            ),
            Self::Inherited { child, parent } => write!(
                f,
                "cannot be undone: `{child}` inherits from `{parent}`, which it made"
            ),
            Self::Purged(model) => write!(
                f,
                "cannot be undone: `{model}`, which it replaced, was purged"
            ),
        }
    }
}

/// Why a version cannot be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurgeRefusal {
    /// No later version has replaced it.
    InUse,
    /// It was purged already.
    Purged,
    /// The registry has no such version.
    Unknown,
}

impl fmt::Display for PurgeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "is in use: only what a later version has replaced can be purged",
            Self::Purged => "was purged already",
            Self::Unknown => "is not in this registry",
        })
    }
}

/// What can be done about an error. Each front end words it in its own language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Make a registry first, or say where there is one.
    InitRegistry,
    /// Use a newer version of the program.
    UseNewerVersion,
    /// Do the same again: somebody else was faster.
    RunAgain,
    /// Wait until the other process is done.
    WaitForOtherProcess,
    /// Look into the operation log.
    ShowLog,
    /// Undo the later operation first.
    UndoLaterFirst,
    /// Look for damage, and repair what another copy of the registry still has.
    CheckRegistry,
    /// List the erasure requests.
    ListErasures,
    /// Take the step first that an erasure request needs in its state.
    ErasureStep {
        /// The request.
        request: ErasureId,
        /// Its state.
        state: ErasureState,
    },
    /// Let somebody else approve the erasure request.
    OtherApprover,
    /// Wait until the run ends or its lease is over, or take it over.
    TakeOver {
        /// The request.
        request: ErasureId,
    },
    /// Look at the erasure request as it is now.
    ShowErasure {
        /// The request.
        request: ErasureId,
    },
    /// Give credentials of the storage, or others.
    SetCredentials,
    /// Create the bucket, or name another one.
    CreateBucket {
        /// The bucket.
        bucket: String,
    },
    /// Check the address of the storage's server.
    CheckEndpoint {
        /// The address, when one was given.
        endpoint: Option<String>,
    },
    /// Name a folder, `file:///...` or `s3://bucket/path`.
    GiveLocation,
    /// Name a database for the catalog: `postgres://user@host/database`.
    GiveCatalog,
    /// Use a build that has this cargo feature.
    BuildWith {
        /// The feature: `s3` or `postgres`.
        feature: &'static str,
    },
}

impl RegistryError {
    /// Wraps a disk error with what was tried where.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Whether the same work may succeed when it is tried again: storage, a database or another process was in the
    /// way, or bytes did not arrive whole.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Objects(_)
            | Self::Catalog(_)
            | Self::Conflict(_)
            | Self::Busy(_)
            | Self::Damaged(_)
            | Self::Io { .. } => true,
            Self::Format(FormatError::Source(source)) => {
                source.downcast_ref::<Self>().is_some_and(Self::may_pass)
            }
            _ => false,
        }
    }

    /// What can be done about it, where something is known.
    pub fn hint(&self) -> Option<Hint> {
        Some(match self {
            Self::NoRegistry(_) => Hint::InitRegistry,
            Self::Newer { .. } => Hint::UseNewerVersion,
            Self::Conflict(_) => Hint::RunAgain,
            Self::Busy(_) => Hint::WaitForOtherProcess,
            Self::Purged(_) | Self::NoOperation(_) => Hint::ShowLog,
            Self::CannotUndo { reason, .. } => match reason {
                UndoRefusal::Superseded(_) | UndoRefusal::Inherited { .. } => Hint::UndoLaterFirst,
                _ => Hint::ShowLog,
            },
            Self::NoErasure(_) => Hint::ListErasures,
            Self::Refused {
                request, reason, ..
            } => erasure_hint(*request, reason)?,
            Self::Missing(_) | Self::Damaged(_) | Self::Pack { .. } => Hint::CheckRegistry,
            Self::Denied { .. } => Hint::SetCredentials,
            Self::NoBucket { bucket, .. } => Hint::CreateBucket {
                bucket: bucket.clone(),
            },
            Self::Unreachable { endpoint, .. } => Hint::CheckEndpoint {
                endpoint: endpoint.clone(),
            },
            Self::Address {
                what: "catalog", ..
            }
            | Self::NeedsCatalog(_) => Hint::GiveCatalog,
            Self::Address { .. } => Hint::GiveLocation,
            Self::Unsupported { feature, .. } => Hint::BuildWith { feature },
            Self::Format(FormatError::Source(source)) => {
                source.downcast_ref::<Self>().and_then(Self::hint)?
            }
            _ => return None,
        })
    }
}

fn erasure_hint(request: ErasureId, reason: &ErasureRefusal) -> Option<Hint> {
    Some(match reason {
        ErasureRefusal::State { state, .. } => Hint::ErasureStep {
            request,
            state: *state,
        },
        ErasureRefusal::NotRun => Hint::ErasureStep {
            request,
            state: ErasureState::Approved,
        },
        ErasureRefusal::Published { .. } => Hint::ErasureStep {
            request,
            state: ErasureState::Running,
        },
        ErasureRefusal::FourEyes { .. } => Hint::OtherApprover,
        ErasureRefusal::Claimed { .. } => Hint::TakeOver { request },
        ErasureRefusal::TakenOver | ErasureRefusal::Changed { .. } | ErasureRefusal::Idle => {
            Hint::ShowErasure { request }
        }
        ErasureRefusal::Text { .. } | ErasureRefusal::Deadline => return None,
    })
}

/// For a registry that tensors of a file are read from.
impl From<RegistryError> for FormatError {
    fn from(error: RegistryError) -> Self {
        Self::Source(Box::new(error))
    }
}
