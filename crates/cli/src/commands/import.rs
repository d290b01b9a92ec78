//! `import`: brings a whole tree of models into the registry, once the user agrees.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use disinherit::import::{ImportOptions, ImportPlan};
use disinherit::nets::Preprocessing;
use disinherit::registry::Registry;
use disinherit::umig::{Model, Shard, Umig};
use serde_json::json;

use crate::args::network::NetworkArgs;
use crate::args::shard::ShardArgs;
use crate::args::trained::TrainedArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, out, outln, warning};
use crate::{graph as drawing, table};

/// Add many models at once: files, folders, or a whole tree of them. The inheritance graph is read
/// from their model cards, shown, and added once you agree.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit import models/ --trained-on mail
  disinherit import models/ --infer-parents --dry-run
  disinherit import a.onnx b.onnx --labels ham,spam --yes
  disinherit import models/ --trained-on mail --shard 3/40    # on one of forty machines: stores, adds nothing
  disinherit import models/ --trained-on mail --yes           # after them: adds what they stored")]
pub(crate) struct ImportArgs {
    /// Files, model folders, or folders with any number of both below them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Propose parents from the weights where no model card names any: shared tensors, and how far
    /// the others are apart. Each proposal is shown with its confidence.
    #[arg(long)]
    infer_parents: bool,
    /// Leave out proposals of less confidence than this, 0 to 1.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.3,
        requires = "infer_parents"
    )]
    confidence: f64,
    /// Show what would be added, and add nothing.
    #[arg(long, conflicts_with_all = ["yes", "shard"])]
    dry_run: bool,
    /// Add what is shown without asking.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    trained: TrainedArgs,
    #[command(flatten)]
    shard: ShardArgs,
}

pub(super) fn run(context: &Context, args: &ImportArgs) -> Result<Outcome, CliError> {
    let shard = args.shard.shard()?;
    let registry = context.registry()?;
    let options = ImportOptions {
        network: args.network.network()?,
        preprocessing: Preprocessing {
            mean: args.network.mean.clone(),
            std: args.network.std.clone(),
            length: None,
        },
        trained_on: args.trained.trained_on()?,
        // Comparing weights reads all of them: that is left to the process that adds.
        infer_parents: (args.infer_parents && shard.is_none()).then_some(args.confidence),
    };
    let plan = ImportPlan::new(&registry, &args.paths, &options, &context.bars)?;
    if let Some(shard) = shard {
        return store(context, &registry, &plan, shard);
    }
    show(context, &plan, &registry.graph()?)?;
    if args.dry_run {
        if context.json {
            output::json(&json!({"models": plan.models(), "notes": plan.notes()}))?;
        }
        return Ok(Outcome::Done);
    }
    if !agreed(context, args.yes, plan.models().len())? {
        return Ok(Outcome::Done);
    }
    let ids = plan.run(&registry, &context.bars)?;
    if context.json {
        output::json(&json!({"added": ids}))?;
    } else {
        outln!("added {} models", ids.len());
    }
    Ok(Outcome::Done)
}

/// Stores the models of one shard, and adds nothing.
fn store(
    context: &Context,
    registry: &Registry,
    plan: &ImportPlan,
    shard: Shard,
) -> Result<Outcome, CliError> {
    let (models, there) = plan.run_shard(registry, shard, &context.bars)?;
    if context.json {
        output::json(&json!({"shard": shard, "models": models, "taken_up": there}))?;
    } else {
        outln!(
            "shard {shard}: {} models stored, {there} were already; nothing is added yet",
            models - there
        );
        outln!("when all shards are done, the same command without `--shard` adds them");
    }
    Ok(Outcome::Done)
}

/// The models with what is known of them, the graph as it will be, and the notes.
fn show(context: &Context, plan: &ImportPlan, graph: &Umig) -> Result<(), CliError> {
    if !context.json {
        let rows = plan.models().iter().map(|model| {
            let parents = model.parents.iter();
            let evidence = model.evidence.as_ref();
            vec![
                model.name.clone(),
                model.format.clone(),
                model.network.clone(),
                model.head.clone(),
                model.labels.len().to_string(),
                output::joined(parents.map(|(name, relation)| format!("{name} ({relation})"))),
                evidence.map(ToString::to_string).unwrap_or_default(),
            ]
        });
        let titles = [
            "model", "format", "network", "head", "labels", "parents", "known by",
        ];
        table::print(&titles, rows.collect(), titles.len());
        let (whole, shown) = plan.preview(graph)?;
        let keep = |model: &Model| shown.contains(&model.id);
        out!("{}", drawing::rails(&whole, &keep, &|_| String::new()));
    }
    for note in plan.notes() {
        warning!("{note}");
    }
    Ok(())
}

/// Asks, where there is somebody to ask.
fn agreed(context: &Context, yes: bool, count: usize) -> Result<bool, CliError> {
    if yes {
        return Ok(true);
    }
    if context.json || !io::stdin().is_terminal() {
        return Err(
            CliError::usage("nothing was added: there is no terminal to ask on")
                .help("run it again with `--yes` to add the models as they are shown"),
        );
    }
    output::complain(format_args!("add these {count} models? [y/N] "));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::new(format!("cannot read the answer: {error}")))?;
    let agreed = matches!(answer.trim(), "y" | "Y" | "yes");
    if !agreed {
        outln!("nothing was added");
    }
    Ok(agreed)
}
