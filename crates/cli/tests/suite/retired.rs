//! A source that is all of what a model was trained on: that model is retired, and what inherited from
//! it is edited.

use std::collections::BTreeMap;
use std::fs;

use disinherit_formats::Tensor;
use serde_json::{Value, json};

use crate::common::Place;

/// What a list of models says under a key.
fn texts(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

/// The state of every version, as the table says it.
fn states(place: &Place) -> BTreeMap<String, String> {
    let text = place.text(&["list"]);
    let rows = text.lines().skip(1);
    rows.filter_map(|row| {
        let mut words = row.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    })
    .collect()
}

/// The parents of a version with the relation's kind.
fn parents(place: &Place, model: &str) -> Vec<(String, String)> {
    let shown = place.json(&["show", model, "--json"]);
    let list = shown["parents"].as_array().unwrap().iter();
    list.map(|edge| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&edge[0]), text(&edge[1]["kind"]))
    })
    .collect()
}

const FORGET: [&str; 7] = [
    "unlearn",
    "--forget",
    "source=client-1",
    "--data",
    "digits",
    "--accept-loss",
    "0.2",
];

#[test]
fn a_client_is_retired_and_its_descendants_are_edited() {
    let place = Place::grown();
    let before = states(&place);
    let plan = place.text(&["plan", "--forget", "source=client-1"]);
    for line in [
        "r1@1 [initial, to be retired]",
        "r2@1 [initial, to be retired]",
        "r3@1 [inherited]",
        "take out of use what was trained on nothing but the forget data (2 tasks)",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }

    let done = place.json(&[&FORGET[..], &["--json"]].concat());
    let unlearned = &done["unlearned"];
    assert_eq!(texts(&unlearned["retired"], "model"), ["r1@1", "r2@1"]);
    assert_eq!(texts(&unlearned["models"], "before"), ["r3@1", "r4@1"]);
    for model in unlearned["models"].as_array().unwrap() {
        assert_eq!(model["initial"], json!(["r1@1", "r2@1"]));
        assert!(model["loss"]["measured"]["samples"].as_u64().unwrap() > 20);
    }
    let after = states(&place);
    for (model, state) in [
        ("d@1", "current"),
        ("s@1", "current"),
        ("r1@1", "retired"),
        ("r2@1", "retired"),
        ("r3@1", "superseded"),
        ("r3@2", "current"),
        ("r4@2", "current"),
    ] {
        assert_eq!(after[model], state, "{model}");
    }
    assert!(!after.contains_key("r1@2"));
    // What comes from the client is on no way to a current version but through what was replaced.
    let edges = |model: &str| parents(&place, model);
    let edge = |parent: &str, kind: &str| (parent.to_owned(), kind.to_owned());
    assert_eq!(
        edges("r3@2"),
        [
            edge("d@1", "federated_average"),
            edge("r3@1", "unlearned_from")
        ]
    );
    assert_eq!(edges("r4@2"), [edge("r4@1", "unlearned_from")]);
    place.refuse(
        &["plan", "--forget", "source=client-1"],
        &["no model was trained on source `client-1`"],
    );
    everybody_says_so(&place, unlearned);

    // It is taken back, done again, and deleted for good.
    let operation = unlearned["operation"].to_string();
    let undone = place.json(&["undo", &operation, "--json"]);
    assert_eq!(undone["restored"], json!(["r3@1", "r4@1", "r1@1", "r2@1"]));
    assert_eq!(states(&place), before);
    let again = place.json(&[&FORGET[..], &["--json"]].concat());
    let request = again["unlearned"]["request"].as_str().unwrap().to_owned();
    let purge = [
        "purge",
        "--request",
        &request,
        "--reason",
        "client 1",
        "--json",
    ];
    let purged = place.json(&purge);
    assert_eq!(purged["models"].as_array().unwrap().len(), 4);
    assert_eq!(states(&place)["r1@1"], "purged");
    assert_eq!(place.json(&["fsck", "--json"])["damages"], json!([]));
    place.refuse(&["export", "r1@1", "gone.safetensors"], &["r1@1", "purged"]);
}

