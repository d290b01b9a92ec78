//! What a check finds: where, what, and what to do about it.

use std::path::PathBuf;

use serde_json::{Value, json};

/// The rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A crate depends on one above or beside it.
    Arrow,
    /// Files of a crate import each other.
    Circle,
    /// A file imports a sibling through the crate's root.
    Root,
    /// A file, a function or a signature is too long.
    Size,
    /// A word that is not the field's term, or not plain.
    Word,
}

impl Rule {
    /// Its name in JSON and in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::Circle => "circle",
            Self::Root => "root",
            Self::Size => "size",
            Self::Word => "word",
        }
    }
}

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) rule: Rule,
    pub(crate) file: PathBuf,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: String,
}

impl Finding {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "rule": self.rule.name(),
            "file": self.file,
            "line": self.line,
            "message": self.message,
            "help": self.help,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let message = self.message.replace('\n', "\n    ");
        format!(
            "{}:{}: {}: {message}\n  help: {}",
            self.file.display(),
            self.line,
            self.rule.name(),
            self.help
        )
    }
}
