//! What the user should know about the edits.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_registry::{InnerEdit, LossCheck, MatchedSamples, ModelOutcome};
use fiun::{Dampening, HeadPart};
use umig::{Forget, ModelId};

use crate::error::EngineError;
use crate::provenance::absence_warning;
use crate::work::Work;

/// How far the area of forgotten samples may be from the one aimed at before it is told.
const STANDS_OUT: f64 = 0.05;

/// What the user should know about the edits of a method.
pub(crate) fn warnings(
    work: &Work<'_>,
    outcomes: &BTreeMap<ModelId, ModelOutcome>,
) -> Result<Vec<String>, EngineError> {
    let mut list = Vec::new();
    for outcome in outcomes.values() {
        if outcome.alpha.is_some() {
            list.extend(of_dampening(work, outcome));
        }
        // A method without Fisher information says nothing of outputs.
        if outcome.alpha.is_some() || outcome.inner.is_some() {
            list.extend(missing_outputs(work, &outcome.before));
            list.extend(absence(work, &outcome.before)?);
        }
        list.extend(
            outcome
                .matched
                .iter()
                .flat_map(|m| of_matching(&outcome.before, m)),
        );
    }
    list.extend(less_deep(outcomes, OUTPUTS_ONLY, |inner| {
        inner.outputs_only.as_ref()
    }));
    list.extend(less_deep(outcomes, ONE_LAYER_ONLY, |inner| {
        inner.one_layer_only.as_ref()
    }));
    list.extend(unmeasured(outcomes));
    Ok(list)
}

/// What the user should know about how one model's samples were matched.
fn of_matching(id: &ModelId, matched: &MatchedSamples) -> Vec<String> {
    let mut list = Vec::new();
    if matched.head_only {
        list.push(format!(
            "{id}: only its head was matched: what lies below it is not run here"
        ));
    }
    let [_, after] = matched.area;
    if (after - matched.aim).abs() > STANDS_OUT {
        list.push(format!(
            "{id}: the forgotten samples are told from unseen ones with an area of {after:.2} under the \
             curve, where {:.2} was aimed at",
            matched.aim
        ));
    }
    list
}

/// What is said of one model, and of several, that was not edited below its head.
const OUTPUTS_ONLY: [&str; 2] = [
    "only its outputs were edited",
    "only their outputs were edited",
];

/// The same of one whose last stage steps were tried over and not taken.
const ONE_LAYER_ONLY: [&str; 2] = [
    "only one layer below its head was edited, and its features tell nearly as much as before",
    "only one layer below their heads was edited, and their features tell nearly as much as before",
];

/// Models that were edited less deep than they might have been; those with the same reason together.
fn less_deep(
    outcomes: &BTreeMap<ModelId, ModelOutcome>,
    [of_one, of_several]: [&str; 2],
    reason: impl Fn(&InnerEdit) -> Option<&String>,
) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&ModelId>> = BTreeMap::new();
    for outcome in outcomes.values() {
        if let Some(reason) = outcome.inner.as_ref().and_then(&reason) {
            by_reason.entry(reason).or_default().push(&outcome.before);
        }
    }
    let worded = |(reason, ids): (&str, Vec<&ModelId>)| match &ids[..] {
        [only] => format!("{only}: {of_one}: {reason}"),
        [first, .., last] => format!(
            "{} models, {first} to {last}: {of_several}: {reason}",
            ids.len()
        ),
        [] => String::new(),
    };
    by_reason.into_iter().map(worded).collect()
}

/// Models that are named in one warning.
const NAMED: usize = 5;

/// What the user should know of models whose loss nothing tells.
fn unmeasured(outcomes: &BTreeMap<ModelId, ModelOutcome>) -> Option<String> {
    let blind = outcomes.values();
    let blind = blind.filter(|outcome| outcome.loss == Some(LossCheck::NotMeasured));
    let names: Vec<String> = blind.map(|outcome| outcome.before.to_string()).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "not measured, since no retained training data of theirs is at hand: the loss of accuracy on \
             the retained data of {}{more}",
            names[..names.len().min(NAMED)].join(", ")
        )
    })
}