/// The commands that show, judge and certify know of it.
fn everybody_says_so(place: &Place, unlearned: &Value) {
    let request = unlearned["request"].as_str().unwrap();
    let shown = place.text(&["show", "r1"]);
    assert!(
        shown.contains(&format!("r1@1 (retired by {request}, nothing replaces it)")),
        "{shown}"
    );
    let operation = place.text(&["show", &unlearned["operation"].to_string()]);
    for line in [
        "retired     r1@1",
        "superseded  r3@1",
        "made        r3@2",
        "loss bound  1.0 points of retained accuracy, 20.0 points accepted",
        "lost        r3@2: ",
    ] {
        assert!(operation.contains(line), "{line}: {operation}");
    }
    let log = place.text(&["log"]);
    assert!(log.contains("retired"), "{log}");
    let list = place.json(&["list", "r1", "--json"]);
    assert_eq!(list["models"][0]["retired_by"], request);
    let verify = place.command(&["verify", "--data", "digits", "--json"]);
    let verify = { verify }.output().unwrap().stdout;
    let verify: Value = serde_json::from_slice(&verify).unwrap();
    assert_eq!(verify["retired"], json!(["r1@1", "r2@1"]));
    assert_eq!(texts(&verify["models"], "model"), ["r3@2", "r4@2"]);
    place.run(&["report", "--out", "page.html"]).success();
    let page = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("node initial retired"), "the graph shows it");

    place.run(&["key", "proof.pem"]).success();
    place.run(&["certify", "--key", "proof.pem"]).success();
    let check = [
        "verify",
        "--certificate",
        "certificate.json",
        "--public-key",
        "proof.pem.pub",
        "--registry",
        ".",
    ];
    let said = place.text(&check);
    for line in [
        "r1@1 is retired, nothing replaces it",
        "at most 20.0 points (accepted)",
        "the registry has it all as certified",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn where_all_is_retired_nothing_is_edited() {
    let place = Place::grown();
    let before = states(&place);
    // Both models of client 2 are leaves. Nothing is read: neither data nor cards.
    let plan = place.text(&["plan", "--forget", "source=client-2"]);
    assert!(
        plan.contains("needs nothing: no model is left to edit"),
        "{plan}"
    );
    let text = place.text(&["unlearn", "--forget", "source=client-2"]);
    for id in ["r3@1", "r4@1"] {
        let line = format!(
            "{id} is retired: it was trained on nothing but the forget data, and nothing replaces it"
        );
        assert!(text.contains(&line), "{text}");
    }
    let after = states(&place);
    assert_eq!((&*after["r3@1"], &*after["r2@1"]), ("retired", "current"));
    let verified = place.text(&["verify", "--data", "digits"]);
    assert!(verified.contains("r4@1 is retired"), "{verified}");
    let log = place.json(&["log", "--operations", "--json"]);
    let number = log.as_array().unwrap().last().unwrap()["id"].to_string();
    place.run(&["undo", &number]).success();
    assert_eq!(states(&place), before);
    // Another way to reach it, and `--due`.
    place
        .run(&["unlearn", "--forget", "source=client-2"])
        .success();
    let due = [
        "purge",
        "--older-than",
        "0s",
        "--reason",
        "client 2",
        "--json",
    ];
    std::thread::sleep(std::time::Duration::from_millis(5));
    let purged = place.json(&due);
    assert_eq!(purged["models"].as_array().unwrap().len(), 2);
    assert_eq!(place.json(&["fsck", "--json"])["damages"], json!([]));
}

/// Three clients, three rounds: every client goes on from the average of all three.
fn rounds() -> String {
    let mut recipe = r#"
name = "rounds"
seed = 1
[data]
source = "digits"
clients = 3
limit = 300
[forget]
classes = ["3"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
epochs = 4
batch_size = 16
"#
    .to_owned();
    for round in 1..=3 {
        for client in 1..=3 {
            recipe.push_str(&format!(
                "[[model]]\nname = \"c{client}r{round}\"\nclient = {client}\n"
            ));
            if round > 1 {
                let before = round - 1;
                recipe.push_str(&format!(
                    "parents = [\"c1r{before}\", \"c2r{before}\", \"c3r{before}\"]\n"
                ));
            }
        }
    }
    recipe
}

#[test]
fn a_client_leaves_a_federation_after_many_rounds() {
    let place = Place::new();
    fs::write(place.path("rounds.toml"), rounds()).unwrap();
    place.run(&["grow", "rounds.toml"]).success();
    let done = place.json(&[
        "unlearn",
        "--forget",
        "source=client-2",
        "--data",
        "digits",
        "--accept-loss",
        "0.5",
        "--json",
    ]);
    let unlearned = &done["unlearned"];
    assert_eq!(
        texts(&unlearned["retired"], "model"),
        ["c2r1@1", "c2r2@1", "c2r3@1"]
    );
    assert_eq!(
        texts(&unlearned["models"], "after"),
        ["c1r2@2", "c1r3@2", "c3r2@2", "c3r3@2"]
    );
    // The last round starts from the two that are left, of the round before.
    let edges: Vec<String> = parents(&place, "c1r3").into_iter().map(|e| e.0).collect();
    assert_eq!(edges, ["c1r2@2", "c3r2@2", "c1r3@1"]);
    let edges: Vec<String> = parents(&place, "c3r2").into_iter().map(|e| e.0).collect();
    assert_eq!(edges, ["c1r1@1", "c3r1@1", "c3r2@1"]);
    // Retrained from the same graph, the client has no part in any average either.
    let again = place.copy();
    again
        .run(&["undo", &unlearned["operation"].to_string()])
        .success();
    fs::write(again.path("rounds.toml"), rounds()).unwrap();
    let retrained = again.json(&[
        "unlearn",
        "--forget",
        "source=client-2",
        "--data",
        "digits",
        "--method",
        "retrain",
        "--recipe",
        "rounds.toml",
        "--accept-loss",
        "1",
        "--json",
    ]);
    let retrained = &retrained["unlearned"];
    assert_eq!(retrained["retired"], unlearned["retired"]);
    for model in retrained["models"].as_array().unwrap() {
        assert_eq!(model["loss"]["measured"]["on"], "held_out", "{model}");
    }
}

/// The server's model: the average of the clients' last ones, weighted by their data, trained on nothing.
fn add_average(place: &Place) {
    let weights = [("c1r3", 0.2f32), ("c2r3", 0.3), ("c3r3", 0.5)];
    let mut average: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, weight) in weights {
        let file = format!("{name}.safetensors");
        place.run(&["export", name, &file]).success();
        for (tensor, values) in disinherit_formats::read_checkpoint(&place.path(&file)).unwrap() {
            let scaled = values.to_f32().unwrap().into_iter().map(|v| v * weight);
            let scaled: Vec<f32> = match average.get(&tensor) {
                Some(sum) => sum
                    .to_f32()
                    .unwrap()
                    .iter()
                    .zip(scaled)
                    .map(|(a, b)| a + b)
                    .collect(),
                None => scaled.collect(),
            };
            average.insert(tensor, Tensor::from_f32(&values.shape, &scaled));
        }
    }
    let file = place.path("server.safetensors");
    disinherit_formats::write_checkpoint(&file, &average, Default::default()).unwrap();
    let file = file.display().to_string();
    let parents = weights.map(|(name, weight)| format!("{name}:federated_average={weight}"));
    let mut command = crate::common::add(&file, "server", &[]);
    for parent in &parents {
        command.extend(["--parent", parent]);
    }
    assert_eq!(place.json(&command)["model"], "server@1");
}

#[test]
fn a_weighted_average_forgets_a_client_without_any_training_of_its_own() {
    let place = Place::new();
    fs::write(place.path("rounds.toml"), rounds()).unwrap();
    place.run(&["grow", "rounds.toml"]).success();
    add_average(&place);
    let forget = [
        "unlearn",
        "--forget",
        "source=client-2",
        "--data",
        "digits",
        "--accept-loss",
        "0.5",
        "--json",
    ];
    let done = place.json(&forget);
    let models = done["unlearned"]["models"].as_array().unwrap();
    let server = models.iter().find(|model| model["before"] == "server@1");
    let server = server.unwrap();
    assert_eq!(server["initial"], json!(["c2r1@1", "c2r2@1", "c2r3@1"]));
    // It is matched and measured on what its parents were trained on.
    assert!(
        server["matched"]["forgotten"].as_u64().unwrap() > 10,
        "{server}"
    );
    assert!(
        server["loss"]["measured"]["samples"].as_u64().unwrap() > 10,
        "{server}"
    );
    let shown = place.json(&["show", "server", "--json"]);
    let edges = shown["parents"].as_array().unwrap().iter();
    let edges: Vec<(String, f64)> = edges
        .filter(|edge| edge[1]["kind"] == "federated_average")
        .map(|edge| {
            let weight = edge[1]["weight"].as_f64().unwrap();
            (edge[0].as_str().unwrap().to_owned(), weight)
        })
        .collect();
    assert_eq!(edges, [("c1r3@2".into(), 0.2), ("c3r3@2".into(), 0.5)]);
}
