//! The engine through its public door.
#![allow(clippy::unwrap_used, missing_docs)]

mod examples;
#[path = "../../examples/forget_a_class.rs"]
mod forget_a_class;
mod graph;
mod many;
mod workers;
