//! FIM cards: computing, importing, exporting.

use std::path::Path;

use disinherit::{FisherOptions, LoadedModel, absence_warning, compute_cards};
use disinherit_data::Splits;
use disinherit_registry::{CardRow, FisherCard, Registry, RegistryError};
use serde_json::json;
use umig::ModelId;

use super::{Context, models, read_data};
use crate::args::{CardArgs, EstimatorArgs, FisherArgs, FisherCommand};
use crate::error::CliError;
use crate::output;

/// The options as the engine takes them.
pub(super) fn options(
    context: &Context,
    layers: &disinherit::Layers,
    estimator: Option<&EstimatorArgs>,
) -> FisherOptions {
    FisherOptions {
        estimator: estimator.map_or(fiun::Estimator::Empirical, |e| e.estimator),
        layers: layers.clone(),
        samples: estimator.and_then(|e| e.max_samples),
        precision: estimator.and_then(|e| e.precision),
        memory: estimator.and_then(|e| e.memory).map(|size| size.as_u64()),
        seed: 0,
        compute: context.compute,
    }
}

/// The cards of one model that was just added.
pub(super) fn card_of_added(
    context: &Context,
    registry: &Registry,
    id: &ModelId,
    splits: &Splits,
    args: &CardArgs,
) -> Result<(), CliError> {
    let options = options(context, &args.layers, Some(&args.estimator));
    let ids = [id.clone()];
    cards(context, registry, &ids, splits, &options, false).map(|_| ())
}

/// Computes the cards of the models that have none yet.
pub(super) fn cards(
    context: &Context,
    registry: &Registry,
    ids: &[ModelId],
    splits: &Splits,
    options: &FisherOptions,
    again: bool,
) -> Result<Vec<CardRow>, CliError> {
    let graph = registry.graph()?;
    let models = ids
        .iter()
        .map(|id| LoadedModel::open(registry, &graph, id))
        .collect::<Result<Vec<_>, _>>()?;
    let features = context.features(registry);
    let rows = compute_cards(
        registry,
        &models,
        &splits.train,
        options,
        &features,
        again,
        &context.bars,
    )?;
    let made = |model: &&LoadedModel| rows.iter().any(|row| row.model == model.digest);
    for model in models.iter().filter(made) {
        if let Some(warning) = absence_warning(&model.vertex, &splits.train) {
            eprintln!("warning: {warning}");
        }
    }
    Ok(rows)
}

pub(super) fn fisher(context: &Context, args: &FisherArgs) -> Result<(), CliError> {
    match &args.command {
        Some(FisherCommand::Import { file, model }) => import(context, file, model.as_deref()),
        Some(FisherCommand::Export {
            model,
            file,
            estimator,
            force,
        }) => export(context, model, file, *estimator, *force),
        None => compute(context, args),
    }
}

fn compute(context: &Context, args: &FisherArgs) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let ids: Vec<ModelId> = if args.models.is_empty() {
        graph
            .models()
            .filter(|model| !model.superseded)
            .map(|model| model.id.clone())
            .collect()
    } else {
        args.models
            .iter()
            .map(|text| models::resolve(&graph, text))
            .collect::<Result<_, _>>()?
    };
    let splits = read_data(&args.data)?.ok_or_else(|| {
        CliError::new("a FIM card is computed from the model's own training data")
            .help("give it with `--data PATH`")
    })?;
    let options = options(context, &args.card.layers, Some(&args.card.estimator));
    let rows = cards(context, &registry, &ids, &splits, &options, args.again)?;
    let readers = rows
        .iter()
        .map(|row| registry.card_of(row))
        .collect::<Result<Vec<_>, _>>()?;
    let headers = readers.iter().map(|reader| reader.header());
    if context.json {
        let list: Vec<_> = rows
            .iter()
            .zip(headers)
            .map(|(row, header)| {
                json!({
                    "model": row.model,
                    "estimator": row.estimator,
                    "card": row.blob,
                    "samples": header.samples(),
                    "precision": header.precision,
                    "layers": header.layers.len(),
                })
            })
            .collect();
        return output::json(&json!({"cards": list, "present": ids.len() - rows.len()}));
    }
    let digests = registry.digests()?;
    for header in headers {
        if let Some(precision) = &header.precision {
            let known = ids.iter().find(|id| digests.get(id) == Some(&header.model));
            let name = known.map_or_else(|| header.model.to_string(), ToString::to_string);
            println!("{name}: {}", in_words(precision));
        }
    }
    println!(
        "computed {} cards, {} were there already",
        rows.len(),
        ids.len() - rows.len()
    );
    Ok(())
}

/// What a user should know about a FIM from a subset.
pub(super) fn in_words(precision: &fiun::Precision) -> String {
    format!(
        "{} of {} samples, standard error {:.2} %, {:.2} % of decisions at alpha {} open",
        output::grouped(precision.samples),
        output::grouped(precision.population),
        precision.standard_error * 100.0,
        precision.open * 100.0,
        precision.alpha
    )
}

fn import(context: &Context, file: &Path, model: Option<&str>) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let bytes = std::fs::read(file).map_err(RegistryError::io("read", file))?;
    let card = FisherCard::from_bytes(&bytes)?;
    let named = model
        .map(|text| models::resolve(&graph, text))
        .transpose()?;
    let id = disinherit::import_card(&registry, &graph, &card, named.as_ref())?;
    if context.json {
        return output::json(&json!({"model": id, "estimator": card.header.estimator.to_string()}));
    }
    println!(
        "kept the card of {id}: {}, {} samples",
        card.header.estimator,
        output::grouped(card.header.samples())
    );
    Ok(())
}

fn export(
    context: &Context,
    model: &str,
    file: &Path,
    estimator: fiun::Estimator,
    force: bool,
) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &models::resolve(&graph, model)?)?;
    models::free(file, force)?;
    let card = registry
        .card(loaded.digest, estimator)?
        .ok_or_else(|| {
            CliError::new(format!("`{}` has no {estimator} FIM card", loaded.id())).help(format!(
                "compute it with `disinherit fisher {} --data PATH`",
                loaded.id()
            ))
        })?
        .card(&registry)?;
    disinherit_formats::write_file(file, &card.to_bytes()?)?;
    if context.json {
        return output::json(&json!({"model": loaded.id(), "file": file}));
    }
    println!("wrote the card of {} to {}", loaded.id(), file.display());
    Ok(())
}
