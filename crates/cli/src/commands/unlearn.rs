//! `unlearn`: forgets, with FIUn or with a baseline.

use clap::Args;
use disinherit::data::Splits;
use disinherit::registry::Registry;
use disinherit::umig::{ModelId, Request};
use disinherit::{
    Lesson, Method, ModelOutcome, Settings, Trial, UnlearnOptions, Unlearned, prepare,
};
use serde_json::json;

use crate::args::data::DataArgs;
use crate::args::estimator::EstimatorArgs;
use crate::args::request::RequestArgs;
use crate::args::unlearning::{TrainingArgs, UnlearningArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln, warning};
use crate::{recipes, table};

/// Forget: edit the initial models and all that inherited from them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit unlearn --forget class=rocket
  disinherit unlearn --forget samples=ids.txt --data photos/ --dry-run
  disinherit unlearn --forget source=client-3 --from base --data photos/ --method distill")]
pub(crate) struct UnlearnArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    estimator: EstimatorArgs,
    #[command(flatten)]
    unlearning: UnlearningArgs,
    /// The method: fiun, or a baseline to compare it with (`disinherit methods` explains each).
    #[arg(long, default_value = "fiun", value_name = "NAME")]
    method: Method,
    #[command(flatten)]
    training: TrainingArgs,
    /// For `--method retrain`: the recipe that says how the models are trained.
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    /// Compute everything, write nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, args: &UnlearnArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let request = args.request.request(&registry.graph()?)?;
    let splits = args.data.open()?;
    let options = UnlearnOptions {
        dry_run: args.dry_run,
        ..args
            .unlearning
            .options_with(&args.estimator, context.compute)
    };
    let asked = Asked {
        registry: &registry,
        request: &request,
        splits: splits.as_ref(),
        options: &options,
    };
    match args.method {
        Method::Fiun => by_fiun(context, args, &asked)?,
        _ => by_baseline(context, args, &asked)?,
    }
    Ok(Outcome::Done)
}

/// What is to be done, and on what.
struct Asked<'a> {
    registry: &'a Registry,
    request: &'a Request,
    splits: Option<&'a Splits>,
    options: &'a UnlearnOptions,
}

fn by_fiun(context: &Context, args: &UnlearnArgs, asked: &Asked<'_>) -> Result<(), CliError> {
    let features = context.features(asked.registry);
    let features = features.not_writing(&asked.request.forget);
    let prepared = prepare(
        asked.registry,
        asked.request,
        asked.splits,
        asked.options,
        &features,
        &context.bars,
    )?;
    let done = disinherit::unlearn(asked.registry, &prepared, asked.options, &context.bars)?;
    if context.json {
        return output::json(&json!({
            "plan": prepared.plan,
            "unlearned": done,
            "from_cards": prepared.from_cards,
            "seconds": {"fisher": prepared.seconds, "unlearn": done.seconds},
            "dry_run": args.dry_run,
        }));
    }
    print(&done);
    outln!(
        "{} in {:.2} s ({:.2} s for Fisher information, {} of {} models from cards)",
        verb(args.dry_run),
        prepared.seconds + done.seconds,
        prepared.seconds,
        prepared.from_cards,
        done.models.len()
    );
    if !args.dry_run {
        outln!("see `disinherit verify --data PATH` for what the models still recognise");
    }
    Ok(())
}

fn verb(dry_run: bool) -> &'static str {
    if dry_run {
        "would have unlearned"
    } else {
        "unlearned"
    }
}

/// One of the baselines that FIUn is compared with.
fn by_baseline(context: &Context, args: &UnlearnArgs, asked: &Asked<'_>) -> Result<(), CliError> {
    let settings = Settings::of(args.method).patched(&args.training.patch());
    let recipe = args.recipe.as_deref().map(recipes::load).transpose()?;
    let lessons = |id: &ModelId| match &recipe {
        Some(recipe) => disinherit::lesson_of(recipe, id.name()),
        None => Ok(Lesson::of(&settings)),
    };
    let features = context.features(asked.registry);
    let features = features.not_writing(&asked.request.forget);
    let trial = Trial {
        registry: asked.registry,
        request: asked.request,
        method: args.method,
        splits: asked.splits,
        settings: &settings,
        unlearn: asked.options,
        lessons: &lessons,
        compute: context.compute,
        features: &features,
    };
    let result = disinherit::run_method(&trial, &context.bars)?;
    if context.json {
        return output::json(&json!({
            "method": args.method,
            "settings": settings,
            "unlearned": result.unlearned,
            "cost": result.cost,
            "dry_run": args.dry_run,
        }));
    }
    print(&result.unlearned);
    outln!(
        "{} by {} in {:.2} s",
        verb(args.dry_run),
        args.method,
        result.cost.seconds
    );
    Ok(())
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
    ];
    table::print(&header, done.models.iter().map(row).collect(), 3);
    for remark in &done.warnings {
        warning!("{remark}");
    }
}

fn row(model: &ModelOutcome) -> Vec<String> {
    let selection = model.selection();
    let number = |value: Option<f64>, places: usize| {
        value.map_or("-".into(), |value| format!("{value:.places$}"))
    };
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
    ]
}
