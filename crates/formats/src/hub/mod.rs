//! Folders as on the Hugging Face Hub: weights, configuration, model cards, adapters.

pub(crate) mod adapter;
pub(crate) mod cards;
pub(crate) mod folder;
