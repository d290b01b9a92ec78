//! What becomes of the past: undo, purge, the log, pages of versions in each state.

use fiun::Estimator;
use serde_json::json;

use crate::catalog::rows::{ManifestRow, Page, State};
use crate::conformance::samples::{id, new_model, publication};
use crate::error::{Hint, PurgeRefusal, RegistryError, UndoRefusal};
use crate::ids::OperationId;
use crate::log::chain::{check_chain, undone_by};
use crate::log::record::OperationRecord;
use crate::maintenance::purge::{Purge, Purged};
use crate::registry::Registry;

/// An operation is taken back, once.
pub(super) fn undo(registry: &Registry) {
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
    let log = registry.operations().unwrap();
    assert_eq!(undone_by(&log, number), Some(undone.operation));

    let refusal = |number: OperationId| match registry.undo(number) {
        Err(RegistryError::CannotUndo { operation, reason }) => {
            assert_eq!(operation, number);
            reason
        }
        other => panic!("{other:?}"),
    };
    let by = undone.operation;
    assert_eq!(refusal(number), UndoRefusal::Undone { by });
    let command = "undo".to_owned();
    assert_eq!(refusal(by), UndoRefusal::Final { command });
    // The first made `base@1`, from which `child@1` inherits, and which `child@1` replaced.
    assert_eq!(
        refusal(OperationId::new(1)),
        UndoRefusal::Superseded(id("base@1"))
    );
    let unknown = registry.undo(OperationId::new(99)).unwrap_err();
    assert!(matches!(unknown, RegistryError::NoOperation(number) if number.get() == 99));
    assert_eq!(unknown.hint(), Some(Hint::ShowLog));
}

/// Weights of superseded versions go for good, and the record stays.
pub(super) fn purge(registry: &Registry) {
    let purge = |model: &str, dry_run: bool| -> Result<Purged, RegistryError> {
        registry.purge(&Purge {
            models: vec![id(model)],
            reason: "erasure request 7".into(),
            erasure: None,
            dry_run,
        })
    };
    let refusal = |model: &str| match purge(model, false) {
        Err(RegistryError::CannotPurge { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal("child@1"), PurgeRefusal::InUse);
    assert_eq!(refusal("child@9"), PurgeRefusal::Unknown);
    let digest = registry.digest(&id("base@1")).unwrap().unwrap();
    let manifest = registry.manifest(digest).unwrap();
    let dry = purge("base@1", true).unwrap();
    assert_eq!(dry.operation, None);
    assert!(registry.tensors(&manifest).is_ok());
    let done = purge("base@1", false).unwrap();
    // Its manifest, its own tensor, its card in parts; the backbone is the child's too.
    assert_eq!((done.objects, done.shared, done.cards), (6, 1, 1));
    assert_eq!((dry.objects, dry.bytes), (done.objects, done.bytes));
    assert!(done.bytes > 0);
    let tensor = |name: &str| registry.tensor(manifest.tensors.get(name).unwrap());
    assert!(tensor("backbone").is_ok());
    assert!(matches!(
        tensor("fc.weight"),
        Err(RegistryError::Missing(_))
    ));
    let row = registry.model(&id("base@1")).unwrap().unwrap();
    assert_eq!(row.state(), State::Purged);
    let rows = registry.models().unwrap().into_iter();
    let manifests: Vec<ManifestRow> = rows.map(ManifestRow::from).collect();
    assert_eq!(registry.manifests().unwrap(), manifests);
    assert!(manifests.iter().any(|row| row.purged) && manifests.iter().any(|row| !row.purged));
    let card = registry.card(row.manifest, Estimator::Empirical);
    assert!(card.unwrap().is_none());
    assert_eq!(refusal("base@1"), PurgeRefusal::Purged);
    let refused = registry.undo(OperationId::new(2)).unwrap_err();
    assert!(
        matches!(&refused, RegistryError::CannotUndo { reason: UndoRefusal::Purged(model), .. } if *model == id("base@1")),
        "{refused}"
    );
}

/// The log is one chain, its records come back, and the catalog is as it says.
pub(super) fn log(registry: &Registry) {
    let log = registry.operations().unwrap();
    assert_eq!(check_chain(&log), [""; 0]);
    assert!(
        log.iter()
            .zip(1..)
            .all(|(row, number)| row.id == OperationId::new(number))
    );
    let first = OperationRecord::Unknown {
        command: "first".into(),
        detail: json!({"why": "first"}),
    };
    assert_eq!(log[0].record().unwrap(), first);
    let last = log.last().unwrap();
    let OperationRecord::Purge(purge) = last.record().unwrap() else {
        panic!("{last:?}");
    };
    assert_eq!(purge.reason, "erasure request 7");
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
    assert_eq!((health.models, health.operations), (2, log.len()));
}

/// Versions are listed page by page, by prefix and by state.
pub(super) fn pages(registry: &Registry) {
    let page = |after: Option<&str>, prefix: &str, state: Option<State>| -> Vec<String> {
        let page = Page {
            after: after.map(id),
            limit: 1,
            prefix: prefix.into(),
            state,
        };
        let rows = registry.page(&page).unwrap().into_iter();
        rows.map(|row| row.vertex.id.to_string()).collect()
    };
    assert_eq!(page(None, "", None), ["base@1"]);
    assert_eq!(page(Some("base@1"), "", None), ["child@1"]);
    assert_eq!(page(Some("child@1"), "", None), [""; 0]);
    assert_eq!(page(None, "ch", None), ["child@1"]);
    assert_eq!(page(None, "", Some(State::Current)), ["child@1"]);
    assert_eq!(page(None, "", Some(State::Purged)), ["base@1"]);
}
