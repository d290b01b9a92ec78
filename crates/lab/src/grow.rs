//! Growing an inheritance network from a recipe.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use disinherit::model::{manifest, next_version, now, time_after, to_tensors};
use disinherit::{Engine, EngineError, LoadedModel, suggest};
use disinherit_data::{DataSet, partition};
use disinherit_nets::{Architecture, Input, StateDict};
use disinherit_registry::{
    Digest, GrowRecord, ModelRow, NewModel, OperationRecord, Publication, Registry,
};
use umig::{Forget, Model, ModelId, SampleSet, Training as Provenance, Umig};

use crate::elsewhere::{Elsewhere, retrained};
use crate::error::LabError;
use crate::forget::ForgetRecipe;
use crate::recipe::{Heads, LabelChoice, ModelRecipe, Recipe};
use crate::training_run::{ParentWeights, Training, TrainingRun, Trainings};

/// Tokens of a text that are read where a recipe does not say.
const TEXT_LENGTH: usize = 128;

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
    engine: &Engine<'_>,
    recipe: &Recipe,
    training_data: &DataSet,
) -> Result<Grown, LabError> {
    recipe.check()?;
    check_recipe(recipe, training_data)?;
    let growing = Growing {
        engine,
        recipe,
        training_data,
        shares: shares(recipe, training_data)?,
        whole: architecture(recipe, training_data)?,
        fingerprints: fingerprints(recipe, training_data)?,
    };
    let mut grown = Grown {
        models: Vec::new(),
        seconds: BTreeMap::new(),
    };
    let mut ids: BTreeMap<String, ModelId> = BTreeMap::new();
    for model in &recipe.models {
        let (id, seconds) = growing.model(model, &ids)?;
        ids.insert(model.name.clone(), id.clone());
        grown.seconds.insert(id.clone(), seconds);
        grown.models.push(id);
    }
    Ok(grown)
}

/// A network while it is grown.
struct Growing<'a> {
    engine: &'a Engine<'a>,
    recipe: &'a Recipe,
    training_data: &'a DataSet,
    /// Every client's share of the training data.
    shares: Vec<DataSet>,
    /// The network with an output for every label.
    whole: Architecture,
    fingerprints: [Digest; 5],
}

impl Growing<'_> {
    /// One model, with the seconds that its training took: 0 for one that was there.
    fn model(
        &self,
        model: &ModelRecipe,
        ids: &BTreeMap<String, ModelId>,
    ) -> Result<(ModelId, f64), LabError> {
        let registry = self.engine.registry();
        let graph = registry.graph()?;
        if let Some(id) = made_before(registry, &graph, model, &self.fingerprints)? {
            return Ok((id, 0.0));
        }
        let set = own_share(self.recipe, model, self.training_data, &self.shares);
        let parents: Vec<ModelId> = model.parents.iter().map(|p| ids[p].clone()).collect();
        let start = Instant::now();
        let opened = parents
            .iter()
            .map(|id| LoadedModel::open(registry, &graph, id))
            .collect::<Result<Vec<_>, EngineError>>()?;
        let labels = head_labels(self.recipe, &set, &opened);
        let architecture = Architecture {
            classes: labels.len(),
            ..self.whole.clone()
        };
        let state = TrainingRun {
            name: &model.name,
            architecture: &architecture,
            preprocessing: &self.recipe.network.preprocessing,
            labels: &labels,
            set: &set,
            training: &training(self.recipe, model),
            compute: self.engine.compute(),
        }
        .run(
            &weights(registry, &opened)?,
            "training",
            self.engine.progress(),
        )?;
        let seconds = match Elsewhere::for_recipe(self.recipe) {
            Some(models) => models.seconds([model.name.clone()])?,
            None => start.elapsed().as_secs_f64(),
        };
        let new = GrownModel {
            recipe: self.recipe,
            model,
            parents,
            set: &set,
            shares: &self.shares,
            labels: &labels,
            architecture: &architecture,
            fingerprint: self.fingerprints[0],
        };
        Ok((new.publish(registry, &graph, &state, seconds)?, seconds))
    }
}

/// The weights of the parents, all with the same part in the average.
fn weights(
    registry: &Registry,
    parents: &[LoadedModel],
) -> Result<Vec<ParentWeights>, EngineError> {
    let parents = parents.iter();
    parents
        .map(|parent| {
            Ok(ParentWeights {
                weight: 1.0,
                labels: parent.manifest.labels.clone(),
                state: parent.state(registry)?,
            })
        })
        .collect()
}

/// How the models of a recipe are trained again.
pub fn trainings(recipe: &Recipe) -> Trainings {
    let elsewhere = Elsewhere::for_recipe(recipe);
    let models = recipe.models.iter();
    Trainings::ByName(
        models
            .map(|model| {
                let training = Training {
                    trained: elsewhere
                        .as_ref()
                        .map(|models| models.checkpoint(&retrained(&model.name))),
                    ..training(recipe, model)
                };
                (model.name.clone(), training)
            })
            .collect(),
    )
}

