//! Data sets, read and refused.
#![allow(clippy::unwrap_used, missing_docs)]

mod data;
mod text;
