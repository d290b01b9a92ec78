//! Growing an inheritance network from a recipe, and growing it again without the forget data.

use std::collections::BTreeMap;
use std::time::Instant;

use data::{DataSet, partition};
use nets::{
    Architecture, Compute, EpochReport, StateDict, TrainingEvent, TrainingJob, average,
    initial_state, train,
};
use serde_json::json;
use store::{Digest, ModelRow, NewModel, Operation, Publication, Registry};
use umig::{Forget, Model, ModelId, SampleSet, Scope, Training, Umig};

use crate::add::next_version;
use crate::model::{LoadedModel, find, manifest, rows, time_after, to_tensors};
use crate::{EngineError, ModelRecipe, Progress, Recipe, forget_mask, own_data};

/// How to grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrowOptions {
    /// Where networks are trained.
    pub compute: Compute,
}

/// A grown network.
#[derive(Debug, Clone)]
pub struct Grown {
    /// The models in the recipe's order.
    pub models: Vec<ModelId>,
    /// Seconds of training, 0 for a model that was there already.
    pub seconds: BTreeMap<ModelId, f64>,
}

/// Trains every model of a recipe and publishes each as soon as it is done, so that a run that was
/// stopped goes on with the next model: models that this very recipe made on this very data are
/// taken as they are.
///
/// # Errors
/// [`EngineError`]; models that were finished before stay.
pub fn grow(
    registry: &Registry,
    recipe: &Recipe,
    training_data: &DataSet,
    options: &GrowOptions,
    progress: &dyn Progress,
) -> Result<Grown, EngineError> {
    recipe.check()?;
    check_labels(recipe, training_data)?;
    let shares = shares(recipe, training_data)?;
    let architecture = architecture(recipe, training_data)?;
    let fingerprint = fingerprint(recipe, training_data)?;
    let mut grown = Grown {
        models: Vec::new(),
        seconds: BTreeMap::new(),
    };
    let mut ids: BTreeMap<String, ModelId> = BTreeMap::new();
    for model in &recipe.models {
        let graph = registry.graph()?;
        let (id, seconds) = match made_before(registry, &graph, model, fingerprint)? {
            Some(id) => (id, 0.0),
            None => {
                let set = own_share(recipe, model, &shares);
                let parents: Vec<ModelId> = model.parents.iter().map(|p| ids[p].clone()).collect();
                let start = Instant::now();
                let states = parents
                    .iter()
                    .map(|id| LoadedModel::open(registry, &graph, id)?.state(registry))
                    .collect::<Result<Vec<_>, EngineError>>()?;
                let job = Job {
                    recipe,
                    model,
                    architecture: &architecture,
                    set: &set,
                    compute: options.compute,
                };
                let state = job.run(&states, "training", progress)?;
                let seconds = start.elapsed().as_secs_f64();
                let new = Newborn {
                    recipe,
                    model,
                    parents,
                    set: &set,
                    architecture: &architecture,
                    fingerprint,
                };
                (new.publish(registry, &graph, &state, seconds)?, seconds)
            }
        };
        ids.insert(model.name.clone(), id.clone());
        grown.seconds.insert(id.clone(), seconds);
        grown.models.push(id);
    }
    Ok(grown)
}

/// Trains the touched models of a request again, parents before children, without the forget data:
/// the yardstick that every unlearning method is measured against. Nothing is published. Returns
/// the new weights and the seconds of training.
///
/// # Errors
/// [`EngineError`].
pub fn retrain(
    registry: &Registry,
    recipe: &Recipe,
    training_data: &DataSet,
    scope: &Scope,
    forget: &Forget,
    options: &GrowOptions,
    progress: &dyn Progress,
) -> Result<BTreeMap<ModelId, (StateDict, f64)>, EngineError> {
    let graph = registry.graph()?;
    let architecture = architecture(recipe, training_data)?;
    let mut done: BTreeMap<ModelId, (StateDict, f64)> = BTreeMap::new();
    for id in graph.ordered() {
        let Some(model) = recipe.models.iter().find(|m| m.name == id.name()) else {
            continue;
        };
        if !scope.reached_by.contains_key(id) {
            continue;
        }
        let start = Instant::now();
        let vertex = find(&graph, &id.to_string())?;
        let own = own_data(vertex, training_data);
        let mask = forget_mask(forget, &own, &vertex.training);
        let kept: Vec<usize> = (0..own.len()).filter(|&i| !mask[i]).collect();
        let states = graph
            .parents(id)
            .into_iter()
            .map(|(parent, _)| match done.get(parent) {
                Some((state, _)) => Ok(state.clone()),
                None => LoadedModel::open(registry, &graph, parent)?.state(registry),
            })
            .collect::<Result<Vec<_>, EngineError>>()?;
        let job = Job {
            recipe,
            model,
            architecture: &architecture,
            set: &own.select(&kept),
            compute: options.compute,
        };
        let state = job.run(&states, "retraining", progress)?;
        done.insert(id.clone(), (state, start.elapsed().as_secs_f64()));
    }
    Ok(done)
}

