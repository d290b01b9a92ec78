//! One class forgotten in many descendants of one ResNet-18 that share its backbone, from cards alone.
//! Each size runs in a process of its own, so that its memory can be told.

use std::collections::BTreeMap;
use std::error::Error;

use disinherit_formats::Tensor;
use disinherit_registry::{
    CardRow, CardSource, Digest, FisherCard, Manifest, ModelRow, NewModel, OperationRecord,
    Publication, Registry,
};
use fiun::{Estimator, FisherTensor, HeadFisher, LayerFisher};
use serde_json::json;
use umig::{Model, ModelId, Relation, Training};

use crate::apart::{Measured, forget_apart};
use crate::family;
use crate::line::Line;

const INPUTS: usize = 512;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for descendants in [10, 100, 1_000, 10_000] {
        let (measured, bytes) = measure(1, descendants)?;
        let name = |what: &str| format!("{descendants} inherited models, {what}");
        lines.push(Line::plain(name("unlearn"), measured.seconds, "s"));
        lines.push(Line::plain(name("peak memory"), measured.mebibytes, "MiB"));
        lines.push(Line::plain(name("processor time"), measured.processor, "s"));
        if descendants == 10 {
            lines.push(Line::plain(
                "card read for an edit".into(),
                bytes[0],
                "bytes",
            ));
            lines.push(Line::plain("card whole".into(), bytes[1], "bytes"));
        }
    }
    for initial in [4, 16, 64] {
        let (measured, _) = measure(initial, 100)?;
        let name = format!("100 inherited models of {initial} merged initial models, unlearn");
        lines.push(Line::plain(name, measured.seconds, "s"));
    }
    Ok(lines)
}

fn measure(initial: usize, descendants: usize) -> Result<(Measured, [f64; 2]), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let card_bytes = set_up(&Registry::create(folder.path())?, initial, descendants)?;
    let from = (0..initial).map(base).collect::<Result<Vec<_>, _>>()?;
    Ok((
        forget_apart(folder.path(), "c3", "outputs", &from)?,
        card_bytes,
    ))
}

/// The initial model with this number.
pub(crate) fn base(number: usize) -> Result<ModelId, Box<dyn Error>> {
    Ok(ModelId::new(format!("base{number}"), 1)?)
}

/// Initial models, a merge of them where there are several, and descendants with heads of their own, published.
/// Returns the bytes of a card without its per-class part, and of a whole one.
pub(crate) fn set_up(
    registry: &Registry,
    initial: usize,
    descendants: usize,
) -> Result<[f64; 2], Box<dyn Error>> {
    let births = stored(registry, initial, descendants)?;
    publish(registry, births.models, births.cards)?;
    Ok(births.bytes)
}

/// Publishes what is stored.
pub(crate) fn publish(
    registry: &Registry,
    models: Vec<NewModel>,
    cards: Vec<CardRow>,
) -> Result<(), Box<dyn Error>> {
    let record = OperationRecord::Unknown {
        command: "set up".into(),
        detail: json!({}),
    };
    registry.publish(&Publication {
        models,
        cards,
        ..Publication::new(0, record)
    })?;
    Ok(())
}

/// The objects of the same, and what is to be published.
pub(crate) fn stored(
    registry: &Registry,
    initial: usize,
    descendants: usize,
) -> Result<Births<'_>, Box<dyn Error>> {
    let state = family::state(1)?;
    let manifest = family::manifest()?;
    let first = registry.put_model(manifest, family::tensors(&state))?;
    let shared = registry.manifest(first)?;
    let mut births = Births {
        registry,
        shared,
        waiting: Vec::new(),
        models: Vec::new(),
        cards: Vec::new(),
        bytes: [0.0; 2],
    };
    for number in 0..initial {
        let vertex =
            Model::new(base(number)?, 0).trained_on(Training::new("photos", family::labels()));
        births.add(vertex, Vec::new(), number)?;
    }
    let mut parents = Vec::new();
    for number in 0..initial {
        parents.push((base(number)?, Relation::DistributedAverage));
    }
    let root = if initial > 1 {
        let id = ModelId::new("merge", 1)?;
        births.add(Model::new(id.clone(), 1), parents, initial)?;
        id
    } else {
        base(0)?
    };
    for number in 0..descendants {
        let id = ModelId::new(format!("head{number}"), 1)?;
        let vertex = Model::new(id, 2).trained_on(Training::new("other", family::labels()));
        let relation = Relation::Transfer { frozen: Vec::new() };
        births.add(vertex, vec![(root.clone(), relation)], number + 1000)?;
    }
    births.store()?;
    Ok(births)
}

