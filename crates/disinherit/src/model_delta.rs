//! Models that are kept as their differences from another one.

use std::sync::Arc;

use disinherit_registry::{Digest, Manifest, TensorRef};
use umig::{ModelId, Umig};

use crate::error::EngineError;
use crate::model::{LoadedModel, made_of, vertex};

/// The tensors in which a model may differ from another one to be kept so.
const FEW: usize = 16;

/// A model as its differences from another one, which many models have most of their manifests in common with.
#[derive(Debug)]
pub(crate) struct ModelDelta {
    from: Arc<LoadedModel>,
    /// The places of its tensors that are not the other one's.
    tensors: Vec<(usize, TensorRef)>,
}

impl ModelDelta {
    /// The differences of a model from another one that has the same network, labels and documents, and all but a few
    /// tensors in common; nothing where they differ in more.
    pub(crate) fn new(model: &LoadedModel, from: &Arc<LoadedModel>) -> Option<Self> {
        fn rest(manifest: &Manifest) -> impl PartialEq + '_ {
            let network = (&manifest.architecture, &manifest.preprocessing);
            let file = (&manifest.format, &manifest.documents);
            (network, file, &manifest.labels, &manifest.head)
        }
        let (own, other) = (&model.manifest, &from.manifest);
        let tensors = own.tensors.differences(&other.tensors)?;
        let few = tensors.len() <= FEW && rest(own) == rest(other);
        few.then(|| Self {
            from: Arc::clone(from),
            tensors,
        })
    }

    /// The model, without reading its manifest.
    pub(crate) fn opened(
        &self,
        graph: &Umig,
        id: &ModelId,
        digest: Digest,
    ) -> Result<LoadedModel, EngineError> {
        let vertex = vertex(graph, id)?;
        let from = &self.from;
        Ok(LoadedModel {
            made_of: made_of(graph, &vertex),
            vertex,
            digest,
            manifest: Manifest {
                architecture: from.manifest.architecture.clone(),
                preprocessing: from.manifest.preprocessing.clone(),
                labels: from.manifest.labels.clone(),
                head: from.manifest.head.clone(),
                tensors: from.manifest.tensors.with(&self.tensors),
                format: from.manifest.format.clone(),
                documents: from.manifest.documents.clone(),
            },
            architecture: from.architecture.clone(),
            preprocessing: from.preprocessing.clone(),
        })
    }
}
