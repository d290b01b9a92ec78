//! Configurations as mergekit writes them beside what it merged.

use std::path::Path;

use serde::Deserialize;

use crate::error::FormatError;
use crate::hub::cards::HubCard;

/// What mergekit writes beside a merged model's weights.
pub const MERGE_CONFIG: &str = "mergekit_config.yml";

#[derive(Deserialize)]
struct MergeConfig {
    #[serde(default)]
    models: Option<Vec<Source>>,
    #[serde(default)]
    slices: Option<Vec<Slice>>,
    #[serde(default)]
    experts: Option<Vec<Expert>>,
    #[serde(default)]
    base_model: Option<Reference>,
}

#[derive(Deserialize)]
struct Slice {
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    model: Reference,
}

#[derive(Deserialize)]
struct Expert {
    source_model: Reference,
}

/// A model: `path`, `path@revision`, `path+lora`, or the parts of that.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Text(String),
    Parts { model: Place },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Place {
    Text(String),
    Parts { path: String },
}

impl Reference {
    /// The models that it names: one, and the adapter that was merged into it before.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        let text = match self {
            Self::Text(text)
            | Self::Parts {
                model: Place::Text(text) | Place::Parts { path: text },
            } => text,
        };
        text.split('+').map(|name| match name.rsplit_once('@') {
            Some((path, _)) => path.to_owned(),
            None => name.to_owned(),
        })
    }
}

impl HubCard {
    /// What `mergekit_config.yml` says of the models that were merged: every one that weights came from, in its order, and the base.
    ///
    /// # Errors
    /// [`FormatError::File`] when it cannot be read.
    pub fn from_merge(path: &Path, text: &str) -> Result<Self, FormatError> {
        let config: MergeConfig = serde_saphyr::from_str(text).map_err(|error| {
            FormatError::file(path, format!("it is no configuration of a merge: {error}"))
        })?;
        let models = config.models.iter().flatten().map(|source| &source.model);
        let slices = config.slices.iter().flatten();
        let slices = slices
            .flat_map(|slice| &slice.sources)
            .map(|source| &source.model);
        let experts = config
            .experts
            .iter()
            .flatten()
            .map(|expert| &expert.source_model);
        let mut card = Self {
            base_models: Vec::new(),
            relation: Some("merge".into()),
        };
        let all = models
            .chain(slices)
            .chain(experts)
            .chain(&config.base_model);
        card.join(all.flat_map(Reference::names));
        Ok(card)
    }

    /// Adds base models that are not among those that are known.
    pub fn join(&mut self, others: impl IntoIterator<Item = String>) {
        for name in others {
            if !self.base_models.contains(&name) {
                self.base_models.push(name);
            }
        }
    }
}
