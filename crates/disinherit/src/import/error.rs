//! What can go wrong in an import.

use std::path::PathBuf;

use crate::error::EngineError;

/// A tree that cannot be imported. Nothing was added then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No file and no folder below the given paths looks like a model.
    #[error("there is no model below these folders")]
    NoModels,
    /// Models were found, but each of them was left out.
    #[error("none of these models can be added; {0}")]
    AllLeftOut(String),
    /// A model that cannot be described: it has no head, or its labels are not known.
    #[error("{0}")]
    Unfit(String),
    /// Two models with the same name.
    #[error("{} and {} would both be called `{name}`", first.display(), second.display())]
    SameName {
        /// The first model.
        first: PathBuf,
        /// The second model.
        second: PathBuf,
        /// The name of both.
        name: String,
    },
    /// Model cards that name each other as base models, in a circle.
    #[error("these models are each other's ancestors: {0}")]
    Circle(String),
    /// A label of the training data that the model does not have.
    #[error("the trained label `{0}` is none of the model's labels")]
    TrainedLabel(String),
    /// A failure below.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<disinherit_formats::FormatError> for ImportError {
    fn from(error: disinherit_formats::FormatError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<disinherit_registry::RegistryError> for ImportError {
    fn from(error: disinherit_registry::RegistryError) -> Self {
        Self::Engine(error.into())
    }
}
