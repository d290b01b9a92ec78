//! Small models, cards and publications that the suite and other tests use.

use std::collections::BTreeMap;

use disinherit_formats::{Dtype, FormatError, Tensor, TensorSource};
use fiun::{Estimator, FisherTensor, Matrix, head_fisher};
use serde_json::json;
use umig::{Model, ModelId, Relation};

use crate::cards::card::{CardSource, FisherCard};
use crate::catalog::publication::Publication;
use crate::catalog::rows::{ModelRow, NewModel};
use crate::digest::Digest;
use crate::log::record::OperationRecord;
use crate::objects::manifest::Manifest;
use crate::registry::Registry;

/// Tensors that are in memory.
#[derive(Debug, Clone)]
pub struct Held(pub BTreeMap<String, Tensor>);

impl TensorSource for Held {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let tensors = self.0.iter();
        tensors
            .map(|(name, tensor)| (name.clone(), (tensor.dtype, tensor.shape.clone())))
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
        let tensor = self.0.get(name).cloned();
        tensor.ok_or_else(|| FormatError::Source(format!("there is no tensor `{name}`").into()))
    }
}

/// The id that a text stands for.
pub fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

/// A manifest of a network with two labels, and no tensors yet.
pub fn manifest() -> Manifest {
    Manifest {
        architecture: Some(json!({"kind": "toy"})),
        labels: vec!["cat".into(), "dog".into()],
        head: "fc".into(),
        ..Manifest::default()
    }
}

/// A backbone that is always the same, and a head with this value on its diagonal.
pub fn tensors(head: f32) -> BTreeMap<String, Tensor> {
    BTreeMap::from([
        (
            "backbone".to_owned(),
            Tensor::from_f32(&[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        ),
        (
            "fc.weight".to_owned(),
            Tensor::from_f32(&[2, 2], &[head, 0.0, 0.0, head]),
        ),
    ])
}

/// A stored model, to be published.
pub fn new_model(registry: &Registry, name: &str, head: f32, parents: &[&str]) -> NewModel {
    let manifest = registry.put_model(manifest(), tensors(head)).unwrap();
    NewModel {
        row: ModelRow::new(Model::new(id(name), 1), manifest),
        parents: parents
            .iter()
            .map(|parent| (id(parent), Relation::FineTune))
            .collect(),
    }
}

/// A publication of models that replace others, by a command that no version knows.
pub fn publication(models: Vec<NewModel>, superseded: &[&str], command: &str) -> Publication {
    let record = OperationRecord::Unknown {
        command: command.into(),
        detail: json!({"why": command}),
    };
    Publication {
        models,
        superseded: superseded.iter().map(|name| id(name)).collect(),
        ..Publication::new(7, record)
    }
}

/// A card of a model, with an inner layer whose values are as small as the gradients of a network
/// that is sure of itself.
pub fn card(model: Digest, data: &str) -> FisherCard {
    let features = Matrix::new(3, 2, vec![1., 2., 3., 4., 5., 6.]).unwrap();
    let residuals = Matrix::new(3, 2, vec![0.5, -0.5, 0.25, -0.25, -0.125, 0.125]).unwrap();
    let fisher = head_fisher(
        features.view(),
        residuals.view(),
        &[0, 1, 0],
        2,
        Estimator::Empirical,
    )
    .unwrap();
    let source = CardSource {
        model,
        data: data.into(),
        head: "fc".into(),
        outputs: vec!["cat".into(), "dog".into()],
        classes: vec!["cat".into(), "dog".into()],
        precision: None,
        time: 7,
    };
    let inner = FisherTensor::from_sums(&[2, 1, 1, 1], &[3e-70, 0.5], 1.0).unwrap();
    FisherCard::new(source, fisher, [("conv1.weight".into(), inner)].into()).unwrap()
}
