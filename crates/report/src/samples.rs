//! Forgotten samples beside unseen ones, in sentences.

use disinherit::evaluation::SampleVerdict;
use disinherit_lab::ModelResult;

use crate::text::percent;

/// How one model's forgotten samples stand, and which of them stands out most; nothing where whole
/// classes are forgotten.
pub(crate) fn sentence(model: &ModelResult) -> Option<String> {
    let found = model.verdicts.samples.as_ref()?;
    let SampleVerdict {
        accuracy: [forgotten, unseen],
        interval: [low, high],
        weakest,
        ..
    } = found;
    let beside = weakest.above_retrained.map_or_else(
        || {
            format!(
                "surer than of {} of the unseen ones",
                percent(Some(weakest.share))
            )
        },
        |above| format!("{above:+.1} nats beside the retrained model"),
    );
    Some(format!(
        "{}: {} forgotten samples are named right in {} of the cases, {} unseen ones of their labels in {}; \
         they are told apart with a membership area of {} (95 %: {} to {}). The one that stands out most is \
         `{}`, {beside}.",
        model.id,
        found.forgotten,
        percent(Some(*forgotten)),
        found.unseen,
        percent(Some(*unseen)),
        percent(Some(found.area)),
        percent(Some(*low)),
        percent(Some(*high)),
        weakest.id,
    ))
}
