//! The graph: its rules, its files, its samples.
#![allow(clippy::unwrap_used, clippy::needless_range_loop, missing_docs)]

mod examples;
mod formats;
mod graph;
#[path = "../../examples/plan.rs"]
mod plan;
mod samples;
