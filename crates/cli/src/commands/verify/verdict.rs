//! Verdicts: how they are made, what they rest on, and how they are worded.

use disinherit::Engine;
use disinherit::evaluation::{CertifiedVerdict, Depth, Evaluator, Judgement};
use disinherit::umig::{Forget, ModelId};

use crate::error::CliError;

/// What the verdicts rest on: the outputs of the models alone. What their inner layers keep is not
/// looked at.
pub(crate) const EVIDENCE: &str = "outputs";

/// What models still recognise, each on its own training data and on held-out data.
pub(crate) fn judge(
    engine: &Engine<'_>,
    ids: &[ModelId],
    forget: &Forget,
    at_most: f64,
) -> Result<Vec<CertifiedVerdict>, CliError> {
    let evaluator = Evaluator::new(engine, forget, Depth::OUTPUTS)?;
    Ok(evaluator.judge(ids, at_most)?)
}

/// A verdict in words.
pub(super) fn in_words(judgement: Judgement) -> &'static str {
    match judgement {
        // Nothing here looks further than the outputs.
        Judgement::NotRecognised
        | Judgement::NoBaseline
        | Judgement::SkinDeep
        | Judgement::Deep
        | Judgement::RetrainedBaseline => "not recognised",
        Judgement::Recognised => "STILL RECOGNISED",
        Judgement::NotMeasured => "nothing to measure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_claim_no_more_than_outputs_show() {
        assert_eq!(in_words(Judgement::NotRecognised), "not recognised");
        assert_eq!(in_words(Judgement::Recognised), "STILL RECOGNISED");
        assert_eq!(in_words(Judgement::NotMeasured), "nothing to measure");
    }
}
