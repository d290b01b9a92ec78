//! The paper's experiments, and pages about requests.

use std::path::Path;
use std::time::Instant;

use disinherit::{Depth, Method, Recipe, Study, StudyOptions, Variant, mean, revisit, run_study};
use disinherit_formats::write_file;
use disinherit_registry::{Registry, RegistryError};
use serde_json::json;
use umig::Forget;

use super::{Context, grow, read_data, request};
use crate::args::{Experiment, ReportArgs, ReproduceArgs};
use crate::error::CliError;
use crate::{output, table};

/// The methods by name, what each does and where it comes from.
pub(super) fn methods(context: &Context) -> Result<(), CliError> {
    if context.json {
        let list: Vec<_> = Method::all()
            .map(|method| {
                json!({"name": method, "purpose": method.purpose(), "source": method.source()})
            })
            .collect();
        return output::json(&json!({"methods": list}));
    }
    for method in Method::all() {
        println!(
            "{method}\n    {}\n    {}",
            method.purpose(),
            method.source()
        );
    }
    Ok(())
}

/// The experiment's recipe on the embedded digits.
fn default_recipe(experiment: Experiment) -> &'static str {
    match experiment {
        Experiment::Fl => "fl-digits",
        Experiment::Ddpl => "ddpl-digits",
        Experiment::Il => "il-digits",
        Experiment::Tl => "tl-digits",
        Experiment::Multi => "multi-digits",
        Experiment::Depth => "depth-digits",
    }
}

fn variants(names: &[String]) -> Result<Vec<Variant>, CliError> {
    let mut list: Vec<Variant> = Vec::new();
    for name in names {
        let more = match name.as_str() {
            "all" => Method::all().map(Variant::from).collect(),
            name => vec![name.parse::<Variant>().map_err(CliError::new)?],
        };
        list.extend(more);
    }
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|variant| seen.insert(*variant));
    Ok(list)
}

fn recipe(args: &ReproduceArgs) -> Result<Recipe, CliError> {
    let name = args
        .recipe
        .as_deref()
        .unwrap_or(default_recipe(args.experiment));
    let mut recipe = grow::recipe(name, Some(&args.settings))?;
    if let Some(text) = &args.forget {
        let Forget::Classes(classes) = request::forget(text)? else {
            return Err(CliError::new("a reproduction forgets classes").help("class=NAME"));
        };
        recipe.forget.classes = classes.into_iter().collect();
    }
    Ok(recipe)
}

fn folder(path: &Path) -> Result<(), CliError> {
    Ok(std::fs::create_dir_all(path).map_err(RegistryError::io("make", path))?)
}

