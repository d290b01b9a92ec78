//! The last stage of an image network: the layers between the last change of the map's size and the features.

mod loss;
mod pieces;
pub(crate) mod refine;
pub(crate) mod stage;
