//! The laboratory: inheritance networks grown from recipes, the methods that FIUn is compared with,
//! and studies that judge them all.
//!
//! A [`Recipe`] describes a network of models as data; [`grow`] trains it. Every method of
//! [`MethodKind`] goes through the engine's one door, [`disinherit::Method`]. [`run_study`] grows,
//! forgets by several methods and judges each; [`request_report`] makes a study of a request that
//! was executed. A [`Study`] is plain data that a page can be drawn from.

mod baselines;
mod built_in;
mod elsewhere;
mod error;
mod forget;
mod grow;
mod metrics;
mod recipe;
mod request_report;
mod study;
mod training_list;
mod training_run;
mod variant;

pub use baselines::{MethodKind, Settings, SettingsPatch, Setup};
pub use built_in::{BUILT_IN, built_in};
pub use error::LabError;
pub use forget::{ForgetRecipe, SampleChoice};
pub use grow::{Grown, check_recipe, forget, grow, trainings};
pub use metrics::Metrics;
pub use recipe::{Heads, LabelChoice, ModelRecipe, Recipe, RelationName, Repeat};
pub use request_report::request_report;
pub use study::{
    Compared, FEWEST_SHADOWS, MethodResult, ModelResult, Study, StudyModel, StudyOptions, mean,
    run_study,
};
pub use training_list::write_trainings;
pub use training_run::{Training, Trainings};
pub use variant::Variant;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
