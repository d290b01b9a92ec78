//! The auditor's report: what was asked, done, found and deleted. It prints, and needs no script.

use disinherit::registry::PurgeRecord;
use disinherit_report::{DRAWING_STYLE, judgement, plots};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::evidence::Evidence;
use crate::report::history::history;
use crate::report::scope::{ModelLink, counts, models, still, unreached};
use crate::report::words;
use crate::when::{day, time};

/// The style of reports, for the page that they are in; [`DRAWING_STYLE`] is not in it.
pub const STYLE: &str = include_str!("style.css");

/// The most entries of a list on a page.
const LISTED: usize = 200;

/// The report as a file that needs nothing else: HTML that prints, without script, without links.
pub fn report_file(evidence: &Evidence) -> String {
    let title = format!("Report on request {}", evidence.record.erasure.id);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - disinherit" }
                style { (PreEscaped(DRAWING_STYLE)) (PreEscaped(STYLE)) }
            }
            body { main { (whole(evidence, &|_| None, usize::MAX)) } }
        }
    };
    page.into_string()
}

/// The report as a part of a page that has [`DRAWING_STYLE`] and [`STYLE`]. Long lists are cut there, and say so.
pub fn report(evidence: &Evidence, link: ModelLink<'_>) -> Markup {
    whole(evidence, link, LISTED)
}

/// The report, with so many entries of a list at most.
fn whole(evidence: &Evidence, link: ModelLink<'_>, most: usize) -> Markup {
    let record = &evidence.record;
    let erasure = &record.erasure;
    html! {
        article.report {
            h1 { "Report on erasure request " (erasure.id) }
            p.soft { "From what is on record"
                @if let Some(last) = evidence.last() { " as of entry " (last.id) " of the log, " (time(last.time)) }
                ". It follows from the log and the objects of the registry; nothing was measured for it." }
            (request(evidence))
            @if let Some((scope, graph)) = &record.scope {
                section { h2 { "Whom it touches" } (counts(scope)) (still(graph)) (models(scope, true, link)) }
                section { h2 { "What it cannot reach" } (unreached(scope)) }
            }
            (data(evidence, most))
            (done(evidence, most))
            (found(evidence))
            (deleted(evidence, most))
            (signed(evidence))
            section {
                h2 { "Every step" }
                (history(&record.history, true))
                (log(evidence))
            }
        }
    }
}

/// What was asked, by whom, until when, and who took part.
fn request(evidence: &Evidence) -> Markup {
    let erasure = &evidence.record.erasure;
    html! {
        section { h2 { "The request" } dl {
            dt { "To forget" } dd { (erasure.asked) }
            dt { "For" } dd { (erasure.requester.as_deref().unwrap_or("not given")) }
            dt { "Legal basis" } dd { (erasure.basis.as_deref().unwrap_or("not given")) }
            dt { "Received" } dd { (time(erasure.received)) }
            dt { "Deadline" } dd { (day(erasure.deadline))
                @if let Some(reason) = &erasure.extended { ", extended: " (reason) } }
            dt { "State" } dd { (words::state(erasure.state))
                @if let Some(reason) = &erasure.reason { " " (reason) } }
            dt { "Filed" } dd { (words::moment(&erasure.filed.by, erasure.filed.time)) }
            dt { "Approved" } dd { @match &erasure.approved {
                Some(stamp) => (words::moment(&stamp.by, stamp.time)), None => "not yet" } }
        } }
    }
}

/// What the models that were trained on the forget data had learnt.
fn data(evidence: &Evidence, most: usize) -> Markup {
    html! {
        section { h2 { "Data touched" }
            @if evidence.data.is_empty() {
                p { "It is not on record what the initial models were trained on." }
            } @else {
                ul { @for (model, training) in evidence.data.iter().take(most) { li { strong { (model) } ": " (training) } } }
                (words::left_out(evidence.data.len(), most))
            }
        }
    }
}

/// By which method, with which cards, at what cost.
fn done(evidence: &Evidence, most: usize) -> Markup {
    let record = &evidence.record;
    let plan = record.erasure.plan.as_ref();
    html! {
        section { h2 { "What was done" }
            dl {
                dt { "Method" } dd { @match plan { Some(plan) => (plan.method), None => "not planned yet" } }
                @if let Some(plan) = plan {
                    dt { "Loss bound" } dd { (format!("{:.1} points of retained accuracy", 100.0 * plan.loss_bound.target))
                        @if let Some(accepted) = plan.loss_bound.accepted {
                            (format!(", {:.1} accepted", 100.0 * accepted)) } }
                }
                @if let Some((largest, count)) = evidence.loss() {
                    dt { "Largest loss" } dd { (format!("{largest:.1} points, over {count} models that it was measured of")) }
                }
                dt { "FIM cards" } dd {
                    @if evidence.cards.is_empty() { "none of the initial models is kept" }
                    @for (model, card) in evidence.cards.iter().take(most) {
                        div { (model) ": " (card.estimator) ", " code { (card.blob) } }
                    }
                    (words::left_out(evidence.cards.len(), most))
                }
            }
            @for (operation, run) in &record.published {
                p { "Published by entry " (operation) " of the log, as request " code { (run.id) } "." }
                @if !run.retired.is_empty() {
                    p { "Retired, without a successor:" }
                    ul { @for gone in &run.retired { li { (gone.model) " (" (gone.role) "), digest " code { (gone.digest) } } } }
                }
                @if !run.warnings.is_empty() {
                    p { "It warned:" }
                    ul { @for warning in &run.warnings { li { (warning) } } }
                }
            }
            @if record.outcomes.is_empty() { p { "Nothing was published yet." } }
            @else { (record.reached().models()) }
        }
    }
}

