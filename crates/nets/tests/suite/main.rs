//! Networks beside recorded values and each other.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
mod last_stage;
mod layers;
mod networks;
mod penultimate;
mod training;
