//! What to try, by kind of error. Flags and commands are named here and nowhere below: the libraries
//! say what is wrong, each front end says what to do about it.
//!
//! The matches have no catch-all arm, so that a new kind of error asks for its hint when it is made.

use disinherit::import::{ImportError, MODEL_ENDINGS};
use disinherit::{EngineError, Hint, registry};
use disinherit_desk::DeskError;
use disinherit_lab::LabError;

use crate::next_step::step_after;

/// `disinherit log`.
const LIST: &str = "`disinherit log` lists the models";
const EDIT_WHERE_NETWORK_RUNS: &str = "leave `--layers` out, or edit inner layers from Python, where the network runs \
     (docs/python.md)";
const GIVE_LABELS: &str =
    "give the label names in the order of the head's rows: `--labels a,b,c` or `--labels @FILE`";
const ADD_UNTIED: &str = "give the head weights of its own, in PyTorch: layer.weight = \
     torch.nn.Parameter(layer.weight.detach().clone()), and add it with `--untied`";

/// What to try after an error of the engine or of a crate below it.
pub(crate) fn engine(error: &EngineError) -> Option<String> {
    error.hint().map(|hint| of_engine(&hint))
}

/// A hint of the engine in the words of the command line.
fn of_engine(hint: &Hint) -> String {
    let text = match hint {
        Hint::GiveData => "give data with `--data PATH`",
        Hint::Registry(hint) => return of_registry(hint),
        Hint::GiveDataOrCard(model) => {
            return format!(
                "give its training data with `--data PATH`, or compute its FIM card while the data \
                 is at hand: `disinherit fisher {model}`, with the same `--layers`"
            );
        }
        Hint::GiveDataOrAlpha => "give data with `--data PATH`, or a value with `--alpha X`",
        Hint::EditHeadOnly => "edit the head only (`--layers head`), or layers that both have",
        Hint::EditWhereNetworkRuns => EDIT_WHERE_NETWORK_RUNS,
        Hint::ChooseLayers => "give patterns of tensor names: `--layers 'layer4.*,fc.*'`",
        Hint::ListModels => LIST,
        Hint::ListOperations => "`disinherit log --operations` lists them",
        Hint::NameModelsAndForget => "name the models and give `--forget`",
        Hint::GiveLabels => GIVE_LABELS,
        Hint::GiveHead => "name the head with `--head`, without `.weight`",
        Hint::AddUntied => ADD_UNTIED,
        Hint::UseFiun => "leave `--method` out",
        Hint::UseSampleEstimator => "take `--estimator empirical` or `--estimator true:SEED`",
        Hint::BoundSamples => "give a number of samples with `--max-samples`",
        Hint::UseOtherRegistry => "use another registry with `--registry PLACE`",
        Hint::CheckArchitecture => {
            "is `--architecture` the checkpoint's? Tensors are named as in torchvision"
        }
        Hint::UseEarlierCheckpoint => {
            "the training that made this checkpoint diverged; use an earlier one"
        }
        Hint::FetchAgain => "copy or download the file again",
        Hint::GiveTime => {
            "give the time when the child was made with `--time`, not before its parent's"
        }
        Hint::GiveSize => "for instance `--size 32x32`",
        Hint::UseSameVersion(version) => return use_same(version),
        Hint::AcceptLoss(least) => {
            return format!(
                "leave more of the forget data recognised (`--target-forget`), compare what other methods \
                 would cost with `--method NAME --dry-run`, or publish with the loss: \
                 `--accept-loss {least}`"
            );
        }
        Hint::NameInitialModels => {
            "name the initial models with `--from` if their provenance is unknown"
        }
        Hint::LowerLearningRate => "lower the learning rate (`--learning-rate`)",
        Hint::AllowMemory => "allow more with `--memory`",
        Hint::UseFullBuild => "use a build with all features",
    };
    text.to_owned()
}

fn use_same(version: &str) -> String {
    format!(
        "go on with version {version} everywhere, or drop what it finished and begin anew: \
         `disinherit gc --drafts`"
    )
}

