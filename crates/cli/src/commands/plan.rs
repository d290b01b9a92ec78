//! `plan`: what a request would touch and read.

use std::collections::BTreeSet;

use clap::Args;
use disinherit::cards::FisherOptions;
use disinherit::fiun::Estimator;
use disinherit::registry::LossBound;
use disinherit::umig::{Model, ModelId, Part, Plan, Reads, Task, Umig};
use disinherit::{EditDepth, FiunOptions, Layers, RunOptions};
use disinherit_lab::{MethodKind, Setup};
use serde_json::json;

use crate::args::request::RequestArgs;
use crate::args::values::{depth, share};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::graph as drawing;
use crate::output::{self, joined, out, outln};
use crate::table;

/// Say which models a request would touch, the tasks that it means, and what data it needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit plan --forget class=rocket
  disinherit plan --forget source=client-3 --from base --layers all
  disinherit plan --forget class=rocket --shards 40 --json    # what each of 40 machines would do")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// The layers to edit: head, all, or patterns of tensor names with commas between them.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    layers: Layers,
    /// The estimator of the cards.
    #[arg(long, default_value = "empirical")]
    estimator: Estimator,
    /// How deep the edits would go: `outputs`, `features`, or `auto` (see `unlearn`).
    #[arg(long, default_value = "auto", value_name = "DEPTH", value_parser = depth)]
    depth: EditDepth,
    /// What no model may lose more of in accuracy on the retained data, 0 to 1.
    #[arg(long, default_value_t = 0.01, value_name = "X", value_parser = share)]
    target_loss: f64,
    /// The method; as `unlearn` chooses it where there is data when not given.
    #[arg(long, value_name = "NAME")]
    method: Option<MethodKind>,
    /// Say too how the work falls to so many machines (`unlearn --shard I/N`).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,
}

impl PlanArgs {
    fn options(&self) -> FiunOptions {
        FiunOptions {
            fisher: FisherOptions {
                estimator: self.estimator,
                layers: self.layers.clone(),
                ..FisherOptions::default()
            },
            depth: self.depth,
            target_loss: self.target_loss,
            ..FiunOptions::default()
        }
    }
}

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let forget = args.request.forget()?;
    let engine = context.engine(registry, None);
    let fiun = args.options();
    let chosen = MethodKind::for_request(&forget, true, &fiun);
    let chosen = args.method.unwrap_or(chosen);
    let method = chosen.with(&Setup {
        fiun,
        ..Setup::for_method(chosen)
    });
    let options = RunOptions {
        plan_only: true,
        loss: LossBound::new(args.target_loss),
        ..RunOptions::default()
    };
    let prepared = engine.prepare_named(forget, &args.request.from, method.as_ref(), options)?;
    let parts = args.shards.map(|of| prepared.parts(of));
    if context.json {
        let mut plan = json!({
            "plan": prepared.plan(),
            "loss_bound": prepared.loss_bound(),
        });
        if let Some(parts) = parts {
            plan["shards"] = json!(parts);
        }
        output::json(&plan)?;
    } else {
        print(prepared.graph(), prepared.plan(), chosen);
        print_bound(prepared.plan(), prepared.loss_bound());
        print_parts(parts.unwrap_or_default());
    }
    Ok(Outcome::Done)
}

fn print(graph: &Umig, plan: &Plan, method: MethodKind) {
    outln!("forget {}", plan.request.forget);
    let retired: BTreeSet<&ModelId> = plan.retired().collect();
    let note = |model: &Model| match (plan.scope.role(&model.id), retired.contains(&model.id)) {
        (role, true) => format!(" [{role}, to be retired]"),
        (role, false) => format!(" [{role}]"),
    };
    let current = |model: &Model| !model.superseded;
    out!("{}", drawing::rails(graph, &current, &note));
    for (number, stage) in plan.stages.iter().enumerate() {
        let count = stage.tasks.len();
        let noun = if count == 1 { "task" } else { "tasks" };
        outln!("stage {}: {} ({count} {noun})", number + 1, stage.purpose);
    }
    let lines = match method.dampens() {
        true => needed(plan),
        false => needed_to_train(plan, method),
    };
    for line in lines {
        outln!("{line}");
    }
}

/// What the request is held to.
fn print_bound(plan: &Plan, bound: LossBound) {
    let edits = |task: &Task| matches!(task, Task::Edit { .. });
    if plan.tasks().any(edits) {
        outln!(
            "bound: a model may lose {:.1} points of accuracy on the retained data (`--target-loss`); a \
             request that costs one more is stopped, and nothing is published. With data that is measured",
            100.0 * bound.limit()
        );
    }
}

