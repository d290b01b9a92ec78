//! Models in a registry: their tensors, manifests and documents.

use std::collections::BTreeMap;

use disinherit_formats::{Tensor, TensorSource, byte_length};
use futures::StreamExt;
use futures::stream::{self, TryStreamExt};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::blobs::SMALL;
use crate::objects::manifest::Manifest;
use crate::objects::read::ReadObject;
use crate::objects::tensor_refs::TensorRef;
use crate::registry::Registry;

/// Bytes from which on a tensor on its way to a disk is not held in memory.
const LARGE: u64 = 16 << 20;

/// Bytes of small objects that are held in memory until they are written together.
const HELD: usize = 8 << 20;

/// Tensors of a model that are written at a time.
const CONCURRENT: usize = 16;

impl Registry {
    /// Stores tensors and the manifest over them, and returns its digest. Nothing refers to it
    /// until it is published.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_model(
        &self,
        manifest: Manifest,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Digest, RegistryError> {
        self.writes()?;
        self.runtime.block_on(self.put(manifest, tensors))
    }

    /// [`Registry::put_model`] for several, in their order. Their small objects are written in packs: a few large
    /// files reach the disk, or storage, sooner than many small ones.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_models(
        &self,
        models: Vec<(Manifest, BTreeMap<String, Tensor>)>,
    ) -> Result<Vec<Digest>, RegistryError> {
        self.writes()?;
        // Manifests first: requests read those of many models before any of their tensors.
        let (mut objects, mut tensors) = (Vec::with_capacity(models.len()), Vec::new());
        for (mut manifest, changed) in models {
            for (name, tensor) in changed {
                let digest = Digest::from_content(&tensor.bytes);
                let reference = TensorRef::new(tensor.dtype, &tensor.shape, digest);
                manifest.tensors.insert(&name, reference);
                tensors.push((digest, tensor.bytes));
            }
            let text = to_bytes(&manifest)?;
            objects.push((Digest::from_content(&text), text));
        }
        let digests = objects.iter().map(|(digest, _)| *digest).collect();
        objects.append(&mut tensors);
        self.runtime.block_on(self.blobs.put_all(objects))?;
        Ok(digests)
    }

    /// Stores a model from where its tensors are, one tensor after the other: no more than one is in memory at a
    /// time, and of a large one on its way to a disk no more than a piece.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_checkpoint(
        &self,
        mut manifest: Manifest,
        file: &dyn TensorSource,
    ) -> Result<Digest, RegistryError> {
        self.writes()?;
        for (name, (dtype, shape)) in file.tensors() {
            let digest = self.put_tensor(file, &name, byte_length(dtype, &shape))?;
            manifest
                .tensors
                .insert(&name, TensorRef::new(dtype, &shape, digest));
        }
        self.runtime.block_on(self.put(manifest, BTreeMap::new()))
    }

    /// [`Registry::put_checkpoint`] for several, in their order. Their small objects are written in packs, but for
    /// those that are there already, as a backbone is that no model trains.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_checkpoints(
        &self,
        models: Vec<(Manifest, &dyn TensorSource)>,
    ) -> Result<Vec<Digest>, RegistryError> {
        self.writes()?;
        let mut digests = Vec::with_capacity(models.len());
        let (mut manifests, mut tensors, mut held) = (Vec::new(), Vec::new(), 0);
        for (mut manifest, file) in models {
            for (name, (dtype, shape)) in file.tensors() {
                let length = byte_length(dtype, &shape);
                let digest = if length.is_some_and(|bytes| bytes <= SMALL as u64) {
                    let bytes = file.tensor(&name)?.bytes;
                    let digest = Digest::from_content(&bytes);
                    held += bytes.len();
                    tensors.push((digest, bytes));
                    digest
                } else {
                    self.put_tensor(file, &name, length)?
                };
                manifest
                    .tensors
                    .insert(&name, TensorRef::new(dtype, &shape, digest));
            }
            let text = to_bytes(&manifest)?;
            let digest = Digest::from_content(&text);
            digests.push(digest);
            manifests.push((digest, text));
            if held > HELD {
                manifests.append(&mut tensors);
                let objects = std::mem::take(&mut manifests);
                self.runtime.block_on(self.blobs.put_new(objects))?;
                held = 0;
            }
        }
        manifests.append(&mut tensors);
        self.runtime.block_on(self.blobs.put_new(manifests))?;
        Ok(digests)
    }

    /// Stores one tensor from where it is; a large one on its way to a disk piece by piece.
    fn put_tensor(
        &self,
        file: &dyn TensorSource,
        name: &str,
        length: Option<u64>,
    ) -> Result<Digest, RegistryError> {
        match length {
            Some(bytes) if bytes > LARGE && self.blobs.on_disk() => {
                self.put_large(file, name, bytes)
            }
            _ => {
                let bytes = file.tensor(name)?.bytes;
                self.runtime.block_on(self.blobs.put(bytes))
            }
        }
    }

    async fn put(
        &self,
        mut manifest: Manifest,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Digest, RegistryError> {
        let stored: Vec<(String, TensorRef)> = stream::iter(tensors)
            .map(|(name, tensor)| async move {
                let digest = self.blobs.put(tensor.bytes).await?;
                let reference = TensorRef::new(tensor.dtype, &tensor.shape, digest);
                Ok::<_, RegistryError>((name, reference))
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await?;
        manifest.tensors.extend(stored);
        self.blobs.put(to_bytes(&manifest)?).await
    }

    /// Stores a document that comes with a model, for its manifest to point at, or one that a step of an
    /// erasure request speaks of.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_document(&self, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        self.writes()?;
        self.runtime.block_on(self.blobs.put(bytes))
    }

    /// A document that came with a model, or that an erasure request speaks of.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn document(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        self.object(digest)
    }

    /// A manifest by its digest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn manifest(&self, digest: Digest) -> Result<Manifest, RegistryError> {
        let bytes = self.runtime.block_on(self.blobs.get(digest))?;
        serde_json::from_slice(&bytes).map_err(|error| RegistryError::Document {
            what: format!("manifest {digest}"),
            reason: error.to_string(),
        })
    }

    /// One stored tensor.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn tensor(&self, reference: &TensorRef) -> Result<Tensor, RegistryError> {
        let bytes = self.runtime.block_on(self.blobs.get(reference.digest))?;
        Ok(Tensor {
            dtype: reference.dtype,
            shape: reference.shape.to_vec(),
            bytes,
        })
    }

    /// All tensors of a manifest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn tensors(&self, manifest: &Manifest) -> Result<BTreeMap<String, Tensor>, RegistryError> {
        manifest
            .tensors
            .iter()
            .map(|(name, reference)| Ok((name.to_owned(), self.tensor(reference)?)))
            .collect()
    }
}

/// A manifest as it is stored.
fn to_bytes(manifest: &Manifest) -> Result<Vec<u8>, RegistryError> {
    serde_json::to_vec(manifest).map_err(|error| RegistryError::Document {
        what: "manifest".into(),
        reason: error.to_string(),
    })
}
