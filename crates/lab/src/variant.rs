//! A method with the layers that it edits.

use std::fmt;
use std::str::FromStr;

use disinherit::Layers;
use serde::{Deserialize, Serialize};

use crate::baselines::MethodKind;

/// A method as a study runs it. In text: the method's name, and for one that dampens `+all` where
/// every layer is edited, `+raw` where FIMs are compared as they are, `+dampen` where nothing but
/// dampening is done, as in the paper (`fiun+all+raw`), `+features` where the penultimate layer is
/// edited too, so that features forget, and `+cards` where no data is at hand, only the FIM cards that
/// were made while it was.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Variant {
    /// The method.
    pub method: MethodKind,
    /// Whether every layer is edited instead of the last one.
    pub all_layers: bool,
    /// Whether FIMs are compared as they are.
    pub raw: bool,
    /// Whether biases are left alone where dampening does not do.
    pub dampen_only: bool,
    /// Whether the edit goes below the head, to the features.
    pub features: bool,
    /// Whether it works from FIM cards alone, without data.
    pub cards: bool,
}

impl Variant {
    /// The layers that are edited.
    pub fn layers(self) -> Layers {
        if self.all_layers {
            Layers::All
        } else {
            Layers::Head
        }
    }
}

impl From<MethodKind> for Variant {
    fn from(method: MethodKind) -> Self {
        Self {
            method,
            ..Self::default()
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.all_layers { "+all" } else { "" };
        let raw = if self.raw { "+raw" } else { "" };
        let dampen = if self.dampen_only { "+dampen" } else { "" };
        let features = if self.features { "+features" } else { "" };
        let cards = if self.cards { "+cards" } else { "" };
        f.pad(&format!(
            "{}{all}{raw}{dampen}{features}{cards}",
            self.method
        ))
    }
}

impl From<Variant> for String {
    fn from(variant: Variant) -> Self {
        variant.to_string()
    }
}

impl TryFrom<String> for Variant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('+');
        let mut variant = Self::from(parts.next().unwrap_or_default().parse::<MethodKind>()?);
        for part in parts {
            match part {
                "all" if variant.method.dampens() => variant.all_layers = true,
                "raw" if variant.method.dampens() => variant.raw = true,
                "dampen" if variant.method == MethodKind::Fiun => variant.dampen_only = true,
                "features" if variant.method == MethodKind::Fiun => variant.features = true,
                "cards" if variant.method == MethodKind::Fiun => variant.cards = true,
                _ => {
                    return Err(format!(
                        "`{text}` is no variant of `{}`: `+all` and `+raw` are for methods that \
                         dampen, `+dampen`, `+features` and `+cards` for FIUn",
                        variant.method
                    ));
                }
            }
        }
        Ok(variant)
    }
}
