//! Recipes whose models another program trains.

use std::fs;

use serde_json::{Value, json};

use crate::common::Place;

const STUDY: [&str; 10] = [
    "reproduce",
    "fl",
    "--limit",
    "300",
    "--epochs",
    "8",
    "--methods",
    "fiun,retrain",
    "--no-relearning",
    "--json",
];

fn scores(study: &Value) -> Vec<Value> {
    let results = study["results"].as_array().unwrap().iter();
    let models = results.flat_map(|result| result["models"].as_array().unwrap());
    let after = models.map(|model| model["verdicts"]["scores"].clone());
    let before = study["models"].as_array().unwrap().iter();
    before
        .map(|model| model["before"]["scores"].clone())
        .chain(after)
        .collect()
}

#[test]
fn a_study_goes_on_from_models_that_were_trained_elsewhere() {
    let place = Place::new();
    let list = ["grow", "fl-digits", "--limit", "300", "--epochs", "8"];
    let written = place.json(&[&list[..], &["--write-trainings", "trained", "--json"]].concat());
    assert_eq!(written["trainings"], "trained/seed-1");
    let text = fs::read(place.path("trained/seed-1/trainings.json")).unwrap();
    let trainings: Value = serde_json::from_slice(&text).unwrap();
    let models = trainings["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|m| m["name"].as_str().unwrap()).collect();
    let touched = [
        "retrained-r1",
        "retrained-r2",
        "retrained-r3",
        "retrained-r4",
    ];
    assert_eq!(
        names,
        [&["d", "s", "r1", "r2", "r3", "r4"], &touched[..]].concat()
    );
    let of = |name: &str| models.iter().find(|m| m["name"] == name).unwrap();
    let rows = |name: &str| of(name)["rows"].as_array().unwrap().len();
    assert!(rows("retrained-r1") < rows("r1"), "the class is left out");
    assert_eq!(of("retrained-r3")["parents"], json!(["d", "retrained-r2"]));
    assert_eq!(of("r1")["config"]["epochs"], 8);
    assert!(place.path("trained/seed-1/initial.safetensors").exists());

    // The other program is this one: what it trained is taken as if another had.
    let here = place.json(&[&STUDY[..], &["--out", "here"]].concat());
    for name in ["d", "s", "r1", "r2", "r3", "r4"] {
        let to = format!("trained/seed-1/{name}.safetensors");
        let export = ["--registry", "here/seed-1", "export", name, &to];
        place.run(&export).success();
    }
    for name in touched {
        let file = format!("{name}.safetensors");
        let from = place.path(&format!("here/seed-1/{file}"));
        fs::copy(from, place.path(&format!("trained/seed-1/{file}"))).unwrap();
    }
    let seconds: Value = touched
        .iter()
        .map(|name| ((*name).to_owned(), json!(2.5)))
        .collect();
    let told = json!({"device": "a loom", "seconds": seconds});
    fs::write(place.path("trained/seed-1/trained.json"), told.to_string()).unwrap();

    let there = [&STUDY[..], &["--trained", "trained", "--out", "there"]].concat();
    let there = place.json(&there);
    let [here, there] = [&here["studies"][0], &there["studies"][0]];
    assert_eq!(scores(here), scores(there));
    assert_eq!(there["device"], "cpu, trained on a loom");
    let retrained = &there["results"].as_array().unwrap()[1];
    assert_eq!(retrained["cost"]["seconds"], 10.0);
    assert!(retrained["cost"]["processor_seconds"].is_null());
    let page = fs::read_to_string(place.path("there/report.html")).unwrap();
    assert!(page.contains("trained on a loom"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    let grow = ["grow", "fl-digits", "--limit", "200", "--epochs", "1"];
    place
        .run(&[&grow[..], &["--write-trainings", "trained"]].concat())
        .success();
    let take = [&grow[..], &["--trained", "trained"]].concat();
    // Nothing was trained.
    let missing = place
        .run(&take)
        .failure()
        .code(3)
        .get_output()
        .stderr
        .clone();
    let missing = String::from_utf8(missing).unwrap();
    assert!(missing.contains("d.safetensors"), "{missing}");
    // A checkpoint of another network.
    place
        .run(&[
            "grow",
            "fl-digits",
            "--architecture",
            "resnet-8",
            "--limit",
            "200",
            "--write-trainings",
            "other",
        ])
        .success();
    fs::copy(
        place.path("other/seed-1/initial.safetensors"),
        place.path("trained/seed-1/d.safetensors"),
    )
    .unwrap();
    let wrong = place
        .run(&take)
        .failure()
        .code(3)
        .get_output()
        .stderr
        .clone();
    let wrong = String::from_utf8(wrong).unwrap();
    assert!(wrong.contains("d.safetensors"), "{wrong}");
    assert_eq!(place.json(&["list", "--json"])["models"], json!([]));
    // Heads that grow cannot be averaged by another program without knowing how.
    let heads = ["grow", "il-digits", "--write-trainings", "heads"];
    place.run(&heads).failure().code(3);
}
