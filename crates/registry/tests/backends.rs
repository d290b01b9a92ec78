//! What every registry must show: in memory, on disk, over PostgreSQL and over S3.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use disinherit_registry::{
    Blobs, Draft, Manifest, Page, Publication, Purge, Registry, RegistryError, State, check_chain,
};
use disinherit_testkit::{Postgres, S3, skipped};
use fiun::Estimator;
use object_store::ObjectStore;
use support::{card, id, manifest, new_model, publication, tensors};

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
        matches!(refused, Err(RegistryError::Conflict(_))),
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
    drafts_and_settings(registry);
    history(registry);
}

/// What a run that was stopped finds again.
fn drafts_and_settings(registry: &Registry) {
    let draft = |task: &str, value: &str| Draft {
        task: task.into(),
        value: value.into(),
        blobs: Vec::new(),
    };
    registry
        .keep_drafts("request", &[draft("b", "1"), draft("a", "2")])
        .unwrap();
    registry.keep_drafts("request", &[draft("b", "3")]).unwrap();
    registry.keep_drafts("other", &[draft("c", "4")]).unwrap();
    assert_eq!(
        registry.drafts("request").unwrap(),
        [draft("a", "2"), draft("b", "3")]
    );
    let done = Publication {
        finished: vec!["request".into()],
        ..publication(Vec::new(), &[], "done")
    };
    registry.publish(&done).unwrap();
    assert_eq!(registry.drafts("request").unwrap(), []);
    assert_eq!(registry.drafts("other").unwrap().len(), 1);
    assert_eq!(registry.setting("keep").unwrap(), None);
    registry.set("keep", "30d").unwrap();
    registry.set("keep", "31d").unwrap();
    assert_eq!(registry.setting("keep").unwrap().as_deref(), Some("31d"));
}

/// Undo, purge, the chain of the log, pages.
fn history(registry: &Registry) {
    let states = || -> Vec<(String, State)> {
        let rows = registry.models().unwrap().into_iter();
        rows.map(|row| (row.vertex.id.to_string(), row.state()))
            .collect()
    };
    let before = states();
    let second = new_model(registry, "child@2", 7.0, &["child@1"]);
    let number = registry
        .publish(&publication(vec![second], &["child@1"], "replace"))
        .unwrap();
    let undone = registry.undo(number).unwrap();
    assert_eq!(undone.removed, [id("child@2")]);
    assert_eq!(undone.restored, [id("child@1")]);
    assert_eq!(states(), before);
    for (wrong, why) in [
        (number, "already"),
        (undone.operation, "cannot"),
        (99, "no operation"),
    ] {
        let refused = registry.undo(wrong).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    // The first made `base@1`, from which `child@1` inherits.
    let refused = registry.undo(1).unwrap_err().to_string();
    assert!(refused.contains("undo that first"), "{refused}");

    let purge = |model: &str, dry_run| {
        registry.purge(&Purge {
            models: vec![id(model)],
            reason: "erasure request 7".into(),
            dry_run,
        })
    };
    let refused = purge("child@1", false).unwrap_err().to_string();
    assert!(refused.contains("is in use"), "{refused}");
    let manifest = registry
        .manifest(registry.digest(&id("base@1")).unwrap().unwrap())
        .unwrap();
    let dry = purge("base@1", true).unwrap();
    assert_eq!(dry.operation, None);
    assert!(registry.tensors(&manifest).is_ok());
    let done = purge("base@1", false).unwrap();
    // Its manifest, its own tensor, its card in parts; the backbone is the child's too.
    assert_eq!((done.objects, done.shared, done.cards), (6, 1, 1));
    assert_eq!((dry.objects, dry.bytes), (done.objects, done.bytes));
    assert!(done.bytes > 0);
    assert!(registry.tensor(&manifest.tensors["backbone"]).is_ok());
    assert!(matches!(
        registry.tensor(&manifest.tensors["fc.weight"]),
        Err(RegistryError::Missing(_))
    ));
    let row = registry.model(&id("base@1")).unwrap().unwrap();
    assert_eq!(row.state(), State::Purged);
    assert!(
        registry
            .card(row.manifest, Estimator::Empirical)
            .unwrap()
            .is_none()
    );
    let refused = purge("base@1", false).unwrap_err().to_string();
    assert!(refused.contains("already"), "{refused}");
    let refused = registry.undo(2).unwrap_err().to_string();
    assert!(refused.contains("purged"), "{refused}");

    let log = registry.operations().unwrap();
    assert_eq!(check_chain(&log), [""; 0]);
    assert!(log.iter().zip(1..).all(|(row, number)| row.id == number));
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
    assert_eq!((health.models, health.operations), (2, log.len()));

    let page = |after: Option<&str>, prefix: &str, state| {
        let page = Page {
            after: after.map(id),
            limit: 1,
            prefix: prefix.into(),
            state,
        };
        let rows = registry.page(&page).unwrap().into_iter();
        rows.map(|row| row.vertex.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, "", None), ["base@1"]);
    assert_eq!(page(Some("base@1"), "", None), ["child@1"]);
    assert_eq!(page(Some("child@1"), "", None), [""; 0]);
    assert_eq!(page(None, "ch", None), ["child@1"]);
    assert_eq!(page(None, "", Some(State::Current)), ["child@1"]);
    assert_eq!(page(None, "", Some(State::Purged)), ["base@1"]);
}

#[test]
fn disk_conforms_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    conformance(&Registry::create(folder.path()).unwrap());
    let again = Registry::discover(folder.path()).unwrap();
    assert_eq!(again.graph().unwrap().len(), 2);
    assert!(again.operations().unwrap().len() > 4);
    let refused = Registry::create(folder.path()).err().unwrap();
    assert!(matches!(refused, RegistryError::Exists(_)));
}

#[test]
fn memory_conforms() {
    conformance(&Registry::in_memory().unwrap());
}

#[test]
fn postgres_conforms() {
    match Postgres::start() {
        Ok(server) => {
            let registry = Registry::over(Blobs::in_memory(), Some(&server.address())).unwrap();
            conformance(&registry);
            // Whoever opens it next finds the same.
            let again = Registry::over(Blobs::in_memory(), Some(&server.address())).unwrap();
            assert_eq!(again.operations().unwrap(), registry.operations().unwrap());
        }
        Err(why) => skipped("the catalog in PostgreSQL", &why),
    }
}

#[test]
fn s3_conforms() {
    let server = S3::start().unwrap();
    let mut bucket = object_store::aws::AmazonS3Builder::new().with_url(server.address());
    for (name, value) in server.environment() {
        bucket = bucket.with_config(name.to_ascii_lowercase().parse().unwrap(), value);
    }
    let bucket: Arc<dyn ObjectStore> = Arc::new(bucket.build().unwrap());
    conformance(&Registry::over(Blobs::on(bucket), None).unwrap());
}
