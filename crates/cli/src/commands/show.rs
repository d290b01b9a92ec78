//! `show`: one model, or one operation.

use clap::Args;
use disinherit::LoadedModel;
use disinherit::registry::{CardReader, CardRow, OperationRecord, OperationRow, RequestId};
use disinherit::umig::{ModelId, Relation, SampleSet, Training, Umig};
use serde_json::{Value, json};

use super::fisher;
use crate::args::model::resolve;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::states::States;

/// A FIM card, and its row in the catalog.
type Listed = (CardReader, CardRow);

/// Show a model (network, labels, provenance, parents, children), or an operation by its number.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit show clinic
  disinherit show clinic@1 --json
  disinherit show 13")]
pub(crate) struct ShowArgs {
    /// `name` (the current version), `name@version`, or an operation's number.
    what: String,
}

pub(super) fn run(context: &Context, args: &ShowArgs) -> Result<Outcome, CliError> {
    match args.what.parse() {
        Ok(number) => operation(context, number)?,
        Err(_) => model(context, &args.what)?,
    }
    Ok(Outcome::Done)
}

fn operation(context: &Context, number: i64) -> Result<(), CliError> {
    let list = context.registry()?.operations()?;
    let Some(row) = list.iter().find(|row| row.id.get() == number) else {
        return Err(CliError::new(format!("there is no operation {number}"))
            .help("`disinherit log --operations` lists them"));
    };
    if context.json {
        return output::json(row);
    }
    outln!("operation {number}: {}", row.command);
    outln!("  time        {}", output::time(row.time));
    outln!("  actor       {}", row.actor);
    outln!("  hash        {}", row.hash);
    outln!("  follows     {}", row.previous);
    let made = &row.made;
    for (id, digest) in &made.models {
        outln!("  made        {id}, digest {digest}");
    }
    let retired = print_request(row);
    let replaced = made.superseded.iter();
    let replaced = replaced.filter(|id| !retired.contains(id)).cloned();
    for (what, list) in [
        ("superseded", &replaced.collect::<Vec<_>>()),
        ("retired", &retired),
        ("restored", &made.restored),
        ("taken out", &made.removed),
        ("purged", &made.purged),
    ] {
        for id in list {
            outln!("  {what:11} {id}");
        }
    }
    for card in &made.cards {
        outln!("  FIM card    of {} ({})", card.model, card.estimator);
    }
    outln!("{}", serde_json::to_string_pretty(&row.detail()?)?);
    Ok(())
}

/// What a request was allowed to cost; returns the versions that it retired.
fn print_request(row: &OperationRow) -> Vec<ModelId> {
    let Ok(OperationRecord::Unlearn(record)) = row.record() else {
        return Vec::new();
    };
    if let Some(bound) = record.loss_bound {
        let points = |share: f64| format!("{:.1} points", 100.0 * share);
        let accepted = match bound.accepted {
            Some(accepted) => format!(", {} accepted", points(accepted)),
            None => String::new(),
        };
        let target = points(bound.target);
        outln!("  loss bound  {target} of retained accuracy{accepted}");
    }
    for model in &record.models {
        if let Some(loss) = model.loss.as_ref() {
            outln!("  lost        {}: {}", model.after, output::loss(loss));
        }
    }
    let retired = record.retired.into_iter();
    retired.map(|gone| gone.model).collect()
}

fn model(context: &Context, name: &str) -> Result<(), CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &resolve(&graph, name)?)?;
    let row = registry.model(loaded.id())?;
    let states = States::of_rows(&registry, row.as_ref())?;
    let retired = states.retired_by(loaded.id());
    let cards = registry
        .cards(loaded.digest)?
        .into_iter()
        .map(|row| Ok((registry.card_of(&row)?, row)))
        .collect::<Result<Vec<Listed>, CliError>>()?;
    if context.json {
        let id = loaded.id();
        return output::json(&json!({
            "model": loaded.vertex,
            "retired_by": retired,
            "digest": loaded.digest,
            "manifest": loaded.manifest,
            "parents": graph.parents(id),
            "children": graph.children(id),
            "depth": depth(&graph, id),
            "cards": cards.iter().map(card_as_json).collect::<Vec<_>>(),
        }));
    }
    print(&graph, &loaded, retired, &cards);
    Ok(())
}

fn depth(graph: &Umig, id: &ModelId) -> usize {
    graph.depths().get(id).copied().unwrap_or_default()
}

fn print(graph: &Umig, loaded: &LoadedModel, retired: Option<&RequestId>, cards: &[Listed]) {
    let id = loaded.id();
    let superseded = match (retired, loaded.vertex.superseded) {
        (Some(request), _) => format!(" (retired by {request}, nothing replaces it)"),
        (None, true) => " (superseded)".to_owned(),
        (None, false) => String::new(),
    };
    outln!("{id}{superseded}");
    outln!("  digest      {}", loaded.digest);
    outln!("  made        {}", output::time(loaded.vertex.time));
    outln!(
        "  network     {} on {}",
        loaded.architecture.kind,
        loaded.architecture.input
    );
    outln!(
        "  parameters  {} in {} tensors, head `{}`",
        output::grouped(loaded.manifest.parameters()),
        loaded.manifest.tensors.len(),
        loaded.manifest.head
    );
    outln!("  labels      {}", loaded.manifest.labels.join(", "));
    for training in &loaded.vertex.training {
        outln!("  trained on  {training}, {}", samples(training));
    }
    outln!("  parents     {}", relatives(&graph.parents(id)));
    outln!("  children    {}", relatives(&graph.children(id)));
    outln!("  depth       {}", depth(graph, id));
    if cards.is_empty() {
        outln!("  FIM card    none");
    }
    for card in cards {
        outln!("  FIM card    {}", card_in_words(card));
    }
}

fn samples(training: &Training) -> String {
    match &training.samples {
        SampleSet::Listed(ids) => format!("{} samples", output::grouped(ids.len() as u64)),
        SampleSet::Kept(kept) => {
            let hashed = if kept.is_hashed() { ", ids hashed" } else { "" };
            format!("{} samples{hashed}", output::grouped(kept.count()))
        }
        SampleSet::All => "all samples".into(),
        SampleSet::Unknown => "samples not recorded".into(),
    }
}

fn relatives(list: &[(&ModelId, &Relation)]) -> String {
    if list.is_empty() {
        return "none".to_owned();
    }
    output::joined(
        list.iter()
            .map(|(id, relation)| format!("{id} ({relation})")),
    )
}

/// What a card says of itself, and whose samples it is of alone.
fn card_as_json((card, row): &Listed) -> Value {
    let mut header = json!(card.header());
    if let Some(source) = row.source() {
        header["source"] = source.into();
    }
    header
}

fn card_in_words((card, row): &Listed) -> String {
    let header = card.header();
    let layers = match header.layers.len() {
        0 => "head".to_owned(),
        count => format!("head and {count} inner tensors"),
    };
    let samples = match &header.precision {
        Some(precision) => fisher::in_words(precision),
        None => format!("{} samples", output::grouped(header.samples())),
    };
    let source = row.source().map(|source| format!(" of `{source}` alone"));
    format!(
        "{}, {layers}, {samples}{}",
        header.estimator,
        source.unwrap_or_default()
    )
}
