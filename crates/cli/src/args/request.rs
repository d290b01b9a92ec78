//! Requests: what is forgotten, and from where on.

use std::path::Path;

use clap::Args;
use disinherit::registry::Registry;
use disinherit::umig::{Forget, Request};

use super::model::resolve_all;
use crate::error::CliError;
use crate::files;

#[derive(Debug, Args, Clone)]
pub(crate) struct RequestArgs {
    /// class=NAME[,NAME], source=NAME, or samples=FILE (one sample id a line).
    #[arg(long, value_name = "WHAT")]
    pub(crate) forget: String,
    /// The initial models; found by provenance when not given.
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub(crate) from: Vec<String>,
}

impl RequestArgs {
    /// What must be forgotten.
    pub(crate) fn forget(&self) -> Result<Forget, CliError> {
        forget(&self.forget)
    }

    /// The request as the desk files it. The graph is read only where models are named.
    pub(crate) fn request(&self, registry: &Registry) -> Result<Request, CliError> {
        let from = match self.from.is_empty() {
            true => Vec::new(),
            false => resolve_all(&registry.graph()?, &self.from)?,
        };
        Ok(Request::new(forget(&self.forget)?).from_models(from))
    }
}

/// `class=NAME[,NAME]`, `source=NAME` or `samples=FILE`.
pub(crate) fn forget(text: &str) -> Result<Forget, CliError> {
    match text.split_once('=') {
        Some(("class", names)) if !names.is_empty() => Ok(Forget::classes(names.split(','))),
        Some(("source", name)) if !name.is_empty() => Ok(Forget::Source(name.to_owned())),
        Some(("samples", file)) if !file.is_empty() => {
            let ids = files::read_lines(Path::new(file))?;
            if ids.is_empty() {
                return Err(CliError::new(format!("{file} lists no samples")));
            }
            Ok(Forget::Samples(ids.into_iter().collect()))
        }
        _ => Err(
            CliError::usage(format!("cannot understand `--forget {text}`"))
                .help("class=NAME[,NAME], source=NAME or samples=FILE"),
        ),
    }
}

/// The names of the classes to forget, for commands that can forget nothing else.
pub(crate) fn forget_classes(text: &str) -> Result<Vec<String>, CliError> {
    match forget(text)? {
        Forget::Classes(classes) => Ok(classes.into_iter().collect()),
        Forget::Source(_) | Forget::Samples(_) => {
            Err(CliError::usage("only classes can be forgotten here").help("class=NAME[,NAME]"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_forgotten_is_read_from_text() {
        assert_eq!(forget("class=3,4").unwrap(), Forget::classes(["3", "4"]));
        assert_eq!(forget("source=eve").unwrap(), Forget::Source("eve".into()));
        for wrong in ["everything", "class=", "source=", "klass=3"] {
            let said = forget(wrong).unwrap_err().to_string();
            assert!(
                said.contains(wrong) && said.contains("help: class=NAME"),
                "{said}"
            );
        }
        assert!(forget("samples=/nowhere.txt").is_err());
        assert!(forget_classes("source=eve").is_err());
    }
}
