//! What a folder of the Hugging Face Hub says of its model: `config.json` and the model card.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::FormatError;

/// The parts of `config.json` that matter here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct HubConfig {
    /// The class of the model, in the `transformers` library.
    #[serde(default)]
    pub architectures: Option<Vec<String>>,
    /// The family.
    #[serde(default)]
    pub model_type: Option<String>,
    /// Label names by their row.
    #[serde(default)]
    pub id2label: Option<BTreeMap<String, String>>,
    /// Rows by label name.
    #[serde(default)]
    pub label2id: Option<BTreeMap<String, Value>>,
    /// Whether the head shares its weights with the embedding.
    #[serde(default)]
    pub tie_word_embeddings: Option<bool>,
    /// Everything else.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

impl HubConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`FormatError::File`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(text)
            .map_err(|error| FormatError::file(path, format!("it cannot be read: {error}")))
    }

    /// The label names in the order of the rows; nothing where there are none, or only the
    /// placeholders that the library makes up (`LABEL_0`).
    ///
    /// # Errors
    /// [`FormatError::File`] when rows are missing, names occur twice, or `label2id` says
    /// otherwise.
    pub fn labels(&self, path: &Path) -> Result<Option<Vec<String>>, FormatError> {
        let refuse = |reason: String| Err(FormatError::file(path, reason));
        let Some(map) = &self.id2label else {
            return Ok(None);
        };
        let mut names = vec![None; map.len()];
        for (row, name) in map {
            let place = row.parse::<usize>().ok().and_then(|row| names.get_mut(row));
            match place {
                Some(place @ None) => *place = Some(name.clone()),
                _ => {
                    return refuse(format!(
                        "`id2label` names the row `{row}`; its {} rows must be 0 to {}",
                        map.len(),
                        map.len().saturating_sub(1)
                    ));
                }
            }
        }
        let names: Vec<String> = names.into_iter().flatten().collect();
        let mut seen = BTreeMap::new();
        for (row, name) in names.iter().enumerate() {
            if let Some(other) = seen.insert(name, row) {
                return refuse(format!(
                    "`id2label` calls the rows {other} and {row} both `{name}`; name them apart"
                ));
            }
        }
        for (name, row) in self.label2id.iter().flatten() {
            let row = row.as_u64().map(|row| row as usize);
            if seen.get(name).copied() != row {
                return refuse(format!(
                    "its label maps contradict each other: `label2id` puts `{name}` in row {}, \
                     `id2label` in {}; correct one of them, or give the labels",
                    row.map_or("none".into(), |row| row.to_string()),
                    seen.get(name)
                        .map_or("none".into(), |row| format!("row {row}"))
                ));
            }
        }
        let made_up = |(row, name): (usize, &String)| *name == format!("LABEL_{row}");
        Ok((!names.iter().enumerate().all(made_up)).then_some(names))
    }

    /// A number of the configuration.
    pub fn number(&self, name: &str) -> Option<usize> {
        let value = self.others.get(name)?.as_u64()?;
        usize::try_from(value).ok()
    }
}

/// The metadata of a model card (`README.md`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HubCard {
    /// The models that it was made from.
    pub base_models: Vec<String>,
    /// How: `finetune`, `adapter`, `merge` or `quantized`.
    pub relation: Option<String>,
}

#[derive(Deserialize)]
struct FrontMatter {
    #[serde(default)]
    base_model: Option<OneOrMany>,
    #[serde(default)]
    base_model_relation: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn names(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

impl HubCard {
    /// Reads the YAML between the first two lines of dashes; nothing where there is none.
    ///
    /// # Errors
    /// [`FormatError::File`] when it is no YAML.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FormatError> {
        let body = text.trim_start_matches('\u{feff}').trim_start();
        let Some(body) = body.strip_prefix("---") else {
            return Ok(Self::default());
        };
        let Some(end) = body.find("\n---") else {
            return Ok(Self::default());
        };
        let front: FrontMatter = serde_saphyr::from_str(&body[..end]).map_err(|error| {
            FormatError::file(path, format!("its metadata cannot be read: {error}"))
        })?;
        Ok(Self {
            base_models: front.base_model.map(OneOrMany::names).unwrap_or_default(),
            relation: front.base_model_relation,
        })
    }

    /// What the `__metadata__` of a safetensors file says under the names that model cards have for it. Its
    /// values are texts, so a list of base models is written as JSON.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Self {
        let names = |text: &String| match serde_json::from_str(text) {
            Ok(OneOrMany::Many(names)) => names,
            _ => vec![text.clone()],
        };
        let base = metadata.get("base_model").filter(|text| !text.is_empty());
        Self {
            base_models: base.map(names).unwrap_or_default(),
            relation: metadata.get("base_model_relation").cloned(),
        }
    }
}
