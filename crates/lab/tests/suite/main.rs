//! Methods, verdicts and whole studies, each against what it is said to reach.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
mod features;
mod judgement;
mod last_stage;
mod methods;
mod network;
mod recipes;
mod samples;
mod shadows;
