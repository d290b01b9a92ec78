//! Recipes: inheritance networks as data.

use std::collections::BTreeSet;

use data::Partition;
use fiun::Estimator;
use nets::{Kind, TrainingConfig};
use serde::{Deserialize, Serialize};
use umig::Relation;

use crate::EngineError;
use crate::error::suggest;

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
    /// The models, parents before children.
    #[serde(rename = "model")]
    pub models: Vec<ModelRecipe>,
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
}

fn iid() -> Partition {
    Partition::Iid
}

/// What a demonstration forgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetRecipe {
    /// Label names.
    pub classes: Vec<String>,
    /// The initial models, by name; found by provenance when empty.
    #[serde(default)]
    pub from: Vec<String>,
}

/// The network of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecipe {
    /// The architecture.
    pub architecture: Kind,
    /// How pixels become numbers.
    #[serde(default)]
    pub preprocessing: nets::Preprocessing,
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
    pub client: usize,
    /// Train without the labels that a demonstration forgets.
    #[serde(default)]
    pub without_forgotten: bool,
    /// Train on these labels only.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// Tensors whose names start so are not trained (`transfer`).
    #[serde(default)]
    pub frozen: Vec<String>,
    /// Replaces the recipe's number of epochs.
    #[serde(default)]
    pub epochs: Option<usize>,
    /// Replaces the recipe's learning rate.
    #[serde(default)]
    pub learning_rate: Option<f64>,
}

impl ModelRecipe {
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
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`EngineError::Recipe`] saying where it is wrong.
    pub fn parse(text: &str) -> Result<Self, EngineError> {
        let recipe: Self = toml::from_str(text)
            .map_err(|error| EngineError::Recipe(error.to_string().trim_end().to_owned()))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Checks that names are used once, parents come first, clients exist, and something is to be
    /// forgotten.
    ///
    /// # Errors
    /// [`EngineError::Recipe`].
    pub fn check(&self) -> Result<(), EngineError> {
        let refuse = |reason: String| Err(EngineError::Recipe(reason));
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
            if model.client == 0 || model.client > self.data.clients {
                return refuse(format!(
                    "model `{}` belongs to client {}, there are clients 1 to {}",
                    model.name, model.client, self.data.clients
                ));
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
        if self.forget.classes.is_empty() {
            return refuse("[forget] names no classes".into());
        }
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
