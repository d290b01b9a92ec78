//! The modules of a crate, read from its files: what each defines, imports and mentions.
//!
//! What is compiled in tests only (`#[cfg(test)]`, `#[test]`) is left out everywhere.

mod read;
mod resolve;
mod visit;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub(crate) use read::read_crate;
pub(crate) use resolve::Target;
pub(crate) use visit::token_paths;

/// A crate's files and modules; the first of each is the root.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) files: Vec<File>,
    pub(crate) modules: Vec<Module>,
}

/// A file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// Its lines without those of tests.
    pub(crate) lines: usize,
    pub(crate) functions: Vec<Function>,
}

/// A function, method or signature of a trait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where its signature starts, from 1.
    pub(crate) line: usize,
    /// From its signature to its closing brace.
    pub(crate) lines: usize,
    /// Without `self`.
    pub(crate) parameters: usize,
}

/// A module: a file, or a part of one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The names from the root.
    pub(crate) path: Vec<String>,
    /// Where it is, as a place in [`Source::files`].
    pub(crate) file: usize,
    pub(crate) parent: Option<usize>,
    /// Modules in it, as places in [`Source::modules`].
    pub(crate) children: BTreeMap<String, usize>,
    /// Public modules in it.
    pub(crate) public_children: BTreeSet<String>,
    /// Names that are defined in it; whether they are public.
    pub(crate) defined: BTreeMap<String, bool>,
    pub(crate) imports: Vec<Import>,
    /// Other paths in its code.
    pub(crate) mentions: Vec<Mention>,
}

/// One name of a `use` declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// The name that it has here; `None` for `*` and `_`.
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
    /// Whether it imports everything in the path.
    pub(crate) all: bool,
    pub(crate) line: usize,
    /// Who sees it.
    pub(crate) seen: Seen,
}

/// Who sees an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The module, and those in it.
    Here,
    /// Other modules of the crate.
    Crate,
    /// Other crates.
    World,
}

/// A path in code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}
