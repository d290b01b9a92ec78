//! The registry on every backend.
#![allow(clippy::unwrap_used, missing_docs)]

mod backends;
mod packs;
mod registry;
mod samples;
mod storage;
