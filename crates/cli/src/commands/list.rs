//! `list`: models by name, page by page.

use clap::{Args, ValueEnum};
use disinherit::registry::{Page, State};
use disinherit::umig::ModelId;
use serde_json::json;

use crate::args::page::PageArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::states::States;
use crate::table;

/// List models by name, page by page.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit list
  disinherit list clinic --state superseded
  disinherit list --limit 20 --after clinic@3 --json")]
pub(crate) struct ListArgs {
    /// Only names that start so.
    #[arg(default_value = "")]
    prefix: String,
    /// Only versions in this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Start after this version: the last of the page before.
    #[arg(long, value_name = "NAME@VERSION")]
    after: Option<ModelId>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateArg {
    /// In use.
    Current,
    /// Replaced by a later version, or retired without one, and kept.
    Superseded,
    /// Deleted but for the record.
    Purged,
}

impl From<StateArg> for State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Current => Self::Current,
            StateArg::Superseded => Self::Superseded,
            StateArg::Purged => Self::Purged,
        }
    }
}

pub(super) fn run(context: &Context, args: &ListArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let rows = registry.page(&Page {
        after: args.after.clone(),
        limit: args.page.limit,
        prefix: args.prefix.clone(),
        state: args.state.map(State::from),
    })?;
    let states = States::of_rows(&registry, &rows)?;
    let full = rows.len() == args.page.limit as usize;
    let next = rows
        .last()
        .filter(|_| full)
        .map(|row| row.vertex.id.clone());
    if context.json {
        let models: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "model": row.vertex.id,
                    "state": row.state(),
                    "retired_by": states.retired_by(&row.vertex.id),
                    "time": row.vertex.time,
                    "digest": row.manifest,
                    "labels": row.vertex.labels.len(),
                })
            })
            .collect();
        output::json(&json!({"models": models, "next": next}))?;
        return Ok(Outcome::Done);
    }
    let lines = rows.iter().map(|row| {
        vec![
            row.vertex.id.to_string(),
            states.name(row).to_owned(),
            output::time(row.vertex.time),
            output::short(&row.manifest.to_string()),
            row.vertex.labels.len().to_string(),
        ]
    });
    let header = ["model", "state", "time", "digest", "labels"];
    table::print(&header, lines.collect(), 4);
    if let Some(next) = next {
        outln!("more: --after {next}");
    }
    Ok(Outcome::Done)
}
