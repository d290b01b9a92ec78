//! Data sets with stable sample identities: readers, splits, partitions, and an embedded one.
//!
//! A [`DataSet`] holds images or token sequences with integer labels, label names, and an id for
//! every sample that survives reordering and subsetting, so that a person's samples can be named
//! in an erasure request long after training. [`open`] reads the embedded digits, Parquet files as
//! on the Hugging Face Hub, and folders of images; [`partition`] and [`DataSet::split`] deal them
//! out over clients, seeded.

mod digest;
mod error;
#[cfg(feature = "parquet")]
mod ids;
mod limits;
mod open;
mod options;
mod partition;
mod readers;
mod samples;
mod set;
mod splits;

pub use digest::{DataDigest, DigestError};
pub use error::DataError;
pub use open::open;
pub use options::{OpenOptions, VOCABULARY};
pub use partition::{Partition, partition};
pub use samples::{FeatureTable, ImageShape, Samples};
pub use set::DataSet;
pub use splits::{Splits, is_for_aiming};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
