//! Objects: bytes by content, alone or many in a pack, the tensors of models in them, and features that can be
//! made again.

pub(crate) mod blobs;
pub(crate) mod copies;
pub(crate) mod disk;
pub(crate) mod features;
pub(crate) mod gather;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod packed;
pub(crate) mod packs;
pub(crate) mod read;
pub(crate) mod remove;
pub(crate) mod shelf;
pub(crate) mod stream;
pub(crate) mod tensor_refs;
pub(crate) mod window;
