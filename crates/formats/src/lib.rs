//! Models in the formats that others keep them in, read and given back: safetensors files, alone or in
//! shards with an index; PyTorch state dicts, whose code is never run; ONNX files; folders as on
//! the Hugging Face Hub.
//!
//! [`open`] reads any of them into a [`ModelFile`]: tensors one at a time, and whatever else belongs to
//! the format. [`write()`] gives a model back in the format that it came in, with the same names and types.

mod checkpoint;
mod error;
mod head;
mod hub;
mod model_file;
mod onnx;
mod open;
mod parts;
mod pytorch;
mod source;
mod tensor;
mod write;

pub use checkpoint::{
    Checkpoint, preamble, read_checkpoint, to_safetensors, write_checkpoint, write_file,
};
pub use error::FormatError;
pub use head::{Head, find_head};
pub use hub::adapter::ADAPTER_CONFIG;
pub use hub::cards::{HubCard, HubConfig};
pub use hub::folder::is_model_folder;
pub use hub::merge_config::MERGE_CONFIG;
pub use model_file::{FileFormat, ModelFile, ModelFormat, WeightFile};
pub use onnx::{
    Cut, GraphInput, GraphLayer, GraphNorm, GraphStep, OnnxFormat, graph_steps, layer_below,
    up_to_head,
};
pub use open::open;
pub use parts::{CopyTensor, Parts};
pub use source::{Describe, PIECE, TensorSource, for_pieces};
pub use tensor::{Dtype, Tensor, byte_length, shape_text, widened};
pub use write::{onnx_files, write};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
