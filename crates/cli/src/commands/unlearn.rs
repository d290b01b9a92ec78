//! `unlearn`: forgets, with FIUn or with a baseline.

use std::num::NonZeroUsize;

use clap::Args;
use disinherit::registry::{LossBound, LossCheck, ModelOutcome};
use disinherit::umig::dispatch::TaskResult;
use disinherit::umig::{Plan, Shard};
use disinherit::{
    Done, EngineError, FiunOptions, MatchingOptions, ModelLoss, Prepared, RunOptions, Unlearned,
};
use disinherit_lab::{MethodKind, Settings, Setup, Trainings, trainings};
use serde_json::{Value, json};

use crate::args::data::DataArgs;
use crate::args::estimator::EstimatorArgs;
use crate::args::request::RequestArgs;
use crate::args::shard::ShardArgs;
use crate::args::unlearning::{TrainingArgs, UnlearningArgs};
use crate::args::values::share;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln, warning};
use crate::{recipes, table};

/// Forget: edit the initial models and all that inherited from them.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is published when a model would lose more of its accuracy on the retained data than
`--target-loss` allows; the error says which models, and how much (exit code 3). A model that was
trained on nothing but the forget data is retired: superseded, and nothing replaces it.

Examples:
  disinherit unlearn --forget class=rocket
  disinherit unlearn --forget samples=ids.txt --data photos/ --dry-run
  disinherit unlearn --forget source=client-3 --data photos/ --accept-loss 0.03
  disinherit unlearn --forget source=client-3 --from base --data photos/ --method distill
  disinherit unlearn --forget class=rocket --shard 3/40    # on one of forty machines
  disinherit unlearn --forget class=rocket                 # after them: publishes what they made
  disinherit unlearn --forget class=rocket --workers 8     # in one process, with storage far away")]
pub(crate) struct UnlearnArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    estimator: EstimatorArgs,
    #[command(flatten)]
    unlearning: UnlearningArgs,
    /// The method (`disinherit methods` explains each). When not given, `fiun` for classes, and for samples
    /// and sources `matching`, or `fiun` where there is no data, or alpha or layers are given.
    #[arg(long, value_name = "NAME")]
    method: Option<MethodKind>,
    #[command(flatten)]
    training: TrainingArgs,
    /// For `--method retrain`: the recipe that says how the models are trained.
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    /// Publish models all the same that lose more than `--target-loss`, up to this, 0 to 1 (0.05 is five
    /// points). The log and the certificate say so.
    #[arg(long, value_name = "X", value_parser = share)]
    accept_loss: Option<f64>,
    /// Compute everything, write nothing.
    #[arg(long, conflicts_with = "shard")]
    dry_run: bool,
    #[command(flatten)]
    shard: ShardArgs,
    /// Do the work in parts by N threads, each with its own way through registry and data. For shared storage far away:
    /// while one waits the others work. On this machine all cores are used in any case.
    #[arg(long, value_name = "N", conflicts_with_all = ["shard", "dry_run"])]
    workers: Option<NonZeroUsize>,
    /// How often a part is tried again when storage or database were in the way.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "workers")]
    max_retries: u32,
}

pub(super) fn run(context: &Context, args: &UnlearnArgs) -> Result<Outcome, CliError> {
    let shard = args.shard.shard()?;
    let registry = context.registry()?;
    let forget = args.request.forget()?;
    let splits = args.data.open()?;
    let fiun = args.unlearning.options_with(&args.estimator);
    let chosen = args
        .method
        .unwrap_or_else(|| MethodKind::for_request(&forget, splits.is_some(), &fiun));
    let setup = setup(args, chosen, fiun)?;
    let options = RunOptions {
        jobs: args.unlearning.jobs,
        dry_run: args.dry_run,
        loss: LossBound {
            target: args.unlearning.target_loss,
            accepted: args.accept_loss,
        },
        ..RunOptions::default()
    };
    let engine = context.engine(registry, splits.as_ref());
    let method = chosen.with(&setup);
    let prepared = engine.prepare_named(forget, &args.request.from, method.as_ref(), options)?;
    if let Some(shard) = shard {
        return one_shard(context, &prepared, shard);
    }
    let done = refused(context, run_all(args, &prepared))?;
    if context.json {
        let settings = chosen.has_settings().then_some(&setup.settings);
        json(args, settings, prepared.plan(), &done)?;
    } else {
        print(&done.unlearned);
        print_times(args, chosen, &done);
    }
    Ok(Outcome::Done)
}

/// Does all of the work, and publishes.
fn run_all(args: &UnlearnArgs, prepared: &Prepared<'_>) -> Result<Done, EngineError> {
    let Some(workers) = args.workers else {
        return prepared.run();
    };
    prepared.run_by(workers, args.max_retries, &mut |attempt, again| {
        let (shard, seconds) = (attempt.task.shard, attempt.seconds);
        match &attempt.result {
            TaskResult::Success(done) => {
                tracing::info!(%shard, edited = done.edited, seconds, "a part is done");
            }
            TaskResult::WorkerDied(why) | TaskResult::WorkerUnavailable(why) => {
                tracing::warn!(%shard, %why, again, "a part failed");
            }
            TaskResult::Failed { error, .. } => {
                tracing::warn!(%shard, %error, again, "a part failed");
            }
        }
    })
}

