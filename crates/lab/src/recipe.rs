//! Recipes: inheritance networks as data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use disinherit::suggest;
use disinherit_data::Partition;
use disinherit_nets::{Kind, TrainingConfig};
use fiun::Estimator;
use serde::{Deserialize, Serialize};
use umig::Relation;

use crate::baselines::{MethodKind, SettingsPatch};
use crate::error::LabError;
use crate::forget::ForgetRecipe;

/// An inheritance network to be grown: data and its partition, models, parents, training. The TOML
/// form is described in `docs/recipes.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The recipe's name.
    pub name: String,
    /// What it is for, in words.
    #[serde(default)]
    pub description: String,
    /// Decides the partition, fresh weights and the order of training samples.
    #[serde(default)]
    pub seed: u64,
    /// Decides fresh weights, the order of training samples and what methods draw in its place, so that the
    /// same network is trained differently on the same data and forgets the same samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_seed: Option<u64>,
    /// The data and its partition.
    pub data: DataRecipe,
    /// What to forget in a demonstration.
    pub forget: ForgetRecipe,
    /// The network that all models share.
    pub network: NetworkRecipe,
    /// How models are trained, unless they say otherwise.
    #[serde(default)]
    pub training: TrainingConfig,
    /// How Fisher information is computed.
    #[serde(default)]
    pub fisher: FisherRecipe,
    /// What replaces the methods' settings in a comparison, by method.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub methods: BTreeMap<MethodKind, SettingsPatch>,
    /// The models, parents before children.
    #[serde(rename = "model")]
    pub models: Vec<ModelRecipe>,
    /// A folder of models that were trained elsewhere, as [`write_trainings`](crate::write_trainings)
    /// listed them: these are taken, nothing is trained. No part of the written form.
    #[serde(skip)]
    pub trained: Option<PathBuf>,
}

/// The data of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// `digits`, or a path; can be replaced when the recipe is run.
    pub source: String,
    /// The number of clients that share the training data.
    pub clients: usize,
    /// How it is shared.
    #[serde(default = "iid")]
    pub partition: Partition,
    /// Use at most this many training samples, every label keeping its share.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Scale images to this height and width.
    #[serde(default)]
    pub size: Option<(usize, usize)>,
    /// Tokens of a text that are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// A `tokenizer.json`; words of the training data otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Words that are told apart where there is no tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<usize>,
}

fn iid() -> Partition {
    Partition::Iid
}

/// The network of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecipe {
    /// The architecture.
    pub architecture: Kind,
    /// How pixels become numbers.
    #[serde(default)]
    pub preprocessing: disinherit_nets::Preprocessing,
    /// The rows of the heads.
    #[serde(default, skip_serializing_if = "Heads::is_whole")]
    pub heads: Heads,
}

/// Which labels a model has outputs for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heads {
    /// All labels of the data.
    #[default]
    Whole,
    /// Those of its parents and of its own training data.
    Growing,
}

impl Heads {
    fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

/// How Fisher information is computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FisherRecipe {
    /// Use at most this many of a model's own training samples.
    pub samples: Option<usize>,
    /// Which quantity it is.
    pub estimator: Estimator,
}

impl Default for FisherRecipe {
    fn default() -> Self {
        Self {
            samples: None,
            estimator: Estimator::Empirical,
        }
    }
}

/// How a model comes from its parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationName {
    /// The parents' average, then training (FL).
    FederatedAverage,
    /// The workers' average, then training (DDPL).
    DistributedAverage,
    /// Training goes on with more labels (IL).
    Incremental,
    /// Training goes on with frozen tensors (TL).
    Transfer,
    /// Training goes on.
    FineTune,
}

