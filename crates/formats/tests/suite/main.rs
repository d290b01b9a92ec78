//! Model files, read and written.
#![allow(clippy::unwrap_used, missing_docs)]

mod formats;
mod onnx;
