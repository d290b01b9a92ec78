//! What can go wrong in the laboratory.

use disinherit::{EngineError, Hint};

/// A recipe or a study that cannot be used, or a failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The engine, or what is below it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A recipe.
    #[error("the recipe cannot be used: {0}")]
    Recipe(String),
    /// A folder or a registry that another recipe or version made.
    #[error("{0}")]
    Foreign(String),
}

impl LabError {
    /// What can be done, where something can.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Engine(error) => error.hint(),
            Self::Foreign(_) => Some(Hint::UseOtherRegistry),
            Self::Recipe(_) => None,
        }
    }
}

macro_rules! through_the_engine {
    ($($error:ty),+) => {
        $(impl From<$error> for LabError {
            fn from(error: $error) -> Self {
                Self::Engine(error.into())
            }
        })+
    };
}

through_the_engine!(
    disinherit_data::DataError,
    disinherit_formats::FormatError,
    disinherit_registry::RegistryError,
    umig::GraphError,
    umig::IdError,
    umig::RequestError
);
