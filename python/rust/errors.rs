//! Failures as Python exceptions: one class for each kind that a program may want to tell apart, with
//! words that name arguments and methods of Python.

use disinherit::import::ImportError;
use disinherit::registry::{self, ErasureState, LossBound, RegistryError};
use disinherit::umig::{GraphError, ModelId, RequestError};
use disinherit::{EngineError, Hint, ModelLoss};
use disinherit_desk::DeskError;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use crate::results::{Record, list};

/// Declares the exceptions, and a function that adds all of them to the module.
macro_rules! exceptions {
    ($($name:ident($base:ty): $about:literal;)*) => {
        $(create_exception!(disinherit, $name, $base, $about);)*

        /// Adds the exceptions to the module.
        pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(module.add(stringify!($name), module.py().get_type::<$name>())?;)*
            Ok(())
        }
    };
}

exceptions! {
    DisinheritError(PyException): "Something that disinherit refuses, or that failed.";
    UnknownModel(DisinheritError): "A model that the registry does not have.";
    UnknownLabel(DisinheritError): "A label that no model has.";
    NeedsData(DisinheritError): "The request needs data that was not given.";
    NothingRetained(DisinheritError): "Of a model's training data nothing retained is at hand.";
    LosesTooMuch(DisinheritError): "Models would lose more retained accuracy than is allowed: `models` says which and \
                                    how much, `bound` what is allowed. Nothing was published.";
    NotRunnable(DisinheritError): "A network that cannot be run, or that gave something unusable.";
    UnusableData(DisinheritError): "A data set that cannot be read or used.";
    UnusableFile(DisinheritError): "A model file that cannot be read or written.";
    NoRegistry(DisinheritError): "There is no registry at this place.";
    RegistryExists(DisinheritError): "There is a registry at this place already.";
    Conflict(DisinheritError): "Another process published or is writing; the call can be made again.";
    Damaged(DisinheritError): "A stored object that is missing or not what it was.";
    InvalidCertificate(DisinheritError): "A certificate or a key that cannot be used, was altered, or does not fit.";
    UnknownRequest(DisinheritError): "An erasure request that the registry does not have.";
    StepRefused(DisinheritError): "A step that an erasure request cannot take now; nothing was changed.";
    WeightsPurged(DisinheritError): "A version whose weights were deleted; its record is left.";
}

/// A refusal in words of ours.
pub(crate) fn refused(words: impl std::fmt::Display) -> PyErr {
    DisinheritError::new_err(words.to_string())
}

/// A failure of the engine as an exception of its kind.
pub(crate) fn raised(error: impl Into<EngineError>) -> PyErr {
    let error = error.into();
    let words = words(&error);
    match &error {
        EngineError::UnknownModel { .. }
        | EngineError::Graph(GraphError::Unknown(..))
        | EngineError::Request(RequestError::Unknown(..)) => UnknownModel::new_err(words),
        EngineError::UnknownLabel { .. } => UnknownLabel::new_err(words),
        EngineError::NeedsData { .. } => NeedsData::new_err(words),
        EngineError::NothingRetained(_) => NothingRetained::new_err(words),
        EngineError::LosesTooMuch { models, bound } => loses_too_much(words, models, *bound),
        EngineError::Certificate(_) | EngineError::Key(_) => InvalidCertificate::new_err(words),
        EngineError::NotRunnable { .. } => NotRunnable::new_err(words),
        EngineError::Runner { source, .. } => match source.downcast_ref::<FromPython>() {
            Some(FromPython { error, .. }) => Python::attach(|py| error.clone_ref(py)),
            None => NotRunnable::new_err(words),
        },
        EngineError::Data(_) => UnusableData::new_err(words),
        EngineError::Format(_) => UnusableFile::new_err(words),
        EngineError::Registry(error) => match error {
            RegistryError::NoRegistry(_) => NoRegistry::new_err(words),
            RegistryError::Exists(_) => RegistryExists::new_err(words),
            RegistryError::Conflict(_) | RegistryError::Busy(_) => Conflict::new_err(words),
            RegistryError::Missing(_) | RegistryError::Damaged(_) | RegistryError::Pack { .. } => {
                Damaged::new_err(words)
            }
            RegistryError::Purged(_) => WeightsPurged::new_err(words),
            RegistryError::NoErasure(_) => UnknownRequest::new_err(words),
            RegistryError::Refused { .. } => StepRefused::new_err(words),
            _ => DisinheritError::new_err(words),
        },
        _ => DisinheritError::new_err(words),
    }
}

