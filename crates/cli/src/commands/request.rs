//! Commands about a request: plan, unlearn, verify.

use std::path::Path;
use std::process::ExitCode;

use disinherit::{
    CertifiedVerdict, Evaluator, FisherOptions, Lesson, Method, Needs, Scale, Settings, Trial,
    UnlearnOptions, Unlearned, needs, prepare,
};
use disinherit_registry::Registry;
use serde_json::json;
use umig::{Forget, Model, ModelId, Request, Umig};

use super::{Context, fisher, grow, models, proof, read_data};
use crate::args::{EstimatorArgs, MethodArgs, PlanArgs, RequestArgs, UnlearnArgs, VerifyArgs};
use crate::error::CliError;
use crate::{graph as drawing, output, table};

/// `class=NAME[,NAME]`, `source=NAME` or `samples=FILE`.
pub(super) fn forget(text: &str) -> Result<Forget, CliError> {
    match text.split_once('=') {
        Some(("class", names)) if !names.is_empty() => Ok(Forget::classes(names.split(','))),
        Some(("source", name)) if !name.is_empty() => Ok(Forget::Source(name.to_owned())),
        Some(("samples", file)) if !file.is_empty() => {
            let ids = models::lines(Path::new(file))?;
            if ids.is_empty() {
                return Err(CliError::new(format!("{file} lists no samples")));
            }
            Ok(Forget::Samples(ids.into_iter().collect()))
        }
        _ => Err(
            CliError::new(format!("cannot understand `--forget {text}`"))
                .help("class=NAME[,NAME], source=NAME or samples=FILE"),
        ),
    }
}

fn request(graph: &Umig, args: &RequestArgs) -> Result<Request, CliError> {
    let from: Vec<ModelId> = args
        .from
        .iter()
        .map(|text| models::resolve(graph, text))
        .collect::<Result<_, _>>()?;
    Ok(Request::new(forget(&args.forget)?).from_models(from))
}

/// The method's settings as the engine takes them.
pub(super) fn unlearn_options(
    context: &Context,
    method: &MethodArgs,
    estimator: Option<&EstimatorArgs>,
) -> UnlearnOptions {
    UnlearnOptions {
        alpha: method.alpha,
        lambda: method.lambda,
        scale: if method.raw {
            Scale::Raw
        } else {
            Scale::Common
        },
        merge_scale: method.merge_scale,
        target_forget: method.target_forget,
        target_loss: method.target_loss,
        fisher: fisher::options(context, &method.layers, estimator),
        jobs: method.jobs,
        dry_run: false,
        own_forget: false,
        lower: !method.dampen_only,
    }
}

pub(super) fn plan(context: &Context, args: &PlanArgs) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let plan = graph.plan(&request(&graph, &args.request)?)?;
    let options = UnlearnOptions {
        fisher: FisherOptions {
            estimator: args.estimator,
            ..fisher::options(context, &args.layers, None)
        },
        ..UnlearnOptions::default()
    };
    let needs = needs(&registry, &plan, &options)?;
    if context.json {
        return output::json(&json!({"plan": plan, "needs": needs}));
    }
    println!("forget {}", plan.request.forget);
    let note = |model: &Model| format!(" [{}]", plan.scope.role(&model.id));
    print!(
        "{}",
        drawing::rails(&graph, &|model| !model.superseded, &note)
    );
    for (number, stage) in plan.stages.iter().enumerate() {
        let count = stage.tasks.len();
        let noun = if count == 1 { "task" } else { "tasks" };
        println!("stage {}: {} ({count} {noun})", number + 1, stage.purpose);
    }
    for line in needed(&needs) {
        println!("{line}");
    }
    Ok(())
}

/// What a plan reads, in words.
fn needed(needs: &Needs) -> Vec<String> {
    let names = |ids: &[ModelId]| {
        let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
        list.join(", ")
    };
    let mut lines = Vec::new();
    if !needs.training_data.is_empty() {
        lines.push(format!(
            "needs data: no FIM card for these layers of {}",
            names(&needs.training_data)
        ));
    }
    if !needs.forget_data.is_empty() {
        lines.push(format!(
            "needs the forget data, to be run through {}",
            names(&needs.forget_data)
        ));
    }
    for (id, before) in &needs.stand_ins {
        lines.push(format!(
            "{id} has no FIM card; that of {before} can stand in for it"
        ));
    }
    if needs.training_data.is_empty() && needs.forget_data.is_empty() {
        lines.push("needs no data and no forward pass: the FIM cards hold all that is read".into());
    }
    lines
}

pub(super) fn unlearn(context: &Context, args: &UnlearnArgs) -> Result<(), CliError> {
    let registry = context.registry()?;
    let request = request(&registry.graph()?, &args.request)?;
    let splits = read_data(&args.data)?;
    let options = UnlearnOptions {
        dry_run: args.dry_run,
        ..unlearn_options(context, &args.dampening, Some(&args.estimator))
    };
    let features = context.features(&registry).not_writing(&request.forget);
    if args.method != Method::Fiun {
        return unlearn_by_rival(
            context,
            args,
            &registry,
            &request,
            splits.as_ref(),
            &options,
        );
    }
    let prepared = prepare(
        &registry,
        &request,
        splits.as_ref(),
        &options,
        &features,
        &context.bars,
    )?;
    let done = disinherit::unlearn(&registry, &prepared, &options, &context.bars)?;
    if context.json {
        return output::json(&json!({
            "plan": prepared.plan,
            "unlearned": done,
            "from_cards": prepared.from_cards,
            "seconds": {"fisher": prepared.seconds, "unlearn": done.seconds},
            "dry_run": args.dry_run,
        }));
    }
    print_unlearned(&done);
    println!(
        "{} in {:.2} s ({:.2} s for Fisher information, {} of {} models from cards)",
        verb(args.dry_run),
        prepared.seconds + done.seconds,
        prepared.seconds,
        prepared.from_cards,
        done.models.len()
    );
    if !args.dry_run {
        println!("see `disinherit verify --data PATH` for what the models still know");
    }
    Ok(())
}

