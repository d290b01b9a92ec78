//! Models as the Hugging Face Hub's libraries keep them, through the command line: caches, and what the
//! header of a file says of its parents.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use disinherit_formats::{Tensor, write_checkpoint};
use serde_json::{Value, json};

use crate::common::Place;

fn weights(file: &Path, by: f32, metadata: &[(&str, &str)]) {
    let values: Vec<f32> = (0..40).map(|n| (n as f32).sin() + by).collect();
    let tensors = BTreeMap::from([
        ("fc.weight".into(), Tensor::from_f32(&[2, 20], &values)),
        ("fc.bias".into(), Tensor::from_f32(&[2], &[by, 0.0])),
    ]);
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    write_checkpoint(file, &tensors, metadata).unwrap();
}

/// One revision of a repository as the Hub's libraries store it: links to files that have their digest's name.
fn cached(cache: &Path, repository: &str, revision: &str, by: f32, card: &str) {
    let folder = cache.join(format!("models--{}", repository.replace('/', "--")));
    let snapshot = folder.join("snapshots").join(revision);
    for below in ["blobs", "refs", "snapshots", ".no_exist"] {
        fs::create_dir_all(folder.join(below)).unwrap();
    }
    fs::create_dir_all(&snapshot).unwrap();
    let blob = |name: &str| {
        folder
            .join("blobs")
            .join(format!("{revision}{}", name.len()))
    };
    weights(&blob("model.safetensors"), by, &[]);
    fs::write(
        blob("config.json"),
        r#"{"id2label": {"0": "ham", "1": "spam"}}"#,
    )
    .unwrap();
    fs::write(blob("README.md"), card).unwrap();
    for name in ["model.safetensors", "config.json", "README.md"] {
        let blob = blob(name);
        let blob = Path::new("../../blobs").join(blob.file_name().unwrap());
        symlink(blob, snapshot.join(name)).unwrap();
    }
    fs::write(folder.join("refs/main"), revision).unwrap();
}

fn parents(models: &Value) -> BTreeMap<String, String> {
    let models = models["models"].as_array().unwrap().iter();
    models
        .map(|model| {
            let named = model["parents"].as_array().unwrap().iter();
            let named: Vec<&str> = named.map(|parent| parent[0].as_str().unwrap()).collect();
            (model["name"].as_str().unwrap().to_owned(), named.join(", "))
        })
        .collect()
}

#[test]
fn a_cache_of_the_hub_comes_in_under_the_names_of_its_repositories() {
    let place = Place::new();
    let cache = place.path("cache");
    let child = |base: &str| format!("---\nbase_model: {base}\n---\n");
    cached(&cache, "us/base", "aaaa", 0.0, "");
    // What was downloaded before stays in the cache, and is not what `main` is now.
    cached(&cache, "us/tuned", "bbbb", 0.9, "");
    cached(&cache, "us/tuned", "cccc", 0.1, &child("us/base"));
    // Two repositories of one name, and a child of each.
    cached(&cache, "them/twin", "dddd", 0.2, &child("us/tuned"));
    cached(&cache, "us/twin", "eeee", 0.3, &child("us/base"));
    cached(&cache, "us/later", "ffff", 0.4, &child("them/twin"));
    // Another owner's model of the same name is another model.
    cached(&cache, "us/stray", "0000", 0.5, &child("strangers/tuned"));
    let done = place
        .run(&["import", "cache", "--dry-run", "--json"])
        .success();
    let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    let found: Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    let expected = [
        ("base", ""),
        ("later", "them/twin"),
        ("stray", ""),
        ("them/twin", "tuned"),
        ("tuned", "base"),
        ("us/twin", "base"),
    ];
    let expected = expected.map(|(child, parent)| (child.to_owned(), parent.to_owned()));
    assert_eq!(parents(&found), BTreeMap::from(expected));
    assert!(
        found.to_string().contains("strangers/tuned"),
        "{found} {said}"
    );
    place
        .run(&["import", "cache", "--yes", "--trained-on", "mail"])
        .success();
    // It is the revision that `main` names, and it goes out as files, not as links.
    place.run(&["export", "tuned", "back"]).success();
    let back = place.path("back/model.safetensors");
    assert!(!back.is_symlink());
    let there = cache.join("models--us--tuned/snapshots/cccc/model.safetensors");
    assert_eq!(fs::read(back).unwrap(), fs::read(there).unwrap());
    // One repository, or one revision of it; the base is in the registry by now.
    let other = Place::new();
    for given in ["models--us--tuned", "models--us--tuned/snapshots/bbbb"] {
        let path = cache.join(given);
        let one = other.json(&["import", path.to_str().unwrap(), "--dry-run", "--json"]);
        assert_eq!(one["models"][0]["name"], "tuned", "{one}");
    }
    let path = cache.join("models--us--twin");
    let twin = place.json(&["import", path.to_str().unwrap(), "--dry-run", "--json"]);
    assert_eq!(parents(&twin)["twin"], "base");
    // Nothing tells which of two revisions is meant.
    fs::remove_file(cache.join("models--us--tuned/refs/main")).unwrap();
    place.refuse(
        &["import", "cache", "--yes"],
        &["models--us--tuned", "2 revisions"],
    );
}

#[test]
fn the_header_of_a_file_names_its_parents() {
    let place = Place::new();
    fs::create_dir_all(place.path("files")).unwrap();
    let file = |name: &str| place.path("files").join(format!("{name}.safetensors"));
    weights(&file("base"), 0.0, &[("format", "pt")]);
    weights(&file("tuned"), 0.1, &[("base_model", "us/base")]);
    let merged = [
        ("base_model", r#"["us/base", "us/tuned"]"#),
        ("base_model_relation", "merge"),
    ];
    weights(&file("merged"), 0.2, &merged);
    weights(&file("stray"), 0.3, &[("base_model", "us/absent")]);
    let import = ["import", "files", "--labels", "ham,spam"];
    let found = place.json(&[&import[..], &["--dry-run", "--json"]].concat());
    let models = found["models"].as_array().unwrap();
    let of = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
    assert_eq!(of("base")["parents"], json!([]));
    assert_eq!(of("tuned")["parents"][0][1]["kind"], "fine_tune");
    assert_eq!(of("tuned")["evidence"]["from"], "file_metadata");
    let kinds = of("merged")["parents"].as_array().unwrap().iter();
    let kinds: Vec<&Value> = kinds.map(|parent| &parent[1]["kind"]).collect();
    assert_eq!(kinds, ["merged", "merged"]);
    let done = place.run(&[&import[..], &["--yes"]].concat()).success();
    let output = done.get_output();
    let text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    assert!(
        text.contains("file's metadata") && text.contains("us/absent"),
        "{text}"
    );
    let graph = place.text(&["graph"]);
    assert!(graph.contains("tuned@1  <- base@1 (fine tune)"), "{graph}");
}