/// Models whose objects are stored.
pub(crate) struct Births<'a> {
    registry: &'a Registry,
    shared: Manifest,
    /// Models whose objects are not stored yet, each with the number that its values come from.
    waiting: Vec<(NewModel, usize)>,
    pub(crate) models: Vec<NewModel>,
    pub(crate) cards: Vec<CardRow>,
    bytes: [f64; 2],
}

/// Models that are stored together.
const TOGETHER: usize = 500;

impl Births<'_> {
    fn add(
        &mut self,
        mut vertex: Model,
        parents: Vec<(ModelId, Relation)>,
        seed: usize,
    ) -> Result<(), Box<dyn Error>> {
        vertex.labels = family::labels();
        // The manifest is named when it is stored.
        let row = ModelRow::new(vertex, Digest::from_content(&[]));
        self.waiting.push((NewModel { row, parents }, seed));
        match self.waiting.len() < TOGETHER {
            true => Ok(()),
            false => self.store(),
        }
    }

    /// Stores the models that wait, and their cards.
    fn store(&mut self) -> Result<(), Box<dyn Error>> {
        let waiting = std::mem::take(&mut self.waiting);
        let heads = waiting
            .iter()
            .map(|(_, seed)| (self.shared.clone(), head(*seed)));
        let manifests = self.registry.put_models(heads.collect())?;
        for ((mut model, seed), manifest) in waiting.into_iter().zip(manifests) {
            let card = card(manifest, seed)?;
            self.cards.push(self.registry.put_card(&card)?);
            if self.bytes[0] == 0.0 {
                self.bytes = [bytes_without_classes(&card)?, card.to_bytes()?.len() as f64];
            }
            model.row.manifest = manifest;
            self.models.push(model);
        }
        Ok(())
    }
}

/// A head of its own for each number.
fn head(seed: usize) -> BTreeMap<String, Tensor> {
    let wave = |i: usize| ((i * 7919 + seed * 104_729) % 1009) as f32 / 1009.0;
    let classes = family::CLASSES;
    let weight: Vec<f32> = (0..classes * INPUTS).map(|i| wave(i) - 0.5).collect();
    let bias: Vec<f32> = (0..classes).map(wave).collect();
    let weight = Tensor::from_f32(&[classes, INPUTS], &weight);
    BTreeMap::from([
        ("fc.weight".to_owned(), weight),
        ("fc.bias".to_owned(), Tensor::from_f32(&[classes], &bias)),
    ])
}

/// What an edit reads: the card without its per-class part.
fn bytes_without_classes(card: &FisherCard) -> Result<f64, Box<dyn Error>> {
    let mut less = card.clone();
    less.header.classes.clear();
    less.header.counts.clear();
    less.fisher.counts.clear();
    less.fisher.per_class.clear();
    Ok(less.to_bytes()?.len() as f64)
}

/// A card whose class 3 is what its weights are for. Descendants have totals of their own; the
/// per-class parts are the same, so that setting up is a matter of minutes: a descendant's is never
/// read.
fn card(model: Digest, seed: usize) -> Result<FisherCard, Box<dyn Error>> {
    let classes = family::CLASSES;
    let layer = |seed: usize, strong: Option<usize>| -> Result<LayerFisher, Box<dyn Error>> {
        let value = |row: usize, i: usize| {
            let wave = ((i * 31 + seed * 17) % 97) as f32 / 97.0 + 0.1;
            wave * if strong == Some(row) { 20.0 } else { 1.0 }
        };
        let weight: Vec<f32> = (0..classes * INPUTS)
            .map(|i| value(i / INPUTS, i))
            .collect();
        let bias: Vec<f32> = (0..classes).map(|i| value(i, i)).collect();
        Ok(LayerFisher::new(
            FisherTensor::from_values(&[classes, INPUTS], &weight)?,
            FisherTensor::from_values(&[classes], &bias)?,
        )?)
    };
    let per_class = (0..classes)
        .map(|class| layer(class, Some(class)))
        .collect::<Result<Vec<_>, _>>()?;
    let fisher = HeadFisher {
        estimator: Estimator::Empirical,
        counts: vec![100; classes],
        per_class,
        total: layer(seed, None)?,
    };
    let source = CardSource {
        model,
        data: "made up".into(),
        head: "fc".into(),
        outputs: family::labels(),
        classes: family::labels(),
        precision: None,
        time: 0,
    };
    Ok(FisherCard::new(source, fisher, BTreeMap::new())?)
}
