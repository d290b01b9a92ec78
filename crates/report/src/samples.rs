//! Forgotten samples beside unseen ones, in sentences.

use disinherit::evaluation::SampleVerdict;
use umig::ModelId;

use crate::text::percent;

/// How one model's forgotten samples stand, and which of them stands out most.
pub(crate) fn sentence(model: &ModelId, found: &SampleVerdict) -> String {
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
    format!(
        "{}: {} forgotten samples are named right in {} of the cases, {} unseen ones of their labels in {}; \
         they are told apart with a membership area of {} (95 %: {} to {}). The one that stands out most is \
         `{}`, {beside}.",
        model,
        found.forgotten,
        percent(Some(*forgotten)),
        found.unseen,
        percent(Some(*unseen)),
        percent(Some(found.area)),
        percent(Some(*low)),
        percent(Some(*high)),
        weakest.id,
    )
}
