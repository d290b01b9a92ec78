//! Registries on S3, and what is told where there is none.

use std::sync::Arc;

use disinherit_registry::{Blobs, Hint, Location, Registry, RegistryError, conformance};
use disinherit_testkit::S3;
use object_store::ObjectStore;

/// A place on the server, with settings that may be changed.
fn place(server: &S3, address: &str, change: &[(&str, &str)]) -> Location {
    let environment = server
        .environment()
        .map(|(name, value)| (name.to_owned(), value));
    let changed = change
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let place = Location::parse(address).unwrap();
    place.with_settings(environment.into_iter().chain(changed))
}

fn refused(place: &Location) -> RegistryError {
    Registry::open_at(place).err().unwrap()
}

#[test]
fn s3_conforms() {
    let server = S3::start().unwrap();
    let mut bucket = object_store::aws::AmazonS3Builder::new().with_url(server.address());
    for (name, value) in server.environment() {
        bucket = bucket.with_config(name.to_ascii_lowercase().parse().unwrap(), value);
    }
    let bucket: Arc<dyn ObjectStore> = Arc::new(bucket.build().unwrap());
    conformance::run(&Registry::over(Blobs::on(bucket), None).unwrap());
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let server = S3::start().unwrap();
    let elsewhere = place(&server, "s3://attic/models", &[]);
    let bucket = "attic".to_owned();
    let hint = Some(Hint::CreateBucket { bucket });
    let opened = refused(&elsewhere);
    assert!(matches!(opened, RegistryError::NoBucket { .. }), "{opened}");
    assert_eq!(opened.hint(), hint);
    let created = Registry::create_with(&elsewhere, Some("postgres://me@host/db"));
    let created = created.err().unwrap();
    assert_eq!(created.hint(), hint);
    let text = created.to_string();
    assert!(text.contains("`attic`") && !text.contains('<'), "{text}");
}

#[test]
fn a_bucket_without_a_registry_is_no_bucket_that_is_missing() {
    let server = S3::start().unwrap();
    let empty = place(&server, &format!("{}/a/b", server.address()), &[]);
    let none = refused(&empty);
    assert!(matches!(none, RegistryError::NoRegistry(_)), "{none}");
    let refused = Registry::create_with(&empty, None).err().unwrap();
    assert_eq!(refused.hint(), Some(Hint::GiveCatalog), "{refused}");
}

#[test]
fn credentials_that_do_not_fit_are_told() {
    let server = S3::start().unwrap();
    for name in ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"] {
        let wrong = place(&server, &server.address(), &[(name, "wrong")]);
        let denied = refused(&wrong);
        assert_eq!(denied.hint(), Some(Hint::SetCredentials), "{denied}");
        assert!(!denied.to_string().contains('<'), "{denied}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_told_soon() {
    let server = S3::start().unwrap();
    // A port that was free a moment ago, and at which nothing listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let wrong = place(&server, &server.address(), &[("AWS_ENDPOINT", &endpoint)]);
    let start = std::time::Instant::now();
    let error = refused(&wrong);
    assert!(start.elapsed().as_secs() < 20);
    let endpoint = Some(endpoint);
    assert_eq!(
        error.hint(),
        Some(Hint::CheckEndpoint { endpoint }),
        "{error}"
    );
}
