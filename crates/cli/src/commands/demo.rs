//! The demonstration: grow, forget, retrain, compare, write a page.

use std::time::Instant;

use disinherit::{Recipe, Scores, Study, StudyOptions, run_study};
use serde_json::json;
use umig::Forget;

use super::{Context, grow, request};
use crate::args::DemoArgs;
use crate::error::CliError;
use crate::{output, table};

pub(super) fn demo(context: &Context, args: &DemoArgs) -> Result<(), CliError> {
    let start = Instant::now();
    let mut recipe = grow::recipe(&args.recipe, &args.settings)?;
    if let Some(text) = &args.forget {
        let Forget::Classes(classes) = request::forget(text)? else {
            return Err(CliError::new("the demonstration forgets classes").help("class=NAME"));
        };
        recipe.forget.classes = classes.into_iter().collect();
    }
    let splits = grow::recipe_data(&recipe)?;
    // Without --registry the demonstration leaves nothing behind but its page.
    let temporary = tempfile::tempdir().map_err(store::StoreError::io("make", "a folder"))?;
    let registry = match &context.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(store::StoreError::io("make", folder))?;
            context.registry_or_new()?
        }
        None => store::Registry::create(temporary.path())?,
    };
    let options = StudyOptions {
        compute: context.compute,
        unlearn: request::unlearn_options(context, &args.method, None),
        retrain: !args.no_retrain,
    };
    let study = run_study(&registry, &recipe, &splits, &options, &context.bars)?;
    let page = report::page(&study, &registry.graph()?)?;
    std::fs::write(&args.report, page).map_err(store::StoreError::io("write", &args.report))?;
    if context.json {
        return output::json(&json!({
            "forget": study.forget,
            "models": study.models,
            "seconds": study.seconds,
            "report": args.report,
            "recipe": study.recipe.name,
            "seed": study.recipe.seed,
            "device": study.device,
        }));
    }
    print(&study, &recipe);
    println!(
        "wrote {} ({:.1} s in all)",
        args.report.display(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn print(study: &Study, recipe: &Recipe) {
    println!(
        "{}: {} on {}, forgetting {} from {} and all that inherited from it",
        recipe.name,
        recipe.network.architecture,
        recipe.data.source,
        Forget::classes(study.forget.iter().cloned()),
        if recipe.forget.from.is_empty() {
            "every model trained on it".to_owned()
        } else {
            recipe.forget.from.join(", ")
        }
    );
    println!("accuracy in %: before > after (retrained)");
    let rows = study
        .models
        .iter()
        .map(|model| {
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
            let outcome = study
                .unlearned
                .models
                .iter()
                .find(|o| o.before.name() == model.name);
            vec![
                model.name.clone(),
                model.role.to_string(),
                cell(|s| s.forget.train),
                cell(|s| s.forget.heldout),
                cell(|s| s.retain.train),
                cell(|s| s.retain.heldout),
                output::grouped(model.parameters_changed),
                outcome.map_or("-".into(), |o| format!("{:.2}", o.alpha)),
                outcome.map_or("-".into(), |o| format!("{:.1}", o.lambda)),
                outcome.map_or("-".into(), |o| format!("{:.1}", o.seconds * 1e3)),
            ]
        })
        .collect();
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
        "ms",
    ];
    table::print(&header, rows, 2);
    for warning in &study.unlearned.warnings {
        eprintln!("warning: {warning}");
    }
    let seconds = &study.seconds;
    print!(
        "FIUn: {:.3} s (Fisher information {:.3} s, edit {:.3} s)",
        seconds.fisher + seconds.unlearn,
        seconds.fisher,
        seconds.unlearn
    );
    match (seconds.retrain, study.time_ratio()) {
        (Some(retrain), Some(ratio)) => {
            println!(
                "; retraining: {retrain:.1} s; FIUn takes {:.2} % of it",
                ratio * 100.0
            );
        }
        _ => println!(),
    }
    println!("{}", report::honest(&study.layers));
}