/// What the user should know about how one model was dampened.
fn of_dampening(work: &Work<'_>, outcome: &ModelOutcome) -> Vec<String> {
    let mut list = Vec::new();
    let id = &outcome.before;
    // A searched alpha has been tried on data; only one that was given needs the warning.
    let given = outcome.choice.is_none().then_some(outcome);
    let dampening = given.and_then(|o| Dampening::new(o.alpha?, o.lambda?).ok());
    list.extend(
        dampening
            .and_then(Dampening::warning)
            .map(|w| format!("{id}: {w}")),
    );
    list.extend(choice_warning(outcome));
    if outcome.selection().selected == 0 {
        list.push(format!(
            "{id}: nothing was selected, the model is unchanged; lower alpha"
        ));
    }
    if let Some(before) = &outcome.fallback_card {
        list.push(format!(
            "{id}: has no FIM card of its own; that of {before}, less what was forgotten since, \
                 stood in for it"
        ));
    }
    if !outcome.unmatched.is_empty() {
        list.push(format!(
            "{id}: rows without a counterpart in the forget FIM stayed as they were: {}",
            outcome.unmatched.join(", ")
        ));
    }
    if let Forget::Classes(classes) = work.forget() {
        let unknown = unreached(work, outcome, classes);
        if !unknown.is_empty() {
            list.push(format!(
                "{id}: was itself trained on {}, which no initial model that reaches it was: that \
                     is not forgotten, unless {id} is named as an initial model or none is named",
                unknown.join(", ")
            ));
        }
    }
    list
}

/// The forgotten classes that a model has no output for.
fn missing_outputs(work: &Work<'_>, id: &ModelId) -> Option<String> {
    let Forget::Classes(classes) = work.forget() else {
        return None;
    };
    let labels = &work.graph().get(id)?.labels;
    let missing = classes.iter().filter(|class| !labels.contains(class));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    let any = !labels.is_empty() && !missing.is_empty();
    any.then(|| format!("{id}: has no output for {}", missing.join(", ")))
}

/// What the user should know about data that a card was made without, just now.
fn absence(work: &Work<'_>, id: &ModelId) -> Result<Option<String>, EngineError> {
    let new = work.cards.get(id).is_some_and(|card| card.new);
    match (work.graph().get(id), work.engine.data()) {
        (Some(vertex), Some(data)) if new => absence_warning(vertex, &data.train),
        _ => Ok(None),
    }
}

/// What the user should know about how alpha was chosen.
fn choice_warning(outcome: &ModelOutcome) -> Option<String> {
    let (id, choice) = (&outcome.before, outcome.choice.as_ref()?);
    let Some(suppression) = &choice.suppression else {
        let alpha = choice.alpha;
        return (!choice.reached).then(|| {
            format!("{id}: no alpha meets the target; the nearest one, {alpha:.3}, was taken")
        });
    };
    let suppressed = match suppression.part {
        HeadPart::Bias => format!(
            "logit suppression: the biases of the forgotten labels are lower by {:.3}",
            suppression.by
        ),
        HeadPart::Weight => format!(
            "logit suppression: the weights of the forgotten labels moved {:.1} % of the way to the mean \
             of the others",
            100.0 * suppression.by
        ),
    };
    let left = format!(
        "{id}: dampening alone leaves {:.1} % of the forget samples recognised (alpha {:.3}); {suppressed}",
        100.0 * suppression.forget_before,
        choice.alpha,
    );
    let missed = if choice.reached {
        ""
    } else {
        ", and the target is still missed"
    };
    Some(left + missed)
}

/// Classes that a model learned by itself and that no initial model that reaches it learned: their
/// Fisher information is nowhere in the request.
fn unreached<'a>(
    work: &Work<'_>,
    outcome: &ModelOutcome,
    classes: &'a BTreeSet<String>,
) -> Vec<&'a str> {
    let learned = |id: &ModelId, class: &String| {
        let model = work.graph().get(id);
        model.is_some_and(|m| m.training.iter().any(|t| t.labels.contains(class)))
    };
    classes
        .iter()
        .filter(|class| {
            learned(&outcome.before, class) && !outcome.initial.iter().any(|id| learned(id, class))
        })
        .map(String::as_str)
        .collect()
}
