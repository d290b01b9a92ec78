//! What happened to a request, from the log.

use disinherit::registry::{ErasureStep, OperationRecord, OperationRow, stopped_in_words};
use maud::{Markup, html};

use crate::when::{day, time};

/// The entries of the log that concern a request, oldest first, as a table; with their hashes where those are asked
/// for.
pub fn history(rows: &[OperationRow], hashes: bool) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="History" { table {
            thead { tr { th { "Entry" } th { "Time" } th { "Who" } th { "What" } @if hashes { th { "Hash" } } } }
            tbody { @for row in rows { tr {
                td { (row.id) }
                td { (time(row.time)) }
                td { (row.actor) }
                td { (row.command) @if let Some(said) = said(row) { ": " (said) } }
                @if hashes { td { code { (row.hash) } } }
            } } }
        } }
    }
}

/// What was said with a step.
fn said(row: &OperationRow) -> Option<String> {
    let record = row.record().ok()?;
    match record {
        OperationRecord::Erasure(record) => match record.step {
            ErasureStep::Comment { text } => Some(text),
            ErasureStep::Reject { reason } | ErasureStep::Fail { reason } => Some(reason),
            ErasureStep::Extend { deadline, reason } => {
                Some(format!("until {}, {reason}", day(deadline)))
            }
            ErasureStep::Plan(plan) => Some(format!(
                "{} initial and {} inherited models, by {}",
                plan.initial, plan.inherited, plan.method
            )),
            ErasureStep::Approve { four_eyes: true } => {
                Some("by somebody else than who filed it".into())
            }
            ErasureStep::Run { taken_over: true } => Some("taken over".into()),
            ErasureStep::Cancel { run, job, reason } => {
                Some(stopped_in_words(run, job, reason.as_deref())).filter(|said| !said.is_empty())
            }
            ErasureStep::Verify(verdict) => Some(verdict.to_string()),
            ErasureStep::Certify { key, .. } => Some(format!("with key {key}")),
            ErasureStep::New(_)
            | ErasureStep::Approve { .. }
            | ErasureStep::Run { .. }
            | ErasureStep::Purge
            | ErasureStep::Close => None,
        },
        OperationRecord::Unlearn(record) => {
            Some(format!("{} new versions published", record.models.len()))
        }
        OperationRecord::Purge(record) => Some(format!(
            "{} versions, {} FIM cards, {} objects, {} bytes",
            record.models.len(),
            record.cards,
            record.objects,
            record.bytes
        )),
        OperationRecord::Undo(record) => Some(format!("entry {}", record.undoes)),
        _ => None,
    }
}
