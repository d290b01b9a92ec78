//! Objects: bytes by content, the tensors of models in them, and features that can be made again.

pub(crate) mod blobs;
pub(crate) mod disk;
pub(crate) mod features;
pub(crate) mod manifest;
pub(crate) mod read;
pub(crate) mod shelf;
