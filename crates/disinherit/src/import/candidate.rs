//! One model of a tree, before it is added.

use std::path::PathBuf;

use disinherit_formats::{ADAPTER_CONFIG, Bundle, HubCard};

use super::notes::ParentEvidence;
use crate::add::AddModel;

/// A model that was found, opened and described.
pub(super) struct Candidate {
    /// Its file or folder.
    pub(super) path: PathBuf,
    /// What is added; its parents are filled in step by step.
    pub(super) new: AddModel,
    /// Its tensors and documents.
    pub(super) bundle: Bundle,
    /// What it says of the models that it was made from.
    pub(super) card: HubCard,
    /// When its files were last changed, in milliseconds since 1970-01-01 UTC.
    pub(super) changed: u64,
    /// Where its parents are known from.
    pub(super) evidence: Option<ParentEvidence>,
}

impl Candidate {
    /// Whether it is an adapter on top of another model.
    pub(super) fn is_adapter(&self) -> bool {
        self.bundle.documents.contains_key(ADAPTER_CONFIG)
    }
}
