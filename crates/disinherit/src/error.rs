//! What can go wrong in the engine, and what can be done about it.

use disinherit_formats::FormatError;
use disinherit_registry::{LossBound, RegistryError, RequestId};
use fiun::FisherError;
use umig::ModelId;

use crate::model_loss::{ModelLoss, least, refusal};

/// A request or a model that the engine refuses, or a failure below it. The text says what is wrong
/// and where; [`EngineError::hint`] says what can be done, for a front end to word.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The registry.
    #[error(transparent)]
    Registry(RegistryError),
    /// The data.
    #[error(transparent)]
    Data(#[from] disinherit_data::DataError),
    /// A model file.
    #[error(transparent)]
    Format(FormatError),
    /// The graph.
    #[error(transparent)]
    Graph(#[from] umig::GraphError),
    /// The request.
    #[error(transparent)]
    Request(#[from] umig::RequestError),
    /// A list of samples.
    #[error(transparent)]
    Samples(#[from] umig::SampleError),
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
    /// A model that is not in the registry.
    #[error("unknown model `{name}`{}", did_you_mean(near))]
    UnknownModel {
        /// The name given.
        name: String,
        /// The nearest name.
        near: Option<String>,
    },
    /// A label that is not where it should be.
    #[error("unknown label `{label}`{context}")]
    UnknownLabel {
        /// The label given.
        label: String,
        /// Where it was looked for, and what is there instead.
        context: String,
    },
    /// A request that is not in the log.
    #[error("there is no request `{name}`{}", did_you_mean(near))]
    UnknownRequest {
        /// The name given.
        name: String,
        /// The nearest name.
        near: Option<String>,
    },
    /// A registry in which no request was executed, or all were undone.
    #[error("nothing has been unlearned in this registry yet")]
    NothingUnlearned,
    /// A model that the engine cannot run.
    #[error("`{model}` cannot be run: {reason}")]
    NotRunnable {
        /// The model.
        model: ModelId,
        /// Why.
        reason: String,
    },
    /// Data that the request needs and does not have.
    #[error("{why}")]
    NeedsData {
        /// What is missing.
        why: String,
        /// What to give.
        hint: Option<Hint>,
    },
    /// A model of whose training data nothing retained is at hand, and a method that works on it.
    #[error("nothing would be left to retain: {0}")]
    NothingRetained(String),
    /// Models that would lose more accuracy on the retained data than is allowed. Nothing was published.
    #[error("{}", refusal(models, *bound))]
    LosesTooMuch {
        /// The models, the worst first.
        models: Vec<ModelLoss>,
        /// What is allowed.
        bound: LossBound,
    },
    /// A request that another version of this program began: what the two compute may differ.
    #[error(
        "version {begun_by} of disinherit began `{request}`, and this is version {this}: what they compute \
         may differ"
    )]
    OtherVersion {
        /// The request.
        request: RequestId,
        /// The version that began it.
        begun_by: String,
        /// The version that runs here.
        this: String,
    },
    /// A request or a model that a method or an estimator does not serve.
    #[error("{reason}")]
    Unsupported {
        /// What is not served.
        reason: String,
        /// What to choose instead.
        hint: Option<Hint>,
    },
    /// Layers that a model does not have, or that only the network itself has.
    #[error("{reason}")]
    Layers {
        /// What is wrong.
        reason: String,
        /// What to choose instead.
        hint: Hint,
    },
    /// Samples or features that are not what they say.
    #[error("{0}")]
    BadFeatures(String),
    /// A card that belongs to another model.
    #[error("{0}")]
    ForeignCard(String),
    /// A model that cannot be added or imported.
    #[error("{reason}")]
    CannotAdd {
        /// Why.
        reason: String,
        /// What to give or to change.
        hint: Option<Hint>,
    },
    /// A model of that name that something else made.
    #[error("{0}")]
    NameTaken(String),
    /// A key that cannot be used.
    #[error("{0}")]
    Key(String),
    /// A certificate that cannot be used, or not be made.
    #[error("{0}")]
    Certificate(String),
    /// A document of the registry or of a study that cannot be read or written.
    #[error("{0}")]
    Document(String),
    /// A setting that has no meaning.
    #[error("{0}")]
    Setting(String),
    /// Work that was asked to stop. What it finished is kept.
    #[error("it was asked to stop")]
    Stopped,
    /// A fault of the machine or of this software.
    #[error("{0}")]
    Internal(String),
}

/// What a user can do about an error. Each front end words it in its own language: flags on the
/// command line, arguments in Python.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Give the training data.
    GiveData,
    /// Give the training data of a model, or compute its FIM card while the data is at hand.
    GiveDataOrCard(ModelId),
    /// Give data, or a value of alpha.
    GiveDataOrAlpha,
    /// Edit the last layer only.
    EditHeadOnly,
    /// Edit inner layers where the network runs.
    EditWhereNetworkRuns,
    /// Choose layers by patterns that fit the model's tensors.
    ChooseLayers,
    /// List the models.
    ListModels,
    /// List the operations.
    ListOperations,
    /// Name the models and say what is forgotten.
    NameModelsAndForget,
    /// Name the head's labels.
    GiveLabels,
    /// Name the head.
    GiveHead,
    /// Add the head as one of its own, after it was detached from the tensor that it is tied to.
    AddUntied,
    /// Use FIUn.
    UseFiun,
    /// Use the empirical or the true Fisher information.
    UseSampleEstimator,
    /// Bound the number of samples instead of the precision.
    BoundSamples,
    /// Use another registry.
    UseOtherRegistry,
    /// Use the architecture that the file was trained with.
    CheckArchitecture,
    /// Use an earlier checkpoint: the training diverged.
    UseEarlierCheckpoint,
    /// Fetch the file again.
    FetchAgain,
    /// Give the time at which the model was made.
    GiveTime,
    /// Give the size that images are scaled to.
    GiveSize,
    /// Look for damage in the registry, and repair what another copy of it still has.
    CheckRegistry,
    /// Go on with the version that began, or drop what it finished.
    UseSameVersion(String),
    /// Accept that models lose retained accuracy, up to this share at least.
    AcceptLoss(String),
}

