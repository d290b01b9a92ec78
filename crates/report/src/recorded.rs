//! What a request reached, from the verdicts and outcomes that are on record. Nothing is measured anew.

use disinherit::evaluation::{
    CertifiedVerdict, Estimate, Finding, Interval, Judged, Judgement, Measured, Reference, Scores,
};
use disinherit_registry::ModelOutcome;
use maud::{Markup, html};

use crate::judged::{beside, meaning, tone, word};
use crate::limits::limits;
use crate::plot::{accuracy, inside, layers, search};
use crate::samples::sentence;
use crate::text::{duration, marked, percent};

/// The most models of a plot: those that recognise most of what is forgotten.
const DOTS: usize = 200;

/// The most models whose search for alpha is shown.
const CURVES: usize = 12;

/// The most models of a table.
const ROWS: usize = 200;

/// What is on record of a request.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The verdict on each new version; none where nothing was judged.
    pub verdicts: &'a [CertifiedVerdict],
    /// What was done to each model.
    pub outcomes: &'a [ModelOutcome],
}

/// One thing that was measured inside the models.
struct Test {
    name: &'static str,
    pick: fn(&Measured) -> Option<Estimate>,
    interval: fn(&Reference) -> Option<Interval>,
    /// What a value is multiplied by to be shown, and its sign.
    unit: (f64, &'static str),
    /// The findings that it leads to.
    findings: &'static [Finding],
}

const TESTS: [Test; 5] = [
    Test {
        name: "Probe on the penultimate layer",
        pick: |m| m.probe,
        interval: |r| r.probe,
        unit: (100.0, " %"),
        findings: &[Finding::ProbeAbove, Finding::ProbeOverErased],
    },
    Test {
        name: "Probe on an inner layer",
        pick: |m| m.inner_probe,
        interval: |r| r.inner_probe,
        unit: (100.0, " %"),
        findings: &[Finding::InnerProbeAbove, Finding::InnerProbeOverErased],
    },
    Test {
        name: "Relearning from a neutral row",
        pick: |m| m.reset,
        interval: |r| r.reset,
        unit: (1.0, " steps"),
        findings: &[Finding::ResetFaster],
    },
    Test {
        name: "Membership by confidence, area",
        pick: |m| m.area,
        interval: |r| r.area,
        unit: (100.0, " %"),
        findings: &[
            Finding::AreaAbove,
            Finding::AreaBelow,
            Finding::AreaOverErased,
        ],
    },
    Test {
        name: "Membership by a fitted attack, area",
        pick: |m| m.fitted,
        interval: |r| r.fitted,
        unit: (100.0, " %"),
        findings: &[Finding::FittedAbove],
    },
];

/// The judgement in words, with what the models are compared with, every test beside the interval of the
/// reference, and the limits of the edit.
pub fn judgement(recorded: Recorded<'_>) -> Markup {
    let judged = least(recorded.verdicts);
    let word = word(judged.judgement);
    let reached = recorded.verdicts.iter();
    let reached = reached.filter(|verdict| verdict.judgement() == judged.judgement);
    let (reached, all) = (reached.count(), recorded.verdicts.len());
    let outcomes: Vec<&ModelOutcome> = recorded.outcomes.iter().collect();
    html! {
        div class={ "judgement " (tone(&judged).name()) } {
            strong { (word) }
            span { (marked(&meaning(&judged))) "." }
            @if reached < all { span { (reached) " of " (all) " models reach no more; the others do." } }
        }
        @if recorded.verdicts.iter().any(|verdict| verdict.inside.is_some()) {
            p { (marked(&beside(reference(recorded.verdicts)))) }
        }
        (tests(recorded.verdicts))
        @if judged.findings.len() > 1 {
            p { "In the way of more: " }
            ul { @for finding in &judged.findings { li { (finding) } } }
        }
        p.honest { (marked(&limits(&outcomes))) }
    }
}

/// What is said of all models together: the least that one reaches, and why those say no more.
fn least(verdicts: &[CertifiedVerdict]) -> Judged {
    let words = verdicts.iter().map(CertifiedVerdict::judgement);
    let judgement = words.reduce(Judgement::at_most);
    let judgement = judgement.unwrap_or(Judgement::NotMeasured);
    let lowest = verdicts
        .iter()
        .filter(|verdict| verdict.judgement() == judgement);
    let mut findings: Vec<Finding> = lowest
        .flat_map(|verdict| match &verdict.inside {
            Some(inside) => inside.findings.clone(),
            None if judgement == Judgement::Outputs => vec![Finding::InsideNotMeasured],
            None => Vec::new(),
        })
        .collect();
    findings.sort_unstable();
    findings.dedup();
    Judged {
        judgement,
        findings,
    }
}

/// What the models are compared with.
fn reference(verdicts: &[CertifiedVerdict]) -> Option<&Reference> {
    let inside = verdicts
        .iter()
        .filter_map(|verdict| verdict.inside.as_ref());
    inside.filter_map(|inside| inside.reference.as_ref()).next()
}

/// Every test over all models, with the interval of the reference and what the test can tell.
fn tests(verdicts: &[CertifiedVerdict]) -> Markup {
    let heldout = verdicts.iter().filter_map(|v| v.scores.forget.heldout);
    let worst = heldout.reduce(f64::max);
    let at_most = verdicts.iter().map(|v| v.at_most).reduce(f64::min);
    html! {
        div.wide tabindex="0" role="group" aria-label="Tests" { table {
            thead { tr { th { "Test" } th { "The models" } th { "The reference" } th { "It finds" } th { "Found" } } }
            tbody {
                tr {
                    td { "Accuracy on held-out samples of the forget set" }
                    td { "at most " (percent(worst)) }
                    td { "-" }
                    td { "more than " (percent(at_most)) }
                    td { @let over = verdicts.iter().filter(|v| v.passed == Some(false)).count();
                        @match (worst, over) {
                            (None, _) => "not measured",
                            (_, 0) => "nothing",
                            (_, over) => { (over) " of " (verdicts.len()) " models" }
                        } }
                }
                @for test in &TESTS { (test.row(verdicts)) }
            }
        } }
        @for verdict in verdicts.iter().take(ROWS) {
            @if let Some(samples) = &verdict.samples { p { (marked(&sentence(&verdict.model, samples))) } }
        }
    }
}

impl Test {
    fn row(&self, verdicts: &[CertifiedVerdict]) -> Markup {
        let inside = verdicts
            .iter()
            .filter_map(|verdict| verdict.inside.as_ref());
        let found: Vec<Estimate> = inside
            .clone()
            .filter_map(|inside| (self.pick)(&inside.measured))
            .collect();
        let interval = reference(verdicts).and_then(self.interval);
        let findings = inside.filter(|inside| {
            let found = inside.findings.iter();
            found.clone().any(|finding| self.findings.contains(finding))
        });
        html! {
            tr {
                td { (self.name) }
                td { (self.range(&found)) }
                td { @match interval {
                    Some(interval) => { (self.value(interval.low())) " to " (self.value(interval.high())) (self.unit.1) }
                    None => "-",
                } }
                td { @match interval {
                    Some(interval) => { "differences above " (self.value(interval.half_width)) (self.unit.1) }
                    None => "-",
                } }
                td { @match (found.is_empty(), interval, findings.count()) {
                    (true, ..) => "not measured",
                    (_, None, _) => "nothing to compare with",
                    (_, _, 0) => "nothing",
                    (_, _, count) => { (count) " of " (verdicts.len()) " models" }
                } }
            }
        }
    }

