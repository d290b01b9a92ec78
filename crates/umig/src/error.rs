//! What can be wrong with a graph or a request.

use crate::model::ModelId;
use crate::samples::SampleError;

/// A graph that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// The id is taken; versions are immutable.
    #[error("model `{0}` exists already; versions are immutable, so add it as a new version")]
    Duplicate(ModelId),
    /// An edge names a model that is not in the graph.
    #[error("unknown model `{0}`{hint}", hint = suggestion(.1))]
    Unknown(ModelId, Option<ModelId>),
    /// The edge would close a cycle.
    #[error(
        "`{child}` cannot inherit from `{parent}`: `{parent}` already descends from it (a cycle)"
    )]
    Cycle {
        /// The would-be parent.
        parent: ModelId,
        /// The would-be child.
        child: ModelId,
    },
    /// A child must not be older than its parent.
    #[error(
        "`{child}` (time {child_time}) is older than its parent `{parent}` (time {parent_time})"
    )]
    OlderThanParent {
        /// The parent.
        parent: ModelId,
        /// Its time.
        parent_time: u64,
        /// The child.
        child: ModelId,
        /// Its time.
        child_time: u64,
    },
    /// A weight of an average is not a positive finite number.
    #[error("the weight of `{parent}` in `{child}` must be a positive finite number, not {weight}")]
    Weight {
        /// The parent.
        parent: ModelId,
        /// The child.
        child: ModelId,
        /// The weight, as text.
        weight: String,
    },
    /// The JSON form has another version than this one.
    #[error("the graph is in format `{0}`, this version reads `{1}`; use a newer disinherit")]
    Format(String, &'static str),
    /// A text that is no graph.
    #[error("this is no graph: {0}")]
    NotReadable(String),
    /// The graph holds something that another format has no way to write.
    #[error("the graph cannot be written: {0}")]
    NotWritable(String),
}

fn suggestion(nearest: &Option<ModelId>) -> String {
    nearest
        .as_ref()
        .map(|id| format!("; did you mean `{id}`?"))
        .unwrap_or_default()
}

/// A request that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request names nothing to forget.
    #[error("the request names nothing to forget")]
    Empty,
    /// No current model was trained on the forget data.
    #[error(
        "no model was trained on {what}{known}; name the initial models by hand if their provenance is unknown"
    )]
    NoModelTrained {
        /// The forget data, in words.
        what: String,
        /// What the models were trained on instead, in words, or empty.
        known: String,
    },
    /// A model named by hand was, by its provenance, not trained on the forget data.
    #[error("`{model}` was not trained on {what}: its own training data is {data}")]
    NotTrained {
        /// The model named by hand.
        model: ModelId,
        /// The forget data, in words.
        what: String,
        /// What it was trained on.
        data: String,
    },
    /// A model named by hand is not in the graph.
    #[error("unknown model `{0}`{hint}", hint = suggestion(.1))]
    Unknown(ModelId, Option<ModelId>),
    /// A model named by hand has been superseded.
    #[error("`{0}` is superseded; name the current version of `{name}`", name = .0.name())]
    Superseded(ModelId),
    /// A list of samples cannot be read, so that it is not known whom the request touches.
    #[error(transparent)]
    Samples(#[from] SampleError),
}
