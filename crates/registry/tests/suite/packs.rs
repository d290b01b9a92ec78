//! Packs in a folder: what of them is damaged, cut short or gone, and who reads them meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use disinherit_registry::conformance::{id, manifest, publication, tensors};
use disinherit_registry::{Hint, ModelRow, NewModel, Purge, ReadObject, Registry, RegistryError};
use umig::Model;

const MODELS: usize = 12;

/// A registry with a pack of models whose heads are so many from `first` on.
fn packed(folder: &Path, first: f32) -> (Registry, PathBuf, Vec<NewModel>) {
    let registry = Registry::create(folder).unwrap();
    let heads = (0..MODELS).map(|number| (manifest(), tensors(first + number as f32)));
    let digests = registry.put_models(heads.collect()).unwrap();
    let new = |(number, digest)| NewModel {
        row: ModelRow::new(Model::new(id(&format!("m{number}@1")), 1), digest),
        parents: Vec::new(),
    };
    let models: Vec<NewModel> = digests.into_iter().enumerate().map(new).collect();
    registry
        .publish(&publication(models.clone(), &[], "packed"))
        .unwrap();
    let packs = packs(folder);
    assert_eq!(packs.len(), 1);
    (registry, packs[0].clone(), models)
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_dir(folder.join(".disinherit/objects/packs")).unwrap();
    list.map(|entry| entry.unwrap().path()).collect()
}

fn damages(registry: &Registry) -> Vec<String> {
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    health
        .damages
        .into_iter()
        .map(|damage| damage.what)
        .collect()
}

fn purge(models: &[&str]) -> Purge {
    Purge {
        models: models.iter().map(|name| id(name)).collect(),
        reason: "a test".into(),
        erasure: None,
        dry_run: false,
    }
}

#[test]
fn a_pack_is_a_file_that_other_tools_read() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, pack, models) = packed(folder.path(), 1.0);
    let file = disinherit_formats::Checkpoint::open(&pack).unwrap();
    let names = disinherit_formats::TensorSource::tensors(&file);
    assert_eq!(
        names.len(),
        2 * MODELS + 1,
        "a manifest and a head each, one backbone"
    );
    let digest = models[3].row.manifest.to_string();
    let tensor = disinherit_formats::TensorSource::tensor(&file, &digest).unwrap();
    assert_eq!(
        tensor.bytes,
        registry.object(models[3].row.manifest).unwrap()
    );
    let bytes = fs::read(&pack).unwrap();
    let name = disinherit_registry::Digest::from_content(&bytes).to_string();
    assert_eq!(pack.file_name().unwrap().to_str(), Some(&name[..]));
}

#[test]
fn one_damaged_object_is_named_and_the_others_are_read() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (registry, pack, models) = packed(folder.path(), 1.0);
    let (copy, ..) = packed(other.path(), 1.0);
    let weights = tensors(5.0)["fc.weight"].bytes.clone();
    let mut bytes = fs::read(&pack).unwrap();
    let at = bytes
        .windows(weights.len())
        .position(|part| part == weights)
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    let found = damages(&registry);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("is damaged: its bytes have another digest"),
        "{found:?}"
    );
    for (number, new) in models.iter().enumerate() {
        let manifest = registry.manifest(new.row.manifest).unwrap();
        assert_eq!(registry.tensors(&manifest).is_ok(), number != 4);
    }
    // A rewritten pack keeps it as it is: nothing takes the place of a whole one.
    registry
        .publish(&publication(Vec::new(), &["m0@1"], "superseded"))
        .unwrap();
    registry.purge(&purge(&["m0@1"])).unwrap();
    assert_eq!(damages(&registry), found);
    let health = registry.check(true, Some(&copy), &mut |_, _| {}).unwrap();
    assert!(health.is_sound(), "{health:?}");
    assert_eq!(damages(&Registry::open(folder.path()).unwrap()), [""; 0]);
}

#[test]
fn a_pack_that_cannot_be_read_keeps_everything_from_being_removed() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (registry, pack, models) = packed(folder.path(), 1.0);
    let (copy, ..) = packed(other.path(), 1.0);
    registry
        .publish(&publication(Vec::new(), &["m0@1"], "superseded"))
        .unwrap();
    // So that all but their tensors can be read.
    for new in &models {
        registry
            .put_document(registry.object(new.row.manifest).unwrap())
            .unwrap();
    }
    drop(registry);
    let whole = fs::read(&pack).unwrap();
    for damage in [&b"no pack"[..], &[], &whole[..100]] {
        fs::write(&pack, damage).unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        let refused = registry.purge(&purge(&["m0@1"])).unwrap_err();
        assert!(matches!(refused, RegistryError::Pack { .. }), "{refused}");
        assert_eq!(refused.hint(), Some(Hint::CheckRegistry));
        let missing = registry.tensors(&registry.manifest(models[1].row.manifest).unwrap());
        assert!(matches!(missing, Err(RegistryError::Missing(_))));
        let found = damages(&registry);
        assert!(
            found.iter().any(|what| what.starts_with("the pack ")),
            "{found:?}"
        );
    }
    let registry = Registry::open(folder.path()).unwrap();
    let health = registry.check(true, Some(&copy), &mut |_, _| {}).unwrap();
    assert!(health.is_sound(), "{health:?}");
    assert_eq!(
        packs(folder.path()),
        Vec::<PathBuf>::new(),
        "it is of no more use"
    );
    assert_eq!(damages(&registry), [""; 0]);
    registry.purge(&purge(&["m0@1"])).unwrap();
}

