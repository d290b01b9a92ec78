//! `unlearn`: forgets, with FIUn or with a baseline.

use clap::Args;
use disinherit::registry::ModelOutcome;
use disinherit::umig::Plan;
use disinherit::{Done, FiunOptions, MatchingOptions, RunOptions, Unlearned};
use disinherit_lab::{MethodKind, Settings, Setup, Trainings, trainings};
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
    /// The method (`disinherit methods` explains each). When not given, `fiun` for classes, and for samples
    /// and sources `matching`, or `fiun` where there is no data, or alpha or layers are given.
    #[arg(long, value_name = "NAME")]
    method: Option<MethodKind>,
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
    let request = args.request.request(&registry)?;
    let splits = args.data.open()?;
    let fiun = args.unlearning.options_with(&args.estimator);
    let chosen = args
        .method
        .unwrap_or_else(|| MethodKind::for_request(&request.forget, splits.is_some(), &fiun));
    let setup = setup(args, chosen, fiun)?;
    let options = RunOptions {
        jobs: args.unlearning.jobs,
        dry_run: args.dry_run,
        ..RunOptions::default()
    };
    let engine = context.engine(registry, splits.as_ref());
    let method = chosen.with(&setup);
    let prepared = engine.prepare(&request, method.as_ref(), options)?;
    let done = prepared.run()?;
    if context.json {
        let settings = chosen.has_settings().then_some(&setup.settings);
        json(args, settings, prepared.plan(), &done)?;
    } else {
        print(&done.unlearned);
        print_times(args, chosen, &done);
    }
    Ok(Outcome::Done)
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
    if !args.dry_run {
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
    ];
    table::print(&header, done.models.iter().map(row).collect(), 3);
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
