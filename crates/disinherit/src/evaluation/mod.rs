//! Verdicts: how well a model has forgotten, seen from several sides. Each is to be read against
//! the model before, and against one that was retrained without the forget data.

mod attack;
mod distance;
mod evaluation_set;
mod evaluator;
mod judgement;
mod logistic;
mod membership;
mod probe;
mod relearn;
mod scores;
mod verdicts;

pub use self::distance::Distance;
pub use self::evaluation_set::{EvalSplit, EvaluationSet, Observation};
pub use self::evaluator::Evaluator;
pub use self::judgement::{Inside, Judgement};
pub use self::membership::Membership;
pub use self::relearn::Relearning;
pub use self::scores::{Accuracy, CertifiedVerdict, Scores};
pub use self::verdicts::{Depth, Verdicts};
