//! Leases: who keeps whom out, and until when.

use crate::catalog::contract::Catalog;
use crate::catalog::rows::Lease;
use crate::registry::Registry;
use crate::time::now;

fn lease(holder: &str, removes: bool, since: u64, until: u64) -> Lease {
    Lease {
        holder: holder.into(),
        removes,
        since,
        until,
    }
}

/// Writers beside each other, one remover, and those that were never heard of again.
pub(super) fn run(registry: &Registry) {
    let catalog = registry.catalog();
    let begin = |lease: &Lease| registry.wait(catalog.begin_lease(lease)).unwrap();
    let holders = |catalog: &dyn Catalog| -> Vec<String> {
        let found = registry.wait(catalog.leases()).unwrap().into_iter();
        found.map(|lease| lease.holder).collect()
    };
    let own = holders(catalog).len();
    let later = now() + 60_000;
    let (first, second) = (
        lease("first", false, 2, later),
        lease("second", false, 1, later),
    );
    assert_eq!((begin(&first), begin(&second)), (None, None));
    assert_eq!(
        holders(catalog)[..2],
        ["second", "first"],
        "the oldest first"
    );

    let remover = lease("remover", true, 3, later);
    assert_eq!(begin(&remover), None, "those who write already go on");
    let third = lease("third", false, 4, later);
    assert_eq!(begin(&third), Some(remover.clone()));
    assert_eq!(
        begin(&lease("other", true, 4, later)),
        Some(remover.clone())
    );
    registry.wait(catalog.end_lease("remover")).unwrap();
    registry.wait(catalog.end_lease("remover")).unwrap();
    assert_eq!(begin(&third), None);

    // What has run out neither counts nor comes back.
    let gone = lease("gone", true, 5, now() - 1);
    assert_eq!(begin(&gone), None);
    assert!(!holders(catalog).contains(&"gone".to_owned()));
    assert!(!registry.wait(catalog.prolong_lease("gone", later)).unwrap());
    assert_eq!(begin(&lease("fourth", false, 6, later)), None);
    assert!(
        registry
            .wait(catalog.prolong_lease("fourth", later + 1))
            .unwrap()
    );
    assert!(!registry.wait(catalog.prolong_lease("none", later)).unwrap());
    for holder in ["first", "second", "third", "fourth"] {
        registry.wait(catalog.end_lease(holder)).unwrap();
    }
    assert_eq!(holders(catalog).len(), own);
}