/// What the evaluator found, with failures.
fn found(evidence: &Evidence) -> Markup {
    let record = &evidence.record;
    html! {
        section { h2 { "What was found" }
            @match &record.erasure.verdict {
                None => p { "Nothing was judged yet." },
                Some(verdict) => {
                    @if let Some(why) = &verdict.not_judged { p { "Nothing was judged: " (why) } }
                    @else {
                        p { (verdict.judged) " models were judged; " (verdict.recognised) " of them still recognise the \
                            forget data." @if let Some(required) = &verdict.required { " Every model had to reach: " (required) "." } }
                        (judgement(record.reached()))
                        (attacks())
                        @for (title, plot) in plots(record.reached()) { section.plot-section { h3 { (title) } (plot) } }
                    }
                }
            }
        }
    }
}

/// What the tests are called elsewhere, and what is not tried.
fn attacks() -> Markup {
    html! {
        p.soft { "In the terms of NIST AI 100-2 E2025, the tests of membership are membership inference attacks that see a model's \
            confidences. Probes and relearning see its features and weights; that taxonomy has no name for them. Data reconstruction, \
            property inference and model extraction were not tried." }
    }
}

/// What was deleted, and what that does not reach.
fn deleted(evidence: &Evidence, most: usize) -> Markup {
    html! {
        section { h2 { "What was deleted" }
            @match &evidence.purge {
                None => p { "No weights were purged for this request yet." },
                Some((row, purge)) => {
                    p { "By entry " (row.id) " of the log, " (words::moment(&row.actor, row.time)) ": the weights of "
                        (purge.models.len()) " versions, " (purge.cards) " FIM cards, " (purge.objects) " objects, "
                        (purge.bytes) " bytes. Reason: " (purge.reason) "." }
                    (purged(purge, most))
                }
            }
            p { "Features of forgotten samples went from the cache of the registry with the run. Backups of the storage, \
                earlier versions that it keeps, and caches of other programs are not reached: delete them by their own rules." }
        }
    }
}

/// The versions whose weights were deleted.
fn purged(purge: &PurgeRecord, most: usize) -> Markup {
    html! {
        ul { @for (model, digest) in purge.models.iter().take(most) { li { (model) " " code { (digest) } } } }
        (words::left_out(purge.models.len(), most))
    }
}

fn signed(evidence: &Evidence) -> Markup {
    let erasure = &evidence.record.erasure;
    html! {
        section { h2 { "Signature" }
            @match &erasure.certificate {
                None => p { "No certificate was signed yet." },
                Some(digest) => {
                    dl {
                        dt { "Certificate" } dd { code { (digest) } }
                        @if let Some(key) = &evidence.key { dt { "Key" } dd { code { (key.id) } } }
                    }
                    p { "An in-toto statement in a DSSE envelope. It can be checked without the registry, with the public key \
                        alone: the bundle of this request has it, with the commands that check it." }
                }
            }
        }
    }
}

fn log(evidence: &Evidence) -> Markup {
    html! {
        @if let Some(last) = evidence.last() {
            p { "The log has " (last.id) " entries. The hash of the last one, which covers all before it, is "
                code { (last.hash) } "." }
        }
        @if evidence.altered.is_empty() { p.good { "The chain of hashes is whole." } }
        @else { p.late { "The log has been altered:" } ul { @for what in &evidence.altered { li { (what) } } } }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use disinherit::registry::Digest;
    use disinherit::umig::ModelId;

    use super::*;

    #[test]
    fn a_list_that_is_cut_says_how_many_are_left_out() {
        let models = (1..=LISTED + 3).map(|number| {
            let id = ModelId::new(format!("team-{number}"), 1).unwrap();
            (id, Digest::from_content(number.to_string().as_bytes()))
        });
        let purge = PurgeRecord {
            reason: "request 1".into(),
            models: models.collect(),
            cards: 0,
            objects: 0,
            bytes: 0,
            erasure: None,
        };
        let on_page = purged(&purge, LISTED).into_string();
        assert!(on_page.contains("and 3 more;") && !on_page.contains("team-203@1"));
        let in_file = purged(&purge, usize::MAX).into_string();
        assert!(in_file.contains("team-203@1") && !in_file.contains("more;"));
    }
}
