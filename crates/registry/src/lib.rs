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
mod crash;
mod digest;
mod error;
mod history;
mod location;
mod lock;
mod manifest;
mod operation;
mod registry;
mod sql;

pub use blobs::{Blobs, Stored};
pub use cache::FeatureCache;
#[cfg(feature = "fuzzing")]
pub use card::read_card_index;
pub use card::{CardHeader, CardReader, CardSource, FisherCard};
pub use catalog::{
    CardRow, Catalog, Draft, Edge, ModelRow, NewModel, Page, Publication, Snapshot, State,
};
pub use digest::Digest;
pub use error::RegistryError;
pub use history::{Damage, Garbage, Health, Purge, Purged, Undone, undone_by};
pub use location::{FORMAT, Location};
pub use manifest::{Manifest, TensorRef};
pub use operation::{Made, Operation, OperationRow, check_chain};
pub use registry::Registry;