/// A hint of the registry in the words of the command line.
fn of_registry(hint: &registry::Hint) -> String {
    use registry::Hint;
    let text = match hint {
        Hint::InitRegistry => {
            "make one with `disinherit init`, or name one with `--registry PLACE`"
        }
        Hint::UseNewerVersion => "use a newer disinherit",
        Hint::RunAgain => "run the command again",
        Hint::WaitForOtherProcess => "wait until the other process is done",
        Hint::ShowLog => "`disinherit log --operations` shows who did what, and why",
        Hint::UndoLaterFirst => {
            "undo the later operation first; `disinherit log --operations` lists them"
        }
        Hint::CheckRegistry => {
            "`disinherit fsck` says what else is damaged; with `--repair --from PLACE` it fetches \
             objects from another registry"
        }
        Hint::SetCredentials => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what your storage asks for"
        }
        Hint::CreateBucket { bucket } => {
            return format!("create the bucket `{bucket}` first, or name another one");
        }
        Hint::CheckEndpoint { .. } => "check the address of the server (AWS_ENDPOINT_URL)",
        Hint::GiveLocation => "name a folder, file:///PATH or s3://BUCKET/PATH",
        Hint::GiveCatalog => "give `--catalog postgres://USER@HOST/DATABASE`",
        Hint::ListErasures => "`disinherit request list --all` lists the requests",
        Hint::ErasureStep { request, state } => {
            return match step_after(*state) {
                Some(step) => {
                    format!("`disinherit request {step}`").replace("ID", &request.to_string())
                }
                None => format!("`disinherit request show {request}` says how it ended"),
            };
        }
        Hint::OtherApprover => "let somebody else approve it (`--actor NAME`)",
        Hint::TakeOver { request } => {
            return format!(
                "wait until it is done; if that run was killed, `disinherit request run {request} --take-over`"
            );
        }
        Hint::ShowErasure { request } => {
            return format!("`disinherit request show {request}` says who did what");
        }
        Hint::BuildWith { feature } => {
            return format!("use a build with the feature `{feature}`");
        }
    };
    text.to_owned()
}

/// What to try after an error of the laboratory.
pub(crate) fn lab(error: &LabError) -> Option<String> {
    match error {
        LabError::Engine(error) => engine(error),
        other => other.hint().map(|hint| of_engine(&hint)),
    }
}

/// What to try after an error of the desk.
pub(crate) fn desk(error: &DeskError) -> Option<String> {
    if let DeskError::Engine(error) = error {
        return engine(error);
    }
    match error.hint()? {
        disinherit_desk::Hint::PlanAgain { request } => Some(format!(
            "plan it again with `disinherit request plan {request}`; it needs another approval then"
        )),
    }
}

/// What to try after an import that was refused.
pub(crate) fn import(error: &ImportError) -> Option<String> {
    match error {
        ImportError::NoModels => Some(format!(
            "files of models end in .{}",
            MODEL_ENDINGS.join(", .")
        )),
        ImportError::SameName { .. } => {
            Some("rename one, or add them one by one with `disinherit add --name`".into())
        }
        ImportError::Circle(_) => Some("correct `base_model` in their model cards".into()),
        ImportError::TrainedLabel(_) => {
            Some("`--trained-labels` takes names that `--labels` has".into())
        }
        ImportError::AllLeftOut(_) | ImportError::Unfit(_) => {
            Some("give the label names with `--labels` and the head with `--head`".into())
        }
        ImportError::Engine(error) => engine(error),
    }
}

#[cfg(test)]
mod tests {
    use disinherit::umig::{RequestError, SampleError};

    use super::*;

    #[test]
    fn kinds_below_the_engine_have_hints() {
        let error = EngineError::Registry(registry::RegistryError::NoRegistry("here".into()));
        assert!(engine(&error).is_some_and(|hint| hint.contains("--registry")));
        let error = EngineError::Request(RequestError::Empty);
        assert_eq!(engine(&error), None);
        let error = EngineError::Request(RequestError::Samples(SampleError::Unreadable {
            list: "l".into(),
            reason: "torn".into(),
        }));
        assert!(engine(&error).is_some_and(|hint| hint.contains("disinherit fsck")));
        let error = ImportError::NoModels;
        assert!(import(&error).is_some_and(|hint| hint.contains(".onnx")));
    }
}
