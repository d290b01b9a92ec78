//! What to try, by kind of error. Flags and commands are named here and nowhere below: the libraries
//! say what is wrong, each front end says what to do about it.
//!
//! The matches have no catch-all arm, so that a new kind of error asks for its hint when it is made.

use disinherit::EngineError;
use disinherit::data::DataError;
use disinherit::formats::FormatError;
use disinherit::import::{ImportError, MODEL_ENDINGS};
use disinherit::nets::NetError;
use disinherit::registry::RegistryError;
use disinherit::umig::{GraphError, RequestError};

/// `disinherit log`.
const LIST: &str = "`disinherit log` lists the models";

/// What to try after an error of the engine or of a crate below it.
pub(crate) fn engine(error: &EngineError) -> Option<String> {
    let hint = match error {
        EngineError::Store(error) => registry(error),
        EngineError::Data(error) => data(error),
        EngineError::Format(error) => format(error),
        EngineError::Graph(error) => graph(error),
        EngineError::Request(error) => request(error),
        EngineError::Net { source, .. } => net(source),
        EngineError::UnknownModel { .. } => Some(LIST),
        EngineError::NeedsData(_) => Some("give data with `--data PATH`"),
        EngineError::Id(_)
        | EngineError::Fisher { .. }
        | EngineError::Recipe(_)
        | EngineError::UnknownLabel { .. }
        | EngineError::NotRunnable { .. }
        | EngineError::NothingRetained(_)
        | EngineError::Refused(_) => None,
    };
    hint.map(str::to_owned)
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

fn registry(error: &RegistryError) -> Option<&'static str> {
    match error {
        RegistryError::NoRegistry(_) => {
            Some("make one with `disinherit init`, or name one with `--registry PLACE`")
        }
        RegistryError::Missing(_) | RegistryError::Damaged(_) => Some(
            "`disinherit fsck` says what else is damaged; with `--repair --from PLACE` it fetches \
             objects from another registry",
        ),
        RegistryError::Conflict(_) => Some("run the command again"),
        RegistryError::Purged(_) => {
            Some("`disinherit log --operations` shows who purged it, and why")
        }
        RegistryError::Format(error) => format(error),
        RegistryError::Io { .. }
        | RegistryError::Exists(_)
        | RegistryError::Newer { .. }
        | RegistryError::Document { .. }
        | RegistryError::Card(_)
        | RegistryError::Busy(_)
        | RegistryError::Refused(_)
        | RegistryError::Objects(_)
        | RegistryError::Catalog(_)
        | RegistryError::Digest(_) => None,
    }
}

fn data(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::Size { .. } => Some("for instance `--size 32x32`"),
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
        | GraphError::Format(..) => None,
    }
}

fn request(error: &RequestError) -> Option<&'static str> {
    match error {
        RequestError::NobodyTrained { .. } => {
            Some("name the initial models with `--from` if their provenance is unknown")
        }
        RequestError::Unknown(..) => Some(LIST),
        RequestError::Empty | RequestError::NotTrained { .. } | RequestError::Superseded(_) => None,
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
        let error = EngineError::Store(RegistryError::NoRegistry("here".into()));
        assert!(engine(&error).is_some_and(|hint| hint.contains("--registry")));
        let error = EngineError::Request(RequestError::Empty);
        assert_eq!(engine(&error), None);
        let error = ImportError::NoModels;
        assert!(import(&error).is_some_and(|hint| hint.contains(".onnx")));
    }
}
