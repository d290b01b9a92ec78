//! No code: `Cargo.toml` of this crate names the features under which the libraries below the tensor
//! library are compiled, so that all builds of the workspace share one.
