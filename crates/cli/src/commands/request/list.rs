//! `request list`: requests page by page.

use clap::Args;
use disinherit::model::now;
use disinherit::registry::{ErasureId, ErasureOrder, ErasurePage, ErasureRequest, ErasureState};
use serde_json::json;

use super::print;
use crate::args::values::duration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::table;

/// List requests, those that are due first at the top.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit request list
  disinherit request list --due-soon
  disinherit request list --overdue --json
  disinherit request list --state failed,rejected
  disinherit request list --all --newest --limit 20")]
pub(crate) struct ListRequestsArgs {
    /// Only requests in these states; the open ones when not given.
    #[arg(
        long,
        value_name = "STATE",
        value_delimiter = ',',
        conflicts_with = "all"
    )]
    state: Vec<ErasureState>,
    /// Purged, closed and rejected ones too.
    #[arg(long)]
    all: bool,
    /// Only open requests whose deadline is over.
    #[arg(long, conflicts_with = "due_soon")]
    overdue: bool,
    /// Only open requests whose deadline is over or comes within this time.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "7d", value_parser = duration)]
    due_soon: Option<u64>,
    /// In the order of their numbers, the newest first.
    #[arg(long)]
    newest: bool,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// The request after which the list starts: the last one of the page before.
    #[arg(long, value_name = "N")]
    after: Option<ErasureId>,
}

impl ListRequestsArgs {
    fn page(&self) -> ErasurePage {
        let due_before = match (self.overdue, self.due_soon) {
            (true, _) => Some(now()),
            (false, soon) => soon.map(|length| now().saturating_add(length)),
        };
        let states = match (self.all, self.state.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => ErasureState::open(),
            (false, false) => self.state.clone(),
        };
        ErasurePage {
            after: self.after,
            limit: self.limit,
            states,
            due_before,
            order: match self.newest {
                true => ErasureOrder::Newest,
                false => ErasureOrder::Deadline,
            },
        }
    }
}

pub(super) fn run(context: &Context, args: &ListRequestsArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let list = registry.erasures(&args.page())?;
    let full = list.len() == args.limit as usize;
    let next = list.last().filter(|_| full).map(|erasure| erasure.id);
    if context.json {
        output::json(&json!({"requests": list, "next": next}))?;
        return Ok(Outcome::Done);
    }
    if list.is_empty() {
        outln!(
            "no such requests; `disinherit request new` files one, `--all` lists closed ones too"
        );
        return Ok(Outcome::Done);
    }
    let header = ["request", "state", "forget", "deadline", "for"];
    table::print(&header, list.iter().map(row).collect(), 5);
    if let Some(next) = next {
        outln!("more: --after {next}");
    }
    Ok(Outcome::Done)
}

fn row(erasure: &ErasureRequest) -> Vec<String> {
    vec![
        erasure.id.to_string(),
        erasure.state.to_string(),
        erasure.asked.to_string(),
        print::deadline(erasure),
        erasure.requester.clone().unwrap_or_else(|| "-".into()),
    ]
}
