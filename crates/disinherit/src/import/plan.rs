//! What an import would add, and the import itself.

use std::collections::BTreeSet;
use std::path::PathBuf;

use disinherit_formats::ModelFile;
use disinherit_registry::Registry;
use serde::Serialize;
use umig::{Model, ModelId, Relation, Shard, Umig};

use super::error::ImportError;
use super::notes::{ImportNote, ParentEvidence};
use super::options::ImportOptions;
use super::tree::Tree;
use crate::add::AddModel;
use crate::add_many::{add_all, store_shard};
use crate::error::EngineError;
use crate::model::find;
use crate::model::next_version;
use crate::progress::Progress;

/// One model that an import adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportedModel {
    /// Its name; the version is the next free one.
    pub name: String,
    /// Its file or folder.
    pub path: PathBuf,
    /// The format of its files, in words.
    pub format: String,
    /// The family of its network.
    pub network: String,
    /// The name of its head.
    pub head: String,
    /// The label names of the head's rows, in order.
    pub labels: Vec<String>,
    /// Its parents by name or id, each with the relation.
    pub parents: Vec<(String, Relation)>,
    /// Where the parents are known from; nothing for a model without parents.
    pub evidence: Option<ParentEvidence>,
}

/// The models of a tree, ready to be added: parents before children.
pub struct ImportPlan {
    models: Vec<ImportedModel>,
    notes: Vec<ImportNote>,
    pending: Vec<(AddModel, ModelFile)>,
}

impl ImportPlan {
    /// Finds the models at and below `paths`, describes them and relates them to each other and to the
    /// models of the registry. Nothing is written.
    ///
    /// # Errors
    /// [`ImportError`] when nothing can be added, or a file is damaged.
    pub fn new(
        registry: &Registry,
        paths: &[PathBuf],
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Result<Self, ImportError> {
        let graph = registry.graph()?;
        let (found, notes) = Tree::new(registry, &graph, options).read(paths, progress)?;
        let models = found.iter().map(|model| ImportedModel {
            name: model.new.name.clone(),
            path: model.path.clone(),
            format: model.bundle.format.describe(),
            network: model.new.architecture.kind.to_string(),
            head: model.new.architecture.head().to_owned(),
            labels: model.new.labels.clone(),
            parents: model.new.parents.clone(),
            evidence: model.evidence.clone(),
        });
        Ok(Self {
            models: models.collect(),
            notes,
            pending: found.into_iter().map(|f| (f.new, f.bundle)).collect(),
        })
    }

    /// The models, parents before children.
    pub fn models(&self) -> &[ImportedModel] {
        &self.models
    }

    /// What the user should know before the models are added.
    pub fn notes(&self) -> &[ImportNote] {
        &self.notes
    }

    /// The graph as it would be, with the ids of the new models and of their parents.
    ///
    /// # Errors
    /// [`EngineError`] when a name or a parent does not fit the graph.
    pub fn preview(&self, graph: &Umig) -> Result<(Umig, BTreeSet<ModelId>), EngineError> {
        let mut whole = graph.clone();
        let mut shown = BTreeSet::new();
        for model in &self.models {
            let id = next_version(&whole, &model.name)?;
            let parents = model
                .parents
                .iter()
                .map(|(name, relation)| Ok((find(&whole, name)?.id.clone(), relation.clone())))
                .collect::<Result<Vec<_>, EngineError>>()?;
            shown.insert(id.clone());
            shown.extend(parents.iter().map(|(parent, _)| parent.clone()));
            let latest = whole.models().map(|known| known.time).max();
            whole.add(Model::new(id, latest.unwrap_or(0)), parents)?;
        }
        Ok((whole, shown))
    }

    /// Adds all models in one operation, or none of them.
    ///
    /// # Errors
    /// [`EngineError`]; nothing is published then.
    pub fn run(
        &self,
        registry: &Registry,
        progress: &dyn Progress,
    ) -> Result<Vec<ModelId>, EngineError> {
        add_all(registry, &self.pending, progress)
    }

    /// Stores the models of one shard and publishes nothing: [`ImportPlan::run`], of the same paths and options, takes
    /// them up. Every process reads the tree for itself, without comparing weights. Returns how many models are in
    /// the shard, and how many of those were stored already.
    ///
    /// # Errors
    /// [`EngineError`]; what was stored before stays.
    pub fn run_shard(
        &self,
        registry: &Registry,
        shard: Shard,
        progress: &dyn Progress,
    ) -> Result<(usize, usize), EngineError> {
        store_shard(registry, &self.pending, shard, progress)
    }
}