/// One model of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// Its name.
    pub name: String,
    /// Names of its parents; none means fresh weights.
    #[serde(default)]
    pub parents: Vec<String>,
    /// How it comes from them; `fine_tune` for one parent, `federated_average` for several.
    #[serde(default)]
    pub relation: Option<RelationName>,
    /// The client whose share it is trained on, from 1.
    #[serde(default)]
    pub client: usize,
    /// Several clients whose shares it is trained on together, in place of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<usize>,
    /// Train without the labels that a demonstration forgets.
    #[serde(default)]
    pub without_forgotten: bool,
    /// Train on these labels only.
    #[serde(default)]
    pub labels: Option<LabelChoice>,
    /// Tensors whose names start so are not trained (`transfer`).
    #[serde(default)]
    pub frozen: Vec<String>,
    /// Replaces the recipe's number of epochs.
    #[serde(default)]
    pub epochs: Option<usize>,
    /// Replaces the recipe's learning rate.
    #[serde(default)]
    pub learning_rate: Option<f64>,
    /// Stands for several models, each the child of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

/// Some of the data's labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LabelChoice {
    /// By name.
    Named(Vec<String>),
    /// One of several parts that are as equal as can be.
    Part {
        /// Which one, from 1.
        part: usize,
        /// How many there are.
        of: usize,
    },
    /// The first share, 0 to 1, rounded to whole labels.
    Share {
        /// The share.
        share: f64,
    },
}

impl LabelChoice {
    /// Whether a label is chosen, by its name and its place in the data's list of labels.
    pub fn has(&self, name: &str, place: usize, count: usize) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|known| known == name),
            Self::Part { part, of } => {
                let of = (*of).max(1);
                let bound = |part: usize| part * count / of;
                (bound(part.saturating_sub(1))..bound(*part)).contains(&place)
            }
            Self::Share { share } => place < (share * count as f64).round() as usize,
        }
    }

    fn check(&self, model: &str) -> Result<(), LabError> {
        let fine = match self {
            Self::Named(names) => !names.is_empty(),
            Self::Part { part, of } => (1..=*of).contains(part),
            Self::Share { share } => *share > 0.0 && *share <= 1.0,
        };
        if fine {
            Ok(())
        } else {
            Err(LabError::Recipe(format!(
                "the labels of model `{model}` must be names, `{{ part = 1, of = 3 }}` or \
                 `{{ share = 0.9 }}`, with the part from 1 and the share above 0"
            )))
        }
    }
}

/// A chain: `name1` to `nameN`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How many models.
    pub times: usize,
    /// The clients in turn; the model's own when none is given.
    #[serde(default)]
    pub clients: Vec<usize>,
    /// Every model has the one so many steps before it as a second parent.
    #[serde(default)]
    pub skip: Option<usize>,
}

/// The most models that one entry of a recipe may stand for.
const LONGEST: usize = 10_000;

impl ModelRecipe {
    /// The models that this entry stands for.
    fn expanded(&self) -> Result<Vec<Self>, LabError> {
        let Some(Repeat {
            times,
            clients,
            skip,
        }) = &self.repeat
        else {
            return Ok(vec![self.clone()]);
        };
        if *times == 0 || *times > LONGEST || *skip == Some(0) {
            return Err(LabError::Recipe(format!(
                "model `{}` is repeated {times} times; give 1 to {LONGEST}, and a skip from 1",
                self.name
            )));
        }
        let name = |number: usize| format!("{}{number}", self.name);
        Ok((1..=*times)
            .map(|number| {
                let mut parents = match number {
                    1 => self.parents.clone(),
                    _ => vec![name(number - 1)],
                };
                let before = skip.and_then(|skip| number.checked_sub(skip));
                parents.extend(before.filter(|at| *at > 0 && at + 1 != number).map(name));
                Self {
                    name: name(number),
                    parents,
                    client: match clients.len() {
                        0 => self.client,
                        count => clients[(number - 1) % count],
                    },
                    repeat: None,
                    ..self.clone()
                }
            })
            .collect())
    }

