//! Verdicts: how well a model has forgotten, seen from several sides. Each is to be read against
//! the model before, and against one that was retrained without the forget data.

pub(crate) mod area;
mod attack;
mod beside_unseen;
mod certify;
mod descent;
mod distance;
mod estimate;
mod evaluation_set;
mod evaluator;
mod fitted;
mod head_alone;
mod inner_layer;
mod judged_samples;
mod judgement;
mod logistic;
mod measured;
mod membership;
mod neutral_row;
mod probe;
mod relearn;
mod sample_verdict;
mod sampling;
mod scores;
mod unseen;
mod untouched;
mod verdicts;

pub use self::distance::Distance;
pub use self::estimate::Estimate;
pub use self::evaluation_set::{EvalSplit, EvaluationSet, Observation};
pub use self::evaluator::Evaluator;
pub use self::judgement::{Finding, Judged, Judgement};
pub use self::measured::{Interval, Measured, Reference, ReferenceKind};
pub use self::membership::Membership;
pub use self::probe::{InnerProbe, Probes};
pub use self::relearn::{Relearning, ResetRelearning};
pub use self::sample_verdict::{SampleVerdict, Weakest};
pub use self::scores::{Accuracy, CertifiedVerdict, Inside, Scores};
pub use self::untouched::UntouchedRoot;
pub use self::verdicts::{Depth, Verdicts};
