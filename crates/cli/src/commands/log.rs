//! `log`: models in the order in which they were added, or the operations.

use std::collections::BTreeMap;

use clap::Args;
use disinherit::registry::{
    ModelRow, OperationRecord, OperationRow, Registry, Subject, check_chain,
};
use disinherit::umig::ModelId;
use disinherit_report::lineage_events;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln, warning};
use crate::states::States;
use crate::table;

/// List the models, newest last; or the operations.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit log
  disinherit log --operations
  disinherit log --openlineage --request 13")]
pub(crate) struct LogArgs {
    /// List what was done instead. Exits with 1 if the log has been altered.
    #[arg(long)]
    operations: bool,
    /// What was done as OpenLineage events, a line each.
    #[arg(long, conflicts_with = "operations")]
    openlineage: bool,
    /// The namespace of jobs and models in events.
    #[arg(long, default_value = "disinherit", value_name = "NAME")]
    namespace: String,
    /// Only the event of this request: its id, or the number of its operation.
    #[arg(long, requires = "openlineage")]
    request: Option<String>,
}

pub(super) fn run(context: &Context, args: &LogArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    if args.openlineage {
        return events(&registry, args);
    }
    if args.operations {
        return operations(context, &registry.operations()?);
    }
    models(context, &registry)?;
    Ok(Outcome::Done)
}

fn models(context: &Context, registry: &Registry) -> Result<(), CliError> {
    let graph = registry.graph()?;
    if context.json {
        return output::json(&graph.models().collect::<Vec<_>>());
    }
    let known: BTreeMap<ModelId, ModelRow> = registry
        .models()?
        .into_iter()
        .map(|row| (row.vertex.id.clone(), row))
        .collect();
    let states = States::of_rows(registry, known.values())?;
    let rows = graph.models().map(|model| {
        let row = known.get(&model.id);
        let digest = row.map(|row| row.manifest.to_string()).unwrap_or_default();
        let parents = graph.parents(&model.id);
        vec![
            model.id.to_string(),
            row.map_or("", |row| states.name(row)).to_owned(),
            output::time(model.time),
            output::short(&digest),
            output::joined(parents.iter().map(|(id, _)| id)),
        ]
    });
    let header = ["model", "state", "time", "digest", "parents"];
    table::print(&header, rows.collect(), 5);
    Ok(())
}

fn operations(context: &Context, list: &[OperationRow]) -> Result<Outcome, CliError> {
    let problems = check_chain(list);
    if context.json {
        output::json(&list)?;
    } else {
        let rows = list.iter().map(|row| {
            vec![
                row.id.to_string(),
                output::time(row.time),
                row.actor.clone(),
                row.command.clone(),
                subject(row),
                output::short(&row.hash),
            ]
        });
        let header = ["operation", "time", "actor", "command", "subject", "hash"];
        table::print(&header, rows.collect(), 6);
    }
    for problem in &problems {
        warning!("{problem}");
    }
    Ok(Outcome::from_sound(problems.is_empty()))
}

fn events(registry: &Registry, args: &LogArgs) -> Result<Outcome, CliError> {
    let mut log = registry.operations()?;
    let problems = check_chain(&log);
    if let Some(request) = &args.request {
        let past = disinherit::past_request(registry, Some(request))?;
        log.retain(|row| {
            matches!(row.record(), Ok(OperationRecord::Unlearn(record)) if record.id == past.id)
        });
    }
    for event in lineage_events(&log, &registry.graph()?, &args.namespace) {
        outln!("{event}");
    }
    for problem in &problems {
        warning!("{problem}");
    }
    Ok(Outcome::from_sound(problems.is_empty()))
}

/// What an operation was about, in a word.
fn subject(row: &OperationRow) -> String {
    let Ok(record) = row.record() else {
        return String::new();
    };
    match record.subject() {
        Subject::Model(id) => id.to_string(),
        Subject::Request(id) => id.to_string(),
        Subject::Erasure(id) => format!("request {id}"),
        Subject::Operation(id) => format!("operation {id}"),
        Subject::Reason(reason) => reason.to_owned(),
        Subject::None => String::new(),
    }
}