    /// How the model comes from one of its parents.
    pub fn relation(&self) -> Relation {
        let default = match self.parents.len() {
            0 | 1 => RelationName::FineTune,
            _ => RelationName::FederatedAverage,
        };
        match self.relation.unwrap_or(default) {
            RelationName::FederatedAverage => Relation::FederatedAverage {
                weight: 1.0 / self.parents.len().max(1) as f64,
            },
            RelationName::DistributedAverage => Relation::DistributedAverage,
            RelationName::Incremental => Relation::Incremental,
            RelationName::Transfer => Relation::Transfer {
                frozen: self.frozen.clone(),
            },
            RelationName::FineTune => Relation::FineTune,
        }
    }

    /// The clients whose shares it is trained on.
    pub fn clients(&self) -> &[usize] {
        match &self.clients[..] {
            [] => std::slice::from_ref(&self.client),
            several => several,
        }
    }

    /// How the model is trained.
    pub fn training(&self, default: &TrainingConfig) -> TrainingConfig {
        TrainingConfig {
            epochs: self.epochs.unwrap_or(default.epochs),
            learning_rate: self.learning_rate.unwrap_or(default.learning_rate),
            ..default.clone()
        }
    }
}

impl Recipe {
    /// The seed of trainings and methods.
    pub fn training_seed(&self) -> u64 {
        self.training_seed.unwrap_or(self.seed)
    }

    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`LabError::Recipe`] saying where it is wrong.
    pub fn parse(text: &str) -> Result<Self, LabError> {
        let mut recipe: Self =
            toml::from_str(text).map_err(|error| LabError::Recipe(explained(&error)))?;
        let models = recipe.models.iter().map(ModelRecipe::expanded);
        recipe.models = models.collect::<Result<Vec<_>, _>>()?.concat();
        recipe.check()?;
        Ok(recipe)
    }

    /// Checks that names are used once, parents come first, clients exist, and something is to be
    /// forgotten.
    ///
    /// # Errors
    /// [`LabError::Recipe`].
    pub fn check(&self) -> Result<(), LabError> {
        let refuse = |reason: String| Err(LabError::Recipe(reason));
        if self.models.is_empty() {
            return refuse("it has no [[model]]".into());
        }
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for model in &self.models {
            umig::ModelId::new(&model.name, 1)?;
            for parent in &model.parents {
                if !seen.contains(parent.as_str()) {
                    let hint = suggest(parent, seen.iter().copied());
                    return refuse(format!(
                        "model `{}` has the parent `{parent}`, which no model before it is called{hint}",
                        model.name
                    ));
                }
            }
            let there = 1..=self.data.clients;
            if let Some(client) = model
                .clients()
                .iter()
                .find(|client| !there.contains(client))
            {
                return refuse(format!(
                    "model `{}` belongs to client {client}, there are clients 1 to {}",
                    model.name, self.data.clients
                ));
            }
            if let Some(labels) = &model.labels {
                labels.check(&model.name)?;
            }
            if !model.frozen.is_empty() && model.relation != Some(RelationName::Transfer) {
                return refuse(format!(
                    "model `{}` has frozen tensors, so its relation must be `transfer`",
                    model.name
                ));
            }
            if !seen.insert(&model.name) {
                return refuse(format!("two models are called `{}`", model.name));
            }
        }
        self.forget.check()?;
        match self
            .forget
            .from
            .iter()
            .find(|name| !seen.contains(name.as_str()))
        {
            Some(name) => refuse(format!(
                "[forget] names the initial model `{name}`, which no model is called{}",
                suggest(name, seen.iter().copied())
            )),
            None => Ok(()),
        }
    }
}

/// What is wrong with the TOML, and the nearest known key for one that is not.
fn explained(error: &toml::de::Error) -> String {
    let text = error.to_string().trim_end().to_owned();
    let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if error.message().starts_with("unknown field") => {
            format!("{text}{}", suggest(unknown, known.iter().copied()))
        }
        _ => text,
    }
}
