//! Failures as the user reads them: what failed, where, and what to try.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use disinherit::EngineError;
use disinherit::data::DataError;
use disinherit::formats::FormatError;
use disinherit::import::ImportError;
use disinherit::registry::RegistryError;
use disinherit::umig::{GraphError, IdError, RequestError};
#[cfg(feature = "audit")]
use disinherit_audit::AuditError;
use disinherit_desk::DeskError;
use disinherit_lab::LabError;
use disinherit_report::ReportError;
#[cfg(feature = "server")]
use disinherit_server::ServeError;

use crate::{exit, hints};

/// A failure, with something to try where there is something.
#[derive(Debug)]
pub(crate) struct CliError {
    cause: Box<Cause>,
    help: Option<String>,
}

/// What failed.
#[derive(Debug)]
enum Cause {
    /// The command line itself is wrong.
    Usage(String),
    /// Something else, in words.
    Other(String),
    /// A file that a command reads or writes itself.
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Standard output.
    Output(io::Error),
    /// The engine, or a crate below it.
    Engine(EngineError),
    /// An import.
    Import(ImportError),
    /// The laboratory.
    Lab(LabError),
    /// The desk.
    Desk(DeskError),
}

impl CliError {
    /// A failure in words.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Cause::Other(message.into()).into()
    }

    /// A command line that cannot be right, whatever the registry holds.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Cause::Usage(message.into()).into()
    }

    /// Standard output cannot be written.
    pub(crate) fn output(error: io::Error) -> Self {
        Cause::Output(error).into()
    }

    /// Wraps an error of the disk with what was tried, and where.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            Cause::File {
                action,
                path,
                source,
            }
            .into()
        }
    }

    /// The same failure with something to try.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What failed, without what to try.
    pub(crate) fn message(&self) -> String {
        self.cause.to_string()
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match *self.cause {
            Cause::Usage(_) => exit::USAGE,
            _ => exit::FAILED,
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Other(message) => write!(f, "{message}"),
            Self::File {
                action,
                path,
                source,
            } => write!(f, "cannot {action} {}: {source}", path.display()),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
            Self::Engine(error) => write!(f, "{error}"),
            Self::Import(error) => write!(f, "{error}"),
            Self::Lab(error) => write!(f, "{error}"),
            Self::Desk(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.cause)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl From<Cause> for CliError {
    fn from(cause: Cause) -> Self {
        let help = match &cause {
            Cause::Engine(error) => hints::engine(error),
            Cause::Import(error) => hints::import(error),
            Cause::Lab(error) => hints::lab(error),
            Cause::Desk(error) => hints::desk(error),
            Cause::Usage(_) | Cause::Other(_) | Cause::File { .. } | Cause::Output(_) => None,
        };
        Self {
            cause: Box::new(cause),
            help,
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Cause::Engine(error).into()
    }
}

impl From<LabError> for CliError {
    fn from(error: LabError) -> Self {
        match error {
            LabError::Engine(error) => error.into(),
            other => Cause::Lab(other).into(),
        }
    }
}

impl From<DeskError> for CliError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Engine(error) => error.into(),
            other => Cause::Desk(other).into(),
        }
    }
}

#[cfg(feature = "audit")]
impl From<AuditError> for CliError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Desk(error) => error.into(),
            error @ AuditError::Exists(_) => {
                Self::new(error.to_string()).help("give another name with `--out`")
            }
            other => Self::new(other.to_string()),
        }
    }
}

#[cfg(feature = "server")]
impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Engine(error) => error.into(),
            error @ ServeError::NoWebhook(_) => {
                Self::new(error.to_string()).help("`disinherit webhook list` lists them")
            }
            other => Self::new(other.to_string()),
        }
    }
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Engine(error) => error.into(),
            other => Cause::Import(other).into(),
        }
    }
}

macro_rules! through_engine {
    ($($kind:ty),*) => {
        $(impl From<$kind> for CliError {
            fn from(error: $kind) -> Self {
                EngineError::from(error).into()
            }
        })*
    };
}

through_engine!(
    RegistryError,
    DataError,
    FormatError,
    GraphError,
    RequestError,
    IdError
);

impl From<ReportError> for CliError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Engine(error) => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("the result cannot be written as JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_where_and_what_to_try() {
        let error = CliError::file("read", Path::new("keys/none.pem"))(io::Error::other("gone"));
        assert_eq!(error.to_string(), "error: cannot read keys/none.pem: gone");
        let error = error.help("make it first");
        assert!(error.to_string().ends_with("\n  help: make it first"));
    }

    #[test]
    fn wrong_usage_and_failure_have_codes_of_their_own() {
        let code = |error: CliError| format!("{:?}", error.code());
        assert_eq!(
            code(CliError::usage("x")),
            format!("{:?}", ExitCode::from(2))
        );
        assert_eq!(code(CliError::new("x")), format!("{:?}", ExitCode::from(3)));
    }

    #[test]
    fn what_is_missing_is_worded_as_flags() {
        let missing = EngineError::NeedsData {
            why: "it works on training data".into(),
            hint: Some(disinherit::Hint::GiveData),
        };
        assert!(CliError::from(missing).to_string().contains("--data"));
    }
}
