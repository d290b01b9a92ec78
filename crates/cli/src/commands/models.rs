//! Commands about single models: init, add, log, graph, show, export.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use data::ImageShape;
use disinherit::{AddModel, LoadedModel};
use nets::{Architecture, Input, Kind, Preprocessing, TextShape};
use serde_json::json;
use store::{Location, OperationRow, Registry, check_chain, write_checkpoint};
use umig::{Model, Relation, SampleSet, Training, Umig};

use super::{Context, fisher, read_data};
use crate::args::{AddArgs, GraphArgs};
use crate::error::CliError;
use crate::{graph as drawing, output, table};

pub(super) fn init(
    context: &Context,
    place: Option<String>,
    catalog: Option<&str>,
) -> Result<(), CliError> {
    let place = place.or_else(|| context.registry.clone());
    let place = Location::parse(place.as_deref().unwrap_or("."))?;
    if let Location::Folder(folder) = &place {
        std::fs::create_dir_all(folder).map_err(store::StoreError::io("make", folder))?;
    }
    let registry = Registry::create_with(&place, catalog)?;
    if context.json {
        return output::json(&json!({"registry": registry.address()}));
    }
    println!("made a registry in {}", registry.address());
    Ok(())
}

/// Names from `a,b,c` or from the lines of `@FILE`.
fn names(text: &str) -> Result<Vec<String>, CliError> {
    let list: Vec<String> = match text.strip_prefix('@') {
        None => text.split(',').map(|name| name.trim().to_owned()).collect(),
        Some(file) => lines(Path::new(file))?,
    };
    match list.iter().find(|name| name.is_empty()) {
        Some(_) => Err(CliError::new("a label name is empty")),
        None => Ok(list),
    }
}

