//! Data sets with stable sample identities: readers, splits, partitions, and an embedded one.
//!
//! A [`DataSet`] holds images or token sequences with integer labels, label names, and an id for
//! every sample that survives reordering and subsetting, so that a person's samples can be named
//! in an erasure request long after training. [`open`] reads the embedded digits, Parquet files as
//! on the Hugging Face Hub, and folders of images; [`partition`] and [`DataSet::split`] deal them
//! out over clients, seeded.

mod claims;
mod digits;
mod error;
mod features;
mod folder;
mod open;
mod parquet_file;
mod partition;
mod set;
mod text;

pub use error::DataError;
pub use open::{OpenOptions, Splits, open};
pub use partition::{Partition, partition};
pub use set::{DataSet, FeatureTable, ImageShape, Samples};
pub use text::VOCABULARY;
