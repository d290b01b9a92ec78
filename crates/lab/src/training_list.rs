//! Training elsewhere: what another program needs in order to train a recipe's models.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use disinherit::EngineError;
use disinherit::model::to_tensors;
use disinherit_data::DataSet;
use disinherit_formats::{FormatError, write_checkpoint, write_file};
use disinherit_nets::{Preprocessing, TrainingConfig, initial_state};
use serde::Serialize;
use umig::Forget;

use crate::elsewhere::{checkpoint, place, retrained};
use crate::error::LabError;
use crate::grow::{architecture, check_recipe, forget, own_share, shares, training};
use crate::recipe::{Heads, Recipe};

/// What is to be trained, in the order of training.
const TRAININGS: &str = "trainings.json";
/// The weights that models without parents start from.
const INITIAL: &str = "initial";

/// All that a program needs in order to train the models of a recipe, and those that are retrained.
#[derive(Debug, Serialize)]
struct TrainingList<'a> {
    recipe: &'a str,
    seed: u64,
    architecture: String,
    /// The outputs, in their order.
    labels: &'a [String],
    preprocessing: &'a Preprocessing,
    models: Vec<ListedTraining>,
}

/// One model.
#[derive(Debug, Serialize)]
struct ListedTraining {
    /// Its checkpoint, without the ending.
    name: String,
    /// The checkpoints whose average it starts from.
    parents: Vec<String>,
    /// Its samples: their places in the training data, from 0.
    rows: Vec<usize>,
    config: TrainingConfig,
    frozen: Vec<String>,
    seed: u64,
}

/// Writes down what another program is to train for a recipe, in `FOLDER/seed-N`: `trainings.json`
/// and `initial.safetensors`, the weights that all roots start from. The program puts a checkpoint
/// of every listed model beside them, and `trained.json`: `{"device": ..., "seconds": {NAME: ...}}`.
///
/// # Errors
/// [`LabError::Recipe`] where heads grow or nothing would be left of a model, and for what cannot be
/// written.
pub fn write_trainings(
    recipe: &Recipe,
    training_data: &DataSet,
    folder: &Path,
) -> Result<PathBuf, LabError> {
    recipe.check()?;
    check_recipe(recipe, training_data)?;
    if recipe.network.heads != Heads::Whole {
        return Err(LabError::Recipe(
            "heads that grow with the labels are trained here only".into(),
        ));
    }
    let folder = place(folder, recipe.seed);
    std::fs::create_dir_all(&folder).map_err(FormatError::io("make", &folder))?;
    let whole = architecture(recipe, training_data)?;
    let initial =
        initial_state(&whole, recipe.training_seed()).map_err(EngineError::net(&recipe.name))?;
    let path = checkpoint(&folder, INITIAL);
    write_checkpoint(&path, &to_tensors(&initial), HashMap::new())?;
    let list = TrainingList {
        recipe: &recipe.name,
        seed: recipe.seed,
        architecture: recipe.network.architecture.to_string(),
        labels: training_data.label_names(),
        preprocessing: &recipe.network.preprocessing,
        models: listed(recipe, training_data)?,
    };
    let bytes = serde_json::to_vec(&list).map_err(EngineError::json("trainings"))?;
    write_file(&folder.join(TRAININGS), &bytes)?;
    Ok(folder)
}

/// Every model, and after them the retrained versions of those that are touched.
fn listed(recipe: &Recipe, data: &DataSet) -> Result<Vec<ListedTraining>, LabError> {
    let shares = shares(recipe, data)?;
    let unwanted = unwanted(&forget(recipe, data)?, data, &shares);
    let ids = data.ids();
    let places: HashMap<&str, usize> = (0..).zip(ids).map(|(at, id)| (id.as_str(), at)).collect();
    let from = &recipe.forget.from;
    let mut touched: HashSet<&str> = HashSet::new();
    let mut originals = Vec::new();
    let mut again = Vec::new();
    for model in &recipe.models {
        let set = own_share(recipe, model, data, &shares);
        let rows: Vec<usize> = set
            .ids()
            .iter()
            .filter_map(|id| places.get(id.as_str()).copied())
            .collect();
        let training = training(recipe, model);
        let original = ListedTraining {
            name: model.name.clone(),
            parents: model.parents.clone(),
            rows,
            config: training.config,
            frozen: training.frozen,
            seed: training.seed,
        };
        let knows = |row: &usize| ids.get(*row).is_some_and(|id| unwanted.contains(id));
        let initial = match from.is_empty() {
            true => original.rows.iter().any(knows),
            false => from.contains(&model.name),
        };
        let inherits = |parent: &String| touched.contains(parent.as_str());
        if initial || model.parents.iter().any(inherits) {
            again.push(without(&original, &touched, |row| !knows(row))?);
            touched.insert(&model.name);
        }
        originals.push(original);
    }
    originals.extend(again);
    Ok(originals)
}

/// The same training without some samples, from retrained parents where there are.
fn without(
    original: &ListedTraining,
    touched: &HashSet<&str>,
    keeps: impl Fn(&usize) -> bool,
) -> Result<ListedTraining, LabError> {
    let rows: Vec<usize> = original.rows.iter().copied().filter(keeps).collect();
    if rows.is_empty() {
        return Err(LabError::Recipe(format!(
            "nothing would be left of `{}`'s training data; such networks are trained here only",
            original.name
        )));
    }
    let parents = original.parents.iter();
    Ok(ListedTraining {
        name: retrained(&original.name),
        parents: parents
            .map(|parent| match touched.contains(parent.as_str()) {
                true => retrained(parent),
                false => parent.clone(),
            })
            .collect(),
        rows,
        config: original.config.clone(),
        frozen: original.frozen.clone(),
        seed: original.seed,
    })
}

/// The ids of the samples that are to be forgotten.
fn unwanted(forget: &Forget, data: &DataSet, shares: &[DataSet]) -> HashSet<String> {
    match forget {
        Forget::Classes(labels) => {
            let names = data.label_names();
            let named = |label: u32| {
                names
                    .get(label as usize)
                    .is_some_and(|n| labels.contains(n))
            };
            data.filter(|label, _| named(label))
                .ids()
                .iter()
                .cloned()
                .collect()
        }
        Forget::Samples(ids) => ids.iter().cloned().collect(),
        Forget::Source(source) => {
            let client = source
                .strip_prefix("client-")
                .and_then(|n| n.parse::<usize>().ok());
            let share = client.and_then(|n| shares.get(n.checked_sub(1)?));
            share.map_or_else(HashSet::new, |share| share.ids().iter().cloned().collect())
        }
    }
}