fn verb(dry_run: bool) -> &'static str {
    if dry_run {
        "would have forgotten"
    } else {
        "forgot"
    }
}

/// One of the methods that FIUn is compared with.
fn unlearn_by_rival(
    context: &Context,
    args: &UnlearnArgs,
    registry: &Registry,
    request: &Request,
    splits: Option<&disinherit_data::Splits>,
    options: &UnlearnOptions,
) -> Result<(), CliError> {
    let settings = Settings::of(args.method).patched(&args.settings.patch());
    let recipe = match &args.recipe {
        Some(name) => Some(grow::recipe(name, None)?),
        None => None,
    };
    let lessons = |id: &ModelId| match &recipe {
        Some(recipe) => disinherit::lesson_of(recipe, id.name()),
        None => Ok(Lesson::of(&settings)),
    };
    let features = context.features(registry).not_writing(&request.forget);
    let trial = Trial {
        registry,
        request,
        method: args.method,
        splits,
        settings: &settings,
        unlearn: options,
        lessons: &lessons,
        compute: context.compute,
        features: &features,
    };
    let mended = disinherit::run_method(&trial, &context.bars)?;
    let done = &mended.unlearned;
    if context.json {
        return output::json(&json!({
            "method": args.method,
            "settings": settings,
            "unlearned": done,
            "cost": mended.cost,
            "dry_run": args.dry_run,
        }));
    }
    print_unlearned(done);
    println!(
        "{} by {} in {:.2} s",
        verb(args.dry_run),
        args.method,
        mended.cost.seconds
    );
    Ok(())
}

fn print_unlearned(done: &Unlearned) {
    let rows = done
        .models
        .iter()
        .map(|model| {
            let selection = model.selection();
            let factor = selection
                .mean_factor()
                .map_or("-".into(), |f| format!("{f:.3}"));
            vec![
                model.before.to_string(),
                model.after.to_string(),
                model.role.to_string(),
                model.alpha.map_or("-".into(), |a| format!("{a:.3}")),
                model.lambda.map_or("-".into(), |l| format!("{l:.1}")),
                match (&model.choice, model.alpha) {
                    (Some(_), _) => "search",
                    (None, Some(_)) => "given",
                    (None, None) => "-",
                }
                .to_owned(),
                output::grouped(selection.selected),
                format!("{:.2}", selection.share() * 100.0),
                factor,
                output::grouped(selection.changed),
            ]
        })
        .collect();
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
    table::print(&header, rows, 3);
    for warning in &done.warnings {
        eprintln!("warning: {warning}");
    }
}

/// How well models have forgotten, each on its own training data and on held-out data.
pub(super) fn verdicts(
    context: &Context,
    registry: &Registry,
    ids: &[ModelId],
    forget: &Forget,
    splits: &disinherit_data::Splits,
    at_most: f64,
) -> Result<Vec<CertifiedVerdict>, CliError> {
    let features = context.features(registry).not_writing(forget);
    let evaluator = Evaluator::new(splits, &features);
    Ok(disinherit::judge(
        registry,
        &evaluator,
        ids,
        forget,
        at_most,
        &context.bars,
    )?)
}

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode, CliError> {
    if let Some(file) = &args.certificate {
        return proof::verify(context, file, args.public_key.as_deref());
    }
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let last = || -> Result<(Forget, Vec<ModelId>), CliError> {
        let (request, models) = disinherit::last_request(&registry, None)
            .map_err(|error| CliError::from(error).help("name the models and give `--forget`"))?;
        let ids = models.into_iter().map(|model| model.after).collect();
        Ok((request.forget, ids))
    };
    let forget = match &args.forget {
        Some(text) => forget(text)?,
        None => last()?.0,
    };
    let ids: Vec<ModelId> = if args.models.is_empty() {
        last()?.1
    } else {
        args.models
            .iter()
            .map(|text| models::resolve(&graph, text))
            .collect::<Result<_, _>>()?
    };
    let splits = read_data(&args.data)?
        .ok_or_else(|| CliError::new("verifying needs data").help("give it with `--data PATH`"))?;
    let results = verdicts(context, &registry, &ids, &forget, &splits, args.at_most)?;
    let failed = results.iter().filter(|v| v.passed == Some(false)).count();
    if context.json {
        let models: Vec<_> = results
            .iter()
            .map(|v| json!({"model": v.model, "scores": v.scores, "passed": v.passed}))
            .collect();
        output::json(&json!({"forget": forget, "at_most": args.at_most, "models": models}))?;
    } else {
        let rows = results
            .iter()
            .map(|result| {
                let scores = &result.scores;
                let verdict = match result.passed {
                    Some(true) => "forgotten",
                    Some(false) => "NOT forgotten",
                    None => "nothing to measure",
                };
                vec![
                    result.model.to_string(),
                    output::percent(scores.forget.train),
                    output::percent(scores.forget.heldout),
                    output::percent(scores.retain.train),
                    output::percent(scores.retain.heldout),
                    verdict.to_owned(),
                ]
            })
            .collect();
        println!("accuracy in %, forgetting {forget}");
        let header = [
            "model",
            "forget, train",
            "held out",
            "retain, train",
            "held out",
            "verdict",
        ];
        table::print(&header, rows, 1);
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