#[test]
fn a_pack_that_was_cut_short_lacks_its_last_objects_only() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, pack, models) = packed(folder.path(), 1.0);
    let bytes = fs::read(&pack).unwrap();
    fs::write(&pack, &bytes[..bytes.len() - 20]).unwrap();
    let registry = {
        drop(registry);
        Registry::open(folder.path()).unwrap()
    };
    let tensors = |number: usize| {
        let manifest = registry.manifest(models[number].row.manifest).unwrap();
        registry.tensors(&manifest)
    };
    assert!(tensors(0).is_ok());
    assert!(matches!(
        tensors(MODELS - 1),
        Err(RegistryError::Damaged(_))
    ));
    assert_eq!(damages(&registry).len(), 2);
}

#[test]
fn half_a_pack_is_cleared_away_and_whole_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, pack, _) = packed(folder.path(), 1.0);
    drop(registry);
    // As it is called while it is written.
    let half = pack.with_file_name(format!("{}#1", pack.file_name().unwrap().to_str().unwrap()));
    fs::write(&half, "half").unwrap();
    let registry = Registry::open(folder.path()).unwrap();
    assert_eq!(damages(&registry), [""; 0]);
    drop(registry);
    let registry = Registry::open(folder.path()).unwrap();
    let done = registry.collect_garbage(false, false).unwrap();
    assert_eq!((done.objects, done.files), (0, 1));
    assert_eq!(packs(folder.path()), [pack]);
}

#[test]
fn what_little_is_left_of_a_pack_lies_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _, models) = packed(folder.path(), 1.0);
    let reader = Registry::open(folder.path()).unwrap();
    let last = &models[MODELS - 1].row;
    reader.object(last.manifest).unwrap();
    let names: Vec<String> = (0..MODELS - 1)
        .map(|number| format!("m{number}@1"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    registry
        .publish(&publication(Vec::new(), &names, "superseded"))
        .unwrap();
    let done = registry.purge(&purge(&names)).unwrap();
    assert_eq!((done.objects, done.shared), (2 * (MODELS - 1), 1));
    assert_eq!(packs(folder.path()), Vec::<PathBuf>::new());
    // Who had seen the pack finds the rest.
    let manifest = reader.manifest(last.manifest).unwrap();
    assert_eq!(reader.tensors(&manifest).unwrap(), tensors(MODELS as f32));
    assert_eq!(damages(&reader), [""; 0]);
}

#[test]
fn an_older_registry_is_not_opened_by_older_versions_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, ..) = packed(folder.path(), 1.0);
    drop(registry);
    let marker = folder.path().join(".disinherit/registry.json");
    let text = fs::read_to_string(&marker).unwrap();
    let format = format!("\"format\": {}", disinherit_registry::FORMAT);
    assert!(text.contains(&format), "{text}");
    fs::write(&marker, text.replace(&format, "\"format\": 3")).unwrap();
    let registry = Registry::open(folder.path()).unwrap();
    assert_eq!(damages(&registry), [""; 0]);
    assert!(fs::read_to_string(&marker).unwrap().contains(&format));
}

#[test]
fn second_copies_go_where_the_one_that_stays_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, first, models) = packed(folder.path(), 1.0);
    let other = Registry::open(folder.path()).unwrap();
    let heads = (0..4).map(|number| (manifest(), tensors(1.0 + number as f32)));
    other.put_models(heads.collect()).unwrap();
    let document = registry.object(models[5].row.manifest).unwrap();
    other.put_document(document).unwrap();
    assert_eq!(packs(folder.path()).len(), 2);
    let second = packs(folder.path()).into_iter().find(|pack| *pack != first);
    let mut bytes = fs::read(&first).unwrap();
    let damaged = registry.object(models[2].row.manifest).unwrap();
    let at = bytes
        .windows(damaged.len())
        .position(|part| part == damaged)
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&first, bytes).unwrap();
    drop((registry, other));
    let registry = Registry::open(folder.path()).unwrap();
    // Four manifests and heads and the backbone, and a manifest that lies alone.
    let told = registry.collect_garbage(true, false).unwrap();
    assert_eq!((told.copies, told.objects), (10, 0));
    assert_eq!(packs(folder.path()).len(), 2, "a dry run removes nothing");
    let done = registry.collect_garbage(false, false).unwrap();
    assert_eq!((done.copies, done.objects), (9, 0));
    assert!(done.bytes > 0 && done.bytes < told.bytes);
    assert!(!second.unwrap().exists());
    drop(registry);
    let registry = Registry::open(folder.path()).unwrap();
    for new in &models {
        let manifest = registry.manifest(new.row.manifest).unwrap();
        assert!(registry.tensors(&manifest).is_ok());
    }
    let again = registry.collect_garbage(false, false).unwrap();
    assert_eq!((again.copies, again.objects), (0, 0));
}
