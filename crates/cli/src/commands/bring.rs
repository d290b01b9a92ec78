//! Commands that bring a model into the registry and take it out: add, export.

use std::collections::BTreeSet;
use std::path::Path;

use disinherit::{AddModel, LoadedModel, NewNetwork, describe};
use disinherit_data::ImageShape;
use disinherit_nets::{Kind, Preprocessing};
use serde_json::json;
use umig::{Relation, SampleSet, Training};

use super::models::{free, lines, resolve};
use super::{Context, fisher, read_data};
use crate::args::{AddArgs, ExportArgs, NetworkArgs, TrainedArgs};
use crate::error::CliError;
use crate::output;

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

pub(super) fn network(args: &NetworkArgs) -> Result<NewNetwork, CliError> {
    let [channels, height, width] = args.input;
    let kind = args.architecture.as_deref().map(str::parse).transpose()?;
    Ok(NewNetwork {
        kind,
        head: args.head.clone(),
        labels: args.labels.as_deref().map(names).transpose()?,
        images: Some(ImageShape {
            channels,
            height,
            width,
        }),
        vocabulary: args.vocabulary,
        length: args.length,
        untied: args.untied,
    })
}

pub(super) fn preprocessing(args: &NetworkArgs, kind: Kind) -> Preprocessing {
    Preprocessing {
        mean: args.mean.clone(),
        std: args.std.clone(),
        // The other networks have it in their architecture.
        length: (kind == Kind::Head).then_some(args.length),
    }
}

pub(super) fn add(context: &Context, args: &AddArgs) -> Result<(), CliError> {
    let given = network(&args.network)?;
    let bundle = disinherit_formats::open(&args.file)?;
    let (architecture, labels) = describe(&args.file, &bundle, &given)?;
    let parents = args
        .parents
        .iter()
        .map(|text| parent(text, &args.frozen))
        .collect::<Result<Vec<_>, _>>()?;
    let kind = architecture.kind;
    let new = AddModel {
        name: args.name.clone(),
        file: args.file.clone(),
        architecture,
        preprocessing: preprocessing(&args.network, kind),
        training: training(&args.trained, &labels)?,
        labels,
        parents,
        time: args.time,
        untied: given.untied,
    };
    let registry = context.registry()?;
    // Data that cannot be read is refused before anything is added.
    let splits = if args.no_fisher {
        None
    } else {
        read_data(&args.data)?
    };
    let id = disinherit::add_bundle(&registry, &new, &bundle)?;
    if let Some(splits) = &splits {
        fisher::card_of_added(context, &registry, &id, splits, &args.fisher).map_err(|error| {
            error.help(format!(
                "`{id}` was added, without a FIM card; `disinherit fisher {id} --data PATH` makes one"
            ))
        })?;
    }
    for warning in &bundle.warnings {
        eprintln!("warning: {warning}");
    }
    if context.json {
        return output::json(&json!({"model": id, "card": splits.is_some()}));
    }
    let only = match new.architecture.kind {
        Kind::Head if ends_in_onnx(&args.file) => {
            format!(
                ", which is run up to its head `{}`",
                new.architecture.head()
            )
        }
        Kind::Head => format!(
            ", of which the head `{}` is known: give features as data (docs/your-models.md)",
            new.architecture.head()
        ),
        _ => String::new(),
    };
    match splits {
        Some(_) => println!("added {id}, with its FIM card{only}"),
        None => println!("added {id}{only}"),
    }
    Ok(())
}

fn ends_in_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "onnx")
}

pub(super) fn training(args: &TrainedArgs, labels: &[String]) -> Result<Vec<Training>, CliError> {
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

pub(super) fn export(context: &Context, args: &ExportArgs) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &resolve(&graph, &args.model)?)?;
    let file = &args.file;
    free(file, args.force)?;
    let form = disinherit::export(&registry, &loaded, file, args.safetensors)?.describe();
    if context.json {
        return output::json(&json!({"model": loaded.id(), "file": file, "form": form}));
    }
    println!("wrote {} to {} ({form})", loaded.id(), file.display());
    Ok(())
}
