//! Commands that keep a registry: list, undo, purge, retention, gc, fsck.

use std::process::ExitCode;

use bytesize::ByteSize;
use disinherit::Progress;
use disinherit_registry::{Garbage, Health, Page, Purge, Purged, Registry, State};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde_json::json;
use umig::ModelId;

use super::{Context, open};
use crate::args::{ListArgs, PurgeArgs, StateArg};
use crate::error::CliError;
use crate::{output, table};

/// The setting that says how long superseded versions are kept.
const RETENTION: &str = "retention";

/// No end.
const FOREVER: &str = "forever";

pub(super) fn list(context: &Context, args: &ListArgs) -> Result<(), CliError> {
    let registry = context.registry()?;
    let rows = registry.page(&Page {
        after: args.after.clone(),
        limit: args.limit,
        prefix: args.prefix.clone(),
        state: args.state.map(|state| match state {
            StateArg::Current => State::Current,
            StateArg::Superseded => State::Superseded,
            StateArg::Purged => State::Purged,
        }),
    })?;
    let next = rows
        .last()
        .filter(|_| rows.len() == args.limit as usize)
        .map(|row| row.vertex.id.clone());
    if context.json {
        let models: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "model": row.vertex.id,
                    "state": row.state(),
                    "time": row.vertex.time,
                    "digest": row.manifest,
                    "labels": row.vertex.labels.len(),
                })
            })
            .collect();
        return output::json(&json!({"models": models, "next": next}));
    }
    let lines = rows
        .iter()
        .map(|row| {
            let digest = row.manifest.to_string();
            vec![
                row.vertex.id.to_string(),
                row.state().name().to_owned(),
                output::time(row.vertex.time),
                digest.chars().take(12).collect(),
                row.vertex.labels.len().to_string(),
            ]
        })
        .collect();
    table::print(&["model", "state", "time", "digest", "labels"], lines, 4);
    if let Some(next) = next {
        println!("more: --after {next}");
    }
    Ok(())
}

pub(super) fn undo(context: &Context, operation: i64) -> Result<(), CliError> {
    let undone = context.registry()?.undo(operation.into())?;
    if context.json {
        return output::json(&undone);
    }
    println!(
        "undid operation {operation} (by operation {})",
        undone.operation
    );
    print_ids("taken out", &undone.removed);
    print_ids("current again", &undone.restored);
    Ok(())
}

fn print_ids(what: &str, ids: &[ModelId]) {
    if !ids.is_empty() {
        let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
        println!("  {what}: {}", list.join(", "));
    }
}

/// A length of time, such as `30d`, in milliseconds.
fn duration(text: &str) -> Result<u64, CliError> {
    let wrong = || {
        CliError::new(format!("`{text}` is no length of time"))
            .help("a number with a unit: 90d, 12h, 30min, 10s")
    };
    let span: Span = text.parse().map_err(|_| wrong())?;
    let length: SignedDuration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    u64::try_from(length.as_millis()).map_err(|_| wrong())
}

pub(super) fn retention(context: &Context, keep: Option<&str>) -> Result<(), CliError> {
    let registry = context.registry()?;
    if let Some(keep) = keep {
        if keep != FOREVER {
            duration(keep)?;
        }
        registry.set(RETENTION, keep)?;
    }
    let keep = registry.setting(RETENTION)?;
    let keep = keep.as_deref().unwrap_or(FOREVER);
    if context.json {
        return output::json(&json!({ "retention": keep }));
    }
    if keep == FOREVER {
        println!("superseded versions are kept until they are purged by name");
    } else {
        println!(
            "superseded versions are kept for {keep}; `disinherit purge --due` deletes older ones"
        );
    }
    Ok(())
}

pub(super) fn purge(context: &Context, args: &PurgeArgs) -> Result<(), CliError> {
    if args.reason.trim().is_empty() {
        return Err(
            CliError::new("a purge needs a reason").help("for instance `--reason 'request 17'`")
        );
    }
    let registry = context.registry()?;
    let models = chosen(&registry, args)?;
    if models.is_empty() {
        if context.json {
            return output::json(&json!({"models": []}));
        }
        println!("nothing to purge");
        return Ok(());
    }
    let purged = registry.purge(&Purge {
        models,
        reason: args.reason.clone(),
        dry_run: args.dry_run,
    })?;
    if context.json {
        return output::json(&purged);
    }
    print_purged(&purged);
    Ok(())
}

