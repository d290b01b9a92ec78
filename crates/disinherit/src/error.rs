//! What can go wrong in the engine.

use fiun::FisherError;
use umig::ModelId;

/// A request, a recipe or a model that the engine refuses, or a failure below it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The registry or a file.
    #[error(transparent)]
    Store(disinherit_registry::RegistryError),
    /// The data.
    #[error(transparent)]
    Data(#[from] disinherit_data::DataError),
    /// A file that a user brought.
    #[error(transparent)]
    Format(disinherit_formats::FormatError),
    /// The graph.
    #[error(transparent)]
    Graph(#[from] umig::GraphError),
    /// The request.
    #[error(transparent)]
    Request(#[from] umig::RequestError),
    /// A model id.
    #[error(transparent)]
    Id(#[from] umig::IdError),
    /// A network, with the model's name.
    #[error("cannot use `{model}`: {source}")]
    Net {
        /// The model.
        model: String,
        /// What is wrong.
        source: disinherit_nets::NetError,
    },
    /// Fisher information, with the model and the tensor.
    #[error("cannot unlearn in `{model}`, tensor `{tensor}`: {source}")]
    Fisher {
        /// The model.
        model: ModelId,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: FisherError,
    },
    /// A recipe.
    #[error("the recipe cannot be used: {0}")]
    Recipe(String),
    /// A model that is not in the registry.
    #[error("unknown model `{name}`{hint}")]
    UnknownModel {
        /// The name given.
        name: String,
        /// A suggestion, or nothing.
        hint: String,
    },
    /// A label that no model knows.
    #[error("unknown label `{label}`{hint}")]
    UnknownLabel {
        /// The label given.
        label: String,
        /// A suggestion and what to do.
        hint: String,
    },
    /// A model that the engine cannot run.
    #[error("`{model}` cannot be run: {reason}")]
    NotRunnable {
        /// The model.
        model: ModelId,
        /// Why.
        reason: String,
    },
    /// Data that the request needs and does not have.
    #[error("{0}")]
    NeedsData(String),
    /// A request that would leave nothing.
    #[error("nothing would be left to retain: {0}")]
    NothingRetained(String),
    /// Anything else that is refused, in words.
    #[error("{0}")]
    Refused(String),
}

impl From<disinherit_registry::RegistryError> for EngineError {
    fn from(error: disinherit_registry::RegistryError) -> Self {
        match error {
            disinherit_registry::RegistryError::Format(error) => error.into(),
            other => Self::Store(other),
        }
    }
}

impl From<disinherit_formats::FormatError> for EngineError {
    fn from(error: disinherit_formats::FormatError) -> Self {
        // A registry that tensors were read from says for itself what is wrong.
        match error {
            disinherit_formats::FormatError::Source(source) => {
                match source.downcast::<disinherit_registry::RegistryError>() {
                    Ok(error) => Self::Store(*error),
                    Err(source) => Self::Format(disinherit_formats::FormatError::Source(source)),
                }
            }
            other => Self::Format(other),
        }
    }
}

impl EngineError {
    /// Wraps a network error with the model's name.
    pub fn net(model: impl ToString) -> impl FnOnce(disinherit_nets::NetError) -> Self {
        let model = model.to_string();
        move |source| Self::Net { model, source }
    }

    /// Wraps a Fisher error with the model and the tensor.
    pub fn fisher(model: &ModelId, tensor: &str) -> impl FnOnce(FisherError) -> Self {
        let (model, tensor) = (model.clone(), tensor.to_owned());
        move |source| Self::Fisher {
            model,
            tensor,
            source,
        }
    }
}

/// `; did you mean ...?` for the nearest of some names, or nothing when none is near.
pub(crate) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= 1 + other.chars().count() / 3)
        .min()
        .map(|(_, other)| format!("; did you mean `{other}`?"))
        .unwrap_or_default()
}
