//! A registry on shared storage with its catalog in a database, through the command line.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Place;
use disinherit_testkit::{Postgres, S3, skipped};
use serde_json::Value;

#[test]
fn objects_in_s3_and_the_catalog_in_postgres() {
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("a registry on shared storage", &why),
    };
    let storage = S3::start().unwrap();
    let elsewhere = Place::new();
    let address = format!("{}/team", storage.address());
    let run = |arguments: &[&str]| {
        let mut command = elsewhere.command(arguments);
        command
            .envs(storage.environment())
            .env("DISINHERIT_REGISTRY", &address);
        command.output().unwrap()
    };
    let text = |arguments: &[&str]| {
        let output = run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let refused = |arguments: &[&str], words: &str| {
        let output = run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains(words), "{errors}");
    };
    refused(&["log"], "there is no registry at s3://models/team");
    refused(&["init"], "--catalog");
    refused(&["init", "--catalog", "mysql://host/db"], "postgres://");
    text(&["init", "--catalog", &database.address()]);
    refused(&["init", "--catalog", &database.address()], "already");

    text(&["grow", "fl-digits", "--epochs", "3", "--limit", "200"]);
    let unlearn = [
        "unlearn",
        "--forget",
        "class=3",
        "--from",
        "r1",
        "--data",
        "digits",
        "--accept-loss",
        "0.1",
        "--json",
    ];
    let there: Value = serde_json::from_str(&text(&unlearn)).unwrap();
    // The same in a folder gives the same weights.
    let here = Place::grown().json(&unlearn);
    let digests = |done: &Value| -> Vec<Value> {
        let models = done["unlearned"]["models"].as_array().unwrap();
        models.iter().map(|m| m["digest_after"].clone()).collect()
    };
    assert_eq!(digests(&there), digests(&here));

    text(&[
        "purge",
        "r1@1",
        "r2@1",
        "r3@1",
        "r4@1",
        "--reason",
        "request 7",
    ]);
    refused(&["export", "r1@1", "gone.safetensors"], "purged");
    text(&["export", "r1", "there.safetensors"]);
    let health: Value = serde_json::from_str(&text(&["fsck", "--json"])).unwrap();
    assert_eq!(health["damages"].as_array().unwrap().len(), 0, "{health}");
    let garbage: Value = serde_json::from_str(&text(&["gc", "--drafts", "--json"])).unwrap();
    assert_eq!(garbage["objects"], 0, "what is young is left alone");
}

#[test]
fn places_of_an_unknown_kind_are_refused() {
    let place = Place::new();
    place.refuse(
        &["log", "--registry", "gs://bucket/models"],
        &["gs://bucket/models", "s3://BUCKET/PATH"],
    );
    place.refuse(&["init", "s3://bucket/models"], &["--catalog"]);
}
