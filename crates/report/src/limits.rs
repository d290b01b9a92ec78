//! What an edit does not promise.

use disinherit_lab::MethodResult;
use disinherit_registry::ModelOutcome;

/// What editing the last layer does and does not do, in one sentence.
const HEAD_ONLY: &str = "Only the last layer was edited: even where the outputs no longer name the \
forgotten class, the inner features still tell its samples apart, so anyone who trains a new last \
layer on such samples can bring it back.";

/// How far edits below the head reach.
const REACH: &str = "How far that reaches, the probe and relearning in the verdicts measure, beside the \
retrained models or an untouched root where there is one.";

/// The same of more layers.
const MORE: &str = "More than the last layer was edited. Whether the inner features still tell the forgotten \
class's samples apart, the probe and relearning in the verdicts measure, where they were asked for.";

/// The limits of an edit, in a sentence for the user.
pub fn honest(shown: Option<&MethodResult>) -> String {
    let models = shown.map_or(&[][..], |result| &result.models);
    let outcomes: Vec<&ModelOutcome> = models.iter().map(|model| &model.outcome).collect();
    limits(&outcomes)
}

/// The same, from what was done to each model.
pub(crate) fn limits(outcomes: &[&ModelOutcome]) -> String {
    let deep = |outcome: &&&ModelOutcome| {
        let inner = outcome.inner.as_ref();
        inner.is_some_and(|inner| inner.layer.is_some())
    };
    let count = outcomes.iter().filter(deep).count();
    match outcomes.first() {
        Some(_) if count == outcomes.len() => {
            let inner = outcomes.iter().filter_map(|outcome| outcome.inner.as_ref());
            match inner.filter(|inner| inner.refined.is_some()).count() {
                0 => format!(
                    "The penultimate layer was edited too, and what lies below it is as it was. {REACH}"
                ),
                refined => format!(
                    "The penultimate layer was edited too, in {refined} of {count} models all layers of the \
                     last stage, and what lies below is as it was. {REACH}"
                ),
            }
        }
        Some(_) if count > 0 => format!(
            "In {count} of {} models the penultimate layer was edited too. {HEAD_ONLY}",
            outcomes.len()
        ),
        Some(outcome) if outcome.tensors.len() > 2 => MORE.to_owned(),
        _ => HEAD_ONLY.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn outcome(inner: &Value) -> ModelOutcome {
        let outcome = json!({
            "before": "a@1", "after": "a@2", "role": "initial", "initial": ["a@1"],
            "digest_before": "00".repeat(32), "digest_after": null,
            "alpha": null, "lambda": null, "choice": null, "tensors": {}, "unmatched": [],
            "stand_in": null, "inner": inner, "seconds": 0.1,
        });
        serde_json::from_value(outcome).unwrap()
    }

    #[test]
    fn it_says_how_deep_edits_went() {
        let layer = json!({"basis": "own", "layer": "fc1.weight", "ridge": 0.04});
        let mut stage = layer.clone();
        stage["refined"] = json!({
            "weight": 0.02, "steps": 40, "separation": [4.0, 3.9, 2.8], "tensors": ["fc1.weight"],
        });
        let outputs = json!({"basis": "none", "outputs_only": "no data"});
        let [layer, stage, outputs] = [&layer, &stage, &outputs].map(outcome);
        let one = limits(&[&layer, &layer]);
        assert!(
            one.contains("penultimate layer") && !one.contains("last stage"),
            "{one}"
        );
        let some = limits(&[&layer, &stage]);
        assert!(
            some.contains("in 1 of 2 models all layers of the last stage"),
            "{some}"
        );
        assert!(limits(&[&stage, &outputs]).contains("In 1 of 2 models the penultimate layer"));
        assert_eq!(limits(&[&outputs]), HEAD_ONLY);
    }
}
