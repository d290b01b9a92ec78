//! Importing many models at once: gathered, examined, related, shown, agreed upon.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use disinherit::{
    AddModel, EngineError, Kin, LoadedModel, NewNetwork, Proposal, describe, infer_parents,
};
use disinherit_formats::{ADAPTER_CONFIG, ModelFile, HubCard, is_model_folder};
use serde_json::json;
use umig::{Model, ModelId, Relation, Umig};

use super::Context;
use super::bring::{network, preprocessing, training};
use super::models::resolve;
use crate::args::ImportArgs;
use crate::error::CliError;
use crate::{graph as drawing, output, table};

/// Endings of files that hold models. What ends in `.bin` is a model only in a folder of its own.
const ENDINGS: [&str; 5] = ["safetensors", "pt", "pth", "ckpt", "onnx"];

/// One model that is to be imported.
struct Found {
    path: PathBuf,
    new: AddModel,
    bundle: ModelFile,
    /// What it says of the models that it was made from.
    card: HubCard,
    /// When its files were last changed, in milliseconds since 1970-01-01 UTC.
    changed: u64,
    /// How its parents are known.
    known_by: String,
}

pub(super) fn import(context: &Context, args: &ImportArgs) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let given = network(&args.network)?;
    let mut places = Vec::new();
    for path in &args.paths {
        gather(path, &name_of(path), &mut places)?;
    }
    if places.is_empty() {
        return Err(CliError::new("there is no model below these folders")
            .help(format!("files of models end in .{}", ENDINGS.join(", ."))));
    }
    // An adapter's rows mean what those of its base model mean.
    places.sort_by_key(|(path, _)| path.join(ADAPTER_CONFIG).is_file());
    let mut notes = Vec::new();
    let mut found: Vec<Found> = Vec::new();
    let single = places.len() == 1;
    for (path, name) in places {
        let labels_of = |name: &str| {
            let here = found.iter().find(|model| model.new.name == name);
            here.map(|model| model.new.labels.clone()).or_else(|| {
                let id = &graph.resolve(name)?.id;
                let known = LoadedModel::open(&registry, &graph, id).ok()?;
                Some(known.manifest.labels)
            })
        };
        match examine(&path, name, args, &given, &labels_of, &mut notes) {
            // An encoder that others were made from has no head to edit, and no labels.
            Err(Unfit::Headless(why)) if !single => notes.push(format!("left out: {why}")),
            other => found.push(other.map_err(CliError::from)?),
        }
    }
    if found.is_empty() {
        return Err(CliError::new(format!(
            "none of these models can be added; {}",
            notes.join("; ")
        )));
    }
    named_apart(&found)?;
    parents_by_cards(&mut found, &graph, &mut notes);
    if args.infer_parents {
        parents_by_weights(context, &mut found, args.confidence, &mut notes)?;
    }
    let found = ordered(found)?;
    show(context, &found, &graph, &notes)?;
    if !agreed(context, args.yes, found.len())? {
        return Ok(());
    }
    let models: Vec<(AddModel, ModelFile)> = found.into_iter().map(|f| (f.new, f.bundle)).collect();
    let ids = disinherit::add_all(&registry, &models, &context.bars)?;
    if context.json {
        return output::json(&json!({"added": ids}));
    }
    println!("added {} models", ids.len());
    Ok(())
}

