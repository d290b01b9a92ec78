//! Verdicts: how they are made, what they rest on, and how they are worded.

use disinherit::Engine;
use disinherit::evaluation::{
    CertifiedVerdict, Depth, Estimate, Evaluator, Inside, Interval, Judgement, Reference,
    ReferenceKind, SampleVerdict,
};
use disinherit::umig::{Forget, ModelId};

use crate::args::verdict::VerdictArgs;
use crate::error::CliError;

/// What verdicts of a depth rest on.
pub(crate) fn evidence(depth: Depth) -> &'static str {
    if depth == Depth::OUTPUTS {
        "outputs"
    } else {
        "outputs, features, membership"
    }
}

/// What models still hold, each on its own training data and on held-out data.
pub(crate) fn judge(
    engine: &Engine<'_>,
    ids: &[ModelId],
    forget: &Forget,
    asked: &VerdictArgs,
) -> Result<Vec<CertifiedVerdict>, CliError> {
    let evaluator = Evaluator::new(engine, forget, asked.depth())?;
    Ok(evaluator.judge(ids, asked.at_most)?)
}

/// A verdict in words.
pub(super) fn in_words(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Outputs => "outputs",
        Judgement::Features => "features",
        Judgement::Indistinguishable => "indistinguishable",
        Judgement::RetrainedBaseline => "retrained",
        Judgement::Recognised => "STILL RECOGNISED",
        Judgement::NotMeasured => "nothing to measure",
    }
}

/// What was found inside a model, as the cells of a table.
pub(super) fn cells(inside: Option<&Inside>) -> [String; 4] {
    let Some(inside) = inside else {
        return ["-", "-", "-", "-"].map(str::to_owned);
    };
    let found = &inside.measured;
    let share = |found: Option<Estimate>| found.map_or("-".into(), |f| percent(f.mean));
    [
        share(found.probe),
        found.reset.map_or("-".into(), |f| format!("{:.1}", f.mean)),
        share(found.area),
        share(found.fitted),
    ]
}

/// What a model was compared with, in a line.
pub(super) fn compared(reference: Option<&Reference>) -> String {
    let Some(reference) = reference else {
        return "no model of the graph is on record as never having known it: nothing to compare with"
            .into();
    };
    let names: Vec<String> = reference
        .models
        .iter()
        .map(|id| format!("`{id}`"))
        .collect();
    let kind = match reference.kind {
        ReferenceKind::Retrained => "retrained models",
        ReferenceKind::UntouchedRoot => "the untouched root",
    };
    let range = |what: &str, interval: Option<Interval>| {
        interval.map(|i| format!("{what} {} to {}", percent(i.low()), percent(i.high())))
    };
    let steps = reference.reset;
    let parts: Vec<String> = [
        range("probe", reference.probe),
        steps.map(|i| format!("relearning at least {:.1}", i.low())),
        range("area", reference.area),
        reference
            .fitted
            .map(|i| format!("fitted at most {}", percent(i.high()))),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("{kind} {}: {}", names.join(", "), parts.join(", "))
}

/// How forgotten samples stand against unseen ones, in lines.
pub(super) fn of_samples(found: &SampleVerdict) -> [String; 3] {
    let ([forgotten, unseen], [loss, unseen_loss]) = (found.accuracy, found.loss);
    let [low, high] = found.interval;
    [
        format!(
            "{} forgotten samples beside {} unseen ones of their labels: accuracy {} and {} (at most {} \
             passes), loss {loss:.3} and {unseen_loss:.3}",
            found.forgotten,
            found.unseen,
            percent(forgotten),
            percent(unseen),
            percent(found.allowed()),
        ),
        format!(
            "told from them with a membership area of {}, 95 % between {} and {}; 50 is chance",
            percent(found.area),
            percent(low),
            percent(high)
        ),
        format!(
            "the one that stands out most is `{}`: surer than of {} % of the unseen ones",
            found.weakest.id,
            percent(found.weakest.share)
        ),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_claim_no_more_than_was_looked_at() {
        assert_eq!(in_words(Judgement::Outputs), "outputs");
        assert_eq!(in_words(Judgement::Recognised), "STILL RECOGNISED");
        assert_eq!(in_words(Judgement::NotMeasured), "nothing to measure");
        assert_eq!(evidence(Depth::OUTPUTS), "outputs");
        assert!(compared(None).contains("nothing to compare with"));
    }
}
