//! Models taken out of the registry, and put into it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use disinherit_data::DataSet;
use disinherit_formats::Tensor;
use disinherit_nets::{Architecture, Array, Compute, Kind, Network, Preprocessing, StateDict};
use disinherit_registry::{Digest, Manifest, ManifestRow, Registry, TensorRef, TensorRefs};
use fiun::Matrix;
use serde::Deserialize;
use serde_json::json;
use umig::{Model, ModelId, Umig};

use crate::error::{EngineError, nearest};
use crate::provenance::learned;

/// A model version with everything but its tensors.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// The vertex.
    pub vertex: Model,
    /// The vertex with what its parents were trained on, where it was made of them without training.
    pub(crate) made_of: Option<Arc<Model>>,
    /// The model's digest.
    pub digest: Digest,
    /// What it consists of.
    pub manifest: Manifest,
    /// The network.
    pub architecture: Architecture,
    /// How pixels become numbers.
    pub preprocessing: Preprocessing,
}

/// A version's vertex.
pub(crate) fn vertex(graph: &Umig, id: &ModelId) -> Result<Model, EngineError> {
    Ok(match graph.get(id) {
        Some(vertex) => vertex.clone(),
        None => find(graph, &id.to_string())?.clone(),
    })
}

/// The vertex with what its parents were trained on, where it was made of them without training.
pub(crate) fn made_of(graph: &Umig, vertex: &Model) -> Option<Arc<Model>> {
    match learned(graph, vertex) {
        Cow::Borrowed(_) => None,
        Cow::Owned(whole) => Some(Arc::new(whole)),
    }
}

impl LoadedModel {
    /// Reads a version's manifest.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`], [`EngineError::NotRunnable`] when it was kept without an
    /// architecture, or what the registry says.
    pub fn open(registry: &Registry, graph: &Umig, id: &ModelId) -> Result<Self, EngineError> {
        let row = registry
            .model(id)?
            .ok_or_else(|| EngineError::UnknownModel {
                name: id.to_string(),
                near: None,
            })?;
        Self::of_row(registry, graph, &row.into())
    }

    /// Reads the manifest of a version whose row is at hand.
    pub(crate) fn of_row(
        registry: &Registry,
        graph: &Umig,
        row: &ManifestRow,
    ) -> Result<Self, EngineError> {
        let id = &row.id;
        if row.purged {
            find(graph, &id.to_string())?;
            return Err(disinherit_registry::RegistryError::Purged(id.clone()).into());
        }
        Self::with_digest(registry, graph, id, row.manifest)
    }

    /// Reads the manifest of a version that is not purged and whose digest is known.
    pub(crate) fn with_digest(
        registry: &Registry,
        graph: &Umig,
        id: &ModelId,
        digest: Digest,
    ) -> Result<Self, EngineError> {
        let vertex = vertex(graph, id)?;
        let manifest = registry.manifest(digest)?;
        let refuse = |reason: String| EngineError::NotRunnable {
            model: id.clone(),
            reason,
        };
        let missing = || refuse("it was added without an architecture".into());
        let architecture = manifest.architecture.clone().ok_or_else(missing)?;
        let architecture = serde_json::from_value(architecture)
            .map_err(|error| refuse(format!("its architecture is unknown: {error}")))?;
        let preprocessing = match manifest.preprocessing.clone() {
            None => Preprocessing::default(),
            Some(value) => serde_json::from_value(value)
                .map_err(|error| refuse(format!("its preprocessing is unknown: {error}")))?,
        };
        Ok(Self {
            made_of: made_of(graph, &vertex),
            vertex,
            digest,
            manifest,
            architecture,
            preprocessing,
        })
    }

    /// The id.
    pub fn id(&self) -> &ModelId {
        &self.vertex.id
    }

    /// The vertex with all that its weights were learnt from ([`crate::provenance::learned`]).
    pub fn learned(&self) -> &Model {
        self.made_of.as_deref().unwrap_or(&self.vertex)
    }

    /// The full names of the head's weight and bias.
    pub fn head_tensors(&self) -> [String; 2] {
        ["weight", "bias"].map(|part| format!("{}.{part}", self.manifest.head))
    }

    /// Whether its head has a bias. One that has not is as one with a bias of zeros that stays as it is.
    pub fn has_bias(&self) -> bool {
        let [_, bias] = self.head_tensors();
        self.manifest.tensors.contains(&bias)
    }

    /// One tensor as it is stored.
    ///
    /// # Errors
    /// [`EngineError::Net`] when there is none of this name, or what the registry says.
    pub fn tensor(&self, registry: &Registry, name: &str) -> Result<Tensor, EngineError> {
        let missing = || disinherit_nets::NetError::Missing {
            name: name.to_owned(),
            expected: "a tensor of the head".into(),
        };
        let reference = self
            .manifest
            .tensors
            .get(name)
            .ok_or_else(missing)
            .map_err(EngineError::net(self.id()))?;
        Ok(registry.tensor(reference)?)
    }

