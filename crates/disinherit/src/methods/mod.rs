//! The methods that a user would pick instead, behind one interface, with their costs measured in
//! the same way.

mod run;
mod settings;
mod subject;
mod tuned;
mod variant;

use std::fmt;
use std::str::FromStr;

use disinherit_registry::MethodName;
use serde::{Deserialize, Serialize};

use crate::error::suggest;

pub use self::run::{Mended, Trial, run_method};
pub use self::settings::{Settings, SettingsPatch};
pub use self::variant::Variant;

/// A way to make models forget.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Fisher inheritance unlearning.
    #[default]
    Fiun,
    /// Training again without the forget data, parents before children.
    Retrain,
    /// Further training on the retained data.
    FineTune,
    /// A fresh network that imitates the old one on the retained data.
    Distill,
    /// Ascent on the forget data at the initial models; every heir adds the same difference.
    GradientAscent,
    /// Selective synaptic dampening of each model with its own forget data.
    Ssd,
    /// The forgotten classes' outputs can no longer win.
    Mask,
    /// Training on the forget data under wrong labels, beside the retained data.
    RandomLabels,
    /// Ascent on the forget data beside descent on the retained data.
    NegGradPlus,
    /// Away from the old model on the forget data, close to it on the rest, in turns.
    Scrub,
    /// Impair with noise that maximises the error, then repair.
    Unsir,
    /// Imitate a fresh network on the forget data and the old one on the rest.
    BadTeacher,
    /// Random labels, only where the forget data's gradient is large.
    SalUn,
}

/// Every method: its name, what it does, where it comes from.
const METHODS: [(Method, &str, &str, &str); 13] = [
    (
        Method::Fiun,
        "fiun",
        "Fisher inheritance unlearning: dampen what the forget data's Fisher information on the \
         initial model points at",
        "Liu et al., arXiv:2408.08493",
    ),
    (
        Method::Retrain,
        "retrain",
        "train again without the forget data, parents before children (the gold standard)",
        "-",
    ),
    (
        Method::FineTune,
        "fine-tune",
        "train on with the retained data only",
        "-",
    ),
    (
        Method::Distill,
        "distill",
        "a fresh network imitates the old one on the retained data, the forgotten outputs left out",
        "Hinton et al., arXiv:1503.02531",
    ),
    (
        Method::GradientAscent,
        "gradient-ascent",
        "ascend the loss of the forget data at the initial models, and copy the difference to the \
         heirs",
        "Thudi et al., arXiv:2109.13398; as a rival in arXiv:2408.08493",
    ),
    (
        Method::Ssd,
        "ssd",
        "selective synaptic dampening in each model with its own forget data",
        "Foster et al., arXiv:2308.07707",
    ),
    (
        Method::Mask,
        "mask",
        "the forgotten classes' outputs can no longer win; nothing inside is forgotten",
        "-",
    ),
    (
        Method::RandomLabels,
        "random-labels",
        "train on the forget data under random other labels, beside the retained data",
        "Graves et al., arXiv:2010.10981",
    ),
    (
        Method::NegGradPlus,
        "neg-grad-plus",
        "ascend on the forget data while descending on the retained data",
        "Kurmanji et al., arXiv:2302.09880",
    ),
    (
        Method::Scrub,
        "scrub",
        "get away from the old model on the forget data and stay close to it on the rest, in turns",
        "Kurmanji et al., arXiv:2302.09880",
    ),
    (
        Method::Unsir,
        "unsir",
        "impair with noise that maximises the error of the forgotten classes, then repair",
        "Tarun et al., arXiv:2111.08947",
    ),
    (
        Method::BadTeacher,
        "bad-teacher",
        "imitate a fresh network on the forget data and the old one on the rest",
        "Chundawat et al., arXiv:2205.08096",
    ),
    (
        Method::SalUn,
        "sal-un",
        "random labels, changing only the parameters in which the forget data's gradient is large",
        "Fan et al., arXiv:2310.12508",
    ),
];

impl Method {
    /// All methods, FIUn first.
    pub fn all() -> impl Iterator<Item = Self> {
        METHODS.iter().map(|(method, ..)| *method)
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str, &'static str) {
        let found = METHODS.iter().find(|(method, ..)| *method == self);
        found.unwrap_or(&METHODS[0])
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// What it does, in a line.
    pub fn purpose(self) -> &'static str {
        self.entry().2
    }

    /// Where it comes from.
    pub fn source(self) -> &'static str {
        self.entry().3
    }

    /// Whether it works with Fisher information.
    pub fn dampens(self) -> bool {
        matches!(self, Self::Fiun | Self::Ssd)
    }

    /// Whether it serves whole classes only.
    pub fn serves_classes_only(self) -> bool {
        matches!(self, Self::Mask | Self::Unsir)
    }
}

impl From<Method> for MethodName {
    fn from(method: Method) -> Self {
        Self::new(method.name())
    }
}

impl Method {
    /// The method that the log names; FIUn for a name that this version does not know.
    pub(crate) fn from_record(name: &MethodName) -> Self {
        name.as_str().parse().unwrap_or_default()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all()
            .find(|method| method.name() == text)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::all().map(Self::name).collect();
                format!(
                    "unknown method `{text}`{}; known are {}",
                    suggest(text, names.iter().copied()),
                    names.join(", ")
                )
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The log has the name, and cards, drafts and recipes have what serde makes of the method.
    #[test]
    fn a_method_has_one_name_everywhere() {
        for method in Method::all() {
            let stored = serde_json::to_value(method).unwrap();
            assert_eq!(stored, method.name());
            assert_eq!(Method::from_record(&method.into()), method);
        }
    }
}
