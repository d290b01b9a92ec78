//! What to try, by kind of error. Flags and commands are named here and nowhere below: the libraries
//! say what is wrong, each front end says what to do about it.
//!
//! The matches have no catch-all arm, so that a new kind of error asks for its hint when it is made.

use disinherit::data::DataError;
use disinherit::formats::FormatError;
use disinherit::import::{ImportError, MODEL_ENDINGS};
use disinherit::nets::NetError;
use disinherit::umig::{GraphError, RequestError};
use disinherit::{EngineError, Hint, registry};
use disinherit_desk::DeskError;
use disinherit_lab::LabError;

use crate::next_step::step_after;

/// `disinherit log`.
const LIST: &str = "`disinherit log` lists the models";

/// What to try after an error of the engine or of a crate below it.
pub(crate) fn engine(error: &EngineError) -> Option<String> {
    if let Some(hint) = error.hint() {
        return Some(of_engine(&hint));
    }
    let hint = match error {
        EngineError::Registry(error) => return error.hint().map(|hint| of_registry(&hint)),
        EngineError::Data(error) => data(error),
        EngineError::Format(error) => format(error),
        EngineError::Graph(error) => graph(error),
        EngineError::Request(error) => request(error),
        EngineError::Net { source, .. } => net(source),
        _ => None,
    };
    hint.map(str::to_owned)
}

/// A hint of the engine in the words of the command line.
fn of_engine(hint: &Hint) -> String {
    let text = match hint {
        Hint::GiveData => "give data with `--data PATH`",
        Hint::CheckRegistry => return of_registry(&registry::Hint::CheckRegistry),
        Hint::GiveDataOrCard(model) => {
            return format!(
                "give its training data with `--data PATH`, or compute its FIM card while the data \
                 is at hand: `disinherit fisher {model}`, with the same `--layers`"
            );
        }
        Hint::GiveDataOrAlpha => "give data with `--data PATH`, or a value with `--alpha X`",
        Hint::EditHeadOnly => "edit the head only (`--layers head`), or layers that both have",
        Hint::EditWhereNetworkRuns => {
            "leave `--layers` out, or edit inner layers from Python, where the network runs \
             (docs/python.md)"
        }
        Hint::ChooseLayers => "give patterns of tensor names: `--layers 'layer4.*,fc.*'`",
        Hint::ListModels => LIST,
        Hint::ListOperations => "`disinherit log --operations` lists them",
        Hint::NameModelsAndForget => "name the models and give `--forget`",
        Hint::GiveLabels => {
            "give the label names in the order of the head's rows: `--labels a,b,c` or \
             `--labels @FILE`"
        }
        Hint::GiveHead => "name the head with `--head`, without `.weight`",
        Hint::AddUntied => {
            "give the head weights of its own, in PyTorch: layer.weight = \
             torch.nn.Parameter(layer.weight.detach().clone()), and add it with `--untied`"
        }
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
        _ => "see `disinherit help`",
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
        _ => "see `disinherit help`",
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
        _ => None,
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

fn data(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::Size { .. } => Some("for instance `--size 32x32`"),
        DataError::Unsupported { .. } => Some("use a build with all features"),
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

fn format(error: &FormatError) -> Option<&'static str> {
    match error {
        FormatError::Checkpoint { .. } => Some("copy or download the file again"),
        FormatError::File { .. }
        | FormatError::Code { .. }
        | FormatError::Shard { .. }
        | FormatError::Io { .. }
        | FormatError::Source(_) => None,
    }
}

fn graph(error: &GraphError) -> Option<&'static str> {
    match error {
        GraphError::Unknown(..) => Some(LIST),
        GraphError::OlderThanParent { .. } => {
            Some("give the time when the child was made with `--time`, not before its parent's")
        }
        GraphError::Duplicate(_)
        | GraphError::Cycle { .. }
        | GraphError::Weight { .. }
        | GraphError::Format(..)
        | GraphError::NotReadable(_)
        | GraphError::NotWritable(_) => None,
    }
}

fn request(error: &RequestError) -> Option<&'static str> {
    match error {
        RequestError::NobodyTrained { .. } => {
            Some("name the initial models with `--from` if their provenance is unknown")
        }
        RequestError::Unknown(..) => Some(LIST),
        RequestError::Empty
        | RequestError::NotTrained { .. }
        | RequestError::Superseded(_)
        | RequestError::Samples(_) => None,
    }
}

fn net(error: &NetError) -> Option<&'static str> {
    match error {
        NetError::Shape { name, .. } if name.contains("fc") || name.contains("classifier") => Some(
            "the number of labels must be the head's number of rows, and `--architecture` and \
             `--input` those of the checkpoint",
        ),
        NetError::Missing { .. } | NetError::Shape { .. } => {
            Some("is `--architecture` the checkpoint's? Tensors are named as in torchvision")
        }
        NetError::NotFinite { .. } => {
            Some("the training that made this checkpoint diverged; use an earlier one")
        }
        NetError::Diverged { .. } => Some("lower the learning rate (`--learning-rate`)"),
        NetError::NoGraphs | NetError::NoSequences { .. } => Some("use a build with all features"),
        NetError::Memory { .. } => Some("allow more with `--memory`"),
        NetError::Architecture { .. }
        | NetError::Input { .. }
        | NetError::Data(_)
        | NetError::Training(_)
        | NetError::Device { .. }
        | NetError::Backend(_) => None,
    }
}

/// Whether a message says already what a hint would say: one of the hint's flags, or a whole command.
pub(crate) fn said(hint: &str, message: &str) -> bool {
    message.contains(hint)
        || hint.split('`').skip(1).step_by(2).any(|quoted| {
            let key = match quoted.starts_with("--") {
                true => quoted.split(' ').next().unwrap_or(quoted),
                false => quoted,
            };
            message.contains(key)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_that_was_said_is_known() {
        assert!(said("give data with `--data PATH`", "give it (`--data`)"));
        assert!(said(LIST, "unknown; `disinherit log` lists the models"));
        assert!(!said(LIST, "unknown; did you mean `disinherit`?"));
        assert!(!said("run the command again", "somebody was faster"));
    }

    #[test]
    fn kinds_below_the_engine_have_hints() {
        let error = EngineError::Registry(registry::RegistryError::NoRegistry("here".into()));
        assert!(engine(&error).is_some_and(|hint| hint.contains("--registry")));
        let error = EngineError::Request(RequestError::Empty);
        assert_eq!(engine(&error), None);
        let error = ImportError::NoModels;
        assert!(import(&error).is_some_and(|hint| hint.contains(".onnx")));
    }
}
