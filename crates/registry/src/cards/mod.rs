//! FIM cards: the Fisher information of a model on its training data, in a file.

pub(crate) mod activations;
pub(crate) mod card;
pub(crate) mod file;
pub(crate) mod header;
pub(crate) mod merged;
pub(crate) mod parts;
pub(crate) mod reader;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod values;
