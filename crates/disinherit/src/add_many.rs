//! Adding many models at once. Several processes may share the work of storing them before they are added.

use std::time::UNIX_EPOCH;

use disinherit_formats::{ModelFile, TensorSource, byte_length};
use disinherit_registry::{Digest, ImportRecord, NewModel, OperationRecord, Publication, Registry};
use serde_json::json;
use umig::{ModelId, Shard, Umig};

use crate::add::{AddModel, Entered, checked, enter, enter_known, excerpt, store};
use crate::draft::Drafts;
use crate::error::EngineError;
use crate::model::{manifest, now};
use crate::progress::Progress;

/// Adds several models, parents before children, all at once or none: a parent may be one of them. Those
/// that other processes have stored already ([`crate::import::ImportPlan::run_shard`]) are taken up.
///
/// # Errors
/// As [`crate::import::add_model_file`]; nothing is published then.
pub fn add_all(
    registry: &Registry,
    models: &[(AddModel, ModelFile)],
    progress: &dyn Progress,
) -> Result<Vec<ModelId>, EngineError> {
    let mut graph = excerpt(registry, models.iter().map(|(new, _)| new))?;
    let stored = Stored::open(registry, models)?;
    let stage = progress.stage("importing", models.len() as u64);
    let mut made = Vec::with_capacity(models.len());
    for (new, bundle) in models {
        stage.note(&new.name);
        let entered = enter_known(registry, &mut graph, new)?;
        let digest = match stored.digest(new, bundle)? {
            Some(digest) => digest,
            None => store(registry, new, bundle, Some(bundle))?,
        };
        made.push(entered.with_digest(digest));
        stage.advance(1);
    }
    publish(registry, made, vec![stored.name()])
}

/// Adds several models whose tensors are not in files, parents before children, all at once or none: a parent may be
/// one of them. Their small tensors are stored together.
///
/// # Errors
/// As [`crate::import::add_tensors`]; nothing is published then.
pub fn add_all_tensors(
    registry: &Registry,
    models: &[(AddModel, &dyn TensorSource)],
) -> Result<Vec<ModelId>, EngineError> {
    if models.is_empty() {
        return Ok(Vec::new());
    }
    let mut graph = excerpt(registry, models.iter().map(|(new, _)| new))?;
    let (mut entered, mut tensors) = (Vec::new(), Vec::new());
    for (new, source) in models {
        entered.push(enter_known(registry, &mut graph, new)?);
        tensors.push((checked(registry, new, *source, None)?, *source));
    }
    let digests = registry.put_checkpoints(tensors)?;
    let made = entered.into_iter().zip(digests);
    let made = made.map(|(model, digest)| Entered::with_digest(model, digest));
    publish(registry, made.collect(), Vec::new())
}

/// Publishes models in one operation, with which drafts have done their work.
fn publish(
    registry: &Registry,
    models: Vec<NewModel>,
    finished: Vec<String>,
) -> Result<Vec<ModelId>, EngineError> {
    let ids: Vec<ModelId> = models.iter().map(|m| m.row.vertex.id.clone()).collect();
    let record = OperationRecord::Import(ImportRecord {
        models: ids.clone(),
    });
    registry.publish(&Publication {
        models,
        finished,
        ..Publication::new(now(), record)
    })?;
    Ok(ids)
}

/// Checks and stores the models of one shard, for the process that adds all of them. Returns how many there
/// are in the shard, and how many of those were stored already.
///
/// # Errors
/// As [`crate::import::add_model_file`]; what was stored before stays.
pub fn store_shard(
    registry: &Registry,
    models: &[(AddModel, ModelFile)],
    shard: Shard,
    progress: &dyn Progress,
) -> Result<(usize, usize), EngineError> {
    let stored = Stored::open(registry, models)?;
    let bytes = |(_, bundle): &&(AddModel, ModelFile)| {
        let tensors = bundle.tensors().into_values();
        tensors
            .filter_map(|(dtype, shape)| byte_length(dtype, &shape))
            .sum()
    };
    let mine = shard.share(models.iter().collect(), bytes);
    let stage = progress.stage("storing", mine.len() as u64);
    let mut there = 0;
    for (new, bundle) in &mine {
        stage.note(&new.name);
        if stored.digest(new, bundle)?.is_some() {
            there += 1;
        } else {
            // What is no model of the graph is refused here as it is there.
            enter(&mut Umig::new(), &alone(new))?;
            let digest = store(registry, new, bundle, Some(bundle))?;
            stored
                .drafts
                .keep([(identity(new, bundle)?, digest, vec![digest])])?;
        }
        stage.advance(1);
    }
    Ok((mine.len(), there))
}

/// A model without its parents.
fn alone(new: &AddModel) -> AddModel {
    AddModel {
        parents: Vec::new(),
        ..new.clone()
    }
}

/// The models of an import that are stored, as drafts.
struct Stored<'a> {
    drafts: Drafts<'a>,
}

impl<'a> Stored<'a> {
    /// The name of the drafts.
    fn name(&self) -> String {
        self.drafts.name.clone()
    }

    /// What has been stored of these models.
    fn open(registry: &'a Registry, models: &[(AddModel, ModelFile)]) -> Result<Self, EngineError> {
        let mut all = models
            .iter()
            .map(|(new, bundle)| identity(new, bundle))
            .collect::<Result<Vec<String>, _>>()?;
        all.sort_unstable();
        let sum = Digest::from_content(all.concat().as_bytes()).to_string();
        let settings = json!({"version": env!("CARGO_PKG_VERSION")});
        let drafts = Drafts::open(registry, &format!("import {}", &sum[..16]), &settings)?;
        Ok(Self { drafts })
    }

    /// The digest of one that is stored.
    fn digest(&self, new: &AddModel, bundle: &ModelFile) -> Result<Option<Digest>, EngineError> {
        Ok(self.drafts.get(&identity(new, bundle)?))
    }
}

/// What tells a model of an import from others: what is said of it, and sizes and times of its files. They are not
/// read for this.
fn identity(new: &AddModel, bundle: &ModelFile) -> Result<String, EngineError> {
    let manifest = manifest(&new.architecture, &new.preprocessing, &new.labels)?;
    let files: Vec<_> = bundle
        .files(&new.file)
        .iter()
        .map(|path| {
            let known = std::fs::metadata(path).ok();
            let time = known.as_ref().and_then(|known| known.modified().ok());
            let time = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            json!([
                path.file_name().map(|name| name.to_string_lossy()),
                known.map(|known| known.len()),
                time
            ])
        })
        .collect();
    let text = json!([new.name, manifest, new.untied, files]).to_string();
    Ok(Digest::from_content(text.as_bytes()).to_string())
}
