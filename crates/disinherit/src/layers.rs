//! Which layers take part.

use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Hint};
use crate::model::LoadedModel;
use crate::runner::Runner;

/// The layers that are looked at and edited. In text: `head`, `all`, or patterns of tensor names
/// with commas between them (`layer4.*,fc.*`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Layers {
    /// The last layer, as in the paper.
    #[default]
    Head,
    /// Every parameter.
    All,
    /// The tensors whose full name fits one of these patterns.
    Patterns(Vec<String>),
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::All => f.write_str("all"),
            Self::Patterns(list) => f.write_str(&list.join(",")),
        }
    }
}

impl From<Layers> for String {
    fn from(layers: Layers) -> Self {
        layers.to_string()
    }
}

impl TryFrom<String> for Layers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "head" => Ok(Self::Head),
            "all" => Ok(Self::All),
            _ => {
                let list: Vec<String> = text.split(',').map(|p| p.trim().to_owned()).collect();
                if list.iter().any(String::is_empty) {
                    return Err("expected `head`, `all` or patterns of tensor names".into());
                }
                set(&list)?;
                Ok(Self::Patterns(list))
            }
        }
    }
}

fn set(patterns: &[String]) -> Result<GlobSet, String> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(Glob::new(pattern).map_err(|error| error.to_string())?);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The tensors of one model that take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    /// Of the head: weight and bias.
    pub(crate) head: [bool; 2],
    /// Below it, by full name.
    pub(crate) inner: Vec<String>,
}

impl Layers {
    /// The tensors of a model that take part; `runner` runs it, where the engine does not. Where only a
    /// model's head is known, the tensors below it are those of its card, `carded`.
    ///
    /// # Errors
    /// [`EngineError::Layers`] when no tensor fits, or only the head is known.
    pub(crate) fn select(
        &self,
        model: &LoadedModel,
        runner: Option<&dyn Runner>,
        carded: &[String],
    ) -> Result<Selected, EngineError> {
        let head = model.head_tensors();
        if *self == Self::Head {
            return Ok(Selected {
                head: [true, model.has_bias()],
                inner: Vec::new(),
            });
        }
        let names = inner_tensors(self, model, runner, carded)?;
        let Self::Patterns(patterns) = self else {
            return Ok(Selected {
                head: [true, model.has_bias()],
                inner: names,
            });
        };
        let set = set(patterns).map_err(EngineError::Setting)?;
        let selected = Selected {
            head: [
                set.is_match(&head[0]),
                model.has_bias() && set.is_match(&head[1]),
            ],
            inner: names
                .iter()
                .filter(|name| set.is_match(name))
                .cloned()
                .collect(),
        };
        if selected.head == [false; 2] && selected.inner.is_empty() {
            let known: Vec<&str> = names
                .iter()
                .chain(&head)
                .map(String::as_str)
                .take(12)
                .collect();
            return Err(EngineError::Layers {
                reason: format!(
                    "no tensor of `{}` fits the layers `{self}`; it has {}, ...",
                    model.id(),
                    known.join(", ")
                ),
                hint: Hint::ChooseLayers,
            });
        }
        Ok(selected)
    }
}

/// Of a model only the head is known.
pub(crate) fn only_head(layers: &Layers, model: &LoadedModel) -> EngineError {
    EngineError::Layers {
        reason: format!(
            "of `{}` only the head is known here, and `{layers}` names inner layers",
            model.id()
        ),
        hint: Hint::EditWhereNetworkRuns,
    }
}

/// The parameters below a model's head.
fn inner_tensors(
    layers: &Layers,
    model: &LoadedModel,
    runner: Option<&dyn Runner>,
    carded: &[String],
) -> Result<Vec<String>, EngineError> {
    if let Some(runner) = runner {
        return runner.inner_tensors(model);
    }
    if model.is_head_only() && !carded.is_empty() {
        return Ok(carded.to_vec());
    }
    if model.is_head_only() {
        return Err(only_head(layers, model));
    }
    let tensors = disinherit_nets::inner_tensors(&model.architecture)
        .map_err(EngineError::net(model.id()))?;
    Ok(tensors.into_iter().map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_are_read_back() {
        for text in ["head", "all", "layer4.*,fc.*"] {
            assert_eq!(text.parse::<Layers>().unwrap().to_string(), text);
        }
        for bad in ["", "a,,b", "layer[", "{a"] {
            assert!(bad.parse::<Layers>().is_err(), "{bad}");
        }
    }
}
