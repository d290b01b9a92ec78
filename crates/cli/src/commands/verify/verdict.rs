//! Verdicts: how they are made, what they rest on, and how they are worded.

use disinherit::data::Splits;
use disinherit::registry::Registry;
use disinherit::umig::{Forget, ModelId};
use disinherit::{CertifiedVerdict, Evaluator};

use crate::context::Context;
use crate::error::CliError;

/// What the verdicts rest on: the outputs of the models alone. What their inner layers keep is not
/// looked at.
pub(crate) const EVIDENCE: &str = "outputs";

/// What models still recognise, each on its own training data and on held-out data.
pub(crate) fn judge(
    context: &Context,
    registry: &Registry,
    ids: &[ModelId],
    forget: &Forget,
    splits: &Splits,
    at_most: f64,
) -> Result<Vec<CertifiedVerdict>, CliError> {
    let features = context.features(registry).not_writing(forget);
    let evaluator = Evaluator::new(splits, &features);
    Ok(disinherit::judge(
        registry,
        &evaluator,
        ids,
        forget,
        at_most,
        &context.bars,
    )?)
}

/// A verdict in words.
pub(super) fn in_words(passed: Option<bool>) -> &'static str {
    match passed {
        Some(true) => "not recognised",
        Some(false) => "STILL RECOGNISED",
        None => "nothing to measure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_claim_no_more_than_outputs_show() {
        assert_eq!(in_words(Some(true)), "not recognised");
        assert_eq!(in_words(Some(false)), "STILL RECOGNISED");
        assert_eq!(in_words(None), "nothing to measure");
    }
}
