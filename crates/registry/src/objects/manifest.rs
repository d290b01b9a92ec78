//! What a model version consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::objects::tensor_refs::{TensorRef, TensorRefs};

/// A model version: which tensors, in which network, with which labels. Its JSON form is a blob of
/// the registry, and that blob's digest is the model's digest: two models with equal weights,
/// network and labels have equal digests, whatever they are called and whenever they were made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The network, as the crate that runs it describes it; nothing for weights that are only kept.
    pub architecture: Option<Value>,
    /// How inputs are prepared, likewise.
    pub preprocessing: Option<Value>,
    /// The label names of the head's rows.
    pub labels: Vec<String>,
    /// The name of the head, without `.weight` and `.bias`.
    pub head: String,
    /// The tensors by name.
    pub tensors: TensorRefs,
    /// The format of the file that it came in, as the crate that reads such files describes it.
    #[serde(default, rename = "form", skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// Whatever else that file held, by name: headers, configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub documents: BTreeMap<String, Digest>,
}

impl Manifest {
    /// The objects that it points at.
    pub fn objects(&self) -> impl Iterator<Item = Digest> + '_ {
        let tensors = self.tensors.values().map(|tensor| tensor.digest);
        tensors.chain(self.documents.values().copied())
    }

    /// The number of parameters in all tensors.
    pub fn parameters(&self) -> u64 {
        let of = |tensor: &TensorRef| tensor.shape.iter().map(|n| *n as u64).product::<u64>();
        self.tensors.values().map(of).sum()
    }
}
