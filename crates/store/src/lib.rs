//! The registry: tensors by content, immutable model versions, FIM cards, a catalog.
//!
//! A [`Registry`] is a folder (or memory, in tests). Tensors, manifests and cards are blobs named
//! by their BLAKE3 digest and written atomically, so versions that share tensors share bytes; the
//! catalog says which model versions exist, who inherited from whom, and what was done when. All
//! that one operation makes becomes visible in one transaction ([`Registry::publish`]).
//!
//! The methods block; they must not be called from inside an asynchronous runtime.

mod blobs;
mod cache;
mod card;
mod catalog;
mod checkpoint;
mod digest;
mod error;
mod manifest;
mod registry;
mod sqlite;
mod tensor;

pub use blobs::Blobs;
pub use cache::FeatureCache;
pub use card::{CardHeader, CardReader, CardSource, FisherCard};
pub use catalog::{CardRow, Catalog, ModelRow, NewModel, Operation, OperationRow, Publication};
pub use checkpoint::{read_checkpoint, write_checkpoint, write_file};
pub use digest::Digest;
pub use error::StoreError;
pub use manifest::{Manifest, TensorRef};
pub use registry::{FORMAT, Registry};
pub use tensor::{Dtype, Tensor};
