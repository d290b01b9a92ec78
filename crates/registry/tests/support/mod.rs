//! Small models for the tests.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use disinherit_formats::Tensor;
use disinherit_registry::{
    CardSource, Digest, FisherCard, Manifest, ModelRow, NewModel, Operation, Publication, Registry,
};
use fiun::{Estimator, FisherTensor, Matrix, head_fisher};
use serde_json::json;
use umig::{Model, ModelId, Relation};

pub fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

pub fn manifest() -> Manifest {
    Manifest {
        architecture: Some(json!({"kind": "toy"})),
        labels: vec!["cat".into(), "dog".into()],
        head: "fc".into(),
        ..Manifest::default()
    }
}

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

pub fn new_model(registry: &Registry, name: &str, head: f32, parents: &[&str]) -> NewModel {
    let manifest = registry.put_model(manifest(), tensors(head)).unwrap();
    NewModel {
        row: ModelRow::new(Model::new(id(name), 1), manifest),
        parents: parents
            .iter()
            .map(|p| (id(p), Relation::FineTune))
            .collect(),
    }
}

pub fn publication(models: Vec<NewModel>, superseded: &[&str], command: &str) -> Publication {
    Publication {
        models,
        superseded: superseded.iter().map(|s| id(s)).collect(),
        ..Publication::of(Operation {
            time: 7,
            command: command.into(),
            detail: json!({"why": command}),
        })
    }
}

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
    // As small as the gradients of a network that is sure of itself.
    let inner = FisherTensor::from_sums(&[2, 1, 1, 1], &[3e-70, 0.5], 1.0).unwrap();
    FisherCard::new(source, fisher, [("conv1.weight".into(), inner)].into()).unwrap()
}

/// The files of all objects.
pub fn objects(folder: &Path) -> Vec<PathBuf> {
    let root = folder.join(".disinherit/objects");
    let folders = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    folders
        .flat_map(|f| fs::read_dir(f).unwrap().map(|e| e.unwrap().path()))
        .collect()
}
