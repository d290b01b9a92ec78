//! Commands about single models: init, log, graph, show.

use std::collections::BTreeMap;
use std::path::Path;

use disinherit::LoadedModel;
use disinherit_registry::{
    Location, OperationRecord, OperationRow, Registry, Subject, check_chain,
};
use serde_json::json;
use umig::{Model, Relation, SampleSet, Umig};

use super::{Context, fisher};
use crate::args::GraphArgs;
use crate::error::CliError;
use crate::{graph as drawing, output, table};

pub(super) fn init(
    context: &Context,
    place: Option<String>,
    catalog: Option<&str>,
) -> Result<(), CliError> {
    let place = place.or_else(|| context.registry.clone());
    let place = super::location(place.as_deref().unwrap_or("."))?;
    if let Location::Folder(folder) = &place {
        std::fs::create_dir_all(folder)
            .map_err(disinherit_registry::RegistryError::io("make", folder))?;
    }
    let registry = Registry::create_with(&place, catalog)?;
    if context.json {
        return output::json(&json!({"registry": registry.address()}));
    }
    println!("made a registry in {}", registry.address());
    Ok(())
}

/// The lines of a file that are not empty.
pub(super) fn lines(file: &Path) -> Result<Vec<String>, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(disinherit_registry::RegistryError::io("read", file))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

fn log_of_operations(context: &Context, list: &[OperationRow]) -> Result<(), CliError> {
    let problems = check_chain(list);
    if context.json {
        return output::json(&list);
    }
    let rows = list
        .iter()
        .map(|row| {
            let record = row.record();
            let subject = match record.as_ref().map(OperationRecord::subject) {
                Ok(Subject::Model(id)) => id.to_string(),
                Ok(Subject::Request(id)) => id.to_string(),
                Ok(Subject::Operation(number)) => format!("operation {number}"),
                Ok(Subject::Reason(reason)) => reason.to_owned(),
                Ok(Subject::None) | Err(_) => String::new(),
            };
            vec![
                row.id.to_string(),
                output::time(row.time),
                row.actor.clone(),
                row.command.clone(),
                subject,
                row.hash.chars().take(12).collect(),
            ]
        })
        .collect();
    table::print(
        &["operation", "time", "actor", "command", "subject", "hash"],
        rows,
        6,
    );
    for problem in problems {
        eprintln!("warning: {problem}");
    }
    Ok(())
}

fn show_operation(context: &Context, number: i64) -> Result<(), CliError> {
    let list = context.registry()?.operations()?;
    let Some(row) = list.iter().find(|row| row.id.get() == number) else {
        return Err(CliError::new(format!("there is no operation {number}"))
            .help("`disinherit log --operations` lists them"));
    };
    if context.json {
        return output::json(row);
    }
    println!("operation {number}: {}", row.command);
    println!("  time        {}", output::time(row.time));
    println!("  actor       {}", row.actor);
    println!("  hash        {}", row.hash);
    println!("  follows     {}", row.previous);
    let made = &row.made;
    for (id, digest) in &made.models {
        println!("  made        {id}, digest {digest}");
    }
    for (what, list) in [
        ("superseded", &made.superseded),
        ("restored", &made.restored),
        ("taken out", &made.removed),
        ("purged", &made.purged),
    ] {
        for id in list {
            println!("  {what:11} {id}");
        }
    }
    for card in &made.cards {
        println!("  FIM card    of {} ({})", card.model, card.estimator);
    }
    println!("{}", serde_json::to_string_pretty(&row.detail()?)?);
    Ok(())
}

pub(super) fn log(context: &Context, operations: bool) -> Result<(), CliError> {
    let registry = context.registry()?;
    if operations {
        return log_of_operations(context, &registry.operations()?);
    }
    let graph = registry.graph()?;
    if context.json {
        return output::json(&graph.models().collect::<Vec<_>>());
    }
    let known: BTreeMap<umig::ModelId, disinherit_registry::ModelRow> = registry
        .models()?
        .into_iter()
        .map(|row| (row.vertex.id.clone(), row))
        .collect();
    let rows = graph
        .models()
        .map(|model| {
            let row = known.get(&model.id);
            let digest = row.map(|row| row.manifest.to_string()).unwrap_or_default();
            let state = row.map_or("", |row| row.state().name());
            let parents: Vec<String> = graph
                .parents(&model.id)
                .into_iter()
                .map(|(id, _)| id.to_string())
                .collect();
            vec![
                model.id.to_string(),
                state.to_owned(),
                output::time(model.time),
                digest.chars().take(12).collect(),
                parents.join(", "),
            ]
        })
        .collect();
    table::print(&["model", "state", "time", "digest", "parents"], rows, 5);
    Ok(())
}

