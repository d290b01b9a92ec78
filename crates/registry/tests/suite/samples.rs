//! Lists of samples as objects: published, asked, taken from, purged, checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use disinherit_registry::conformance::{id, new_model, publication};
use disinherit_registry::{Purge, Registry, RegistryError};
use umig::{Forget, KeptSamples, ModelId, Relation, Request, SampleError, SampleSet, Training};

fn ids(range: std::ops::Range<usize>) -> BTreeSet<String> {
    range.map(|n| format!("clinic/person-{n:05}")).collect()
}

fn training(samples: BTreeSet<String>) -> Training {
    let mut training = Training::new("scans", ["cat"]);
    training.samples = SampleSet::Listed(samples);
    training
}

/// Publishes a model that was trained on some samples.
fn publish(registry: &Registry, name: &str, head: f32, samples: BTreeSet<String>) {
    let mut new = new_model(registry, name, head, &[]);
    new.row.vertex.training.push(training(samples));
    registry
        .publish(&publication(vec![new], &[], "add"))
        .unwrap();
}

/// What a request for samples does to one model: the next version is trained on what is left.
fn forget(registry: &Registry, name: &str, next: &str, asked: &BTreeSet<String>) {
    let graph = registry.graph().unwrap();
    let before = graph.get(&id(name)).unwrap();
    let mut new = new_model(registry, next, 9.0, &[]);
    let rest = Forget::Samples(asked.clone()).remainder(&before.training[0]);
    new.row.vertex.training.extend(rest.unwrap());
    let unlearned = Relation::UnlearnedFrom {
        request: "request".into(),
    };
    new.parents.push((id(name), unlearned));
    registry
        .publish(&publication(vec![new], &[name], "unlearn"))
        .unwrap();
}

fn kept(registry: &Registry, name: &str) -> KeptSamples {
    let graph = registry.graph().unwrap();
    match &graph.get(&id(name)).unwrap().training[0].samples {
        SampleSet::Kept(kept) => kept.clone(),
        other => panic!("{other:?}"),
    }
}

fn initial(registry: &Registry, asked: &BTreeSet<String>) -> Vec<ModelId> {
    let forget = Forget::Samples(asked.clone());
    let graph = registry.graph_for(&forget).unwrap();
    let scope = graph.scope(&Request::new(forget));
    scope.map_or_else(|_| Vec::new(), |scope| scope.initial.into_iter().collect())
}

fn purge(registry: &Registry, name: &str) -> usize {
    let purge = Purge {
        models: vec![id(name)],
        reason: "erasure request 7".into(),
        erasure: None,
        dry_run: false,
    };
    registry.purge(&purge).unwrap().objects
}

fn damages(registry: &Registry) -> Vec<String> {
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.garbage, 0);
    health.damages.into_iter().map(|d| d.what).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

/// The file of an object.
fn object(folder: &Path, digest: &str) -> PathBuf {
    let (first, rest) = digest.split_at(2);
    folder.join(".disinherit/objects").join(first).join(rest)
}

#[test]
fn short_lists_stay_in_the_graph_and_long_ones_become_objects() {
    let registry = Registry::in_memory().unwrap();
    publish(&registry, "short@1", 1.0, ids(0..1000));
    publish(&registry, "long@1", 2.0, ids(0..1001));
    let rows = registry.models().unwrap();
    let samples = |at: usize| rows[at].vertex.training[0].samples.clone();
    assert_eq!(samples(0), SampleSet::Listed(ids(0..1000)));
    let text = serde_json::to_string(&samples(1)).unwrap();
    assert!(text.len() < 120 && text.contains("1001"), "{text}");
    let list = kept(&registry, "long@1");
    assert_eq!((list.count(), list.is_hashed()), (1001, false));
    assert!(list.ids().unwrap().unwrap().into_iter().eq(ids(0..1001)));
    let found = list.which(&["clinic/person-00017", "clinic/person-01001", ""]);
    assert_eq!(found.unwrap(), [true, false, false]);
    assert_eq!(initial(&registry, &ids(1000..1005)), [id("long@1")]);
    assert_eq!(
        initial(&registry, &ids(999..1000)),
        [id("long@1"), id("short@1")]
    );
    assert_eq!(initial(&registry, &ids(1001..1005)), []);
    assert_eq!(damages(&registry), [""; 0]);
    // Equal lists are one object.
    publish(&registry, "same@1", 3.0, ids(0..1001));
    assert_eq!(kept(&registry, "same@1"), list);
}

#[test]
fn what_is_forgotten_leaves_the_list_and_a_purge_deletes_the_one_before() {
    for hashed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::create(folder.path()).unwrap();
        registry.set_hashes_sample_ids(hashed).unwrap();
        publish(&registry, "base@1", 1.0, ids(0..3000));
        publish(&registry, "other@1", 2.0, ids(3000..6000));
        let asked = ids(100..105);
        assert_eq!(initial(&registry, &asked), [id("base@1")]);
        forget(&registry, "base@1", "base@2", &asked);
        assert_eq!(initial(&registry, &asked), []);
        let (before, after) = (kept(&registry, "base@1"), kept(&registry, "base@2"));
        assert_eq!((before.count(), after.count()), (3000, 2995));
        assert_eq!(after.is_hashed(), hashed);
        assert!(after.taken_out().is_empty());
        let all = ids(0..3000);
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        let left = after.which(&names).unwrap();
        assert!(
            left.iter()
                .zip(&all)
                .all(|(left, id)| *left != asked.contains(id))
        );

        // Manifest, head, the list and its blocks, mostly one.
        assert!(purge(&registry, "base@1") >= 4);
        let gone = kept(&registry, "base@1");
        assert!(gone.is_purged());
        let error = gone.which(&["clinic/person-00100"]).unwrap_err();
        assert!(matches!(error, SampleError::Gone { .. }), "{error}");
        assert_eq!(damages(&registry), [""; 0]);
        assert_eq!(registry.collect_garbage(false, true).unwrap().objects, 0);
        let again = Registry::open(folder.path()).unwrap();
        assert_eq!(initial(&again, &ids(5999..6000)), [id("other@1")]);
    }
}