/// How a model of a recipe is trained at first.
pub(crate) fn training(recipe: &Recipe, model: &ModelRecipe) -> Training {
    Training {
        config: model.training(&recipe.training),
        frozen: model.frozen.clone(),
        seed: seed_of(recipe, &model.name),
        root_seed: recipe.training_seed(),
        trained: Elsewhere::for_recipe(recipe).map(|models| models.checkpoint(&model.name)),
    }
}

/// The labels of a model's outputs, in the data's order.
fn head_labels(recipe: &Recipe, set: &DataSet, parents: &[LoadedModel]) -> Vec<String> {
    let names = set.label_names().iter().zip(set.counts());
    let has = |name: &String, count: u64| {
        recipe.network.heads == Heads::Whole
            || count > 0
            || parents.iter().any(|p| p.manifest.labels.contains(name))
    };
    names
        .filter(|(name, count)| has(name, *count))
        .map(|(name, _)| name.clone())
        .collect()
}

/// A trained model on its way into the registry.
struct GrownModel<'a> {
    recipe: &'a Recipe,
    model: &'a ModelRecipe,
    parents: Vec<ModelId>,
    set: &'a DataSet,
    /// Every client's share of the training data.
    shares: &'a [DataSet],
    labels: &'a [String],
    architecture: &'a Architecture,
    fingerprint: Digest,
}

impl GrownModel<'_> {
    /// What it was trained on, client by client.
    fn provenance(&self) -> Vec<Provenance> {
        let clients = self.model.clients().iter();
        clients
            .map(|client| {
                let share: HashSet<&String> = self.shares[client - 1].ids().iter().collect();
                let own = self.set.filter(|_, id| share.contains(&id.to_owned()));
                from_client(*client, &own)
            })
            .collect()
    }
    fn publish(
        &self,
        registry: &Registry,
        graph: &Umig,
        state: &StateDict,
        seconds: f64,
    ) -> Result<ModelId, LabError> {
        let id = next_version(graph, &self.model.name)?;
        if id.version() > 1 {
            return Err(LabError::Foreign(format!(
                "the registry has a model `{}` that this recipe did not make",
                self.model.name
            )));
        }
        let vertex = Model {
            id: id.clone(),
            time: time_after(graph, &self.parents),
            labels: self.labels.to_vec(),
            training: self.provenance(),
            superseded: false,
        };
        let manifest = manifest(
            self.architecture,
            &self.recipe.network.preprocessing,
            self.labels,
        )?;
        let digest = registry.put_model(manifest, to_tensors(state))?;
        let parents = self
            .parents
            .iter()
            .map(|parent| (parent.clone(), self.model.relation()))
            .collect();
        registry.publish(&Publication {
            models: vec![NewModel {
                row: ModelRow::new(vertex, digest),
                parents,
            }],
            ..Publication::new(
                now(),
                OperationRecord::Grow(GrowRecord {
                    recipe: self.recipe.name.clone(),
                    fingerprint: self.fingerprint,
                    model: id.clone(),
                    digest,
                    seconds,
                }),
            )
        })?;
        Ok(id)
    }
}

/// Training data that one client supplied.
fn from_client(client: usize, own: &DataSet) -> Provenance {
    let counts = own.counts();
    let labels = own.label_names().iter().zip(counts);
    let seen = labels.filter(|(_, n)| *n > 0).map(|(label, _)| label);
    let mut training = Provenance::new(own.name(), seen.cloned());
    training.digest = Some(own.digest().to_string());
    training.split = Some(format!("train/client-{client}"));
    training.source = Some(format!("client-{client}"));
    training.samples = SampleSet::Listed(own.ids().iter().cloned().collect());
    training
}

/// The model that an earlier run of the same recipe on the same data made, if any.
fn made_before(
    registry: &Registry,
    graph: &Umig,
    model: &ModelRecipe,
    fingerprints: &[Digest],
) -> Result<Option<ModelId>, LabError> {
    let id = ModelId::new(&model.name, 1)?;
    if graph.get(&id).is_none() {
        return Ok(None);
    }
    let made = registry.operations()?.into_iter().any(|row| {
        matches!(row.record(), Ok(OperationRecord::Grow(grown))
            if grown.model == id && fingerprints.contains(&grown.fingerprint))
    });
    Ok(made.then_some(id))
}