/// One training.
struct Job<'a> {
    recipe: &'a Recipe,
    model: &'a ModelRecipe,
    architecture: &'a Architecture,
    set: &'a DataSet,
    compute: Compute,
}

impl Job<'_> {
    fn run(
        &self,
        parents: &[StateDict],
        verb: &str,
        progress: &dyn Progress,
    ) -> Result<StateDict, EngineError> {
        let name = &self.model.name;
        let seed = seed_of(self.recipe, name);
        let state = if parents.is_empty() {
            // Roots share their fresh weights: averages of models that started apart are worthless.
            initial_state(self.architecture, self.recipe.seed).map_err(EngineError::net(name))?
        } else {
            // All of the recipe's averages weigh their parents equally.
            let parts: Vec<(f64, &StateDict)> = parents.iter().map(|state| (1.0, state)).collect();
            average(&parts).map_err(EngineError::net(name))?
        };
        let labels = self.set.label_names();
        let config = self.model.training(&self.recipe.training);
        let rows = rows(labels, self.set, &format!("`{name}`"))?;
        let frozen = |tensor: &str| {
            self.model
                .frozen
                .iter()
                .any(|start| tensor.starts_with(start))
        };
        let stage = progress.stage(
            &format!("{verb} {name}"),
            (config.epochs * self.set.len()) as u64,
        );
        let job = TrainingJob {
            architecture: self.architecture,
            state: &state,
            set: self.set,
            rows: &rows,
            preprocessing: &self.recipe.network.preprocessing,
            config: &config,
            frozen: &frozen,
            compute: self.compute,
            seed,
        };
        let trained = train(&job, &mut |event| match event {
            TrainingEvent::Samples(count) => stage.advance(count as u64),
            TrainingEvent::Epoch(EpochReport {
                epoch,
                loss,
                accuracy,
            }) => stage.note(&format!(
                "epoch {epoch}/{}, loss {loss:.3}, accuracy {:.1} %",
                config.epochs,
                accuracy * 100.0
            )),
        });
        Ok(trained.map_err(EngineError::net(name))?.state)
    }
}

/// A trained model on its way into the registry.
struct Newborn<'a> {
    recipe: &'a Recipe,
    model: &'a ModelRecipe,
    parents: Vec<ModelId>,
    set: &'a DataSet,
    architecture: &'a Architecture,
    fingerprint: Digest,
}

impl Newborn<'_> {
    fn publish(
        &self,
        registry: &Registry,
        graph: &Umig,
        state: &StateDict,
        seconds: f64,
    ) -> Result<ModelId, EngineError> {
        let id = next_version(graph, &self.model.name)?;
        if id.version() > 1 {
            return Err(EngineError::Refused(format!(
                "the registry has a model `{}` that this recipe did not make; grow into another \
                 registry (`--registry`)",
                self.model.name
            )));
        }
        let labels = self.set.label_names();
        let counts = self.set.counts();
        let seen = labels
            .iter()
            .zip(counts)
            .filter(|(_, n)| *n > 0)
            .map(|(label, _)| label);
        let mut training = Training::new(self.set.name(), seen.cloned());
        training.digest = Some(self.set.digest());
        training.split = Some(format!("train/client-{}", self.model.client));
        training.source = Some(format!("client-{}", self.model.client));
        training.samples = SampleSet::Listed(self.set.ids().iter().cloned().collect());
        let vertex = Model {
            id: id.clone(),
            time: time_after(graph, &self.parents),
            labels: labels.to_vec(),
            training: vec![training],
            superseded: false,
        };
        let manifest = manifest(
            self.architecture,
            &self.recipe.network.preprocessing,
            labels,
        )?;
        let digest = registry.put_model(manifest, to_tensors(state))?;
        let parents = self
            .parents
            .iter()
            .map(|parent| (parent.clone(), self.model.relation()))
            .collect();
        registry.publish(&Publication {
            models: vec![NewModel {
                row: ModelRow {
                    vertex,
                    manifest: digest,
                },
                parents,
            }],
            superseded: Vec::new(),
            cards: Vec::new(),
            operation: Operation {
                time: crate::now(),
                command: "grow".into(),
                detail: json!({
                    "recipe": self.recipe.name,
                    "fingerprint": self.fingerprint,
                    "model": id,
                    "digest": digest,
                    "seconds": seconds,
                }),
            },
        })?;
        Ok(id)
    }
}

