//! Requests on the terminal.

use disinherit::model::now;
use disinherit::registry::{ErasureRequest, ErasureState, Stamp};
use disinherit_desk::{ErasureScope, Unreached};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::next_step::step_after;
use crate::output::{self, outln};

/// A day, in milliseconds.
const DAY: u64 = 24 * 3_600_000;

/// The most models of a scope that are listed.
const LISTED: usize = 20;

/// Says what a step has made of a request, and what may come next.
pub(super) fn stepped(context: &Context, erasure: &ErasureRequest) -> Result<Outcome, CliError> {
    if context.json {
        output::json(&json!({ "request": erasure }))?;
    } else {
        outln!("request {} is {}", erasure.id, erasure.state);
        next(erasure);
    }
    Ok(Outcome::Done)
}

/// The command that comes next, where one does.
pub(super) fn next(erasure: &ErasureRequest) {
    if let Some(command) = next_command(erasure) {
        outln!("next: {command}");
    }
}

fn next_command(erasure: &ErasureRequest) -> Option<String> {
    let id = erasure.id;
    let step = match erasure.state {
        ErasureState::Running if erasure.is_being_run() => return None,
        ErasureState::Closed | ErasureState::Rejected => return None,
        ErasureState::Failed | ErasureState::Cancelled => {
            return Some(format!(
                "`disinherit request run {id}`, or `disinherit request plan {id}` to go about it otherwise"
            ));
        }
        state => step_after(state)?,
    };
    Some(format!("`disinherit request {step}`").replace("ID", &id.to_string()))
}

/// A deadline, and how far it is.
pub(super) fn deadline(erasure: &ErasureRequest) -> String {
    let date = output::time(erasure.deadline);
    let date = date.split(' ').next().unwrap_or_default().to_owned();
    if !erasure.state.is_open() {
        return date;
    }
    let now = now();
    match erasure.deadline.checked_sub(now) {
        Some(left) if left >= DAY => format!("{date}, in {}", days(left / DAY)),
        Some(_) => format!("{date}, TODAY"),
        None => format!(
            "{date}, OVERDUE by {}",
            days((now - erasure.deadline) / DAY)
        ),
    }
}

fn days(count: u64) -> String {
    match count {
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    }
}

/// Who did something, and when.
pub(super) fn stamp(stamp: &Stamp) -> String {
    format!("{} by {}", output::time(stamp.time), stamp.by)
}

/// Whom a request touches and why, and what it cannot reach.
pub(super) fn scope(scope: &ErasureScope) {
    let [initial, inherited, retired] = scope.counts();
    outln!(
        "touches {} models by {}: {initial} initial, {inherited} inherited; {retired} of them would be retired",
        scope.models.len(),
        scope.method
    );
    for model in scope.models.iter().take(LISTED) {
        outln!("  {} ({}): {}", model.model, model.role, model.why());
    }
    if scope.models.len() > LISTED {
        outln!(
            "  and {} more (--json has all)",
            scope.models.len() - LISTED
        );
    }
    for what in &scope.unreached {
        outln!("cannot reach: {}", unreached(what));
    }
}

fn unreached(what: &Unreached) -> String {
    match what {
        Unreached::Copies => {
            "copies that were exported or deployed; the registry does not know where they are"
                .into()
        }
        Unreached::Backups => "backups, and earlier versions that the storage keeps".into(),
        Unreached::NoRecord { count, models } => {
            let more = if *count > models.len() { ", ..." } else { "" };
            format!(
                "what is not on record: {count} models do not say what they were trained on ({}{more})",
                output::joined(models)
            )
        }
    }
}