fn chosen(registry: &Registry, args: &PurgeArgs) -> Result<Vec<ModelId>, CliError> {
    let older = |text: &str| -> Result<Vec<ModelId>, CliError> {
        let before = disinherit::now().saturating_sub(duration(text)?);
        Ok(registry.superseded_before(before)?)
    };
    if let Some(request) = &args.request {
        let (_, models) = disinherit::last_request(registry, Some(request))?;
        return Ok(models.into_iter().map(|model| model.before).collect());
    }
    if let Some(text) = &args.older_than {
        return older(text);
    }
    if args.due {
        return match registry.setting(RETENTION)?.as_deref() {
            None | Some(FOREVER) => Err(CliError::new("the registry has no retention policy")
                .help("set one with `disinherit retention 30d`, or give `--older-than`")),
            Some(text) => older(text),
        };
    }
    Ok(args.models.clone())
}

fn print_purged(purged: &Purged) {
    let size = ByteSize::b(purged.bytes);
    match purged.operation {
        None => println!("would purge, and delete nothing yet:"),
        Some(operation) => println!("purged (operation {operation}):"),
    }
    let ids: Vec<ModelId> = purged.models.iter().map(|(id, _)| id.clone()).collect();
    print_ids("versions", &ids);
    println!(
        "  objects: {} ({size}), FIM cards: {}",
        purged.objects, purged.cards
    );
    println!(
        "  kept, since other versions share them: {} objects",
        purged.shared
    );
    if purged.operation.is_some() {
        println!("  cached features: {} entries", purged.features);
    }
}

pub(super) fn gc(context: &Context, dry_run: bool, drafts: bool) -> Result<(), CliError> {
    let garbage = context.registry()?.collect_garbage(dry_run, drafts)?;
    if context.json {
        return output::json(&garbage);
    }
    let Garbage {
        objects,
        bytes,
        files,
        drafts,
        young,
    } = garbage;
    let verb = if dry_run { "would remove" } else { "removed" };
    println!(
        "{verb} {objects} objects ({}), {files} files of writes that were cut short, {drafts} \
         finished tasks of stopped requests",
        ByteSize::b(bytes)
    );
    if young > 0 {
        println!("kept {young} objects of less than a day, which may be about to be published");
    }
    Ok(())
}

pub(super) fn fsck(
    context: &Context,
    repair: bool,
    from: Option<&str>,
) -> Result<ExitCode, CliError> {
    let registry = context.registry()?;
    let other = from.map(open).transpose()?;
    let mut stage = None;
    let health = registry.check(repair, other.as_ref(), &mut |_, total| {
        stage
            .get_or_insert_with(|| context.bars.stage("checking objects", total))
            .advance(1);
    })?;
    drop(stage);
    if context.json {
        output::json(&health)?;
    } else {
        print_health(&health);
    }
    Ok(if health.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_health(health: &Health) {
    println!(
        "checked {} models, {} FIM cards, {} operations, {} objects ({})",
        health.models,
        health.cards,
        health.operations,
        health.objects,
        ByteSize::b(health.bytes)
    );
    for damage in &health.damages {
        let models: Vec<String> = damage.models.iter().map(ToString::to_string).collect();
        let concerns = if models.is_empty() {
            String::new()
        } else {
            format!(" (concerns {})", models.join(", "))
        };
        match &damage.repaired {
            None => println!("DAMAGED: {}{concerns}", damage.what),
            Some(how) => println!("repaired: {}{concerns}: {how}", damage.what),
        }
    }
    if health.garbage > 0 {
        println!(
            "{} objects belong to nothing; `disinherit gc` removes them",
            health.garbage
        );
    }
    if health.damages.is_empty() {
        println!("everything is what it was");
    }
}
