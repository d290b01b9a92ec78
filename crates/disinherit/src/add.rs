//! Adding a model that was trained elsewhere.

use std::path::PathBuf;

use nets::{Architecture, Preprocessing, check_finite};
use serde_json::json;
use store::{Checkpoint, Dtype, ModelRow, NewModel, Operation, Publication, Registry};
use umig::{Model, ModelId, Relation, Training};

use crate::EngineError;
use crate::model::{find, manifest, time_after};

/// A checkpoint and what is known about it.
#[derive(Debug, Clone)]
pub struct AddModel {
    /// The model's name; the version is the next free one.
    pub name: String,
    /// A safetensors file.
    pub file: PathBuf,
    /// The network.
    pub architecture: Architecture,
    /// How pixels become numbers.
    pub preprocessing: Preprocessing,
    /// The label names of the head's rows.
    pub labels: Vec<String>,
    /// Its parents by name or id, each with the relation.
    pub parents: Vec<(String, Relation)>,
    /// What it was trained on itself.
    pub training: Vec<Training>,
    /// When it was made, in milliseconds since 1970-01-01 UTC; now when not given.
    pub time: Option<u64>,
}

/// Adds a model: checks that the file is whole, that its tensors are those of the architecture and
/// finite, that its parents are known and not younger, then stores and publishes it.
///
/// # Errors
/// [`EngineError`]; nothing is published then.
pub fn add(registry: &Registry, new: &AddModel) -> Result<ModelId, EngineError> {
    let graph = registry.graph()?;
    let id = next_version(&graph, &new.name)?;
    if new.labels.len() != new.architecture.classes {
        return Err(EngineError::Refused(format!(
            "`{id}` has {} label names for {} outputs",
            new.labels.len(),
            new.architecture.classes
        )));
    }
    new.preprocessing
        .check(new.architecture.input.channels())
        .map_err(EngineError::net(&id))?;
    let parents: Vec<(ModelId, Relation)> = new
        .parents
        .iter()
        .map(|(name, relation)| Ok((find(&graph, name)?.id.clone(), relation.clone())))
        .collect::<Result<_, EngineError>>()?;
    let file = Checkpoint::open(&new.file)?;
    check(&file, &new.architecture, &id)?;
    let parent_ids: Vec<ModelId> = parents.iter().map(|(id, _)| id.clone()).collect();
    let vertex = Model {
        id: id.clone(),
        time: new.time.unwrap_or_else(|| time_after(&graph, &parent_ids)),
        labels: new.labels.clone(),
        training: new.training.clone(),
        superseded: false,
    };
    // A trial on a copy refuses what the graph refuses before anything is written.
    graph.clone().add(vertex.clone(), parents.clone())?;
    let manifest = manifest(&new.architecture, &new.preprocessing, &new.labels)?;
    let digest = registry.put_checkpoint(manifest, &file)?;
    let row = ModelRow::new(vertex, digest);
    registry.publish(&Publication {
        models: vec![NewModel { row, parents }],
        ..Publication::of(Operation {
            time: crate::now(),
            command: "add".into(),
            detail: json!({"model": id, "digest": digest}),
        })
    })?;
    Ok(id)
}

/// Checks that a file holds the tensors of an architecture, one after the other: it may be larger
/// than memory.
fn check(file: &Checkpoint, network: &Architecture, id: &ModelId) -> Result<(), EngineError> {
    let known = file.tensors();
    let floats = |name: &str| {
        let (dtype, shape) = known.get(name)?;
        let float = matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
        float.then(|| shape.clone())
    };
    network
        .check_shapes(&floats)
        .map_err(EngineError::net(id))?;
    for (name, _) in network.tensors().map_err(EngineError::net(id))? {
        let values = file.tensor(&name)?.to_f32().unwrap_or_default();
        check_finite(&name, &values).map_err(EngineError::net(id))?;
    }
    Ok(())
}

/// The next free version of a name.
pub(crate) fn next_version(graph: &umig::Umig, name: &str) -> Result<ModelId, EngineError> {
    let newest = graph
        .models()
        .filter(|m| m.id.name() == name)
        .map(|m| m.id.version())
        .max()
        .unwrap_or(0);
    Ok(ModelId::new(name, newest + 1)?)
}