fn name_of(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = if full.is_dir() {
        full.file_name()
    } else {
        full.file_stem()
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// All models at a path and below it, each with its name.
fn gather(path: &Path, name: &str, into: &mut Vec<(PathBuf, String)>) -> Result<(), CliError> {
    if !path.is_dir() || is_model_folder(path) {
        into.push((path.to_owned(), name.to_owned()));
        return Ok(());
    }
    let read = disinherit_registry::RegistryError::io("read", path);
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|list| list.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(read)?;
    entries.sort();
    for entry in entries {
        let hidden = entry
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = entry.extension().unwrap_or_default().to_string_lossy();
        if !hidden && (entry.is_dir() || ENDINGS.contains(&ending.as_ref())) {
            gather(&entry, &name_of(&entry), into)?;
        }
    }
    Ok(())
}

/// Why a model cannot be imported.
enum Unfit {
    /// It has no head, or nobody says what its rows mean.
    Headless(String),
    /// Something else is wrong.
    Wrong(CliError),
}

impl From<Unfit> for CliError {
    fn from(why: Unfit) -> Self {
        match why {
            Unfit::Headless(why) => Self::new(why),
            Unfit::Wrong(error) => error,
        }
    }
}

impl From<CliError> for Unfit {
    fn from(error: CliError) -> Self {
        Self::Wrong(error)
    }
}

fn examine(
    path: &Path,
    name: String,
    args: &ImportArgs,
    given: &NewNetwork,
    labels_of: &dyn Fn(&str) -> Option<Vec<String>>,
    notes: &mut Vec<String>,
) -> Result<Found, Unfit> {
    let bundle = disinherit_formats::open(path).map_err(CliError::from)?;
    let mut given = given.clone();
    if given.labels.is_none() && bundle.documents.contains_key(ADAPTER_CONFIG) {
        let card = card_of(path, &bundle)?;
        let mut bases = card.base_models.iter().flat_map(|base| names_of(base));
        given.labels = bases.find_map(labels_of);
    }
    let (architecture, labels) = describe(path, &bundle, &given).map_err(|error| match error {
        EngineError::Refused(why) => Unfit::Headless(why),
        other => Unfit::Wrong(other.into()),
    })?;
    notes.extend(bundle.warnings.iter().cloned());
    let weights = match bundle.format.files.first() {
        Some(file) if bundle.format.folder => path.join(&file.name),
        _ => path.to_owned(),
    };
    let changed = std::fs::metadata(&weights)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_millis() as u64);
    let kind = architecture.kind;
    let new = AddModel {
        name,
        file: path.to_owned(),
        architecture,
        preprocessing: preprocessing(&args.network, kind),
        training: training(&args.trained, &labels)?,
        labels,
        parents: Vec::new(),
        time: None,
        untied: given.untied,
    };
    Ok(Found {
        path: path.to_owned(),
        new,
        // Of a model that is left out it does not matter what it says.
        card: card_of(path, &bundle)?,
        bundle,
        changed,
        known_by: String::new(),
    })
}

fn named_apart(found: &[Found]) -> Result<(), CliError> {
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    for model in found {
        if let Some(other) = seen.insert(&model.new.name, &model.path) {
            return Err(CliError::new(format!(
                "{} and {} would both be called `{}`",
                other.display(),
                model.path.display(),
                model.new.name
            ))
            .help("rename one, or add them one by one with `disinherit add --name`"));
        }
    }
    Ok(())
}

/// What a model says of those that it was made from: its card, or an adapter's configuration.
fn card_of(path: &Path, bundle: &ModelFile) -> Result<HubCard, CliError> {
    const CARD: &str = "README.md";
    let mut card = HubCard::default();
    if let Some(text) = bundle.documents.get(CARD) {
        card = HubCard::parse(&path.join(CARD), &String::from_utf8_lossy(text))?;
    }
    if let Some(text) = bundle.documents.get(ADAPTER_CONFIG) {
        let config = HubCard::from_adapter(&path.join(ADAPTER_CONFIG), text)?;
        card.relation = card.relation.or(config.relation);
        if card.base_models.is_empty() {
            card.base_models = config.base_models;
        }
    }
    Ok(card)
}

/// What a base model may be called here: `owner/name` on the Hub, and a folder's path, by the name
/// alone.
fn names_of(base: &str) -> [&str; 2] {
    let path = base.trim_end_matches('/');
    [base, path.rsplit('/').next().unwrap_or(path)]
}

/// Parents that model cards name, among the models that are imported and those that are there.
fn parents_by_cards(found: &mut [Found], graph: &Umig, notes: &mut Vec<String>) {
    let names: BTreeSet<String> = found.iter().map(|f| f.new.name.clone()).collect();
    for model in found {
        let word = if model.bundle.documents.contains_key(ADAPTER_CONFIG) {
            "adapter"
        } else {
            "model card"
        };
        for base in &model.card.base_models {
            let known = names_of(base).into_iter().find(|name| {
                *name != model.new.name && (names.contains(*name) || graph.resolve(name).is_some())
            });
            match known {
                Some(name) => {
                    let relation = relation_of(model.card.relation.as_deref());
                    model.new.parents.push((name.to_owned(), relation));
                    model.known_by = word.into();
                }
                None => notes.push(format!(
                    "{}: its {word} names the base model `{base}`, which is not here; import it \
                     too if what it learnt may have to be forgotten",
                    model.new.name
                )),
            }
        }
    }
}

fn relation_of(word: Option<&str>) -> Relation {
    match word {
        Some("adapter") => Relation::Adapter,
        Some("merge") => Relation::Merged { weight: None },
        Some("quantized") => Relation::Quantised,
        _ => Relation::FineTune,
    }
}

/// Parents that the weights suggest, for models that have none.
fn parents_by_weights(
    context: &Context,
    found: &mut [Found],
    least: f64,
    notes: &mut Vec<String>,
) -> Result<(), CliError> {
    use disinherit::Progress;
    let stage = context.bars.stage("comparing weights", found.len() as u64);
    let mut kin = Vec::with_capacity(found.len());
    for model in found.iter() {
        kin.push(Kin::of(&model.new.name, model.changed, &model.bundle)?);
        stage.advance(1);
    }
    let known: Vec<(String, String)> = found
        .iter()
        .flat_map(|f| {
            let parents = f.new.parents.iter();
            parents.map(|(parent, _)| (f.new.name.clone(), parent.clone()))
        })
        .collect();
    let proposals: BTreeMap<String, Proposal> = infer_parents(kin, &known)
        .into_iter()
        .map(|proposal| (proposal.child.clone(), proposal))
        .collect();
    for model in found
        .iter_mut()
        .filter(|model| model.new.parents.is_empty())
    {
        let Some(proposal) = proposals.get(&model.new.name) else {
            continue;
        };
        let measured = format!(
            "{:.0} % of its parameters are the same, the others {:.2} lengths apart",
            proposal.shared * 100.0,
            proposal.distance
        );
        if proposal.confidence < least {
            notes.push(format!(
                "{}: may come from `{}`, with a confidence of only {:.0} % ({measured})",
                model.new.name,
                proposal.parent,
                proposal.confidence * 100.0
            ));
            continue;
        }
        let parent = (proposal.parent.clone(), proposal.relation.clone());
        model.new.parents.push(parent);
        model.known_by = format!(
            "weights, {:.0} % sure: {measured}",
            proposal.confidence * 100.0
        );
    }
    Ok(())
}

/// Parents before children.
fn ordered(found: Vec<Found>) -> Result<Vec<Found>, CliError> {
    let mut waiting = found;
    let mut done: Vec<Found> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let open: BTreeSet<String> = waiting.iter().map(|f| f.new.name.clone()).collect();
        let ready = |f: &Found| f.new.parents.iter().all(|(name, _)| !open.contains(name));
        let (now, later): (Vec<Found>, Vec<Found>) = waiting.into_iter().partition(ready);
        if now.is_empty() {
            let names: Vec<&str> = later.iter().map(|f| f.new.name.as_str()).collect();
            return Err(CliError::new(format!(
                "these models are each other's ancestors: {}",
                names.join(", ")
            ))
            .help("correct `base_model` in their model cards"));
        }
        done.extend(now);
        waiting = later;
    }
    Ok(done)
}

