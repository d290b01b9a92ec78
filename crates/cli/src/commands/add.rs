//! `add`: brings one model into the registry.

use std::path::{Path, PathBuf};

use clap::Args;
use disinherit::import::{AddModel, describe};
use disinherit::nets::{Architecture, Kind};
use disinherit::umig::{ModelId, Relation};
use serde_json::json;

use super::fisher;
use crate::args::data::DataArgs;
use crate::args::estimator::CardArgs;
use crate::args::network::NetworkArgs;
use crate::args::trained::TrainedArgs;
use crate::args::values::timestamp;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln, warning};

/// Add a model: a safetensors file, a PyTorch state dict, an ONNX file, or a folder as on the Hugging
/// Face Hub.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit add base.safetensors --name base --architecture resnet-18 --labels @labels.txt \\
      --trained-on photos --data photos/
  disinherit add clinic/ --name clinic --parent base:fine_tune
  disinherit add mean.pt --name mean --labels a,b --parent c1:federated_average=0.5 \\
      --parent c2:federated_average=0.5")]
pub(crate) struct AddArgs {
    /// A safetensors file, a PyTorch state dict (.pt, .pth; nothing in it is run), an ONNX file, or a
    /// folder with one, in shards or whole.
    file: PathBuf,
    /// The model's name; adding the same name again makes a new version.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    network: NetworkArgs,
    /// A parent, with how the model came from it: NAME[:RELATION[=WEIGHT]]. Relations:
    /// fine_tune (default), federated_average, distributed_average, incremental, transfer,
    /// distilled, merged, quantised, adapter.
    #[arg(long = "parent", value_name = "PARENT", value_parser = parent)]
    parents: Vec<(String, Relation)>,
    /// Tensors that stayed frozen in a transfer, by name.
    #[arg(long, value_name = "TENSOR", value_delimiter = ',')]
    frozen: Vec<String>,
    #[command(flatten)]
    trained: TrainedArgs,
    /// When it was made (RFC 3339); now when not given.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    time: Option<u64>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    card: CardArgs,
    /// Compute no FIM card, even where data is given.
    #[arg(long)]
    no_fisher: bool,
}

pub(super) fn run(context: &Context, args: &AddArgs) -> Result<Outcome, CliError> {
    let given = args.network.network()?;
    let bundle = disinherit::formats::open(&args.file)?;
    let (architecture, labels) = describe(&args.file, &bundle, &given)?;
    let new = AddModel {
        name: args.name.clone(),
        file: args.file.clone(),
        preprocessing: args.network.preprocessing(architecture.kind),
        architecture,
        training: args.trained.training(&labels)?,
        labels,
        parents: with_frozen(&args.parents, &args.frozen),
        time: args.time,
        untied: given.untied,
    };
    let registry = context.registry()?;
    // Data that cannot be read is refused before anything is added.
    let splits = if args.no_fisher {
        None
    } else {
        args.data.open()?
    };
    let id = disinherit::import::add_model_file(&registry, &new, &bundle)?;
    if let Some(splits) = &splits {
        let engine = context.engine(registry, Some(splits));
        let ids = std::slice::from_ref(&id);
        fisher::cards(&engine, ids, &args.card.options(), false)
            .map_err(|error| without_card(error, &id))?;
    }
    for remark in &bundle.warnings {
        warning!("{remark}");
    }
    if context.json {
        output::json(&json!({"model": id, "card": splits.is_some()}))?;
    } else {
        let card = if splits.is_some() {
            ", with its FIM card"
        } else {
            ""
        };
        outln!(
            "added {id}{card}{}",
            known_part(&new.architecture, &args.file)
        );
    }
    Ok(Outcome::Done)
}

fn without_card(error: CliError, id: &ModelId) -> CliError {
    error.help(format!(
        "`{id}` was added, without a FIM card; `disinherit fisher {id} --data PATH` makes one"
    ))
}

/// What is known of a network that is not one of the known families: its head.
fn known_part(architecture: &Architecture, file: &Path) -> String {
    match architecture.kind {
        Kind::Head if file.extension().is_some_and(|ending| ending == "onnx") => {
            format!(", which is run up to its head `{}`", architecture.head())
        }
        Kind::Head => format!(
            "; only its head `{}` is known: give features as data (docs/your-models.md)",
            architecture.head()
        ),
        _ => String::new(),
    }
}

/// The parents, with the tensors that a transfer left as they were.
fn with_frozen(parents: &[(String, Relation)], frozen: &[String]) -> Vec<(String, Relation)> {
    let mut parents = parents.to_vec();
    for (_, relation) in &mut parents {
        if let Relation::Transfer { frozen: list } = relation {
            *list = frozen.to_vec();
        }
    }
    parents
}

/// `NAME[:RELATION[=WEIGHT]]`.
fn parent(text: &str) -> Result<(String, Relation), String> {
    let (name, rest) = text.split_once(':').unwrap_or((text, "fine_tune"));
    let (relation, weight) = match rest.split_once('=') {
        None => (rest, None),
        Some((relation, weight)) => {
            let number = weight.parse::<f64>();
            let number = number.map_err(|_| format!("the weight `{weight}` is no number"))?;
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
        "transfer" => Relation::Transfer { frozen: Vec::new() },
        "distilled" => Relation::Distilled,
        "merged" => Relation::Merged { weight },
        "quantised" => Relation::Quantised,
        "adapter" => Relation::Adapter,
        other => {
            return Err(format!(
                "unknown relation `{other}`; known are fine_tune, federated_average, \
                 distributed_average, incremental, transfer, distilled, merged, quantised and adapter"
            ));
        }
    };
    Ok((name.to_owned(), relation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_from_text() {
        assert_eq!(parent("base"), Ok(("base".into(), Relation::FineTune)));
        let merged = Relation::Merged { weight: Some(0.5) };
        assert_eq!(parent("a@2:merged=0.5"), Ok(("a@2".into(), merged)));
        assert!(parent("a:merged=half").is_err_and(|text| text.contains("half")));
        assert!(parent("a:cousin").is_err_and(|text| text.contains("fine_tune")));
        let parents: Vec<_> = ["a:transfer", "b"].into_iter().flat_map(parent).collect();
        let frozen = with_frozen(&parents, &["conv.weight".into()]);
        let expected = Relation::Transfer {
            frozen: vec!["conv.weight".into()],
        };
        assert_eq!(frozen[0].1, expected);
        assert_eq!(frozen[1].1, Relation::FineTune);
    }
}
