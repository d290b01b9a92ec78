//! One class forgotten to the features in many descendants of one small CNN of digits, from the activation
//! statistics in their cards alone.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use disinherit::cards::{FisherOptions, compute_cards};
use disinherit::{Engine, LoadedModel};
use disinherit_data::OpenOptions;
use disinherit_formats::Tensor;
use disinherit_lab::{Recipe, grow};
use disinherit_registry::{FisherCard, ModelRow, NewModel, OperationRecord, Publication, Registry};
use fiun::Estimator;
use serde_json::json;
use umig::{Model, ModelId, Relation, Training};

use crate::apart::forget_apart;
use crate::line::Line;

const RECIPE: &str = r#"
name = "base"
seed = 1
[data]
source = "digits"
clients = 1
[forget]
classes = ["3"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-3
schedule = "cosine"
epochs = 60
batch_size = 16
[[model]]
name = "base"
client = 1
"#;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for descendants in [100, 300, 1_000] {
        let folder = tempfile::tempdir()?;
        let bytes = set_up(folder.path(), descendants)?;
        let base: ModelId = "base@1".parse()?;
        let measured = forget_apart(folder.path(), "3", "features", &[base])?;
        let name = |what: &str| format!("{descendants} inherited models, to the features, {what}");
        lines.push(Line::plain(name("unlearn"), measured.seconds, "s"));
        lines.push(Line::plain(name("peak memory"), measured.mebibytes, "MiB"));
        lines.push(Line::plain(name("processor time"), measured.processor, "s"));
        if descendants == 100 {
            let name = "activation statistics of a card".into();
            lines.push(Line::plain(name, bytes, "bytes"));
        }
    }
    Ok(lines)
}

/// A trained model with its card, and descendants with heads a little different. Returns the bytes that a
/// card's activation statistics take.
fn set_up(folder: &Path, descendants: usize) -> Result<f64, Box<dyn Error>> {
    let splits = disinherit_data::open("digits", &OpenOptions::default())?;
    let registry = Arc::new(Registry::create(folder)?);
    let engine = Engine::new(Arc::clone(&registry)).with_data(&splits);
    grow(&engine, &Recipe::parse(RECIPE)?, &splits.train)?;
    let graph = registry.graph()?;
    let base = LoadedModel::open(&registry, &graph, &"base@1".parse()?)?;
    let born = graph.get(base.id()).map_or(0, |vertex| vertex.time);
    compute_cards(
        &engine,
        std::slice::from_ref(&base),
        &FisherOptions::default(),
        false,
    )?;
    let card = registry.card(base.digest, Estimator::Empirical)?;
    let card = card.ok_or("the base has no card")?.card(&*registry)?;
    let bytes = bytes_of_activations(&card)?;
    let (head, bias) = base.head(&registry)?;
    let [weight, bias_name] = base.head_tensors();
    let (mut models, mut cards) = (Vec::new(), Vec::new());
    for number in 0..descendants {
        let wave = |i: usize| ((i * 7919 + number * 104_729) % 1009) as f32 / 1009.0 - 0.5;
        let values = head.values().iter().enumerate();
        let values: Vec<f32> = values.map(|(i, v)| v + 0.01 * wave(i)).collect();
        let changed = BTreeMap::from([
            (
                weight.clone(),
                Tensor::from_f32(&[head.rows(), head.cols()], &values),
            ),
            (bias_name.clone(), Tensor::from_f32(&[bias.len()], &bias)),
        ]);
        let digest = registry.put_model(base.manifest.clone(), changed)?;
        let mut own = card.clone();
        own.header.model = digest;
        cards.push(registry.put_card(&own)?);
        let labels = base.manifest.labels.clone();
        let training = Training::new("other", labels.clone());
        let mut vertex = Model::new(ModelId::new(format!("head{number}"), 1)?, born + 1);
        vertex = vertex.trained_on(training);
        vertex.labels = labels;
        let relation = Relation::Transfer { frozen: Vec::new() };
        models.push(NewModel {
            row: ModelRow::new(vertex, digest),
            parents: vec![(base.id().clone(), relation)],
        });
    }
    let record = OperationRecord::Unknown {
        command: "set up".into(),
        detail: json!({}),
    };
    registry.publish(&Publication {
        models,
        cards,
        ..Publication::new(0, record)
    })?;
    Ok(bytes)
}

fn bytes_of_activations(card: &FisherCard) -> Result<f64, Box<dyn Error>> {
    let mut less = card.clone();
    less.activations = None;
    Ok((card.to_bytes()?.len() - less.to_bytes()?.len()) as f64)
}
