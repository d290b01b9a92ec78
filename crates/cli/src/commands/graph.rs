//! `graph`: draws the inheritance graph, or writes it in the formats of other tools.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use disinherit::umig::{Model, Umig, formats};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::graph as drawing;
use crate::output::{self, out, outln};

/// Draw the inheritance graph, or write it for other tools.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit graph
  disinherit graph --all --format dot | dot -Tsvg > graph.svg
  disinherit graph --all --format graphml --out graph.graphml")]
pub(crate) struct GraphArgs {
    /// How it is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// The same as `--format dot`.
    #[arg(long, conflicts_with_all = ["mermaid", "format"])]
    dot: bool,
    /// The same as `--format mermaid`.
    #[arg(long, conflicts_with = "format")]
    mermaid: bool,
    /// Include superseded versions.
    #[arg(long)]
    all: bool,
    /// The file to write; without it, text goes to the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "out")]
    force: bool,
}

/// A form of the graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A drawing for the terminal.
    #[default]
    Text,
    /// A drawing for Graphviz.
    Dot,
    /// A Mermaid flowchart.
    Mermaid,
    /// GraphML, for NetworkX, igraph, Gephi and others. Loses nothing.
    Graphml,
    /// The graph's own JSON. Loses nothing.
    Json,
    /// The list of edges as a Parquet table.
    #[cfg(feature = "parquet")]
    Parquet,
}

pub(super) fn run(context: &Context, args: &GraphArgs) -> Result<Outcome, CliError> {
    let graph = context.registry()?.graph()?;
    if context.json && args.out.is_none() {
        output::json(&graph)?;
        return Ok(Outcome::Done);
    }
    let kept = |model: &Model| args.all || !model.superseded;
    let graph = graph.restricted(kept);
    let format = match (args.dot, args.mermaid) {
        (true, _) => Format::Dot,
        (_, true) => Format::Mermaid,
        _ => args.format,
    };
    let bytes = written(&graph, format)?;
    let Some(file) = &args.out else {
        let text = String::from_utf8(bytes).map_err(|_| {
            CliError::usage("this format is no text").help("give `--out FILE` to write it to")
        })?;
        out!("{text}");
        return Ok(Outcome::Done);
    };
    files::refuse_existing(file, args.force)?;
    files::write(file, bytes)?;
    let (models, edges) = (graph.len(), graph.edges().count());
    if context.json {
        output::json(&json!({"file": file, "models": models, "edges": edges}))?;
    } else {
        outln!(
            "wrote {models} models and {edges} edges to {}",
            file.display()
        );
    }
    Ok(Outcome::Done)
}

fn written(graph: &Umig, format: Format) -> Result<Vec<u8>, CliError> {
    let text = match format {
        Format::Text => drawing::rails(graph, &|_| true, &|model| {
            let note = if model.superseded {
                " [superseded]"
            } else {
                ""
            };
            note.to_owned()
        }),
        Format::Dot => formats::dot(graph),
        Format::Mermaid => formats::mermaid(graph),
        Format::Graphml => formats::graphml(graph).map_err(disinherit::EngineError::from)?,
        Format::Json => format!("{}\n", serde_json::to_string_pretty(graph)?),
        #[cfg(feature = "parquet")]
        Format::Parquet => return Ok(disinherit_report::edges_table(graph)?),
    };
    Ok(text.into_bytes())
}
