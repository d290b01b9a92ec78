//! The conformance suite, on each backend: memory, disk, PostgreSQL, S3.
#![allow(clippy::unwrap_used, missing_docs)]

#[cfg(feature = "s3")]
mod storage;

use disinherit_registry::{Registry, RegistryError, conformance};

#[test]
fn memory_conforms() {
    conformance::run(&Registry::in_memory().unwrap());
}

#[test]
fn disk_conforms_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    conformance::run(&Registry::create(folder.path()).unwrap());
    let again = Registry::discover(folder.path()).unwrap();
    assert_eq!(again.graph().unwrap().len(), 3);
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
