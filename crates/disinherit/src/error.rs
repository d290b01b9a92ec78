//! What can go wrong in the engine, and what can be done about it.

use disinherit_data::DataError;
use disinherit_formats::FormatError;
use disinherit_nets::NetError;
use disinherit_registry::{LossBound, RegistryError, RequestId};
use fiun::FisherError;
use umig::{GraphError, ModelId, RequestError, SampleError};

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
    Data(#[from] DataError),
    /// A model file.
    #[error(transparent)]
    Format(FormatError),
    /// The graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A list of samples.
    #[error(transparent)]
    Samples(#[from] SampleError),
    /// A model id.
    #[error(transparent)]
    Id(#[from] umig::IdError),
    /// A network, with the model's name.
    #[error("cannot use `{model}`: {source}")]
    Net {
        /// The model.
        model: String,
        /// What is wrong.
        source: NetError,
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
    /// A model whose runner failed, with what it failed with.
    #[error("`{model}` cannot be run: {source}")]
    Runner {
        /// The model.
        model: ModelId,
        /// What the runner says; a front end that brought the runner knows its type.
        source: Box<dyn std::error::Error + Send + Sync>,
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
///
/// Front ends match all kinds, so that a new one is worded everywhere when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// What the registry suggests.
    Registry(disinherit_registry::Hint),
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
    /// Name the initial models by hand.
    NameInitialModels,
    /// Take a lower learning rate.
    LowerLearningRate,
    /// Allow more memory.
    AllowMemory,
    /// Use a build with all features.
    UseFullBuild,
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
        match self {
            Self::Registry(error) => error.hint().map(Hint::Registry),
            Self::Data(error) => of_data(error),
            Self::Format(error) => of_format(error),
            Self::Graph(error) => of_graph(error),
            Self::Request(error) => of_request(error),
            Self::Samples(error) => of_samples(error),
            Self::Net { source, .. } => of_net(source),
            Self::UnknownModel { .. } => Some(Hint::ListModels),
            Self::UnknownRequest { .. } => Some(Hint::ListOperations),
            Self::NothingUnlearned => Some(Hint::NameModelsAndForget),
            Self::NeedsData { hint, .. }
            | Self::CannotAdd { hint, .. }
            | Self::Unsupported { hint, .. } => hint.clone(),
            Self::Layers { hint, .. } => Some(hint.clone()),
            Self::NameTaken(_) => Some(Hint::UseOtherRegistry),
            Self::OtherVersion { begun_by, .. } => Some(Hint::UseSameVersion(begun_by.clone())),
            Self::LosesTooMuch { models, .. } => Some(Hint::AcceptLoss(least(models))),
            Self::Id(_)
            | Self::Fisher { .. }
            | Self::UnknownLabel { .. }
            | Self::NotRunnable { .. }
            | Self::Runner { .. }
            | Self::NothingRetained(_)
            | Self::BadFeatures(_)
            | Self::ForeignCard(_)
            | Self::Key(_)
            | Self::Certificate(_)
            | Self::Document(_)
            | Self::Setting(_)
            | Self::Stopped
            | Self::Internal(_) => None,
        }
    }

    /// Wraps a network error with the model's name.
    pub fn net(model: impl ToString) -> impl FnOnce(NetError) -> Self {
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

fn of_data(error: &DataError) -> Option<Hint> {
    match error {
        DataError::Size { .. } => Some(Hint::GiveSize),
        DataError::Unsupported { .. } => Some(Hint::UseFullBuild),
        DataError::Io { .. }
        | DataError::Parquet { .. }
        | DataError::Features { .. }
        | DataError::Tokenizer { .. }
        | DataError::Image { .. }
        | DataError::Unknown { .. }
        | DataError::Inconsistent { .. }
        | DataError::Partition(_) => None,
    }
}

fn of_format(error: &FormatError) -> Option<Hint> {
    match error {
        FormatError::Checkpoint { .. } => Some(Hint::FetchAgain),
        FormatError::File { .. }
        | FormatError::Code { .. }
        | FormatError::Shard { .. }
        | FormatError::Io { .. }
        | FormatError::Source(_) => None,
    }
}

fn of_graph(error: &GraphError) -> Option<Hint> {
    match error {
        GraphError::Unknown(..) => Some(Hint::ListModels),
        GraphError::OlderThanParent { .. } => Some(Hint::GiveTime),
        GraphError::Duplicate(_)
        | GraphError::Cycle { .. }
        | GraphError::Weight { .. }
        | GraphError::Format(..)
        | GraphError::NotReadable(_)
        | GraphError::NotWritable(_) => None,
    }
}

fn of_request(error: &RequestError) -> Option<Hint> {
    match error {
        RequestError::NoModelTrained { .. } => Some(Hint::NameInitialModels),
        RequestError::Unknown(..) => Some(Hint::ListModels),
        RequestError::Samples(error) => of_samples(error),
        RequestError::Empty | RequestError::NotTrained { .. } | RequestError::Superseded(_) => None,
    }
}

fn of_samples(error: &SampleError) -> Option<Hint> {
    let check = Hint::Registry(disinherit_registry::Hint::CheckRegistry);
    matches!(error, SampleError::Unreadable { .. }).then_some(check)
}

fn of_net(error: &NetError) -> Option<Hint> {
    match error {
        NetError::Missing { .. } | NetError::Shape { .. } => Some(Hint::CheckArchitecture),
        NetError::NotFinite { .. } => Some(Hint::UseEarlierCheckpoint),
        NetError::Diverged { .. } => Some(Hint::LowerLearningRate),
        NetError::NoGraphs => Some(Hint::UseFullBuild),
        NetError::Memory { .. } => Some(Hint::AllowMemory),
        NetError::Architecture { .. }
        | NetError::Input { .. }
        | NetError::Data(_)
        | NetError::Training(_)
        | NetError::Device { .. }
        | NetError::Runtime { .. }
        | NetError::Backend(_) => None,
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
