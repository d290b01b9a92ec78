//! Reads a tree: opens and describes each model, finds its parents, and orders the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use disinherit_formats::{ADAPTER_CONFIG, ModelFile};
use disinherit_registry::Registry;
use umig::Umig;

use super::candidate::Candidate;
use super::cards::{card_of, enter_parents};
use super::error::ImportError;
use super::find::{FoundModel, find_models};
use super::names::Names;
use super::notes::{ImportNote, ParentEvidence};
use super::options::ImportOptions;
use super::parents::{ParentProposal, WeightSketch, infer_parents};
use crate::add::{AddModel, describe};
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::progress::Progress;

/// A tree while it is read.
pub(super) struct Tree<'a> {
    registry: &'a Registry,
    graph: &'a Umig,
    options: &'a ImportOptions,
    found: Vec<Candidate>,
    names: Names<'a>,
    notes: Vec<ImportNote>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(registry: &'a Registry, graph: &'a Umig, options: &'a ImportOptions) -> Self {
        Self {
            registry,
            graph,
            options,
            found: Vec::new(),
            names: Names::new(graph),
            notes: Vec::new(),
        }
    }

    /// The models at and below `paths`, parents before children, with notes for the user.
    ///
    /// # Errors
    /// [`ImportError`].
    pub(super) fn read(
        mut self,
        paths: &[PathBuf],
        progress: &dyn Progress,
    ) -> Result<(Vec<Candidate>, Vec<ImportNote>), ImportError> {
        let mut places = find_models(paths)?;
        if places.is_empty() {
            return Err(ImportError::NoModels);
        }
        // The rows of an adapter mean what those of its base model mean, so bases come first.
        places.sort_by_key(|model| model.path.join(ADAPTER_CONFIG).is_file());
        let single = places.len() == 1;
        for place in places {
            match self.describe(&place) {
                // An encoder that others were made from has no head to edit, and no labels.
                Err(ImportError::Unfit(reason)) if !single => {
                    self.notes.push(ImportNote::LeftOut { reason });
                }
                model => {
                    self.names.insert(&place);
                    self.found.push(model?);
                }
            }
        }
        if self.found.is_empty() {
            let notes: Vec<String> = self.notes.iter().map(ToString::to_string).collect();
            return Err(ImportError::AllLeftOut(notes.join("; ")));
        }
        self.check_names()?;
        enter_parents(&mut self.found, &self.names, &mut self.notes);
        if let Some(least) = self.options.infer_parents {
            self.infer(least, progress)?;
        }
        Ok((ordered(self.found)?, self.notes))
    }

    /// Opens a model and finds out what it is.
    fn describe(&mut self, found: &FoundModel) -> Result<Candidate, ImportError> {
        let path = found.path.as_path();
        let bundle = disinherit_formats::open(path)?;
        let mut given = self.options.network.clone();
        if given.labels.is_none() && bundle.documents.contains_key(ADAPTER_CONFIG) {
            let (card, _) = card_of(path, &bundle)?;
            let mut bases = card.base_models.iter();
            given.labels =
                bases.find_map(|base| self.labels_of(self.names.resolve(base, &found.name)?));
        }
        let (architecture, labels) =
            describe(path, &bundle, &given).map_err(|error| match error {
                EngineError::CannotAdd { reason, .. } => ImportError::Unfit(reason),
                other => other.into(),
            })?;
        let remarks = bundle.warnings.iter().cloned();
        self.notes
            .extend(remarks.map(|remark| ImportNote::Reader { remark }));
        let trained_on = self.options.trained_on.iter();
        let new = AddModel {
            name: found.name.clone(),
            file: path.to_owned(),
            preprocessing: self.options.preprocessing(architecture.kind),
            architecture,
            training: trained_on
                .map(|data| data.training(&labels))
                .collect::<Result<_, _>>()?,
            labels,
            parents: Vec::new(),
            time: None,
            untied: given.untied,
        };
        // Read only now: the card of a model that is left out need not be readable.
        let (card, said_in) = card_of(path, &bundle)?;
        Ok(Candidate {
            path: path.to_owned(),
            new,
            card,
            said_in,
            changed: changed(path, &bundle),
            bundle,
            evidence: None,
        })
    }

    /// The labels of a model of the tree or of the registry.
    fn labels_of(&self, name: &str) -> Option<Vec<String>> {
        let here = self.found.iter().find(|model| model.new.name == name);
        here.map(|model| model.new.labels.clone()).or_else(|| {
            let id = &self.graph.resolve(name)?.id;
            let known = LoadedModel::open(self.registry, self.graph, id).ok()?;
            Some(known.manifest.labels)
        })
    }

    /// Refuses two models of one name.
    fn check_names(&self) -> Result<(), ImportError> {
        let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
        for model in &self.found {
            if let Some(first) = seen.insert(&model.new.name, &model.path) {
                return Err(ImportError::SameName {
                    first: first.to_owned(),
                    second: model.path.clone(),
                    name: model.new.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Enters the parents that the weights suggest, for models that have none.
    fn infer(&mut self, least: f64, progress: &dyn Progress) -> Result<(), ImportError> {
        let stage = progress.stage("comparing weights", self.found.len() as u64);
        let mut sketches = Vec::with_capacity(self.found.len());
        for model in &self.found {
            let sketch = WeightSketch::from_tensors(&model.new.name, model.changed, &model.bundle)?;
            sketches.push(sketch);
            stage.advance(1);
        }
        let known: Vec<(String, String)> = self
            .found
            .iter()
            .flat_map(|f| {
                let parents = f.new.parents.iter();
                parents.map(|(parent, _)| (f.new.name.clone(), parent.clone()))
            })
            .collect();
        let proposals: BTreeMap<String, ParentProposal> = infer_parents(sketches, &known)
            .into_iter()
            .map(|proposal| (proposal.child.clone(), proposal))
            .collect();
        let orphans = self.found.iter_mut().filter(|f| f.new.parents.is_empty());
        for model in orphans {
            match proposals.get(&model.new.name) {
                Some(proposal) if proposal.confidence < least => {
                    self.notes.push(ImportNote::Doubtful {
                        model: model.new.name.clone(),
                        parent: proposal.parent.clone(),
                        confidence: proposal.confidence,
                        shared: proposal.shared,
                        distance: proposal.distance,
                    });
                }
                Some(proposal) => {
                    let parent = (proposal.parent.clone(), proposal.relation.clone());
                    model.new.parents.push(parent);
                    model.evidence = Some(ParentEvidence::Weights {
                        confidence: proposal.confidence,
                        shared: proposal.shared,
                        distance: proposal.distance,
                    });
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// When a model's weights were last changed, in milliseconds since 1970-01-01 UTC; 0 when unknown.
fn changed(path: &Path, bundle: &ModelFile) -> u64 {
    let weights = match bundle.format.files.first() {
        Some(file) if bundle.format.folder => path.join(&file.name),
        _ => path.to_owned(),
    };
    std::fs::metadata(&weights)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_millis() as u64)
}

/// Parents before children.
fn ordered(found: Vec<Candidate>) -> Result<Vec<Candidate>, ImportError> {
    let mut waiting = found;
    let mut done: Vec<Candidate> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let open: BTreeSet<String> = waiting.iter().map(|f| f.new.name.clone()).collect();
        let ready = |f: &Candidate| f.new.parents.iter().all(|(name, _)| !open.contains(name));
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
        if now.is_empty() {
            let names: Vec<&str> = later.iter().map(|f| f.new.name.as_str()).collect();
            return Err(ImportError::Circle(names.join(", ")));
        }
        done.extend(now);
        waiting = later;
    }
    Ok(done)
}