fn show(
    context: &Context,
    found: &[Found],
    graph: &Umig,
    notes: &[String],
) -> Result<(), CliError> {
    if !context.json {
        let rows = found.iter().map(|model| {
            let parents: Vec<String> = model
                .new
                .parents
                .iter()
                .map(|(name, relation)| format!("{name} ({relation})"))
                .collect();
            vec![
                model.new.name.clone(),
                model.bundle.format.describe(),
                model.new.architecture.kind.to_string(),
                model.new.architecture.head().to_owned(),
                model.new.labels.len().to_string(),
                parents.join(", "),
                model.known_by.clone(),
            ]
        });
        let titles = [
            "model", "form", "network", "head", "labels", "parents", "known by",
        ];
        table::print(&titles, rows.collect(), titles.len());
    }
    if !context.json {
        print!("{}", drawn(found, graph)?);
    }
    for note in notes {
        eprintln!("warning: {note}");
    }
    Ok(())
}

/// The graph as it will be: the new models, and those of the registry that they come from.
fn drawn(found: &[Found], graph: &Umig) -> Result<String, CliError> {
    let mut whole = graph.clone();
    let mut shown: BTreeSet<ModelId> = BTreeSet::new();
    for model in found {
        let id = disinherit::next_version(&whole, &model.new.name)?;
        let parents = model
            .new
            .parents
            .iter()
            .map(|(name, relation)| Ok((resolve(&whole, name)?, relation.clone())))
            .collect::<Result<Vec<_>, CliError>>()?;
        shown.insert(id.clone());
        shown.extend(parents.iter().map(|(parent, _)| parent.clone()));
        let latest = whole.models().map(|known| known.time).max();
        whole.add(Model::new(id, latest.unwrap_or(0)), parents)?;
    }
    let keep = |model: &Model| shown.contains(&model.id);
    Ok(drawing::rails(&whole, &keep, &|_| String::new()))
}

/// Asks, where there is somebody to ask.
fn agreed(context: &Context, yes: bool, count: usize) -> Result<bool, CliError> {
    if yes {
        return Ok(true);
    }
    if context.json || !std::io::stdin().is_terminal() {
        return Err(CliError::new("nothing was added: nobody is there to agree")
            .help("run it again with `--yes` to add the models as they are shown"));
    }
    eprint!("add these {count} models? [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::new(format!("cannot read the answer: {error}")))?;
    let agreed = matches!(answer.trim(), "y" | "Y" | "yes");
    if !agreed {
        println!("nothing was added");
    }
    Ok(agreed)
}
