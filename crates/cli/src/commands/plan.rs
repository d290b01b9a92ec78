//! `plan`: what a request would touch and read.

use clap::Args;
use disinherit::fiun::Estimator;
use disinherit::nets::Compute;
use disinherit::umig::{Model, Plan, Umig};
use disinherit::{FisherOptions, Layers, Needs, UnlearnOptions, needs};
use serde_json::json;

use crate::args::request::RequestArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::graph as drawing;
use crate::output::{self, joined, out, outln};

/// Say which models a request would touch, the tasks that it means, and what data it needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit plan --forget class=rocket
  disinherit plan --forget source=client-3 --from base --layers all")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// The layers to edit: head, all, or patterns of tensor names with commas between them.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    layers: Layers,
    /// The estimator of the cards.
    #[arg(long, default_value = "empirical")]
    estimator: Estimator,
}

impl PlanArgs {
    fn options(&self, compute: Compute) -> UnlearnOptions {
        UnlearnOptions {
            fisher: FisherOptions {
                estimator: self.estimator,
                layers: self.layers.clone(),
                compute,
                ..FisherOptions::default()
            },
            ..UnlearnOptions::default()
        }
    }
}

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let plan = graph.plan(&args.request.request(&graph)?)?;
    let needs = needs(&registry, &plan, &args.options(context.compute))?;
    if context.json {
        output::json(&json!({"plan": plan, "needs": needs}))?;
    } else {
        print(&graph, &plan, &needs);
    }
    Ok(Outcome::Done)
}

fn print(graph: &Umig, plan: &Plan, needs: &Needs) {
    outln!("forget {}", plan.request.forget);
    let note = |model: &Model| format!(" [{}]", plan.scope.role(&model.id));
    let current = |model: &Model| !model.superseded;
    out!("{}", drawing::rails(graph, &current, &note));
    for (number, stage) in plan.stages.iter().enumerate() {
        let count = stage.tasks.len();
        let noun = if count == 1 { "task" } else { "tasks" };
        outln!("stage {}: {} ({count} {noun})", number + 1, stage.purpose);
    }
    for line in needed(needs) {
        outln!("{line}");
    }
}

/// What a plan reads, in words.
fn needed(needs: &Needs) -> Vec<String> {
    let mut lines = Vec::new();
    if !needs.training_data.is_empty() {
        lines.push(format!(
            "needs data: no FIM card for these layers of {}",
            joined(&needs.training_data)
        ));
    }
    if !needs.forget_data.is_empty() {
        lines.push(format!(
            "needs the forget data, to be run through {}",
            joined(&needs.forget_data)
        ));
    }
    for (id, before) in &needs.stand_ins {
        lines.push(format!(
            "{id} has no FIM card; that of {before} is its fallback card"
        ));
    }
    if needs.training_data.is_empty() && needs.forget_data.is_empty() {
        lines.push("needs no data and no forward pass: the FIM cards hold all that is read".into());
    }
    lines
}