/// Does one part of the work, and publishes nothing.
fn one_shard(
    context: &Context,
    prepared: &Prepared<'_>,
    shard: Shard,
) -> Result<Outcome, CliError> {
    let done = refused(context, prepared.run_shard(shard))?;
    if context.json {
        output::json(&json!({ "shard": done }))?;
        return Ok(Outcome::Done);
    }
    outln!(
        "shard {}: {} models edited in {:.2} s, {} were finished already; nothing is published yet",
        done.shard,
        done.edited,
        done.seconds,
        done.taken_up
    );
    outln!("when all shards are done, the same command without `--shard` publishes");
    Ok(Outcome::Done)
}

/// Tells a program which models would lose too much, where that is why a request was refused.
fn refused<T>(context: &Context, done: Result<T, EngineError>) -> Result<T, CliError> {
    if let (true, Err(EngineError::LosesTooMuch { models, bound })) = (context.json, &done) {
        output::json(&json!({"refused": {"loss_bound": bound, "models": losses(models)}}))?;
    }
    Ok(done?)
}

/// What models would lose, with the accuracies that follow from the counts.
fn losses(models: &[ModelLoss]) -> Vec<Value> {
    let models = models.iter();
    models
        .map(|model| {
            json!({
                "model": model.model,
                "loss": model.loss.loss(),
                "before": model.loss.before(),
                "after": model.loss.after(),
                "measured": model.loss,
            })
        })
        .collect()
}

/// Everything that the method can be set up with.
fn setup(args: &UnlearnArgs, method: MethodKind, fiun: FiunOptions) -> Result<Setup, CliError> {
    let settings = Settings::for_method(method).patched(&args.training.patch());
    let recipe = args.recipe.as_deref().map(recipes::load).transpose()?;
    Ok(Setup {
        trainings: match &recipe {
            Some(recipe) => trainings(recipe),
            None => Trainings::same(&settings),
        },
        settings,
        fiun,
        matching: MatchingOptions::default(),
    })
}

fn json(
    args: &UnlearnArgs,
    settings: Option<&Settings>,
    plan: &Plan,
    done: &Done,
) -> Result<(), CliError> {
    let (all, fisher) = (done.cost.seconds, done.preparation.seconds);
    output::json(&json!({
        "plan": plan,
        "method": done.unlearned.method,
        "settings": settings,
        "unlearned": done.unlearned,
        "from_cards": done.from_cards,
        "seconds": {"fisher": fisher, "unlearn": all - fisher},
        "cost": done.cost,
        "dry_run": args.dry_run,
    }))
}

fn print_times(args: &UnlearnArgs, method: MethodKind, done: &Done) {
    let verb = if args.dry_run {
        "would have unlearned"
    } else {
        "unlearned"
    };
    if !method.dampens() {
        outln!("{verb} by {method} in {:.2} s", done.cost.seconds);
        return;
    }
    outln!(
        "{verb} in {:.2} s ({:.2} s for Fisher information, {} of {} models from cards)",
        done.cost.seconds,
        done.preparation.seconds,
        done.from_cards,
        done.unlearned.models.len()
    );
    if !args.dry_run && !done.unlearned.models.is_empty() {
        outln!("see `disinherit verify --data PATH` for what the models still recognise");
    }
}

fn print(done: &Unlearned) {
    let header = [
        "model",
        "becomes",
        "role",
        "alpha",
        "lambda",
        "by",
        "selected",
        "% of layers",
        "mean factor",
        "changed",
        "lost",
        "on samples",
    ];
    if !done.models.is_empty() {
        table::print(&header, done.models.iter().map(row).collect(), 3);
    }
    for gone in &done.retired {
        outln!(
            "{} is retired: it was trained on nothing but the forget data, and nothing replaces it",
            gone.model
        );
    }
    if let Some(accepted) = done.loss_bound.accepted {
        outln!(
            "accepted: losses of up to {:.1} points of retained accuracy",
            100.0 * accepted
        );
    }
    print_matched(&done.models);
    for remark in &done.warnings {
        warning!("{remark}");
    }
}

/// How well forgotten samples are told from unseen ones, for a method that matches them.
fn print_matched(models: &[ModelOutcome]) {
    let rows: Vec<Vec<String>> = models
        .iter()
        .filter_map(|model| {
            let matched = model.matched?;
            let [before, after] = matched.area;
            let share = |area: f64| output::percent(Some(area));
            Some(vec![
                model.before.to_string(),
                matched.forgotten.to_string(),
                matched.unseen.to_string(),
                share(before),
                share(after),
                share(matched.aim),
            ])
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    outln!("membership area of the forgotten samples, in %: 50 tells nothing");
    let header = [
        "model",
        "forgotten",
        "unseen",
        "before",
        "after",
        "aimed at",
    ];
    table::print(&header, rows, 1);
}

fn row(model: &ModelOutcome) -> Vec<String> {
    let selection = model.selection();
    let number = |value: Option<f64>, places: usize| {
        value.map_or("-".into(), |value| format!("{value:.places$}"))
    };
    let measured = model.loss.as_ref().and_then(LossCheck::measured);
    let by = match (&model.choice, model.alpha) {
        (Some(_), _) => "search",
        (None, Some(_)) => "given",
        (None, None) => "-",
    };
    vec![
        model.before.to_string(),
        model.after.to_string(),
        model.role.to_string(),
        number(model.alpha, 3),
        number(model.lambda, 1),
        by.to_owned(),
        output::grouped(selection.selected),
        format!("{:.2}", selection.share() * 100.0),
        number(selection.mean_factor(), 3),
        output::grouped(selection.changed),
        number(measured.map(|loss| 100.0 * loss.loss()), 1),
        measured.map_or("-".into(), |loss| output::grouped(loss.samples)),
    ]
}
