//! Studies: grow, forget by several methods, judge each.

mod judging;
mod kept;
mod results;
mod run;

pub use self::results::{Compared, MethodResult, ModelResult, Study, StudyModel, mean};
pub use self::run::{StudyOptions, run_study};
