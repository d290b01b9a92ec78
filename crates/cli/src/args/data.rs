//! Where data comes from.

use std::path::PathBuf;

use clap::Args;
use disinherit::data::{OpenOptions, Splits};

use super::values::size;
use crate::error::CliError;

#[derive(Debug, Args, Clone)]
pub(crate) struct DataArgs {
    /// `digits` (embedded), a .parquet file of images or texts, a folder with train*.parquet and
    /// test*.parquet, a folder of images with one sub-folder for each label, or features.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<String>,
    /// Scale images to this height and width.
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub(crate) size: Option<(usize, usize)>,
    /// The tokenizer of texts, a `tokenizer.json`; when not given, the words of the training data
    /// are numbered by how often they occur.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
}

impl DataArgs {
    /// The data, if some is given.
    pub(crate) fn open(&self) -> Result<Option<Splits>, CliError> {
        let Some(source) = &self.data else {
            return Ok(None);
        };
        let options = OpenOptions {
            size: self.size,
            tokenizer: self.tokenizer.clone(),
            ..OpenOptions::default()
        };
        Ok(Some(disinherit::data::open(source, &options)?))
    }

    /// The data of a command that cannot do without; `why` says so.
    pub(crate) fn require(&self, why: &str) -> Result<Splits, CliError> {
        self.open()?
            .ok_or_else(|| CliError::usage(why).help("give it with `--data PATH`"))
    }
}