impl EngineError {
    /// Whether the same work may succeed when it is tried again ([`RegistryError::may_pass`]).
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Registry(error) => error.may_pass(),
            Self::Format(FormatError::Source(source)) => source
                .downcast_ref::<RegistryError>()
                .is_some_and(RegistryError::may_pass),
            _ => false,
        }
    }

    /// What can be done, where something can.
    pub fn hint(&self) -> Option<Hint> {
        use disinherit_nets::NetError;
        match self {
            Self::UnknownModel { .. } | Self::Graph(umig::GraphError::Unknown(..)) => {
                Some(Hint::ListModels)
            }
            Self::Samples(error) | Self::Request(umig::RequestError::Samples(error)) => {
                let damaged = matches!(error, umig::SampleError::Unreadable { .. });
                damaged.then_some(Hint::CheckRegistry)
            }
            Self::UnknownRequest { .. } => Some(Hint::ListOperations),
            Self::NothingUnlearned => Some(Hint::NameModelsAndForget),
            Self::NeedsData { hint, .. }
            | Self::CannotAdd { hint, .. }
            | Self::Unsupported { hint, .. } => hint.clone(),
            Self::Layers { hint, .. } => Some(hint.clone()),
            Self::NameTaken(_) => Some(Hint::UseOtherRegistry),
            Self::Net {
                source: NetError::Missing { .. } | NetError::Shape { .. },
                ..
            } => Some(Hint::CheckArchitecture),
            Self::Net {
                source: NetError::NotFinite { .. },
                ..
            } => Some(Hint::UseEarlierCheckpoint),
            Self::Format(FormatError::Checkpoint { .. }) => Some(Hint::FetchAgain),
            Self::Graph(umig::GraphError::OlderThanParent { .. }) => Some(Hint::GiveTime),
            Self::Data(disinherit_data::DataError::Size { .. }) => Some(Hint::GiveSize),
            Self::OtherVersion { begun_by, .. } => Some(Hint::UseSameVersion(begun_by.clone())),
            Self::LosesTooMuch { models, .. } => Some(Hint::AcceptLoss(least(models))),
            _ => None,
        }
    }

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

    /// Wraps a failure to write or read JSON of our own.
    pub fn json(what: &str) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| Self::Document(format!("the {what} cannot be written or read: {error}"))
    }
}

impl From<RegistryError> for EngineError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Format(error) => error.into(),
            other => Self::Registry(other),
        }
    }
}

impl From<FormatError> for EngineError {
    fn from(error: FormatError) -> Self {
        // A registry that tensors were read from says for itself what is wrong.
        match error {
            FormatError::Source(source) => match source.downcast::<RegistryError>() {
                Ok(error) => Self::Registry(*error),
                Err(source) => Self::Format(FormatError::Source(source)),
            },
            other => Self::Format(other),
        }
    }
}

fn did_you_mean(near: &Option<String>) -> String {
    near.as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// The nearest of some names, where one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= 1 + other.chars().count() / 3)
        .min()
        .map(|(_, other)| other)
}

/// `; did you mean ...?` for the nearest of some names, or nothing when none is near.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(&nearest(name, known).map(str::to_owned))
}