#[test]
fn a_list_that_another_version_has_stays() {
    let registry = Registry::in_memory().unwrap();
    publish(&registry, "base@1", 1.0, ids(0..2000));
    // Of a class nothing is taken from the list.
    forget(&registry, "base@1", "base@2", &ids(9000..9001));
    assert_eq!(
        kept(&registry, "base@1").list(),
        kept(&registry, "base@2").list()
    );
    assert_eq!(purge(&registry, "base@1"), 2, "manifest and head");
    let old = kept(&registry, "base@1");
    assert_eq!(old.which(&["clinic/person-00001"]).unwrap(), [true]);
    assert_eq!(initial(&registry, &ids(0..1)), [id("base@2")]);
}

#[test]
fn hashed_lists_hold_no_id_and_other_registries_hash_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::create(folder.path()).unwrap();
    assert!(!registry.hashes_sample_ids().unwrap());
    registry.set_hashes_sample_ids(true).unwrap();
    assert!(registry.hashes_sample_ids().unwrap());
    // Short lists too.
    publish(&registry, "base@1", 1.0, ids(0..3));
    let list = kept(&registry, "base@1");
    assert!(list.is_hashed());
    assert_eq!(list.ids().unwrap(), None);
    assert_eq!(initial(&registry, &ids(2..3)), [id("base@1")]);
    assert_eq!(initial(&registry, &ids(3..4)), []);
    for file in files(folder.path()) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(14).any(|part| part == b"clinic/person-");
        assert!(!found, "an id is in {}", file.display());
    }
    let other = Registry::in_memory().unwrap();
    other.set_hashes_sample_ids(true).unwrap();
    publish(&other, "base@1", 1.0, ids(0..3));
    assert_ne!(kept(&other, "base@1").list(), list.list());
    // The key stays, however often it is switched.
    registry.set_hashes_sample_ids(false).unwrap();
    registry.set_hashes_sample_ids(true).unwrap();
    assert_eq!(initial(&registry, &ids(2..3)), [id("base@1")]);
}

#[test]
fn a_list_in_clear_is_hashed_when_it_is_next_written() {
    let registry = Registry::in_memory().unwrap();
    publish(&registry, "base@1", 1.0, ids(0..1500));
    registry.set_hashes_sample_ids(true).unwrap();
    forget(&registry, "base@1", "base@2", &ids(0..1));
    assert!(!kept(&registry, "base@1").is_hashed());
    let after = kept(&registry, "base@2");
    assert!(after.is_hashed());
    assert_eq!(after.count(), 1499);
    let found = after.which(&["clinic/person-00000", "clinic/person-00001"]);
    assert_eq!(found.unwrap(), [false, true]);
}

#[test]
fn another_key_is_told_and_not_taken_for_an_answer() {
    let registry = Registry::in_memory().unwrap();
    registry.set_hashes_sample_ids(true).unwrap();
    publish(&registry, "base@1", 1.0, ids(0..3));
    registry.set("sample-key", &"7".repeat(64)).unwrap();
    let error = kept(&registry, "base@1").which(&["x"]).unwrap_err();
    assert!(error.to_string().contains("another key"), "{error}");
    let found = damages(&registry);
    assert_eq!(found.len(), 1, "{found:?}");
    registry.set("sample-key", "nonsense").unwrap();
    let error = registry.graph().unwrap_err();
    assert!(matches!(error, RegistryError::Document { .. }), "{error}");
}

#[test]
fn damage_is_told_with_its_list_and_repaired_from_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    for place in [&folder, &copy] {
        let registry = Registry::create(place.path()).unwrap();
        publish(&registry, "base@1", 1.0, ids(0..1500));
    }
    let registry = Registry::open(folder.path()).unwrap();
    let list = kept(&registry, "base@1");
    let file = object(folder.path(), list.list());
    let bytes = fs::read(&file).unwrap();
    let block: String = bytes[29..61]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for digest in [list.list(), &block] {
        let file = object(folder.path(), digest);
        let whole = fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
        let error = kept(&registry, "base@1").which(&["clinic/person-00001"]);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(list.list()) && error.contains("damaged"),
            "{error}"
        );
        let found = damages(&registry);
        assert!(found.iter().any(|what| what.contains(digest)), "{found:?}");
        let from = Registry::open(copy.path()).unwrap();
        let health = registry.check(true, Some(&from), &mut |_, _| {}).unwrap();
        assert!(health.is_sound() && health.damages.len() == 1, "{health:?}");
        assert_eq!(fs::read(&file).unwrap(), whole);
        assert_eq!(initial(&registry, &ids(1..2)), [id("base@1")]);
    }
    // A list that is no list, under its right name.
    let mut new = new_model(&registry, "odd@1", 5.0, &[]);
    let digest = registry.put_document(b"no list".to_vec()).unwrap();
    let mut training = training(BTreeSet::new());
    training.samples = SampleSet::Kept(KeptSamples::new(digest.to_string(), 2, false));
    new.row.vertex.training.push(training);
    registry
        .publish(&publication(vec![new], &[], "add"))
        .unwrap();
    let found = damages(&registry);
    assert!(found[0].contains("does not begin as a list"), "{found:?}");
    let error = registry
        .collect_garbage(false, false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("list of samples"), "{error}");
}
