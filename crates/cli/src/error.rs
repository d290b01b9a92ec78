//! Messages: what failed, why, what to try.

use std::fmt;

use disinherit::EngineError;
use disinherit_registry::Hint;

/// A failure as the user reads it.
#[derive(Debug)]
pub(crate) struct CliError {
    message: String,
    help: Option<String>,
}

impl CliError {
    /// A failure in words.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    /// The same with something to try.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl From<disinherit_formats::FormatError> for CliError {
    fn from(error: disinherit_formats::FormatError) -> Self {
        EngineError::from(error).into()
    }
}

/// What can be done about an error of the registry, in flags and commands.
fn help_for(hint: Hint) -> String {
    match hint {
        Hint::InitRegistry => "make one with `disinherit init`".into(),
        Hint::UseNewerVersion => "use a newer disinherit".into(),
        Hint::RunAgain => "run the command again".into(),
        Hint::WaitForOtherProcess => "wait until it is done".into(),
        Hint::ShowLog => "`disinherit log --operations` lists the operations".into(),
        Hint::UndoLaterFirst => "undo that first".into(),
        Hint::CheckRegistry => {
            "`disinherit fsck` says what is damaged; with `--repair --from` it fetches it".into()
        }
        Hint::SetCredentials => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into(),
        Hint::CreateBucket { bucket } => {
            format!("create the bucket `{bucket}`, or give the address of another")
        }
        Hint::CheckEndpoint { endpoint: Some(_) } => "check AWS_ENDPOINT".into(),
        Hint::CheckEndpoint { endpoint: None } => {
            "set AWS_ENDPOINT to the address of the storage's server".into()
        }
        Hint::GiveLocation => "give a folder, file:///... or s3://bucket/path".into(),
        Hint::GiveCatalog => "give `--catalog postgres://user@host/database`".into(),
        Hint::BuildWith { feature } => format!("use a build with the feature `{feature}`"),
        _ => String::new(),
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let help = match &error {
            EngineError::Net {
                source: disinherit_nets::NetError::Shape { name, .. },
                ..
            } if name.contains("fc") || name.contains("classifier") => Some(
                "the number of labels must be the head's number of rows, and `--architecture` and \
                 `--input` those of the checkpoint",
            ),
            EngineError::Net {
                source:
                    disinherit_nets::NetError::Missing { .. } | disinherit_nets::NetError::Shape { .. },
                ..
            } => Some("is `--architecture` the checkpoint's? Tensors are named as in torchvision"),
            EngineError::Net {
                source: disinherit_nets::NetError::NotFinite { .. },
                ..
            } => Some("the training that made this checkpoint diverged; use an earlier one"),
            EngineError::Format(disinherit_formats::FormatError::Checkpoint { .. }) => {
                Some("copy or download the file again")
            }
            EngineError::Graph(umig::GraphError::Unknown(..))
            | EngineError::UnknownModel { .. } => Some("`disinherit log` lists the models"),
            EngineError::Graph(umig::GraphError::OlderThanParent { .. }) => {
                Some("give the time when the child was made, not before its parent's")
            }
            EngineError::Data(disinherit_data::DataError::Size { .. }) => {
                Some("for instance `--size 32x32`")
            }
            _ => None,
        };
        let hint = match &error {
            EngineError::Store(error) => error.hint().map(help_for),
            _ => None,
        };
        let help = help.map(str::to_owned).or(hint);
        let message = error.to_string();
        Self {
            help: help.filter(|help| !help.is_empty() && !message.contains(help)),
            message,
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
    disinherit_registry::RegistryError,
    disinherit_data::DataError,
    umig::GraphError,
    umig::RequestError,
    umig::IdError
);

impl From<disinherit_nets::NetError> for CliError {
    fn from(error: disinherit_nets::NetError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<disinherit_report::ReportError> for CliError {
    fn from(error: disinherit_report::ReportError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("the result cannot be written as JSON: {error}"))
    }
}