    /// The head in single precision: weight `[outputs, inputs]` and bias `[outputs]`.
    ///
    /// # Errors
    /// As [`LoadedModel::tensor`], or [`EngineError::NotRunnable`] when the head is no matrix of
    /// floating-point numbers.
    pub fn head(&self, registry: &Registry) -> Result<(Matrix, Vec<f32>), EngineError> {
        let [weight, bias] = self.head_tensors();
        let refuse = |reason: String| EngineError::NotRunnable {
            model: self.id().clone(),
            reason,
        };
        let floats = |name: &str| {
            let tensor = self.tensor(registry, name)?;
            let values = tensor
                .to_f32()
                .ok_or_else(|| refuse(format!("its tensor `{name}` holds {:?}", tensor.dtype)))?;
            Ok::<_, EngineError>((tensor.shape, values))
        };
        let (shape, values) = floats(&weight)?;
        // A convolution of one by one pixel is a matrix too.
        let ([rows, cols] | [rows, cols, 1, 1]) = shape[..] else {
            return Err(refuse(format!(
                "its tensor `{weight}` is {shape:?}, not a matrix"
            )));
        };
        let weight = Matrix::new(rows, cols, values).map_err(|e| refuse(e.to_string()))?;
        let bias = if self.has_bias() {
            floats(&bias)?.1
        } else {
            vec![0.0; rows]
        };
        Ok((weight, bias))
    }

    /// The weights in single precision; tensors of other kinds are left out, a head has a bias.
    ///
    /// # Errors
    /// What the registry says.
    pub fn state(&self, registry: &Registry) -> Result<StateDict, EngineError> {
        let tensors = registry.tensors(&self.manifest)?;
        let mut state = to_state(&tensors);
        if self.is_head_only() && !self.has_bias() {
            let [_, bias] = self.head_tensors();
            let zeros = Array {
                shape: vec![self.architecture.classes],
                values: vec![0.0; self.architecture.classes],
            };
            state.insert(bias, zeros);
        }
        self.flatten_head(&mut state);
        Ok(state)
    }

    /// Some weights of this model with what an edit changed.
    pub fn edited_state(
        &self,
        mut state: StateDict,
        changed: &BTreeMap<String, Tensor>,
    ) -> StateDict {
        state.extend(to_state(changed));
        self.flatten_head(&mut state);
        state
    }

    /// Makes the matrix that it is of a head that is a convolution of one by one pixel.
    fn flatten_head(&self, state: &mut StateDict) {
        let [weight, _] = self.head_tensors();
        if let Some(array) = state.get_mut(&weight).filter(|_| self.is_head_only()) {
            array.shape = matrix_shape(&array.shape).to_vec();
        }
    }

    /// The network, ready to run.
    ///
    /// # Errors
    /// What the registry or the network says.
    pub fn network(&self, registry: &Registry, compute: Compute) -> Result<Network, EngineError> {
        Network::new(&self.architecture, &self.state(registry)?, compute)
            .map_err(EngineError::net(self.id()))
    }

    /// What it costs to run it on all of its own training samples, to share work out by: the bytes of its
    /// weights, once and once more for each sample. A training whose samples are not listed counts as a
    /// thousand.
    pub fn cost_of_passes(&self) -> u64 {
        const UNLISTED: u64 = 1000;
        let trained = self.learned().training.iter();
        let samples: u64 = trained
            .map(|own| own.samples.count().unwrap_or(UNLISTED))
            .sum();
        let tensors = self.manifest.tensors.values();
        let bytes: u64 = tensors.filter_map(TensorRef::bytes).sum();
        bytes.saturating_mul(samples.saturating_add(1))
    }

    /// The bytes of its head.
    pub(crate) fn head_bytes(&self) -> u64 {
        let tensors = self.head_tensors();
        let tensors = tensors
            .iter()
            .filter_map(|name| self.manifest.tensors.get(name));
        tensors.filter_map(TensorRef::bytes).sum()
    }

    /// Whether only its head is known, and features come from elsewhere.
    pub fn is_head_only(&self) -> bool {
        self.architecture.kind == Kind::Head
    }

    /// The digest of everything below the head and of how inputs reach it: models with equal ones
    /// have equal features on equal data.
    pub fn backbone(&self) -> Digest {
        let head = self.head_tensors();
        let tensors = self.manifest.tensors.iter();
        let below: BTreeMap<_, _> = tensors
            .filter(|(name, _)| !head.iter().any(|own| own == name))
            .collect();
        let text = json!([
            self.manifest.architecture,
            self.manifest.preprocessing,
            below
        ]);
        Digest::from_content(text.to_string().as_bytes())
    }

    /// The tensors of a stored manifest that are not this model's.
    ///
    /// # Errors
    /// What the registry says.
    pub(crate) fn difference(
        &self,
        registry: &Registry,
        digest: Digest,
    ) -> Result<BTreeMap<String, Tensor>, EngineError> {
        let tensors = registry.manifest(digest)?.tensors;
        let own = &self.manifest.tensors;
        tensors
            .iter()
            .filter(|(name, tensor)| own.get(name) != Some(*tensor))
            .map(|(name, tensor)| Ok((name.to_owned(), registry.tensor(tensor)?)))
            .collect()
    }