/// The lines of a file that are not empty.
pub(super) fn lines(file: &Path) -> Result<Vec<String>, CliError> {
    let text = std::fs::read_to_string(file).map_err(store::StoreError::io("read", file))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

pub(super) fn add(context: &Context, args: &AddArgs) -> Result<(), CliError> {
    let labels = names(&args.labels)?;
    let kind: Kind = args.architecture.parse()?;
    let [channels, height, width] = args.input;
    let input = if kind.reads_text() {
        Input::Text(TextShape {
            vocabulary: args.vocabulary,
            length: args.length,
        })
    } else {
        Input::Images(ImageShape {
            channels,
            height,
            width,
        })
    };
    let architecture = Architecture {
        kind,
        input,
        classes: labels.len(),
    };
    let parents = args
        .parents
        .iter()
        .map(|text| parent(text, &args.frozen))
        .collect::<Result<Vec<_>, _>>()?;
    let new = AddModel {
        name: args.name.clone(),
        file: args.file.clone(),
        architecture,
        preprocessing: Preprocessing {
            mean: args.mean.clone(),
            std: args.std.clone(),
        },
        training: training(args, &labels)?,
        labels,
        parents,
        time: args.time,
    };
    let registry = context.registry()?;
    // Data that cannot be read is refused before anything is added.
    let splits = if args.no_fisher {
        None
    } else {
        read_data(&args.data)?
    };
    let id = disinherit::add(&registry, &new)?;
    if let Some(splits) = &splits {
        fisher::card_of_added(context, &registry, &id, splits, &args.fisher).map_err(|error| {
            error.help(format!(
                "`{id}` was added, without a FIM card; `disinherit fisher {id} --data PATH` makes one"
            ))
        })?;
    }
    if context.json {
        return output::json(&json!({"model": id, "card": splits.is_some()}));
    }
    match splits {
        Some(_) => println!("added {id}, with its FIM card"),
        None => println!("added {id}"),
    }
    Ok(())
}

fn training(args: &AddArgs, labels: &[String]) -> Result<Vec<Training>, CliError> {
    let seen = match &args.trained_labels {
        Some(text) => names(text)?,
        None => labels.to_vec(),
    };
    if let Some(label) = seen.iter().find(|label| !labels.contains(label)) {
        return Err(CliError::new(format!(
            "the trained label `{label}` is none of --labels"
        )));
    }
    let count = args.trained_on.len();
    for (flag, given) in [
        ("--trained-samples", args.trained_samples.len()),
        ("--source", args.source.len()),
    ] {
        if given != 0 && given != count {
            return Err(CliError::new(format!(
                "{flag} is given {given} times, --trained-on {count} times"
            ))
            .help("give it once for each --trained-on, in the same order, or not at all"));
        }
    }
    let mut trainings = Vec::with_capacity(count);
    for (number, name) in args.trained_on.iter().enumerate() {
        let mut training = Training::new(name, seen.iter().cloned());
        training.source = args.source.get(number).cloned();
        if let Some(file) = args.trained_samples.get(number) {
            training.samples = SampleSet::Listed(lines(file)?.into_iter().collect::<BTreeSet<_>>());
        }
        trainings.push(training);
    }
    Ok(trainings)
}

/// `NAME[:RELATION[=WEIGHT]]`.
fn parent(text: &str, frozen: &[String]) -> Result<(String, Relation), CliError> {
    let (name, rest) = text.split_once(':').unwrap_or((text, "fine_tune"));
    let (relation, weight) = match rest.split_once('=') {
        None => (rest, None),
        Some((relation, weight)) => {
            let number = weight.parse::<f64>().map_err(|_| {
                CliError::new(format!(
                    "the weight `{weight}` of parent `{name}` is no number"
                ))
            })?;
            (relation, Some(number))
        }
    };
    let relation = match relation {
        "fine_tune" => Relation::FineTune,
        "federated_average" => Relation::FederatedAverage {
            weight: weight.unwrap_or(1.0),
        },
        "distributed_average" => Relation::DistributedAverage,
        "incremental" => Relation::Incremental,
        "transfer" => Relation::Transfer {
            frozen: frozen.to_vec(),
        },
        "distilled" => Relation::Distilled,
        "merged" => Relation::Merged { weight },
        "quantised" => Relation::Quantised,
        "adapter" => Relation::Adapter,
        other => {
            return Err(
                CliError::new(format!("unknown relation `{other}` of parent `{name}`")).help(
                    "fine_tune, federated_average, distributed_average, incremental, transfer, \
                     distilled, merged, quantised or adapter",
                ),
            );
        }
    };
    Ok((name.to_owned(), relation))
}

fn log_of_operations(context: &Context, list: &[OperationRow]) -> Result<(), CliError> {
    let problems = check_chain(list);
    if context.json {
        return output::json(&list);
    }
    let rows = list
        .iter()
        .map(|row| {
            let operation = &row.operation;
            let subject = ["model", "models", "id", "undoes", "reason"]
                .iter()
                .find_map(|key| match operation.detail.get(key) {
                    Some(serde_json::Value::String(text)) => Some(text.clone()),
                    Some(serde_json::Value::Number(number)) => Some(format!("operation {number}")),
                    _ => None,
                });
            vec![
                row.id.to_string(),
                output::time(operation.time),
                row.actor.clone(),
                operation.command.clone(),
                subject.unwrap_or_default(),
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
    let Some(row) = list.iter().find(|row| row.id == number) else {
        return Err(CliError::new(format!("there is no operation {number}"))
            .help("`disinherit log --operations` lists them"));
    };
    if context.json {
        return output::json(row);
    }
    println!("operation {number}: {}", row.operation.command);
    println!("  time        {}", output::time(row.operation.time));
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
    println!("{}", serde_json::to_string_pretty(&row.operation.detail)?);
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
    let known: BTreeMap<umig::ModelId, store::ModelRow> = registry
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
    let headers: Vec<&store::CardHeader> = cards.iter().map(|card| card.header()).collect();
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

pub(super) fn export(
    context: &Context,
    model: &str,
    file: &Path,
    force: bool,
) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &resolve(&graph, model)?)?;
    free(file, force)?;
    let metadata = HashMap::from([
        ("model".to_owned(), loaded.id().to_string()),
        ("digest".to_owned(), loaded.digest.to_string()),
        (
            "architecture".to_owned(),
            loaded.architecture.kind.to_string(),
        ),
        (
            "labels".to_owned(),
            serde_json::to_string(&loaded.manifest.labels)?,
        ),
    ]);
    write_checkpoint(file, &registry.tensors(&loaded.manifest)?, metadata)?;
    if context.json {
        return output::json(&json!({"model": loaded.id(), "file": file}));
    }
    println!("wrote {} to {}", loaded.id(), file.display());
    Ok(())
}
