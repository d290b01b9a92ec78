//! The conformance suite, on each backend: memory, disk, PostgreSQL, S3.

#[cfg(feature = "s3")]
use disinherit_registry::{Registry, RegistryError, conformance};

#[test]
fn memory_conforms() {
    conformance::run(&Registry::in_memory().unwrap());
}

#[test]
fn disk_conforms_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let first = Registry::create(folder.path()).unwrap();
    conformance::run(&first);
    let models = first.models().unwrap();
    drop(first);
    let again = Registry::discover(folder.path()).unwrap();
    assert_eq!(again.models().unwrap(), models);
    assert!(again.operations().unwrap().len() > 4);
    let refused = Registry::create(folder.path()).err().unwrap();
    assert!(matches!(refused, RegistryError::Exists(_)));
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_conforms() {
    use disinherit_registry::Blobs;
    use disinherit_testkit::{Postgres, skipped};

    match Postgres::start() {
        Ok(server) => {
            let registry = Registry::over(Blobs::in_memory(), Some(&server.address())).unwrap();
            conformance::run(&registry);
            // Another process finds the same.
            let again = Registry::over(Blobs::in_memory(), Some(&server.address())).unwrap();
            assert_eq!(again.operations().unwrap(), registry.operations().unwrap());
        }
        Err(why) => skipped("the catalog in PostgreSQL", &why),
    }
}

/// Processes on shared storage that write, clear away and purge beside each other.
#[cfg(feature = "postgres")]
#[test]
fn writers_and_removers_know_of_each_other() {
    use disinherit_registry::{Blobs, Purge};
    use disinherit_testkit::{Postgres, skipped};

    let server = match Postgres::start() {
        Ok(server) => server,
        Err(why) => return skipped("leases in PostgreSQL", &why),
    };
    let blobs = Blobs::in_memory();
    let open = || Registry::over(blobs.fresh(), Some(&server.address())).unwrap();
    let gc = |registry: &Registry| registry.collect_garbage(false, false).unwrap();
    let (writer, cleaner) = (open(), open());
    let first = conformance::new_model(&writer, "first@1", 1.0, &[]);
    let stored = gc(&cleaner);
    assert_eq!(
        (stored.objects, stored.young),
        (0, 3),
        "the writer is about to publish them"
    );
    writer
        .publish(&conformance::publication(vec![first], &[], "first"))
        .unwrap();
    // A writer does not rely on what was written before it began: that may go at any time.
    let second = open();
    let same = conformance::new_model(&second, "second@1", 1.0, &["first@1"]);
    let changed = conformance::new_model(&second, "third@1", 2.0, &["first@1"]);
    assert_eq!(gc(&cleaner).young, 2);
    drop(changed);
    second
        .publish(&conformance::publication(
            vec![same],
            &["first@1"],
            "second",
        ))
        .unwrap();
    // Its weights were written by those who are still there.
    let third = conformance::new_model(&second, "third@1", 3.0, &["first@1"]);
    second
        .publish(&conformance::publication(
            vec![third],
            &["second@1"],
            "third",
        ))
        .unwrap();
    let purge = Purge {
        models: vec![conformance::id("first@1"), conformance::id("second@1")],
        reason: "a test".into(),
        erasure: None,
        dry_run: false,
    };
    let refused = cleaner.purge(&purge).unwrap_err();
    assert!(matches!(refused, RegistryError::Busy(_)), "{refused}");
    drop((writer, second));
    assert!(cleaner.purge(&purge).unwrap().objects > 0);
    let cleared = gc(&cleaner);
    assert_eq!(
        (cleared.objects, cleared.young),
        (2, 0),
        "nobody is about to publish them"
    );
    let health = cleaner.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!((health.damages, health.garbage), (Vec::new(), 0));
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_build_without_postgres_says_so() {
    let blobs = disinherit_registry::Blobs::in_memory();
    let refused = Registry::over(blobs, Some("postgres://me@host/db"));
    let refused = refused.err().unwrap().to_string();
    assert!(
        refused.contains("no support for `postgres://`"),
        "{refused}"
    );
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_build_without_s3_says_so() {
    let place = disinherit_registry::Location::parse("s3://bucket/models").unwrap();
    let refused = Registry::open_at(&place).err().unwrap().to_string();
    assert!(refused.contains("no support for `s3://`"), "{refused}");
}
