//! What is published: models, cards, the drafts of requests, settings.

use fiun::Estimator;

use crate::catalog::publication::Publication;
use crate::catalog::rows::Draft;
use crate::conformance::samples::{card, id, manifest, new_model, publication, tensors};
use crate::error::RegistryError;
use crate::objects::manifest::Manifest;
use crate::registry::Registry;

/// A model and one that inherits from it and replaces it.
pub(super) fn models(registry: &Registry) {
    let base = new_model(registry, "base@1", 1.0, &[]);
    let base_digest = base.row.manifest;
    registry
        .publish(&publication(vec![base], &[], "first"))
        .unwrap();
    let child = new_model(registry, "child@1", 2.0, &["base@1"]);
    let number = registry
        .publish(&publication(vec![child], &["base@1"], "second"))
        .unwrap();

    let graph = registry.graph().unwrap();
    assert_eq!(
        graph.descendants(&id("base@1")).unwrap(),
        [id("child@1")].into()
    );
    assert!(graph.get(&id("base@1")).unwrap().superseded);
    assert!(!graph.get(&id("child@1")).unwrap().superseded);
    let base = registry.model(&id("base@1")).unwrap().unwrap();
    assert_eq!(base.superseded_by, Some(number));
    let child = registry.model(&id("child@1")).unwrap().unwrap();
    assert_eq!(child.superseded_by, None);
    let log = registry.operations().unwrap();
    let commands: Vec<&str> = log.iter().map(|row| row.command.as_str()).collect();
    assert_eq!(commands, ["first", "second"]);
    let catalog = registry.catalog();
    let second = registry.wait(catalog.operations_of(&[number])).unwrap();
    assert_eq!(second, log[1..]);
    assert_eq!(registry.wait(catalog.operations_of(&[])).unwrap(), []);
    let both = [id("base@1"), id("child@1")];
    assert_eq!(
        registry.wait(catalog.replaced(&both)).unwrap(),
        [].into(),
        "the child goes on from its parent by fine-tuning"
    );
    assert_eq!(registry.digest(&id("base@1")).unwrap(), Some(base_digest));
    assert_eq!(registry.digest(&id("base@2")).unwrap(), None);
}

/// Equal content has one digest, and unchanged tensors are shared.
pub(super) fn content(registry: &Registry) {
    let digests = registry.digests().unwrap();
    let manifests: Vec<Manifest> = digests
        .values()
        .map(|digest| registry.manifest(*digest).unwrap())
        .collect();
    assert_eq!(
        manifests[0].tensors.get("backbone"),
        manifests[1].tensors.get("backbone")
    );
    assert_ne!(
        manifests[0].tensors.get("fc.weight"),
        manifests[1].tensors.get("fc.weight")
    );
    assert_eq!(
        registry.put_model(manifest(), tensors(1.0)).unwrap(),
        digests[&id("base@1")]
    );
    assert_eq!(registry.tensors(&manifests[0]).unwrap(), tensors(1.0));
}

/// A conflict publishes nothing of its operation.
pub(super) fn conflicts(registry: &Registry) {
    let fresh = new_model(registry, "fresh@1", 3.0, &[]);
    let taken = new_model(registry, "base@1", 4.0, &[]);
    let refused = registry.publish(&publication(vec![fresh, taken], &["child@1"], "third"));
    assert!(
        matches!(refused, Err(RegistryError::Conflict(_))),
        "{refused:?}"
    );
    let graph = registry.graph().unwrap();
    assert_eq!(graph.len(), 2);
    assert!(!graph.get(&id("child@1")).unwrap().superseded);
    assert_eq!(registry.operations().unwrap().len(), 2);
}

/// Cards come back as they went in, and a newer one replaces the older.
pub(super) fn cards(registry: &Registry) {
    let model = registry.digest(&id("base@1")).unwrap().unwrap();
    for data in ["digest of data", "digest of more data"] {
        let first = card(model, data);
        let mut with_card = publication(Vec::new(), &[], "card");
        with_card.cards.push(registry.put_card(&first).unwrap());
        registry.publish(&with_card).unwrap();
        let kept = registry.card(model, Estimator::Empirical).unwrap().unwrap();
        assert_eq!(kept.header(), &first.header);
        assert_eq!(kept.total(registry).unwrap(), first.fisher.total);
        assert_eq!(kept.card(registry).unwrap(), first);
    }
    let other = registry.card(model, Estimator::Batch { size: 4 });
    assert!(other.unwrap().is_none());
}

/// What a run that was stopped finds again.
pub(super) fn drafts(registry: &Registry) {
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
}

/// Settings are kept, and changed.
pub(super) fn settings(registry: &Registry) {
    assert_eq!(registry.setting("keep").unwrap(), None);
    registry.set("keep", "30d").unwrap();
    registry.set("keep", "31d").unwrap();
    assert_eq!(registry.setting("keep").unwrap().as_deref(), Some("31d"));
}
