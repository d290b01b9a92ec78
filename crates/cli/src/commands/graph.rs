//! `graph`: draws the inheritance graph.

use clap::Args;
use disinherit::umig::Model;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::graph as drawing;
use crate::output::{self, out};

/// Draw the inheritance graph.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit graph
  disinherit graph --all --dot | dot -Tsvg > graph.svg")]
pub(crate) struct GraphArgs {
    /// Graphviz.
    #[arg(long, conflicts_with = "mermaid")]
    dot: bool,
    /// Mermaid.
    #[arg(long)]
    mermaid: bool,
    /// Include superseded versions.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(context: &Context, args: &GraphArgs) -> Result<Outcome, CliError> {
    let graph = context.registry()?.graph()?;
    let keep = |model: &Model| args.all || !model.superseded;
    if context.json {
        output::json(&graph)?;
        return Ok(Outcome::Done);
    }
    let text = if args.dot {
        drawing::dot(&graph, &keep)
    } else if args.mermaid {
        drawing::mermaid(&graph, &keep)
    } else {
        let note = |model: &Model| {
            let note = if model.superseded {
                " [superseded]"
            } else {
                ""
            };
            note.to_owned()
        };
        drawing::rails(&graph, &keep, &note)
    };
    out!("{text}");
    Ok(Outcome::Done)
}
