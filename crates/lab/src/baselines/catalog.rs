//! All methods: their names and descriptions, and how each is made.

use std::fmt;
use std::str::FromStr;

use disinherit::{EditDepth, FiunOptions, MatchingOptions, Method, suggest};
use umig::Forget;

use super::describe::{Description, How};
use super::gradient_ascent::{self, GradientAscent};
use super::kind::MethodKind;
use super::lfssd::{self, Lfssd};
use super::retrain::{self, Retrain};
use super::settings::Settings;
use super::trained::Trained;
use super::{
    bad_teacher, boundary_shrink, delete, distill, fine_tune, fisher_methods, mask, matching,
    neg_grad_plus, projection, random_labels, sal_un, scrub, unsir,
};
use crate::training_run::Trainings;

/// Every method. A new one is a file with its description, and a line here.
const METHODS: [Description; 18] = [
    fisher_methods::FIUN,
    matching::DESCRIPTION,
    retrain::DESCRIPTION,
    fine_tune::DESCRIPTION,
    distill::DESCRIPTION,
    gradient_ascent::DESCRIPTION,
    fisher_methods::SSD,
    mask::DESCRIPTION,
    random_labels::DESCRIPTION,
    neg_grad_plus::DESCRIPTION,
    scrub::DESCRIPTION,
    unsir::DESCRIPTION,
    bad_teacher::DESCRIPTION,
    sal_un::DESCRIPTION,
    boundary_shrink::DESCRIPTION,
    delete::DESCRIPTION,
    lfssd::DESCRIPTION,
    projection::DESCRIPTION,
];

/// Everything that a method can be set up with; each takes what it knows.
#[derive(Debug, Clone)]
pub struct Setup {
    /// For methods that train.
    pub settings: Settings,
    /// For methods that work with Fisher information.
    pub fiun: FiunOptions,
    /// For matching.
    pub matching: MatchingOptions,
    /// How each model is trained, for retraining.
    pub trainings: Trainings,
}

impl Setup {
    /// The defaults of a method.
    pub fn for_method(method: MethodKind) -> Self {
        let settings = Settings::for_method(method);
        Self {
            trainings: Trainings::same(&settings),
            settings,
            fiun: FiunOptions {
                depth: EditDepth::Outputs,
                ..FiunOptions::default()
            },
            matching: MatchingOptions::default(),
        }
    }
}

impl MethodKind {
    /// All methods, FIUn first.
    pub fn all() -> impl Iterator<Item = Self> {
        METHODS.iter().map(|method| method.kind)
    }

    fn description(self) -> &'static Description {
        static TABLE: [Description; 18] = METHODS;
        let found = TABLE.iter().find(|method| method.kind == self);
        found.unwrap_or(&TABLE[0])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// What it does, in a line.
    pub fn purpose(self) -> &'static str {
        self.description().purpose
    }

    /// Where it comes from.
    pub fn source(self) -> &'static str {
        self.description().source
    }

    /// Whether it works with Fisher information.
    pub fn dampens(self) -> bool {
        matches!(self.description().how, How::Fisher)
    }

    /// Whether it serves whole classes only.
    pub fn serves_classes_only(self) -> bool {
        self.description().classes_only
    }

    /// Whether it answers a request for this.
    pub fn serves(self, forget: &Forget) -> bool {
        match forget {
            Forget::Classes(_) => self != Self::Matching,
            Forget::Samples(_) | Forget::Source(_) => !self.serves_classes_only(),
        }
    }

    /// The method for a request where none is named: FIUn for classes; for samples and sources matching,
    /// which works on data, and FIUn where there is none, or where its layers or its threshold are given.
    pub fn for_request(forget: &Forget, has_data: bool, fiun: &FiunOptions) -> Self {
        let usual = FiunOptions::default();
        let plain = fiun.alpha == usual.alpha && fiun.fisher.layers == usual.fisher.layers;
        match forget {
            Forget::Samples(_) | Forget::Source(_) if has_data && plain => Self::Matching,
            _ => Self::Fiun,
        }
    }

    /// Whether it trains by settings that can be given.
    pub fn has_settings(self) -> bool {
        !self.dampens() && self != Self::Matching
    }

    /// The method, set up.
    pub fn with(self, setup: &Setup) -> Box<dyn Method> {
        match (self, self.description().how) {
            (Self::Ssd, _) => Box::new(fisher_methods::ssd(&setup.fiun)),
            (_, How::Trained(weights)) => Box::new(Trained {
                method: self,
                classes_only: self.serves_classes_only(),
                weights,
                settings: setup.settings.clone(),
            }),
            (Self::Retrain, _) => Box::new(Retrain {
                trainings: setup.trainings.clone(),
            }),
            (Self::GradientAscent, _) => Box::new(GradientAscent {
                settings: setup.settings.clone(),
            }),
            (Self::Matching, _) => Box::new(matching::matching(&setup.matching)),
            (Self::Lfssd, _) => Box::new(Lfssd::new(&setup.fiun, &setup.settings)),
            _ => Box::new(fisher_methods::fiun(&setup.fiun)),
        }
    }
}

impl fmt::Display for MethodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for MethodKind {
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
