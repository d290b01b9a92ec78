//! The demonstration: grow, forget, retrain, compare, write a page.

use std::time::Instant;

use disinherit::{Depth, Layers, Method, Recipe, Scores, Study, StudyOptions, Variant, run_study};
use serde_json::json;
use umig::Forget;

use super::{Context, grow, request};
use crate::args::DemoArgs;
use crate::error::CliError;
use crate::{output, table};

pub(super) fn demo(context: &Context, args: &DemoArgs) -> Result<(), CliError> {
    let start = Instant::now();
    let mut recipe = grow::recipe(&args.recipe, Some(&args.settings))?;
    if let Some(text) = &args.forget {
        let Forget::Classes(classes) = request::forget(text)? else {
            return Err(CliError::new("the demonstration forgets classes").help("class=NAME"));
        };
        recipe.forget.classes = classes.into_iter().collect();
    }
    let splits = grow::recipe_data(&recipe)?;
    // Without --registry the demonstration leaves nothing behind but its page.
    let temporary =
        tempfile::tempdir().map_err(disinherit_registry::RegistryError::io("make", "a folder"))?;
    let registry = match &context.registry {
        Some(_) => context.registry_or_new()?,
        None => disinherit_registry::Registry::create(temporary.path())?,
    };
    let retrain = (!args.no_retrain).then(|| Method::Retrain.into());
    let options = StudyOptions {
        compute: context.compute,
        unlearn: request::unlearn_options(context, &args.method, None),
        variants: [Variant::default()].into_iter().chain(retrain).collect(),
        depth: Depth::QUICK,
        publish: true,
        keep: None,
    };
    let study = run_study(&registry, &recipe, &splits, &options, &context.bars)?;
    let page = disinherit_report::page(std::slice::from_ref(&study))?;
    std::fs::write(&args.report, page).map_err(disinherit_registry::RegistryError::io(
        "write",
        &args.report,
    ))?;
    if context.json {
        return output::json(&json!({
            "forget": recipe.forget.classes,
            "models": study.compared(),
            "seconds": seconds(&study),
            "report": args.report,
            "recipe": study.title,
            "seed": study.seed,
            "device": study.device,
        }));
    }
    print(&study, &recipe, &args.method.layers);
    println!(
        "wrote {} ({:.1} s in all)",
        args.report.display(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Seconds of each part of FIUn, and of retraining where it was measured.
fn seconds(study: &Study) -> serde_json::Value {
    let (fisher, all) = study
        .result(Variant::default())
        .map_or((0.0, 0.0), |r| (r.preparation.seconds, r.cost.seconds));
    let retrain = study.result(Method::Retrain.into());
    json!({
        "fisher": fisher,
        "unlearn": all - fisher,
        "retrain": retrain.map(|r| r.cost.seconds),
    })
}

fn print(study: &Study, recipe: &Recipe, layers: &Layers) {
    println!(
        "{}: {} on {}, forgetting {} from {} and all that inherited from it",
        recipe.name,
        recipe.network.architecture,
        recipe.data.source,
        study.forget,
        if recipe.forget.from.is_empty() {
            "every model trained on it".to_owned()
        } else {
            recipe.forget.from.join(", ")
        }
    );
    println!("accuracy in %: before > after (retrained)");
    let fiun = study.result(Variant::default());
    let rows = study
        .compared()
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
            let outcome = fiun
                .and_then(|r| r.models.iter().find(|m| m.id.name() == model.name))
                .map(|m| &m.outcome);
            let number = |value: Option<f64>, places: usize| {
                value.map_or("-".into(), |v| format!("{v:.places$}"))
            };
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
                number(outcome.map(|o| o.seconds * 1e3), 1),
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
    let Some(fiun) = fiun else {
        return;
    };
    for warning in &fiun.warnings {
        eprintln!("warning: {warning}");
    }
    let (all, fisher) = (fiun.cost.seconds, fiun.preparation.seconds);
    print!(
        "FIUn: {all:.3} s (Fisher information {fisher:.3} s, edit {:.3} s)",
        all - fisher
    );
    let retrain = study.result(Method::Retrain.into());
    match (retrain, study.time_ratio(Variant::default())) {
        (Some(retrain), Some(ratio)) => println!(
            "; retraining: {:.1} s; FIUn takes {:.2} % of it",
            retrain.cost.seconds,
            ratio * 100.0
        ),
        _ => println!(),
    }
    println!("{}", disinherit_report::honest(layers));
}