    fn value(&self, value: f64) -> String {
        format!("{:.1}", value * self.unit.0)
    }

    /// From the least to the most, and how often each was measured.
    fn range(&self, found: &[Estimate]) -> String {
        let means = found.iter().map(|estimate| estimate.mean);
        let (Some(low), Some(high)) = (means.clone().reduce(f64::min), means.reduce(f64::max))
        else {
            return "-".into();
        };
        let times = found.iter().map(|estimate| estimate.count).min();
        let times = match times {
            Some(times) if times > 1 => format!(" ({times} seeds each)"),
            _ => String::new(),
        };
        format!(
            "{} to {}{}{times}",
            self.value(low),
            self.value(high),
            self.unit.1
        )
    }
}

/// The plots of what is on record, each with its title.
pub fn plots(recorded: Recorded<'_>) -> Vec<(&'static str, Markup)> {
    let mut list = Vec::new();
    let verdicts = most_recognising(recorded.verdicts);
    let fewer = verdicts.len() < recorded.verdicts.len();
    let fewer = html! { @if fewer { p { "The " (DOTS) " models that recognise most of it." } } };
    if verdicts.iter().any(|verdict| verdict.inside.is_some()) {
        let row = inside::Row {
            name: "after".into(),
            class: "after",
            models: verdicts
                .iter()
                .filter_map(|verdict| {
                    let inside = verdict.inside.as_ref()?;
                    Some((verdict.model.to_string(), inside.measured))
                })
                .collect(),
        };
        let drawn = inside::bands(&[row], reference(recorded.verdicts));
        list.push(("How far it is forgotten", html! { (fewer) (drawn) }));
    }
    if !verdicts.is_empty() {
        let dots = |title, pick: fn(&Scores) -> Option<f64>| {
            let of = |verdict: &&CertifiedVerdict| {
                Some((verdict.model.to_string(), pick(&verdict.scores)?))
            };
            let row = accuracy::Row {
                name: "after".into(),
                class: "after",
                dots: verdicts.iter().filter_map(of).collect(),
            };
            accuracy::dots(title, &[row])
        };
        let drawn = html! {
            div.pair {
                (dots("on the forget set, held out", |scores| scores.forget.heldout))
                (dots("on the retain set, held out", |scores| scores.retain.heldout))
            }
        };
        list.push(("Accuracy, model by model", html! { (fewer) (drawn) }));
    }
    list.extend(of_edits(recorded.outcomes));
    list
}

/// The plots of what was done.
fn of_edits(outcomes: &[ModelOutcome]) -> Vec<(&'static str, Markup)> {
    let mut list = Vec::new();
    if outcomes.iter().any(|outcome| outcome.choice.is_some()) {
        let shown = outcomes.iter().filter(|outcome| outcome.choice.is_some());
        let drawn = search::curves(shown.clone().take(CURVES));
        let more = shown.count().saturating_sub(CURVES);
        let drawn = html! { (drawn) @if more > 0 { p { "and " (more) " more models" } } };
        list.push(("How alpha was chosen", drawn));
    }
    if outcomes
        .iter()
        .any(|outcome| outcome.selection().selected > 0)
    {
        let drawn = html! {
            p { "Share of each tensor's parameters that were selected, over all touched models." }
            (layers::bars("all models", outcomes.iter()))
        };
        list.push(("What was selected in each layer", drawn));
    }
    list
}

/// Every verdict, or those on the models that recognise most of what is forgotten.
fn most_recognising(verdicts: &[CertifiedVerdict]) -> Vec<&CertifiedVerdict> {
    let mut list: Vec<&CertifiedVerdict> = verdicts.iter().collect();
    if list.len() > DOTS {
        let left = |v: &CertifiedVerdict| v.scores.forget.heldout.unwrap_or(f64::INFINITY);
        list.sort_by(|a, b| left(b).total_cmp(&left(a)));
        list.truncate(DOTS);
    }
    list
}

/// What of a model was changed: parameters that were dampened, or a layer that was edited as a whole.
fn changed(outcome: &ModelOutcome) -> Markup {
    let selection = outcome.selection();
    let inner = outcome.inner.as_ref();
    let layer = inner.and_then(|inner| inner.layer.as_ref());
    let stage = inner.and_then(|inner| inner.refined.as_ref());
    html! {
        @match (selection.selected, layer, stage) {
            (0, Some(_), Some(stage)) => { "head and " (stage.tensors.len()) " tensors of the last stage" },
            (0, Some(layer), None) => { "head and " code { (layer) } },
            _ => { (selection.selected) " of " (selection.parameters) },
        }
    }
}

impl Recorded<'_> {
    /// What was done to each model: digests before and after, parameters, cost, verdict.
    pub fn models(&self) -> Markup {
        let verdict = |outcome: &ModelOutcome| {
            let mut verdicts = self.verdicts.iter();
            verdicts.find(|verdict| verdict.model == outcome.after)
        };
        html! {
            div.wide tabindex="0" role="group" aria-label="Models" { table {
                thead { tr {
                    th { "Model" } th { "Becomes" } th { "Digest before" } th { "Digest after" }
                    th { "Alpha / lambda" } th { "Changed" } th { "Time" }
                    th { "Forget set" } th { "Retain set" } th { "Judgement" }
                } }
                tbody { @for outcome in self.outcomes.iter().take(ROWS) {
                    @let verdict = verdict(outcome);
                    @let scores = verdict.map(|verdict| verdict.scores).unwrap_or_default();
                    tr {
                        td { (outcome.before) " (" (outcome.role) ")" }
                        td { (outcome.after) }
                        td { code { (outcome.digest_before) } }
                        td { @match outcome.digest_after { Some(digest) => code { (digest) }, None => "-" } }
                        td { @match outcome.alpha.zip(outcome.lambda) {
                            Some((alpha, lambda)) => (format!("{alpha:.2} / {lambda:.1}")), None => "-" } }
                        td { (changed(outcome)) }
                        td { (duration(outcome.seconds)) }
                        td { (percent(scores.forget.heldout)) }
                        td { (percent(scores.retain.heldout)) }
                        td { @match verdict { Some(verdict) => (word(verdict.judgement())), None => "not judged" } }
                    }
                } }
            } }
            @if self.outcomes.len() > ROWS {
                p { "and " (self.outcomes.len() - ROWS) " more; the certificate has all of them" }
            }
        }
    }
}
