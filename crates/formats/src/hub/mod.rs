//! Folders as on the Hugging Face Hub: weights, configuration, model cards, adapters, merges.

pub(crate) mod adapter;
pub(crate) mod cards;
pub(crate) mod folder;
pub(crate) mod merge_config;
