//! One reader for each format.

#[cfg(not(all(feature = "images", feature = "parquet")))]
mod absent;
pub(crate) mod digits;
pub(crate) mod features;
#[cfg(feature = "images")]
pub(crate) mod image_folder;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(feature = "images")]
pub(crate) mod picture;
#[cfg(all(feature = "parquet", feature = "text"))]
pub(crate) mod text;

#[cfg(not(feature = "images"))]
pub(crate) use absent::image_folder;
#[cfg(not(feature = "parquet"))]
pub(crate) use absent::parquet;
