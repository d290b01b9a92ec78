//! Studies: grow, forget by several methods, judge each.

mod judging;
mod kept;
mod network;
mod options;
mod results;
mod run;
mod shadows;

pub use self::options::{FEWEST_SHADOWS, StudyOptions};
pub use self::results::{Compared, MethodResult, ModelResult, Study, StudyModel, mean};
pub use self::run::run_study;
