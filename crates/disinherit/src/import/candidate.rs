//! One model of a tree, before it is added.

use std::path::PathBuf;

use disinherit_formats::{HubCard, ModelFile};

use super::notes::ParentEvidence;
use crate::add::AddModel;

/// A model that was found, opened and described.
pub(super) struct Candidate {
    /// Its file or folder.
    pub(super) path: PathBuf,
    /// What is added; its parents are filled in step by step.
    pub(super) new: AddModel,
    /// Its tensors and documents.
    pub(super) bundle: ModelFile,
    /// What it says of the models that it was made from.
    pub(super) card: HubCard,
    /// Where it says so.
    pub(super) said_in: ParentEvidence,
    /// When its files were last changed, in milliseconds since 1970-01-01 UTC.
    pub(super) changed: u64,
    /// Where its parents are known from.
    pub(super) evidence: Option<ParentEvidence>,
}
