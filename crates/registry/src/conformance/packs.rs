//! Many small objects in few files: written, read, purged, cleared away and brought together.

use std::collections::BTreeSet;

use disinherit_formats::TensorSource;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use umig::Model;

use crate::catalog::rows::{ModelRow, NewModel};
use crate::conformance::samples::{Held, id, manifest, new_model, publication, tensors};
use crate::digest::Digest;
use crate::maintenance::purge::Purge;
use crate::objects::disk::PACKS;
use crate::objects::read::ReadObject;
use crate::registry::Registry;

/// Models that are written together.
const TOGETHER: usize = 10;

/// The life of objects in packs, on any storage.
pub(super) fn life(registry: &Registry) {
    let base = registry.models().unwrap().len();
    let files = files(registry);
    let models = together(registry, "packed", 100.0);
    let packs = &packs(registry) - &BTreeSet::from_iter(files.iter().cloned());
    assert_eq!(packs.len(), 1, "a manifest and a head for each: {packs:?}");
    assert_eq!(
        self::files(registry).len(),
        files.len() + 1,
        "and nothing besides"
    );
    registry
        .publish(&publication(models.clone(), &[], "packed"))
        .unwrap();
    let other = registry.acting_for("somebody who has not seen the pack yet");
    for (number, row) in other.models().unwrap()[base..].iter().enumerate() {
        let manifest = other.manifest(row.manifest).unwrap();
        assert_eq!(
            other.tensors(&manifest).unwrap(),
            tensors(100.0 + number as f32)
        );
        assert!(other.has(row.manifest).unwrap());
    }
    purged(registry, &models, &other);
    drop(other);
    abandoned(registry);
    gathered(registry);
    known(registry);
}

/// Models of one backbone, with their small objects in a pack.
fn together(registry: &Registry, name: &str, first: f32) -> Vec<NewModel> {
    let head = |number: usize| tensors(first + number as f32);
    let contents = (0..TOGETHER).map(|number| (manifest(), head(number)));
    let digests = registry.put_models(contents.collect()).unwrap();
    let new = |(number, digest)| NewModel {
        row: ModelRow::new(Model::new(id(&format!("{name}{number}@1")), 1), digest),
        parents: Vec::new(),
    };
    digests.into_iter().enumerate().map(new).collect()
}

/// What is purged is in no file any more, and all else is still there, for those who saw the old pack too.
fn purged(registry: &Registry, models: &[NewModel], other: &Registry) {
    let (gone, kept) = models.split_at(4);
    let name = |new: &NewModel| new.row.vertex.id.to_string();
    let names: Vec<String> = gone.iter().map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let superseded = publication(Vec::new(), &names, "superseded");
    registry.publish(&superseded).unwrap();
    let weights = |number: usize| tensors(100.0 + number as f32)["fc.weight"].bytes.clone();
    let lies = |number| anywhere(registry, &weights(number));
    assert!((0..TOGETHER).all(lies));
    let done = registry.purge(&Purge {
        models: names.iter().map(|name| id(name)).collect(),
        reason: "they remember".into(),
        erasure: None,
        dry_run: false,
    });
    assert_eq!(done.unwrap().objects, 8, "a manifest and a head of each");
    assert!((0..4).all(|number| !lies(number)), "their bytes are gone");
    assert!((4..TOGETHER).all(lies));
    for NewModel { row, .. } in kept {
        let manifest = other.manifest(row.manifest).unwrap();
        assert_eq!(other.tensors(&manifest).unwrap().len(), 2);
    }
    // A reader of its neighbours may have it in memory, so another one looks.
    let other = registry.acting_for("somebody who comes later");
    for NewModel { row, .. } in gone {
        assert!(other.manifest(row.manifest).is_err());
        assert!(!other.has(row.manifest).unwrap());
    }
    sound(registry);
}

