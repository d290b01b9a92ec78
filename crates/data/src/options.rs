//! How to read a data set.

use std::path::PathBuf;

/// Different tokens where nothing else is said, padding and the unknown word included.
pub const VOCABULARY: usize = 20_000;

/// How to read a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Scale every image to this height and width; otherwise all must have one size.
    pub size: Option<(usize, usize)>,
    /// How texts are cut into tokens, a `tokenizer.json` whose token 0 is padding; otherwise the
    /// words of the training texts are numbered by how often they occur.
    pub tokenizer: Option<PathBuf>,
    /// Different tokens where there is no tokenizer.
    pub vocabulary: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            size: None,
            tokenizer: None,
            vocabulary: VOCABULARY,
        }
    }
}
