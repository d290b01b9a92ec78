//! The supported networks, as programs of operations.

pub(crate) mod description;
mod images;
pub(crate) mod initial;
pub(crate) mod input;
pub(crate) mod kind;
mod residual;
mod text;
mod transformer;