pub(super) fn graph(context: &Context, args: &GraphArgs) -> Result<(), CliError> {
    let graph = context.registry()?.graph()?;
    let keep = |model: &Model| args.all || !model.superseded;
    if context.json {
        return output::json(&graph);
    }
    let text = if args.dot {
        drawing::dot(&graph, &keep)
    } else if args.mermaid {
        drawing::mermaid(&graph, &keep)
    } else {
        let note = |model: &Model| {
            if model.superseded {
                " [superseded]"
            } else {
                ""
            }
            .to_owned()
        };
        drawing::rails(&graph, &keep, &note)
    };
    print!("{text}");
    Ok(())
}

/// A model by name or id.
pub(super) fn resolve(graph: &Umig, text: &str) -> Result<umig::ModelId, CliError> {
    Ok(disinherit::resolve(graph, text)?.id.clone())
}

pub(super) fn show(context: &Context, model: &str) -> Result<(), CliError> {
    if let Ok(number) = model.parse() {
        return show_operation(context, number);
    }
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &resolve(&graph, model)?)?;
    let id = loaded.id();
    let depth = graph.depths().get(id).copied().unwrap_or_default();
    let cards = registry
        .cards(loaded.digest)?
        .iter()
        .map(|row| registry.card_of(row))
        .collect::<Result<Vec<_>, _>>()?;
    let headers: Vec<&disinherit_registry::CardHeader> =
        cards.iter().map(|card| card.header()).collect();
    if context.json {
        return output::json(&json!({
            "model": loaded.vertex,
            "digest": loaded.digest,
            "manifest": loaded.manifest,
            "parents": graph.parents(id),
            "children": graph.children(id),
            "depth": depth,
            "cards": headers,
        }));
    }
    let joined = |list: Vec<(&umig::ModelId, &Relation)>| {
        let list: Vec<String> = list.iter().map(|(id, r)| format!("{id} ({r})")).collect();
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(", ")
        }
    };
    println!(
        "{id}{}",
        if loaded.vertex.superseded {
            " (superseded)"
        } else {
            ""
        }
    );
    println!("  digest      {}", loaded.digest);
    println!("  made        {}", output::time(loaded.vertex.time));
    println!(
        "  network     {} on {}",
        loaded.architecture.kind, loaded.architecture.input
    );
    println!(
        "  parameters  {} in {} tensors, head `{}`",
        output::grouped(loaded.manifest.parameters()),
        loaded.manifest.tensors.len(),
        loaded.manifest.head
    );
    println!("  labels      {}", loaded.manifest.labels.join(", "));
    for training in &loaded.vertex.training {
        let samples = match &training.samples {
            SampleSet::Listed(ids) => format!("{} samples", output::grouped(ids.len() as u64)),
            SampleSet::All => "all samples".into(),
            SampleSet::Unknown => "samples not recorded".into(),
        };
        println!("  trained on  {training}, {samples}");
    }
    println!("  parents     {}", joined(graph.parents(id)));
    println!("  children    {}", joined(graph.children(id)));
    println!("  depth       {depth}");
    if headers.is_empty() {
        println!("  FIM card    none");
    }
    for header in headers {
        let layers = match header.layers.len() {
            0 => "head".to_owned(),
            count => format!("head and {count} inner tensors"),
        };
        let samples = match &header.precision {
            Some(precision) => fisher::in_words(precision),
            None => format!("{} samples", output::grouped(header.samples())),
        };
        println!("  FIM card    {}, {layers}, {samples}", header.estimator);
    }
    Ok(())
}

/// Refuses to write over a file.
pub(super) fn free(file: &Path, force: bool) -> Result<(), CliError> {
    if file.exists() && !force {
        return Err(
            CliError::new(format!("{} is there already", file.display()))
                .help("give another name, or `--force` to replace it"),
        );
    }
    Ok(())
}
