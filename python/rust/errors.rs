//! Failures as Python exceptions: one class for each kind that a program may want to tell apart, with
//! words that name arguments and methods of Python.

use disinherit::EngineError;
use disinherit::import::ImportError;
use disinherit_registry::RegistryError;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

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
    NothingRetained(DisinheritError): "A model would have nothing left: it should be taken out of use.";
    NotRunnable(DisinheritError): "A network that cannot be run, or that gave something unusable.";
    UnusableData(DisinheritError): "A data set that cannot be read or used.";
    UnusableFile(DisinheritError): "A model file that cannot be read or written.";
    NoRegistry(DisinheritError): "There is no registry at this place.";
    RegistryExists(DisinheritError): "There is a registry at this place already.";
    Conflict(DisinheritError): "Another process published or is writing; the call can be made again.";
    Damaged(DisinheritError): "A stored object that is missing or not what it was.";
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
        EngineError::UnknownModel { .. } => UnknownModel::new_err(words),
        EngineError::UnknownLabel { .. } => UnknownLabel::new_err(words),
        EngineError::NeedsData(_) => NeedsData::new_err(words),
        EngineError::NothingRetained(_) => NothingRetained::new_err(words),
        EngineError::NotRunnable { .. } => NotRunnable::new_err(words),
        EngineError::Data(_) => UnusableData::new_err(words),
        EngineError::Format(_) => UnusableFile::new_err(words),
        EngineError::Store(error) => match error {
            RegistryError::NoRegistry(_) => NoRegistry::new_err(words),
            RegistryError::Exists(_) => RegistryExists::new_err(words),
            RegistryError::Conflict(_) | RegistryError::Busy(_) => Conflict::new_err(words),
            RegistryError::Missing(_) | RegistryError::Damaged(_) => Damaged::new_err(words),
            RegistryError::Purged(_) => WeightsPurged::new_err(words),
            _ => DisinheritError::new_err(words),
        },
        _ => DisinheritError::new_err(words),
    }
}

/// A tree that cannot be imported, likewise.
pub(crate) fn not_imported(error: ImportError) -> PyErr {
    match error {
        ImportError::Engine(error) => raised(error),
        other => refused(in_python(&other.to_string())),
    }
}

/// What is wrong and what to do about it, as Python says it. The one place that words hints.
fn words(error: &EngineError) -> String {
    in_python(&error.to_string())
}

/// Replaces options and commands of the shell, which stand between backticks, by arguments and methods.
pub(crate) fn in_python(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (at, part) in text.split('`').enumerate() {
        let code = at % 2 == 1;
        parts.push(
            match (part.strip_prefix("--"), part.strip_prefix("disinherit ")) {
                (Some(option), _) if code => argument(option),
                (_, Some(command)) if code => method(command),
                _ => part.to_owned(),
            },
        );
    }
    parts.join("`")
}

/// The argument that an option of the shell is here.
fn argument(option: &str) -> String {
    let (name, value) = option.split_once(' ').unwrap_or((option, ""));
    let name = match name {
        "from" => "initial".to_owned(),
        other => other.replace('-', "_"),
    };
    match (name.as_str(), value) {
        ("labels", _) => "labels=[...]".to_owned(),
        ("untied", _) => "untied=True".to_owned(),
        (_, "") => format!("{name}="),
        _ => format!("{name}=\"{value}\""),
    }
}

/// The method that a command of the shell is here.
fn method(command: &str) -> String {
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    match name {
        "init" => "Registry.create(place)".to_owned(),
        "log" if rest.is_empty() => "Registry.models()".to_owned(),
        "log" => "Registry.log()".to_owned(),
        "fisher" if rest.is_empty() => "Registry.fisher".to_owned(),
        "fisher" => {
            let (model, layers) = rest.split_once(" --").unwrap_or((rest, ""));
            let layers = match layers {
                "" => String::new(),
                option => format!(", {}", argument(option)),
            };
            format!("Registry.fisher(\"{model}\", data{layers})")
        }
        other => format!("Registry.{}", other.replace('-', "_")),
    }
}