/// How the work falls to several machines.
fn print_parts(parts: Vec<Part>) {
    if parts.is_empty() {
        return;
    }
    let total: u64 = parts.iter().map(|part| part.cost).sum();
    let rows = parts.into_iter().map(|part| {
        let share = 100.0 * part.cost as f64 / total.max(1) as f64;
        vec![
            part.shard.to_string(),
            output::grouped(part.models.len() as u64),
            format!("{share:.1}"),
        ]
    });
    table::print(&["shard", "models", "% of the work"], rows.collect(), 1);
}

/// Where every touched model is retired.
const NOTHING_LEFT: &str = "needs nothing: no model is left to edit";

/// What a plan of a method that trains reads, in words.
fn needed_to_train(plan: &Plan, method: MethodKind) -> Vec<String> {
    let edits = plan
        .tasks()
        .filter(|task| matches!(task, Task::Edit { .. }));
    let edited: Vec<&ModelId> = edits.map(Task::model).collect();
    if edited.is_empty() {
        return vec![NOTHING_LEFT.to_owned()];
    }
    let mut lines = vec![format!(
        "needs the training data of {}: by {method}",
        joined(&edited)
    )];
    if method == MethodKind::Matching {
        lines.push(
            "needs unseen samples: held-out data, or training data of models that these do not \
             inherit from"
                .into(),
        );
    }
    lines
}

/// The models of the tasks that are wanted.
fn models(plan: &Plan, wanted: impl Fn(&Task) -> bool) -> Vec<&ModelId> {
    let tasks = plan.tasks().filter(|task| wanted(task));
    tasks.map(Task::model).collect()
}

/// What a plan reads, in words.
fn needed(plan: &Plan) -> Vec<String> {
    let training_data = models(plan, |task| matches!(task, Task::Card { .. }));
    let forget_data = models(plan, |task| {
        let reads = Reads::ForgetData;
        matches!(task, Task::ForgetFisher { reads: known, .. } if *known == reads)
    });
    let mut lines = Vec::new();
    if !training_data.is_empty() {
        lines.push(format!(
            "needs data: no FIM card for these layers of {}",
            joined(&training_data)
        ));
    }
    if !forget_data.is_empty() {
        lines.push(format!(
            "needs the forget data, to be run through {}",
            joined(&forget_data)
        ));
    }
    lines.extend(below_heads(plan));
    lines.extend(plan.tasks().filter_map(fallback));
    let edits = plan.tasks().any(|task| matches!(task, Task::Edit { .. }));
    let from_data = models(plan, |task| edits_features(task, false));
    if !edits {
        lines.push(NOTHING_LEFT.to_owned());
    } else if training_data.is_empty() && forget_data.is_empty() && from_data.is_empty() {
        lines.push("needs no data: the FIM cards hold all that is read".into());
    }
    lines
}

/// Which edits go below heads, and what they read for it.
fn below_heads(plan: &Plan) -> Vec<String> {
    let from_data = models(plan, |task| edits_features(task, false));
    let from_cards = models(plan, |task| edits_features(task, true));
    let steps = models(plan, |task| last_stage_steps(task).is_some());
    let most = plan.tasks().filter_map(last_stage_steps).max();
    let mut lines = Vec::new();
    if !from_data.is_empty() {
        lines.push(format!(
            "needs the training data, to be run through {}: their features are edited too (without it only \
             their outputs are)",
            joined(&from_data)
        ));
    }
    if !from_cards.is_empty() {
        lines.push(format!(
            "edits the features of {} too, on the training data, or without it from the activation statistics \
             in their FIM cards",
            joined(&from_cards)
        ));
    }
    if let Some(most) = most {
        lines.push(format!(
            "given the training data, may take up to {most} training steps over the last stage of {}: where the edit \
             of one layer leaves the class as easy to find as before (`unlearn --no-last-stage` takes none)",
            joined(&steps)
        ));
    }
    lines
}

/// How many training steps over the last stage may be part of a task.
fn last_stage_steps(task: &Task) -> Option<usize> {
    match task {
        Task::Edit {
            last_stage_steps, ..
        } => *last_stage_steps,
        _ => None,
    }
}

/// Whether a task edits features, for which activation statistics are at hand or not.
fn edits_features(task: &Task, from_card: bool) -> bool {
    match task {
        Task::Edit {
            features,
            activations,
            ..
        } => *features && *activations == from_card,
        _ => false,
    }
}

/// The card that stands in for one of a model's own, in words.
fn fallback(task: &Task) -> Option<String> {
    match task {
        Task::Edit {
            model,
            fallback_card: Some(before),
            ..
        } => Some(format!(
            "{model} has no FIM card; that of {before} is its fallback card"
        )),
        _ => None,
    }
}
