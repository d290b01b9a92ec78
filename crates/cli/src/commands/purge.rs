//! `purge`: deletes what superseded versions remember.

use bytesize::ByteSize;
use clap::{ArgGroup, Args};
use disinherit::registry::{Purge, Purged, Registry};
use disinherit::umig::ModelId;
use serde_json::json;

use crate::args::values::duration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Delete for good what superseded versions remember: weights, FIM cards, cached features.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(false),
    after_help = "\
Examples:
  disinherit purge --request 13 --reason 'erasure request 7' --dry-run
  disinherit purge --due --reason retention
  disinherit purge clinic@1 base@2 --reason 'erasure request 7'"
)]
pub(crate) struct PurgeArgs {
    /// The superseded versions, as name@version.
    #[arg(group = "which")]
    models: Vec<ModelId>,
    /// All that a request replaced or retired: its id, or the number of its operation.
    #[arg(long, group = "which", value_name = "REQUEST")]
    request: Option<String>,
    /// All that have been superseded for longer than the registry's retention (`retention`).
    #[arg(long, group = "which")]
    due: bool,
    /// All that have been superseded for longer than this, such as 30d or 12h.
    #[arg(long, group = "which", value_name = "TIME", value_parser = duration)]
    older_than: Option<u64>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Say what would go, and delete nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, args: &PurgeArgs) -> Result<Outcome, CliError> {
    if args.reason.trim().is_empty() {
        return Err(
            CliError::usage("a purge needs a reason").help("for instance `--reason 'request 17'`")
        );
    }
    let registry = context.registry()?;
    let models = chosen(&registry, args)?;
    if models.is_empty() {
        if context.json {
            output::json(&json!({"models": []}))?;
        } else {
            outln!("nothing to purge");
        }
        return Ok(Outcome::Done);
    }
    let purged = registry.purge(&Purge {
        models,
        reason: args.reason.clone(),
        erasure: None,
        dry_run: args.dry_run,
    })?;
    if context.json {
        output::json(&purged)?;
    } else {
        print(&purged);
    }
    Ok(Outcome::Done)
}

/// The versions that the flags choose.
fn chosen(registry: &Registry, args: &PurgeArgs) -> Result<Vec<ModelId>, CliError> {
    let older = |length: u64| -> Result<Vec<ModelId>, CliError> {
        let before = disinherit::model::now().saturating_sub(length);
        Ok(registry.superseded_before(before)?)
    };
    if let Some(request) = &args.request {
        let past = disinherit::past_request(registry, Some(request))?;
        return Ok(past.replaced().cloned().collect());
    }
    if let Some(length) = args.older_than {
        return older(length);
    }
    if args.due {
        return match registry.retention()?.as_deref() {
            None => Err(CliError::new("the registry has no retention policy")
                .help("set one with `disinherit retention 30d`, or give `--older-than`")),
            Some(text) => older(duration(text).map_err(CliError::new)?),
        };
    }
    Ok(args.models.clone())
}

/// What went, or would go.
pub(super) fn print(purged: &Purged) {
    match purged.operation {
        None => outln!("would purge, and delete nothing yet:"),
        Some(operation) => outln!("purged (operation {operation}):"),
    }
    if !purged.models.is_empty() {
        let ids = purged.models.iter().map(|(id, _)| id);
        outln!("  versions: {}", output::joined(ids));
    }
    outln!(
        "  objects: {} ({}), FIM cards: {}",
        purged.objects,
        ByteSize::b(purged.bytes),
        purged.cards
    );
    outln!(
        "  kept, since other versions share them: {} objects",
        purged.shared
    );
    if purged.operation.is_some() {
        outln!("  cached features: {} entries", purged.features);
    }
}
