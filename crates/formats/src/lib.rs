//! Models in the forms that others keep them in, read and given back: safetensors files, alone or in
//! shards with an index; PyTorch state dicts, of which nothing is ever run; ONNX files; folders as on
//! the Hugging Face Hub.
//!
//! [`open`] reads any of them into a [`Bundle`]: tensors one at a time, and whatever else belongs to
//! the form. [`write`] gives a model back in the form that it came in, with the same names and types.

mod bundle;
mod checkpoint;
mod error;
mod folder;
mod head;
mod hub;
mod onnx;
mod pickle;
mod pytorch;
mod tensor;
mod write;

pub use bundle::{Bundle, Form, Format, WeightFile, open};
pub use checkpoint::{
    Checkpoint, TensorSource, preamble, read_checkpoint, to_safetensors, write_checkpoint,
    write_file,
};
pub use error::FormatError;
pub use folder::{ADAPTER_CONFIG, is_model_folder};
pub use head::{Head, find_head};
pub use hub::{HubCard, HubConfig};
pub use onnx::{Cut, GraphInput, OnnxForm, up_to_head};
pub use tensor::{Dtype, Tensor, byte_length};
pub use write::{Describe, Parts, onnx_files, write};