/// What a recipe's models depend on, for recognising them: first as it is written down now, where
/// what is forgotten counts only if a model is trained without it (so that one grown network serves
/// every class) and the description not at all, then as earlier versions wrote it, with their words.
fn fingerprints(recipe: &Recipe, set: &DataSet) -> Result<[Digest; 5], LabError> {
    let whole = Recipe {
        methods: BTreeMap::new(),
        ..recipe.clone()
    };
    let mut described = whole.clone();
    if !described.models.iter().any(|model| model.without_forgotten) {
        described.forget = ForgetRecipe::default();
    }
    let grown = Recipe {
        description: String::new(),
        ..described.clone()
    };
    let in_earlier_words = |recipe: &Recipe| Recipe {
        description: in_earlier_words(&recipe.description),
        ..recipe.clone()
    };
    let digest = |recipe: &Recipe| -> Result<Digest, LabError> {
        let text = serde_json::to_string(recipe)
            .map_err(|error| LabError::Recipe(format!("it cannot be written down: {error}")))?;
        Ok(Digest::from_content(
            format!("{text}{}", set.digest()).as_bytes(),
        ))
    };
    Ok([
        digest(&grown)?,
        digest(&described)?,
        digest(&in_earlier_words(&described))?,
        digest(&whole)?,
        digest(&in_earlier_words(&whole))?,
    ])
}

/// How 0.1.0 described the built-in recipes.
fn in_earlier_words(description: &str) -> String {
    description
        .replace("inherited models that", "heirs that")
        .replace("an inherited model of", "an heir of")
}

pub(crate) fn architecture(recipe: &Recipe, set: &DataSet) -> Result<Architecture, LabError> {
    let architecture = Architecture {
        kind: recipe.network.architecture,
        input: Input::for_set(set, recipe.data.length.unwrap_or(TEXT_LENGTH)),
        classes: set.label_names().len(),
        head: None,
    };
    architecture
        .program()
        .map_err(EngineError::net(recipe.network.architecture))?;
    Ok(architecture)
}

/// Checks that the data has every label that a recipe names.
///
/// # Errors
/// [`EngineError::UnknownLabel`] for the first that it has not.
pub fn check_recipe(recipe: &Recipe, set: &DataSet) -> Result<(), LabError> {
    let named = recipe
        .models
        .iter()
        .filter_map(|model| match &model.labels {
            Some(LabelChoice::Named(names)) => Some(names),
            _ => None,
        })
        .flatten();
    for label in recipe.forget.classes.iter().chain(named) {
        if set.label_index(label).is_none() {
            let known = set.label_names().iter().map(String::as_str);
            return Err(EngineError::UnknownLabel {
                label: label.clone(),
                context: format!(" in `{}`{}", set.name(), suggestion(label, known)),
            }
            .into());
        }
    }
    Ok(())
}

fn suggestion<'a>(label: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match suggest(label, known.clone()) {
        hint if hint.is_empty() => {
            let list: Vec<&str> = known.take(20).collect();
            format!("; it has {}", list.join(", "))
        }
        hint => hint,
    }
}

/// Every client's share of the training data.
pub(crate) fn shares(recipe: &Recipe, set: &DataSet) -> Result<Vec<DataSet>, LabError> {
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

/// What a model is trained on: its clients' shares, less the labels that it must not see.
pub(crate) fn own_share(
    recipe: &Recipe,
    model: &ModelRecipe,
    all: &DataSet,
    shares: &[DataSet],
) -> DataSet {
    let clients = model.clients().iter();
    let mine: HashSet<&str> = clients
        .flat_map(|client| shares[client - 1].ids().iter().map(String::as_str))
        .collect();
    let names = all.label_names();
    let sees = |(place, label): (usize, &String)| {
        let hidden = model.without_forgotten && recipe.forget.classes.contains(label);
        let chosen = |labels: &LabelChoice| labels.has(label, place, names.len());
        !hidden && model.labels.as_ref().is_none_or(chosen)
    };
    let seen: Vec<bool> = names.iter().enumerate().map(sees).collect();
    all.filter(|label, id| mine.contains(id) && seen[label as usize])
}

/// What a recipe's demonstration forgets, on its training data.
///
/// # Errors
/// [`LabError::Recipe`], or what the partition says.
pub fn forget(recipe: &Recipe, training_data: &DataSet) -> Result<Forget, LabError> {
    let shares = shares(recipe, training_data)?;
    let from = &recipe.forget.from;
    let models = recipe.models.iter();
    let initial = models.filter(|model| from.is_empty() || from.contains(&model.name));
    let own: Vec<DataSet> = initial
        .map(|model| own_share(recipe, model, training_data, &shares))
        .collect();
    let ids: HashSet<&str> = own
        .iter()
        .flat_map(|set| set.ids().iter().map(String::as_str))
        .collect();
    let own = training_data.filter(|_, id| ids.contains(id));
    recipe.forget.resolve(&own, recipe.seed)
}

/// The same network with other fresh weights and another order of training samples: `number` says which. Its
/// partition and what it forgets are the same.
pub(crate) fn shadow(recipe: &Recipe, number: usize) -> Recipe {
    Recipe {
        training_seed: Some(seed_of(recipe, &format!("shadow-{number}"))),
        // What was trained elsewhere has one seed.
        trained: None,
        ..recipe.clone()
    }
}

/// A seed for each model of a recipe, the same in every run.
fn seed_of(recipe: &Recipe, name: &str) -> u64 {
    let hash = blake3::hash(format!("{}/{name}", recipe.training_seed()).as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(word)
}