/// What Python raised while it ran a network, to be raised again as it was.
#[derive(Debug)]
struct FromPython {
    words: String,
    error: PyErr,
}

impl std::fmt::Display for FromPython {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for FromPython {}

/// What Python raised while it ran a model, as a failure of the engine. A refusal in words of ours is told with the
/// model's name.
pub(crate) fn from_python(py: Python<'_>, model: &ModelId, error: PyErr) -> EngineError {
    let (model, words) = (model.clone(), error.value(py).to_string());
    match error.is_instance_of::<DisinheritError>(py) {
        true => EngineError::NotRunnable {
            model,
            reason: words,
        },
        false => EngineError::Runner {
            model,
            source: Box::new(FromPython { words, error }),
        },
    }
}

/// With the models and the bound as attributes.
fn loses_too_much(words: String, models: &[ModelLoss], bound: LossBound) -> PyErr {
    let error = LosesTooMuch::new_err(words);
    let told = Python::attach(|py| {
        let value = error.value(py);
        value.setattr("models", list(py, models)?)?;
        value.setattr("bound", bound.record(py)?)
    });
    match told {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// A failure of the desk, likewise.
pub(crate) fn at_desk(error: DeskError) -> PyErr {
    let hint = error.hint().map(|hint| match hint {
        disinherit_desk::Hint::PlanAgain { request } => {
            format!("plan it again with `Requests.plan({request})`; it needs another approval then")
        }
    });
    match (error, hint) {
        (DeskError::Engine(error), _) => raised(error),
        (other, Some(hint)) => StepRefused::new_err(format!("{other}; {hint}")),
        (other, None) => StepRefused::new_err(other.to_string()),
    }
}

/// A tree that cannot be imported, likewise.
pub(crate) fn not_imported(error: ImportError) -> PyErr {
    match error {
        ImportError::Engine(error) => raised(error),
        other => refused(other),
    }
}

/// What is wrong and what to do about it, as Python says it.
fn words(error: &EngineError) -> String {
    match error.hint().map(|hint| of_engine(&hint)) {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// A hint of the engine in the words of Python.
fn of_engine(hint: &Hint) -> String {
    match hint {
        Hint::GiveData => "give the data (`data=`)".into(),
        Hint::Registry(hint) => of_registry(hint),
        Hint::GiveDataOrCard(model) => format!(
            "give its training data (`data=`), or compute its FIM card first, with the same `layers=`: \
             `Registry.fisher(\"{model}\", data)`"
        ),
        Hint::GiveDataOrAlpha => "give data (`data=`) or a value (`alpha=`)".into(),
        Hint::EditHeadOnly => {
            "edit the head only (`layers=\"head\"`), or the layers that both have".into()
        }
        Hint::EditWhereNetworkRuns => {
            "leave `layers=` out, or give samples with the module (`disinherit.torch.samples`)"
                .into()
        }
        Hint::ChooseLayers => "give patterns of tensor names, such as `layers=\"layer4.*\"`".into(),
        Hint::ListModels => "`Registry.models()` lists the models".into(),
        Hint::ListOperations => "`Registry.log()` lists them".into(),
        Hint::NameModelsAndForget => "name the models and say what is forgotten".into(),
        Hint::GiveLabels => "give the label names in their order (`labels=[...]`)".into(),
        Hint::GiveHead => "name it with `head=`".into(),
        Hint::AddUntied => "give the head weights of its own (layer.weight = \
             torch.nn.Parameter(layer.weight.detach().clone())) and add it with `untied=True`"
            .into(),
        Hint::UseSampleEstimator => "take `estimator=\"empirical\"`".into(),
        Hint::UseOtherRegistry => "use another registry".into(),
        Hint::CheckArchitecture => {
            "is `architecture=` the one that the weights were trained in?".into()
        }
        Hint::UseEarlierCheckpoint => {
            "the training that made these weights diverged; use earlier ones".into()
        }
        Hint::FetchAgain => "copy or download the file again".into(),
        Hint::UseSameVersion(version) => format!(
            "go on with version {version} everywhere, or drop what it finished and begin anew: \
             `Registry.collect_garbage(drafts=True)`"
        ),
        Hint::AcceptLoss(least) => format!(
            "leave more of the forget data recognised (`target_forget=`), or publish with the loss \
             (`accept_loss={least}`)"
        ),
        Hint::GiveSize => "give the size of images (`size=(32, 32)`)".into(),
        Hint::UseFiun => "leave `method=` out".into(),
        Hint::BoundSamples => "take another `estimator=`".into(),
        Hint::GiveTime => "check the clock: a model is not older than its parents".into(),
        Hint::NameInitialModels => "`initial=[...]` names them".into(),
        Hint::LowerLearningRate => "take a lower learning rate".into(),
        Hint::AllowMemory => "run it on a machine with more memory".into(),
        Hint::UseFullBuild => "use the wheel, which has all features".into(),
    }
}

/// A hint of the registry in the words of Python.
fn of_registry(hint: &registry::Hint) -> String {
    use registry::Hint;
    match hint {
        Hint::InitRegistry => "make one with `Registry.create(place)`".into(),
        Hint::UseNewerVersion => "use a newer version of this package".into(),
        Hint::RunAgain => "make the call again".into(),
        Hint::WaitForOtherProcess => "wait until the other process is done".into(),
        Hint::ShowLog => "`Registry.log()` shows who did what, and why".into(),
        Hint::UndoLaterFirst => {
            "undo the later operation first; `Registry.log()` lists them".into()
        }
        Hint::CheckRegistry => {
            "`Registry.check(repair=True, source=...)` fetches objects from another registry".into()
        }
        Hint::ListErasures => "`Requests.list(states=[])` lists them all".into(),
        Hint::ErasureStep { request, state } => match step_after(*state) {
            Some(step) => format!("`Requests.{step}({request})` comes next"),
            None => format!("`Requests.show({request})` says how it ended"),
        },
        Hint::OtherApprover => {
            "let somebody else approve it, in a registry that was opened with another `actor=`"
                .into()
        }
        Hint::TakeOver { request } => format!(
            "wait until it is done; if that run was killed, `Requests.run({request}, take_over=True)`"
        ),
        Hint::ShowErasure { request } => {
            format!("`Requests.history({request})` says who did what")
        }
        Hint::CreateBucket { bucket } => format!("create the bucket `{bucket}` first"),
        Hint::GiveCatalog => "give a database: `catalog=\"postgres://user@host/database\"`".into(),
        Hint::BuildWith { feature } => format!("use a build with the feature `{feature}`"),
        Hint::SetCredentials => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what your storage asks for".into()
        }
        Hint::CheckEndpoint { .. } => "check the address of the server (AWS_ENDPOINT_URL)".into(),
        Hint::GiveLocation => "name a folder, file:///PATH or s3://BUCKET/PATH".into(),
    }
}

/// The step that comes after a state, where one does.
fn step_after(state: ErasureState) -> Option<&'static str> {
    Some(match state {
        ErasureState::Received => "plan",
        ErasureState::Planned => "approve",
        ErasureState::Approved | ErasureState::Failed | ErasureState::Cancelled => "run",
        ErasureState::Running => "verify",
        ErasureState::Verified => "certify",
        ErasureState::Certified => "purge",
        ErasureState::Purged => "close",
        ErasureState::Closed | ErasureState::Rejected => return None,
    })
}