pub(super) fn reproduce(context: &Context, args: &ReproduceArgs) -> Result<(), CliError> {
    let start = Instant::now();
    let variants = variants(&args.methods)?;
    let recipe = recipe(args)?;
    let splits = grow::recipe_data(&recipe)?;
    // Before the folder is marked as this recipe's.
    disinherit::check_recipe(&recipe, &splits.train)?;
    folder(&args.out)?;
    let seeds = match &args.seeds[..] {
        [] => vec![recipe.seed],
        seeds => seeds.to_vec(),
    };
    let mut studies = Vec::new();
    for seed in seeds {
        let recipe = Recipe {
            seed,
            ..recipe.clone()
        };
        let place = args.out.join(format!("seed-{seed}"));
        folder(&place)?;
        check_same(&place, &recipe)?;
        let registry = match Registry::open(&place) {
            Err(RegistryError::NoRegistry(_)) => Registry::create(&place)?,
            other => other?,
        };
        let options = StudyOptions {
            compute: context.compute,
            unlearn: request::unlearn_options(context, &args.dampening, None),
            variants: variants.clone(),
            depth: Depth {
                attacks: true,
                relearning: !args.no_relearning,
            },
            publish: false,
            keep: Some(place),
        };
        studies.push(run_study(
            &registry,
            &recipe,
            &splits,
            &options,
            &context.bars,
        )?);
    }
    let written = write(&args.out, &studies)?;
    if context.json {
        return output::json(&json!({"studies": studies, "files": written}));
    }
    print(&studies);
    println!(
        "wrote {} ({:.1} s in all)",
        written.join(", "),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Refuses to mix results of different recipes in one folder.
fn check_same(place: &Path, recipe: &Recipe) -> Result<(), CliError> {
    let path = place.join("recipe.json");
    let text = serde_json::to_vec_pretty(recipe)?;
    match std::fs::read(&path) {
        Ok(known) if known == text => Ok(()),
        Ok(_) => Err(CliError::new(format!(
            "{} holds results of another recipe or other settings",
            place.display()
        ))
        .help("give another folder with `--out`")),
        Err(_) => Ok(write_file(&path, &text)?),
    }
}

fn write(out: &Path, studies: &[Study]) -> Result<Vec<String>, CliError> {
    let files = [
        ("results.json", serde_json::to_string_pretty(studies)?),
        ("results.csv", disinherit_report::csv(studies)?),
        ("report.html", disinherit_report::page(studies)?),
    ];
    let mut written = Vec::new();
    for (name, text) in files {
        let path = out.join(name);
        write_file(&path, text.as_bytes())?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

fn print(studies: &[Study]) {
    let Some(first) = studies.first() else {
        return;
    };
    println!("{}, forgetting {}", first.title, first.forget);
    println!("means over touched models and seeds; accuracy in %");
    let rows = first
        .results
        .iter()
        .map(|result| row(studies, result.variant))
        .collect();
    let header = [
        "method",
        "forget, train",
        "held out",
        "worst",
        "retain, train",
        "held out",
        "member",
        "probe",
        "relearn",
        "wall s",
        "cpu s",
    ];
    table::print(&header, rows, 1);
    for result in first.results.iter() {
        if let Some(why) = &result.failed {
            eprintln!("warning: {} failed: {why}", result.variant);
        }
    }
}

fn row(studies: &[Study], variant: Variant) -> Vec<String> {
    let results = || studies.iter().filter_map(|study| study.result(variant));
    let share = |pick: fn(&disinherit::Verdicts) -> Option<f64>| {
        output::percent(mean(results().filter_map(|r| r.mean(pick))))
    };
    let worst = results()
        .flat_map(|r| r.models.iter())
        .filter_map(|m| m.verdicts.scores.forget.heldout)
        .reduce(f64::max);
    let steps = |v: &disinherit::Verdicts| {
        let relearning = v.relearning?;
        Some(relearning.steps.unwrap_or(relearning.limit) as f64)
    };
    let number = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
    vec![
        variant.to_string(),
        share(|v| v.scores.forget.train),
        share(|v| v.scores.forget.heldout),
        output::percent(worst),
        share(|v| v.scores.retain.train),
        share(|v| v.scores.retain.heldout),
        share(|v| v.membership.map(|m| m.called_member)),
        share(|v| v.probe),
        number(mean(results().filter_map(|r| r.mean(steps)))),
        number(mean(results().map(|r| r.cost.seconds))),
        number(mean(results().filter_map(|r| r.cost.processor_seconds))),
    ]
}

pub(super) fn report(context: &Context, args: &ReportArgs) -> Result<(), CliError> {
    let registry = context.registry()?;
    let splits = read_data(&args.data)?;
    let depth = Depth {
        attacks: true,
        relearning: args.relearning,
    };
    let study = revisit(
        &registry,
        args.request.as_deref(),
        splits.as_ref(),
        depth,
        context.compute,
        None,
        &context.bars,
    )?;
    let page = disinherit_report::page(std::slice::from_ref(&study))?;
    write_file(&args.out, page.as_bytes())?;
    if context.json {
        return output::json(&json!({"study": study, "report": args.out}));
    }
    println!("wrote {}", args.out.display());
    if splits.is_none() {
        println!("give data (`--data PATH`) to have the models judged");
    }
    Ok(())
}