/// What is never published goes with its pack.
fn abandoned(registry: &Registry) {
    registry.collect_garbage(false, true).unwrap();
    let before = files(registry);
    let models = together(registry, "abandoned", 200.0);
    assert_ne!(files(registry), before);
    let dry = registry.collect_garbage(true, false).unwrap();
    let done = registry.collect_garbage(false, false).unwrap();
    assert_eq!((done.objects, done.bytes), (dry.objects, dry.bytes));
    assert_eq!(done.objects, 2 * TOGETHER, "the backbone is needed");
    let (left, before) = (files(registry), BTreeSet::from_iter(before));
    // The backbone is left of the new pack, alone.
    assert!(left.len() <= before.len() + 1, "{left:?} {before:?}");
    assert!(!registry.has(models[0].row.manifest).unwrap());
    sound(registry);
}

/// Objects that lie alone come into packs, and nothing is lost on the way.
fn gathered(registry: &Registry) {
    let single = |number: usize| {
        let name = format!("single{number}@1");
        new_model(registry, &name, 300.0 + number as f32, &[])
    };
    let models: Vec<NewModel> = (0..TOGETHER).map(single).collect();
    registry
        .publish(&publication(models, &[], "single"))
        .unwrap();
    let objects = |registry: &Registry| -> BTreeSet<Digest> {
        let stored = registry.wait(registry.blobs().list()).unwrap().into_iter();
        stored.map(|object| object.digest).collect()
    };
    let all = objects(registry);
    let done = registry.pack_objects().unwrap();
    assert!(done.objects >= 2 * TOGETHER && done.packs == 1, "{done:?}");
    let (packs, files) = (packs(registry), files(registry));
    assert_eq!(packs.len(), files.len(), "nothing lies alone: {files:?}");
    let other = registry.acting_for("another");
    assert_eq!(objects(&other), all);
    assert!(all.iter().all(|digest| other.object(*digest).is_ok()));
    let again = registry.pack_objects().unwrap();
    assert_eq!((again.objects, again.merged), (0, 0));
    assert_eq!(self::files(registry), files, "there is nothing more to do");
    sound(registry);
}

/// Of models that share their backbone, what is there already is not written again.
fn known(registry: &Registry) {
    let store = |first: f32| {
        let before = BTreeSet::from_iter(files(registry));
        let head = |number: usize| Held(tensors(first + number as f32));
        let sources: Vec<Held> = (0..TOGETHER).map(head).collect();
        let models = sources.iter();
        let models = models.map(|source| (manifest(), source as &dyn TensorSource));
        let digests = registry.put_checkpoints(models.collect()).unwrap();
        let new = &BTreeSet::from_iter(files(registry)) - &before;
        (digests, Vec::from_iter(new))
    };
    store(400.0);
    let (digests, new) = store(500.0);
    assert!(new.len() == 1 && new[0].starts_with(PACKS), "{new:?}");
    let first = tensors(500.0);
    assert!(has(registry, &new[0], &first["fc.weight"].bytes));
    assert!(!has(registry, &new[0], &first["backbone"].bytes));
    let read = registry.manifest(digests[0]).unwrap();
    assert_eq!(registry.tensors(&read).unwrap(), first);
    assert_eq!(store(500.0), (digests, Vec::new()));
    registry.collect_garbage(false, false).unwrap();
    sound(registry);
}

fn sound(registry: &Registry) {
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
}

/// Everything in the storage but cached features.
fn files(registry: &Registry) -> Vec<String> {
    let objects = registry.blobs().objects();
    let list = objects.list(None);
    let list: Vec<_> = registry.wait(list.try_collect()).unwrap();
    let names = list.into_iter().map(|meta| meta.location.to_string());
    names.collect::<BTreeSet<String>>().into_iter().collect()
}

fn packs(registry: &Registry) -> BTreeSet<String> {
    let files = files(registry).into_iter();
    files.filter(|name| name.starts_with(PACKS)).collect()
}

/// Whether bytes lie in any file of the storage.
fn anywhere(registry: &Registry, bytes: &[u8]) -> bool {
    let mut files = files(registry).into_iter();
    files.any(|name| has(registry, &name, bytes))
}

/// Whether bytes lie in a file of the storage.
fn has(registry: &Registry, name: &str, bytes: &[u8]) -> bool {
    let objects = registry.blobs().objects();
    let place = object_store::path::Path::from(name);
    let whole = registry.wait(async { objects.get(&place).await?.bytes().await });
    let whole = whole.unwrap();
    whole.windows(bytes.len()).any(|part| part == bytes)
}