    /// The samples of labels that it has an output for.
    pub fn known(&self, set: &DataSet) -> DataSet {
        let names = set.label_names();
        set.filter(|label, _| self.manifest.labels.contains(&names[label as usize]))
    }

    /// The head row of each sample's label, matched by name.
    ///
    /// # Errors
    /// [`EngineError::UnknownLabel`] naming the first label that the model does not have.
    pub fn rows(&self, set: &DataSet) -> Result<Vec<u32>, EngineError> {
        rows(&self.manifest.labels, set, &format!("`{}`", self.id()))
    }
}

/// Whether a tensor is a statistic of a batch norm: no gradient changes it, but training does.
pub fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

/// The row of each sample's label in a list of label names.
pub fn rows(labels: &[String], set: &DataSet, who: &str) -> Result<Vec<u32>, EngineError> {
    let place: Vec<Option<u32>> = set
        .label_names()
        .iter()
        .map(|name| {
            labels
                .iter()
                .position(|label| label == name)
                .map(|row| row as u32)
        })
        .collect();
    set.labels()
        .iter()
        .map(|&label| {
            place[label as usize].ok_or_else(|| EngineError::UnknownLabel {
                label: set.label_names()[label as usize].clone(),
                context: format!(
                    ": `{}` has samples of it, {who} has no such output",
                    set.name()
                ),
            })
        })
        .collect()
}

/// Finds a model by `name@version`, or the current version of a name.
///
/// # Errors
/// [`EngineError::UnknownModel`] with the nearest name.
pub fn find<'a>(graph: &'a Umig, text: &str) -> Result<&'a Model, EngineError> {
    graph.resolve(text).ok_or_else(|| {
        let name = text.split('@').next().unwrap_or(text);
        let known = graph.models().map(|model| model.id.name());
        let near = match graph.resolve(name) {
            Some(model) => Some(model.id.to_string()),
            None => nearest(name, known).map(str::to_owned),
        };
        EngineError::UnknownModel {
            name: text.to_owned(),
            near,
        }
    })
}

/// The family of networks that a manifest names; nothing for weights that are only kept, and for families that
/// this version does not know.
pub fn kind(manifest: &Manifest) -> Option<Kind> {
    /// What every description of a network has, whatever else it says.
    #[derive(Deserialize)]
    struct Named {
        kind: Kind,
    }
    let named = Named::deserialize(manifest.architecture.as_ref()?).ok()?;
    Some(named.kind)
}

/// The shape of a head's weight as a matrix, `[outputs, inputs]`: that of a convolution of one by one
/// pixel has two dimensions of length one more.
pub fn matrix_shape(shape: &[usize]) -> &[usize] {
    match shape {
        [_, _, 1, 1] => &shape[..2],
        _ => shape,
    }
}

/// Tensors as weights in single precision; those of other kinds are left out.
pub fn to_state(tensors: &BTreeMap<String, Tensor>) -> StateDict {
    tensors
        .iter()
        .filter_map(|(name, tensor)| {
            let values = tensor.to_f32()?;
            let shape = tensor.shape.clone();
            Some((name.clone(), Array { shape, values }))
        })
        .collect()
}

/// Weights as tensors in single precision.
pub fn to_tensors(state: &StateDict) -> BTreeMap<String, Tensor> {
    state
        .iter()
        .map(|(name, array)| (name.clone(), Tensor::from_f32(&array.shape, &array.values)))
        .collect()
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as u64
}

/// A time for a new vertex: now, but never before its parents, whose clock may have run ahead.
pub fn time_after(graph: &Umig, parents: &[ModelId]) -> u64 {
    let latest = parents
        .iter()
        .filter_map(|id| graph.get(id))
        .map(|model| model.time)
        .max();
    now().max(latest.unwrap_or(0))
}

/// The manifest of a network with weights that are still to be stored.
pub fn manifest(
    architecture: &Architecture,
    preprocessing: &Preprocessing,
    labels: &[String],
) -> Result<Manifest, EngineError> {
    let json = |what: &str, value: serde_json::Result<serde_json::Value>| {
        value.map_err(EngineError::json(what))
    };
    Ok(Manifest {
        architecture: Some(json("architecture", serde_json::to_value(architecture))?),
        preprocessing: Some(json("preprocessing", serde_json::to_value(preprocessing))?),
        labels: labels.to_vec(),
        head: architecture.head().to_owned(),
        tensors: TensorRefs::default(),
        format: None,
        documents: BTreeMap::new(),
    })
}

/// The next free version of a name.
///
/// # Errors
/// [`EngineError::Id`] when it is no name.
pub fn next_version(graph: &Umig, name: &str) -> Result<ModelId, EngineError> {
    let newest = graph
        .models()
        .filter(|m| m.id.name() == name)
        .map(|m| m.id.version())
        .max()
        .unwrap_or(0);
    Ok(ModelId::new(name, newest + 1)?)
}