/// The model that an earlier run of the same recipe on the same data made, if any.
fn made_before(
    registry: &Registry,
    graph: &Umig,
    model: &ModelRecipe,
    fingerprint: Digest,
) -> Result<Option<ModelId>, EngineError> {
    let id = ModelId::new(&model.name, 1)?;
    if graph.get(&id).is_none() {
        return Ok(None);
    }
    let (print, name) = (json!(fingerprint), json!(id));
    let made = registry.operations()?.into_iter().any(|row| {
        row.operation.command == "grow"
            && row.operation.detail.get("fingerprint") == Some(&print)
            && row.operation.detail.get("model") == Some(&name)
    });
    Ok(made.then_some(id))
}

fn fingerprint(recipe: &Recipe, set: &DataSet) -> Result<Digest, EngineError> {
    let text = serde_json::to_string(recipe)
        .map_err(|error| EngineError::Recipe(format!("it cannot be written down: {error}")))?;
    Ok(Digest::of(format!("{text}{}", set.digest()).as_bytes()))
}

fn architecture(recipe: &Recipe, set: &DataSet) -> Result<Architecture, EngineError> {
    let input = set
        .image_shape()
        .ok_or_else(|| EngineError::Recipe(format!("`{}` holds no images", set.name())))?;
    let architecture = Architecture {
        kind: recipe.network.architecture,
        input,
        classes: set.label_names().len(),
    };
    architecture
        .program()
        .map_err(EngineError::net(recipe.network.architecture))?;
    Ok(architecture)
}

fn check_labels(recipe: &Recipe, set: &DataSet) -> Result<(), EngineError> {
    let named = recipe
        .models
        .iter()
        .flat_map(|model| model.labels.iter().flatten());
    for label in recipe.forget.classes.iter().chain(named) {
        if set.label_index(label).is_none() {
            let known = set.label_names().iter().map(String::as_str);
            return Err(EngineError::UnknownLabel {
                label: label.clone(),
                hint: format!(" in `{}`{}", set.name(), suggestion(label, known)),
            });
        }
    }
    Ok(())
}

fn suggestion<'a>(label: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match crate::error::suggest(label, known.clone()) {
        hint if hint.is_empty() => {
            let list: Vec<&str> = known.take(20).collect();
            format!("; it has {}", list.join(", "))
        }
        hint => hint,
    }
}

/// Every client's share of the training data.
fn shares(recipe: &Recipe, set: &DataSet) -> Result<Vec<DataSet>, EngineError> {
    let set = match recipe.data.limit {
        Some(limit) => set.sample(limit, recipe.seed),
        None => set.clone(),
    };
    let indices = partition(
        &set,
        recipe.data.clients,
        recipe.data.partition,
        recipe.seed,
    )?;
    Ok(indices.iter().map(|share| set.select(share)).collect())
}

/// What a model is trained on: its client's share, less the labels that it must not see.
fn own_share(recipe: &Recipe, model: &ModelRecipe, shares: &[DataSet]) -> DataSet {
    let share = &shares[model.client - 1];
    let sees = |label: &String| {
        let hidden = model.without_forgotten && recipe.forget.classes.contains(label);
        !hidden
            && model
                .labels
                .as_ref()
                .is_none_or(|labels| labels.contains(label))
    };
    let seen: Vec<bool> = share.label_names().iter().map(sees).collect();
    share.filter(|label, _| seen[label as usize])
}

/// A seed for each model of a recipe, the same in every run.
fn seed_of(recipe: &Recipe, name: &str) -> u64 {
    let hash = blake3::hash(format!("{}/{name}", recipe.seed).as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(word)
}
