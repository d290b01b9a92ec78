//! What every registry must show, in memory and on disk; and what a damaged one must say.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use fiun::{Estimator, FisherTensor, LayerFisher, Matrix, head_fisher};
use serde_json::json;
use store::{
    CardSource, Digest, FisherCard, Manifest, ModelRow, NewModel, Operation, Publication, Registry,
    StoreError, Tensor, read_checkpoint, write_checkpoint,
};
use umig::{Model, ModelId, Relation};

fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

fn manifest() -> Manifest {
    Manifest {
        architecture: Some(json!({"kind": "toy"})),
        preprocessing: None,
        labels: vec!["cat".into(), "dog".into()],
        head: "fc".into(),
        tensors: BTreeMap::new(),
    }
}

fn tensors(head: f32) -> BTreeMap<String, Tensor> {
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

fn new_model(registry: &Registry, name: &str, head: f32, parents: &[&str]) -> NewModel {
    let manifest = registry.put_model(manifest(), tensors(head)).unwrap();
    NewModel {
        row: ModelRow {
            vertex: Model::new(id(name), 1),
            manifest,
        },
        parents: parents
            .iter()
            .map(|p| (id(p), Relation::FineTune))
            .collect(),
    }
}

fn publication(models: Vec<NewModel>, superseded: &[&str], command: &str) -> Publication {
    Publication {
        models,
        superseded: superseded.iter().map(|s| id(s)).collect(),
        cards: Vec::new(),
        operation: Operation {
            time: 7,
            command: command.into(),
            detail: json!({"why": command}),
        },
    }
}

fn card(model: Digest, data: &str) -> FisherCard {
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

/// The behaviour of every backend.
fn conformance(registry: &Registry) {
    assert!(registry.graph().unwrap().is_empty());
    let base = new_model(registry, "base@1", 1.0, &[]);
    let base_digest = base.row.manifest;
    registry
        .publish(&publication(vec![base], &[], "first"))
        .unwrap();
    let child = new_model(registry, "child@1", 2.0, &["base@1"]);
    registry
        .publish(&publication(vec![child], &["base@1"], "second"))
        .unwrap();

    let graph = registry.graph().unwrap();
    assert_eq!(
        graph.descendants(&id("base@1")).unwrap(),
        [id("child@1")].into()
    );
    assert!(graph.get(&id("base@1")).unwrap().superseded);
    assert!(!graph.get(&id("child@1")).unwrap().superseded);
    let log: Vec<String> = registry
        .operations()
        .unwrap()
        .into_iter()
        .map(|row| row.operation.command)
        .collect();
    assert_eq!(log, ["first", "second"]);

    // Equal content has one digest, and unchanged tensors are shared.
    let digests = registry.digests().unwrap();
    assert_eq!(registry.digest(&id("base@1")).unwrap(), Some(base_digest));
    assert_eq!(registry.digest(&id("base@2")).unwrap(), None);
    let manifests: Vec<Manifest> = digests
        .values()
        .map(|digest| registry.manifest(*digest).unwrap())
        .collect();
    assert_eq!(
        manifests[0].tensors["backbone"],
        manifests[1].tensors["backbone"]
    );
    assert_ne!(
        manifests[0].tensors["fc.weight"],
        manifests[1].tensors["fc.weight"]
    );
    assert_eq!(
        registry.put_model(manifest(), tensors(1.0)).unwrap(),
        base_digest
    );
    assert_eq!(registry.tensors(&manifests[0]).unwrap(), tensors(1.0));

    // A conflict publishes nothing of its operation.
    let fresh = new_model(registry, "fresh@1", 3.0, &[]);
    let taken = new_model(registry, "base@1", 4.0, &[]);
    let refused = registry.publish(&publication(vec![fresh, taken], &["child@1"], "third"));
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    assert_eq!(registry.graph().unwrap().len(), 2);
    assert!(
        !registry
            .graph()
            .unwrap()
            .get(&id("child@1"))
            .unwrap()
            .superseded
    );
    assert_eq!(registry.operations().unwrap().len(), 2);

    // Cards come back as they went in, and a newer one replaces the older.
    for data in ["digest of data", "digest of more data"] {
        let first = card(base_digest, data);
        let mut with_card = publication(Vec::new(), &[], "card");
        with_card.cards.push(registry.put_card(&first).unwrap());
        registry.publish(&with_card).unwrap();
        let kept = registry
            .card(base_digest, Estimator::Empirical)
            .unwrap()
            .unwrap();
        assert_eq!(kept.header(), &first.header);
        assert_eq!(kept.total(registry).unwrap(), first.fisher.total);
        assert_eq!(kept.card(registry).unwrap(), first);
    }
    let other = registry.card(base_digest, Estimator::Batch { size: 4 });
    assert!(other.unwrap().is_none());
}

#[test]
fn memory_conforms() {
    conformance(&Registry::in_memory().unwrap());
}

#[test]
fn disk_conforms_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    conformance(&Registry::create(folder.path()).unwrap());
    let again = Registry::discover(folder.path()).unwrap();
    assert_eq!(again.graph().unwrap().len(), 2);
    assert_eq!(again.operations().unwrap().len(), 4);
    let refused = Registry::create(folder.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Exists(_)));
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let root = folder.join(".disinherit/objects");
    let folders = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    folders
        .flat_map(|f| fs::read_dir(f).unwrap().map(|e| e.unwrap().path()))
        .collect()
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::create(folder.path()).unwrap();
    let model = new_model(&registry, "base@1", 1.0, &[]);
    let digest = model.row.manifest;
    registry
        .publish(&publication(vec![model], &[], "first"))
        .unwrap();
    let manifest = registry.manifest(digest).unwrap();
    for path in objects(folder.path()) {
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert!(matches!(registry.manifest(digest), Err(StoreError::Damaged(d)) if d == digest));
    assert!(matches!(
        registry.tensors(&manifest),
        Err(StoreError::Damaged(_))
    ));
    // Storing the same model again makes good what is damaged, or was cut short.
    let some = objects(folder.path());
    fs::write(&some[0], "").unwrap();
    let again = new_model(&registry, "base@1", 1.0, &[]);
    assert_eq!(again.row.manifest, digest);
    assert!(
        registry
            .tensors(&registry.manifest(digest).unwrap())
            .is_ok()
    );
    objects(folder.path())
        .iter()
        .for_each(|path| fs::remove_file(path).unwrap());
    assert!(matches!(
        registry.manifest(digest),
        Err(StoreError::Missing(_))
    ));
}

#[test]
fn other_registries_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let none = Registry::open(folder.path()).err().unwrap();
    assert!(matches!(none, StoreError::NoRegistry(_)));
    drop(Registry::create(folder.path()).unwrap());
    let marker = folder.path().join(".disinherit/registry.json");
    fs::write(&marker, r#"{"format": 99, "tool": "disinherit 9.0.0"}"#).unwrap();
    let newer = Registry::open(folder.path()).err().unwrap().to_string();
    assert!(
        newer.contains("format 99") && newer.contains("newer disinherit"),
        "{newer}"
    );
    fs::write(&marker, "{").unwrap();
    assert!(matches!(
        Registry::open(folder.path()),
        Err(StoreError::Document { .. })
    ));
}

#[test]
fn checkpoints_are_checked_before_they_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    write_checkpoint(&file, &tensors(1.0), HashMap::new()).unwrap();
    assert_eq!(read_checkpoint(&file).unwrap(), tensors(1.0));
    let whole = fs::read(&file).unwrap();
    let refuse = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let error = read_checkpoint(&file).unwrap_err();
        assert!(matches!(error, StoreError::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    };
    for length in [0, 4, 8, 20, whole.len() - 1] {
        refuse(&whole[..length]);
    }
    // A header that claims more than the file has.
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refuse(&lying);
    let text = String::from_utf8_lossy(&whole).replace("[2,2]", "[9,9]");
    refuse(text.as_bytes());
}

#[test]
fn cards_that_do_not_fit_are_refused() {
    let good = card(Digest::of(b"model"), "digest of data");
    let bytes = good.to_bytes().unwrap();
    assert_eq!(FisherCard::from_bytes(&bytes).unwrap(), good);
    assert!(FisherCard::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    let replaced = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        let mut changed = bytes.clone();
        changed[at..at + from.len()].copy_from_slice(to);
        FisherCard::from_bytes(&changed).unwrap_err().to_string()
    };
    assert!(replaced(b"fim-card/2", b"fim-card/9").contains("fim-card/9"));
    assert!(replaced(b"empirical", b"imperical").contains("imperical"));
    // Three names for two classes, two names for three rows.
    let message = replaced(br#"[\"cat\",\"dog\"]"#, br#"[\"aa\",\"do\",1]"#);
    assert!(message.contains("cannot be read"), "{message}");
    let message = replaced(br#"[\"cat\",\"dog\"]"#, br#"[\"c\",\"\",\"\"]"#);
    assert!(message.contains("expected ["), "{message}");
    // The largest value of a row turned negative.
    let top = good.fisher.total.bias.values()[0];
    let message = replaced(&top.to_le_bytes(), &(-top).to_le_bytes());
    assert!(message.contains("at least 0"), "{message}");
}

#[test]
fn cards_of_the_first_format_are_read() {
    let good = card(Digest::of(b"model"), "digest of data");
    let floats = |shape: &[usize], values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        Tensor::from_f32(shape, &values)
    };
    let all = |fisher: &FisherTensor| fisher.entries().collect::<Vec<f64>>();
    let total = &good.fisher.total;
    let classes = |of: &dyn Fn(&LayerFisher) -> Vec<f64>| {
        good.fisher
            .per_class
            .iter()
            .flat_map(of)
            .collect::<Vec<f64>>()
    };
    let tensors = [
        ("weight", floats(&[2, 2], &all(&total.weight))),
        ("bias", floats(&[2], &all(&total.bias))),
        (
            "class.weight",
            floats(&[2, 2, 2], &classes(&|c| all(&c.weight))),
        ),
        ("class.bias", floats(&[2, 2], &classes(&|c| all(&c.bias)))),
    ];
    let model = good.header.model.to_string();
    let metadata = [
        ("format", "fim-card/1"),
        ("model", &model),
        ("data", "digest of data"),
        ("head", "fc"),
        ("estimator", "empirical"),
        ("outputs", r#"["cat","dog"]"#),
        ("classes", r#"["cat","dog"]"#),
        ("counts", "[2,1]"),
        ("tool", "disinherit 0.1.0"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card");
    write_checkpoint(
        &file,
        &tensors
            .map(|(name, tensor)| (name.to_owned(), tensor))
            .into(),
        metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    )
    .unwrap();
    let read = FisherCard::from_bytes(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(read.header.time, 0);
    assert!(read.inner.is_empty());
    for (a, b) in all(&read.fisher.total.weight)
        .iter()
        .zip(all(&total.weight))
    {
        assert!((a - b).abs() <= 1e-7 * b);
    }
}

#[test]
fn the_feature_cache_is_bounded_and_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::create(folder.path()).unwrap();
    assert!(Registry::in_memory().unwrap().feature_cache(1).is_none());
    let features = |value: f32| Matrix::new(100, 10, vec![value; 1000]).unwrap();
    let key = |n: u8| Digest::of(&[n]);
    // Two entries fit, with their headers; three do not.
    let cache = registry.feature_cache(11_000).unwrap();
    assert!(cache.get("cat", key(0)).is_none());
    for n in 0..2 {
        cache.put("cat", key(n), &features(f32::from(n))).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(cache.get("cat", key(0)).unwrap(), features(0.0));
    std::thread::sleep(std::time::Duration::from_millis(20));
    cache.put("dog", key(2), &features(2.0)).unwrap();
    assert!(cache.get("cat", key(1)).is_none(), "used least recently");
    assert!(cache.get("cat", key(0)).is_some());
    assert!(cache.get("dog", key(0)).is_none(), "of another label");

    // What is damaged is as good as gone.
    let path = folder.path().join(".disinherit/cache");
    for entry in fs::read_dir(&path).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() - 200;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert!(cache.get("cat", key(0)).is_none() && cache.get("dog", key(2)).is_none());

    cache.put("cat", key(0), &features(0.0)).unwrap();
    cache.put("dog", key(2), &features(2.0)).unwrap();
    assert_eq!(cache.forget(Some(&["cat".into()])).unwrap(), 1);
    assert!(cache.get("cat", key(0)).is_none() && cache.get("dog", key(2)).is_some());
    assert_eq!(cache.forget(None).unwrap(), 1);
    // Nothing larger than the cache is kept.
    let small = registry.feature_cache(100).unwrap();
    small.put("cat", key(0), &features(0.0)).unwrap();
    assert!(small.get("cat", key(0)).is_none());
}
