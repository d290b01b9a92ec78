//! `demo`: the whole way on embedded data: grow, forget, retrain, compare, write a page.

use std::path::PathBuf;
use std::slice;
use std::time::Instant;

use clap::Args;
use disinherit::evaluation::{Depth, Scores};
use disinherit::registry::Registry;
use disinherit_lab::{
    Compared, MethodKind, MethodResult, Recipe, Study, StudyOptions, Variant, run_study,
};
use serde_json::{Value, json};

use crate::args::recipe::RecipeArgs;
use crate::args::request::forget_classes;
use crate::args::unlearning::UnlearningArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, out, outln, warning};
use crate::{files, recipes, table};

/// The whole way on embedded data: grow a small network, forget a class everywhere, compare with
/// retraining, write a page.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit demo
  disinherit demo --forget class=7 --seed 2
  disinherit demo --picture demo.svg
  disinherit demo --recipe il-digits --registry demo/ --json")]
pub(crate) struct DemoArgs {
    /// A TOML file, or the name of a built-in recipe (`disinherit recipes` lists them).
    #[arg(long, default_value = "fl-digits")]
    recipe: String,
    #[command(flatten)]
    settings: RecipeArgs,
    #[command(flatten)]
    unlearning: UnlearningArgs,
    /// Replaces the recipe's class to forget: class=NAME[,NAME].
    #[arg(long, value_name = "WHAT")]
    forget: Option<String>,
    /// Where the page goes.
    #[arg(long, default_value = "report.html", value_name = "FILE")]
    report: PathBuf,
    /// Write a picture too: the graph and the headline, as SVG.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Leave out the retrained baseline.
    #[arg(long)]
    no_retrain: bool,
}

pub(super) fn run(context: &Context, args: &DemoArgs) -> Result<Outcome, CliError> {
    let start = Instant::now();
    let mut recipe = recipes::load_with(&args.recipe, &args.settings)?;
    if let Some(text) = &args.forget {
        recipe.forget.classes = forget_classes(text)?;
    }
    let study = study(context, args, &recipe)?;
    files::write(
        &args.report,
        disinherit_report::page(slice::from_ref(&study))?,
    )?;
    if let Some(file) = &args.picture {
        files::write(file, disinherit_report::picture(&study)?)?;
    }
    if context.json {
        output::json(&json!({
            "forget": recipe.forget.classes,
            "models": study.compared(),
            "seconds": seconds(&study),
            "report": args.report,
            "recipe": study.title,
            "seed": study.seed,
            "device": study.device,
        }))?;
        return Ok(Outcome::Done);
    }
    print(&study, &recipe);
    if let Some(file) = &args.picture {
        outln!("wrote {}", file.display());
    }
    outln!(
        "wrote {} ({:.1} s in all)",
        args.report.display(),
        start.elapsed().as_secs_f64()
    );
    Ok(Outcome::Done)
}

/// Grows the network, forgets, and measures.
fn study(context: &Context, args: &DemoArgs, recipe: &Recipe) -> Result<Study, CliError> {
    let splits = recipes::open_data(recipe)?;
    // Without --registry the demonstration leaves nothing behind but its page.
    let temporary = tempfile::tempdir()
        .map_err(|error| CliError::new(format!("cannot make a temporary folder: {error}")))?;
    let registry = match context.place() {
        Some(_) => context.registry_or_new()?,
        None => Registry::create(temporary.path())?,
    };
    let retrain = (!args.no_retrain).then(|| MethodKind::Retrain.into());
    let fiun = args.unlearning.options();
    let variant = Variant {
        features: fiun.reaches_features(),
        ..Variant::default()
    };
    let options = StudyOptions {
        fiun,
        jobs: args.unlearning.jobs,
        variants: [variant].into_iter().chain(retrain).collect(),
        depth: Depth::QUICK,
        publish: Some(variant),
        keep: None,
        shadows: 0,
    };
    let study = run_study(&context.engine(registry, None), recipe, &splits, &options)?;
    Ok(study)
}

/// Seconds of each part of FIUn, and of retraining where it was measured.
fn seconds(study: &Study) -> Value {
    let (fisher, all) = study
        .shown()
        .map_or((0.0, 0.0), |r| (r.preparation.seconds, r.cost.seconds));
    let retrain = study.result(MethodKind::Retrain.into());
    json!({
        "fisher": fisher,
        "unlearn": all - fisher,
        "retrain": retrain.map(|r| r.cost.seconds),
    })
}

fn print(study: &Study, recipe: &Recipe) {
    let from = if recipe.forget.from.is_empty() {
        "every model trained on it".to_owned()
    } else {
        recipe.forget.from.join(", ")
    };
    outln!(
        "{}: {} on {}, forgetting {} from {from} and all that inherited from it",
        recipe.name,
        recipe.network.architecture,
        recipe.data.source,
        study.forget
    );
    outln!("accuracy in %: before > after (retrained)");
    let fiun = study.shown();
    let compared = study.compared();
    let rows = compared.iter().map(|model| row(model, fiun)).collect();
    let header = [
        "model",
        "role",
        "forget, train",
        "held out",
        "retain, train",
        "held out",
        "changed",
        "alpha",
        "lambda",
        "ridge",
        "ms",
    ];
    table::print(&header, rows, 2);
    if let Some(fiun) = fiun {
        print_times(study, fiun);
        outln!("{}", disinherit_report::honest(study.shown()));
    }
}

/// One model: before, after, and retrained.
fn row(model: &Compared, fiun: Option<&MethodResult>) -> Vec<String> {
    let cell = |pick: fn(&Scores) -> Option<f64>| {
        let (before, after) = (pick(&model.before), pick(&model.after));
        let again = pick(&model.retrained);
        let again = again.map_or(String::new(), |a| format!(" ({:.1})", a * 100.0));
        format!(
            "{} > {}{again}",
            output::percent(before),
            output::percent(after)
        )
    };
    let outcome = fiun
        .and_then(|r| r.models.iter().find(|m| m.id.name() == model.name))
        .map(|m| &m.outcome);
    let number =
        |value: Option<f64>, places: usize| value.map_or("-".into(), |v| format!("{v:.places$}"));
    vec![
        model.name.clone(),
        model.role.to_string(),
        cell(|s| s.forget.train),
        cell(|s| s.forget.heldout),
        cell(|s| s.retain.train),
        cell(|s| s.retain.heldout),
        output::grouped(model.parameters_changed),
        number(outcome.and_then(|o| o.alpha), 2),
        number(outcome.and_then(|o| o.lambda), 1),
        number(outcome.and_then(|o| o.inner.as_ref()?.ridge), 2),
        number(outcome.map(|o| o.seconds * 1e3), 1),
    ]
}

fn print_times(study: &Study, fiun: &MethodResult) {
    for remark in &fiun.warnings {
        warning!("{remark}");
    }
    let (all, fisher) = (fiun.cost.seconds, fiun.preparation.seconds);
    out!(
        "FIUn: {all:.3} s (Fisher information {fisher:.3} s, edit {:.3} s)",
        all - fisher
    );
    let retrain = study.result(MethodKind::Retrain.into());
    match (retrain, study.time_ratio(fiun.variant)) {
        (Some(retrain), Some(ratio)) => outln!(
            "; retraining: {:.1} s; FIUn takes {:.2} % of it",
            retrain.cost.seconds,
            ratio * 100.0
        ),
        _ => outln!(),
    }
}
