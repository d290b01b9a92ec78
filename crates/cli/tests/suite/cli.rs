//! The command line through its own door: the demonstration, a session, every refusal.

use std::fs;
use std::path::Path;

use disinherit_nets::Array;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::common::{Place, add};

#[test]
fn the_demonstration_keeps_its_promises() {
    let place = Place::new();
    let demo = |seed: &str, report: &str| {
        place.json(&[
            "demo",
            "--json",
            "--epochs",
            "60",
            "--seed",
            seed,
            "--report",
            report,
            "--picture",
            "demo.svg",
        ])
    };
    let first = demo("1", "report.html");
    assert_eq!(first["forget"], serde_json::json!(["3"]));
    let names: Vec<&str> = first["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["d", "s", "r1", "r2", "r3", "r4"]);
    for model in first["models"].as_array().unwrap() {
        let number = |path: &str| model.pointer(path).unwrap().as_f64();
        if model["role"] == "untouched" {
            assert_eq!(model["digest_before"], model["digest_after"]);
            assert_eq!(model["parameters_changed"], 0);
            assert_eq!(
                number("/before/forget/train"),
                None,
                "d and s never saw the class"
            );
        } else {
            assert_ne!(model["digest_before"], model["digest_after"]);
            assert!(number("/before/forget/heldout").unwrap() > 0.8, "{model}");
            assert!(number("/after/forget/heldout").unwrap() <= 0.01, "{model}");
            let (before, after) = (
                number("/before/retain/heldout"),
                number("/after/retain/heldout"),
            );
            assert!(after.unwrap() >= before.unwrap() - 0.02, "{model}");
            assert!(
                number("/retrained/forget/heldout").unwrap() <= 0.05,
                "{model}"
            );
        }
    }
    for part in ["fisher", "unlearn", "retrain"] {
        assert!(first["seconds"][part].as_f64().unwrap() > 0.0);
    }
    let picture = fs::read_to_string(place.path("demo.svg")).unwrap();
    assert!(picture.starts_with("<svg"), "{picture}");
    let page = fs::read_to_string(place.path("report.html")).unwrap();
    for needle in [
        "<svg class=\"graph\"",
        "node initial",
        "class=\"plot accuracies\"",
        "<table>",
    ] {
        assert!(page.contains(needle), "the page has no {needle}");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));

    let second = demo("1", "again.html");
    assert_eq!(
        first["models"], second["models"],
        "the same seed gives the same table and digests"
    );
}

/// The paper's other paradigms, in short: workers and their merge (with MFIM), growing label sets,
/// frozen backbones.
#[test]
fn every_paradigm_forgets() {
    let place = Place::new();
    for (recipe, initial, inherited) in [
        ("ddpl-digits", &["w1", "w2"][..], &["u0"][..]),
        ("il-digits", &["u0"], &["u1", "u2", "u3"]),
        ("tl-digits", &["u0"], &["u1", "u2", "u3"]),
    ] {
        let done = place.json(&[
            "demo",
            "--recipe",
            recipe,
            "--epochs",
            "60",
            "--no-retrain",
            "--json",
        ]);
        let models = done["models"].as_array().unwrap();
        let of = |role: &str| -> Vec<&str> {
            let some = models.iter().filter(|m| m["role"] == role);
            some.map(|m| m["name"].as_str().unwrap()).collect()
        };
        assert_eq!(of("initial"), initial, "{recipe}");
        assert_eq!(of("inherited"), inherited, "{recipe}");
        for model in models.iter().filter(|m| m["role"] != "untouched") {
            let number = |path: &str| model.pointer(path).unwrap().as_f64().unwrap();
            assert!(number("/before/forget/train") > 0.95, "{recipe}: {model}");
            assert!(number("/after/forget/heldout") <= 0.02, "{recipe}: {model}");
            let lost = number("/before/retain/heldout") - number("/after/retain/heldout");
            assert!(lost <= 0.03, "{recipe}: {model}");
        }
    }
}

#[test]
fn a_session() {
    let place = Place::new();
    let base = place.checkpoint("base.safetensors", |_| {});
    let child = place.checkpoint("child.safetensors", |state| {
        state.get_mut("fc2.weight").unwrap().values[0] += 1.0;
    });
    let seen = [
        "--trained-on",
        "digits",
        "--trained-labels",
        "3,4,5",
        "--time",
        "2026-01-01T00:00:00Z",
    ];
    assert_eq!(place.json(&add(&base, "base", &seen))["model"], "base@1");
    let more = [
        &["--parent", "base:transfer", "--frozen", "conv1.weight"][..],
        &seen[..4],
        &["--time", "2026-01-02T00:00:00Z"],
    ]
    .concat();
    assert_eq!(place.json(&add(&child, "child", &more))["model"], "child@1");
    let time = ["--time", "2026-01-03T00:00:00Z", "--parent", "child"];
    let leaf = place.checkpoint("leaf.safetensors", |state| {
        state.get_mut("fc2.bias").unwrap().values[0] += 1.0;
    });
    place.run(&add(&leaf, "leaf", &time)).success();
    place
        .run(&add(&base, "aside", &["--time", "2026-01-03T00:00:00Z"]))
        .success();

    insta::assert_snapshot!("graph", place.text(&["graph"]));
    insta::assert_snapshot!("dot", place.text(&["graph", "--dot"]));
    insta::assert_snapshot!("mermaid", place.text(&["graph", "--mermaid"]));
    insta::assert_snapshot!("log", place.text(&["log"]));
    insta::assert_snapshot!("show", place.text(&["show", "child"]));
    insta::assert_snapshot!(
        "plan",
        place.text(&["plan", "--forget", "class=3", "--from", "base"])
    );
    let plan = place.json(&["plan", "--forget", "class=3", "--json"]);
    let plan = &plan["plan"];
    let cards = plan["stages"][0]["tasks"].as_array().unwrap();
    assert_eq!(cards.len(), 3);
    assert!(cards.iter().all(|task| task["task"] == "card"), "{cards:?}");
    assert_eq!(
        plan["scope"]["initial"],
        serde_json::json!(["base@1", "child@1"])
    );
    assert_eq!(plan["scope"]["inherited"], serde_json::json!(["leaf@1"]));

    // A leaf that was never trained itself has no data of its own to compute a card from.
    place.refuse(
        &["unlearn", "--forget", "class=3", "--data", "digits"],
        &["leaf@1", "FIM card"],
    );
    let cards = place.text(&["fisher", "base", "child", "--data", "digits"]);
    assert!(cards.contains("computed 2 cards"), "{cards}");
    let dry = [
        "unlearn",
        "--forget",
        "class=3",
        "--from",
        "child",
        "--alpha",
        "2",
        "--dry-run",
    ];
    place.refuse(&dry, &["leaf@1"]);
    place.run(&["export", "child", "out.safetensors"]).success();
    assert_eq!(
        disinherit_formats::read_checkpoint(&place.path("out.safetensors")).unwrap(),
        disinherit_formats::read_checkpoint(Path::new(&child)).unwrap()
    );
    place.refuse(
        &["export", "child", "out.safetensors"],
        &["already", "--force"],
    );
}

#[test]
fn growing_unlearning_and_verifying() {
    let place = Place::new();
    let grow = ["grow", "fl-digits", "--epochs", "30"];
    assert!(place.text(&grow).contains("grew r4@1"));
    assert!(place.text(&grow).contains("r4@1 was there already"));
    insta::assert_snapshot!("graph_fl", place.text(&["graph"]));
    let plan = place.text(&["plan", "--forget", "class=3", "--from", "r1"]);
    assert!(plan.contains("needs no data"), "{plan}");

    let unlearn = [
        "unlearn", "--forget", "class=3", "--from", "r1", "--data", "digits", "--json",
    ];
    let dry = place.json(&[&unlearn[..], &["--dry-run"]].concat());
    assert_eq!(dry["unlearned"]["operation"], Value::Null);
    let low = [
        "unlearn",
        "--forget",
        "class=3",
        "--from",
        "r1",
        "--alpha",
        "0.5",
        "--dry-run",
    ];
    let warned = place.run(&low).success();
    let warning = String::from_utf8(warned.get_output().stderr.clone()).unwrap();
    assert!(warning.contains("alpha 0.5 is below 1"), "{warning}");
    let done = place.json(&unlearn);
    assert_eq!(done["unlearned"]["models"].as_array().unwrap().len(), 4);
    assert_eq!(done["from_cards"], 4);
    let verified = place.json(&["verify", "--data", "digits", "--json"]);
    assert_eq!(verified["evidence"], "outputs");
    for model in verified["models"].as_array().unwrap() {
        assert_eq!(model["passed"], true, "{model}");
    }
    judged_inside(&place);
    // The old versions still recognise the class, and verify says so with its exit code.
    let args = ["verify", "r1@1", "--forget", "class=3", "--data", "digits"];
    let failed = place.run(&args).failure().code(1);
    let text = String::from_utf8(failed.get_output().stdout.clone()).unwrap();
    assert!(text.contains("STILL RECOGNISED"), "{text}");
    assert!(place.text(&["graph"]).contains("r4@2"));
    assert!(place.text(&["log", "--operations"]).contains("unlearn"));
    place.refuse(
        &["unlearn", "--forget", "class=3"],
        &["no model was trained on class `3`"],
    );
    place.refuse(
        &["unlearn", "--forget", "class=3", "--from", "r1@1"],
        &["superseded"],
    );
}

/// A head edit leaves the features as they were: beside an untouched root that reaches outputs, and less
/// than `--require features` asks for.
fn judged_inside(place: &Place) {
    let verify = ["verify", "--data", "digits"];
    place
        .run(&[&verify[..], &["--require", "outputs"]].concat())
        .success();
    let deep = place.json(&[&verify[..], &["--deep", "--json"]].concat());
    assert_eq!(deep["evidence"], "outputs, features, membership");
    for model in deep["models"].as_array().unwrap() {
        let inside = &model["inside"];
        let root = inside["reference"]["models"][0].as_str().unwrap();
        assert!(["d@1", "s@1"].contains(&root), "{model}");
        assert_eq!(inside["reference"]["kind"], "untouched_root");
        for what in ["probe", "area", "fitted"] {
            let share = inside["measured"][what]["mean"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&share), "{what}: {model}");
        }
        assert!(inside["measured"]["reset"]["mean"].as_f64().unwrap() > 0.0);
        assert_eq!(model["judgement"], inside["judgement"]);
    }
    let words = deep["models"].as_array().unwrap().iter();
    assert!(words.clone().any(|model| model["judgement"] == "outputs"));
    let short = [&verify[..], &["--require", "features"]].concat();
    let short = place.run(&short).failure().code(1);
    let text = String::from_utf8(short.get_output().stdout.clone()).unwrap();
    assert!(text.contains("forgotten in"), "{text}");
    assert!(text.contains("beside the untouched root `"), "{text}");

    // The certificate is written, says the same, and can be asked.
    place.run(&["key", "proof.pem"]).success();
    let certify = [
        "certify",
        "--key",
        "proof.pem",
        "--data",
        "digits",
        "--json",
    ];
    let certify = [&certify[..], &["--require", "features"]].concat();
    let made = place.run(&certify).failure().code(1);
    let made: Value = serde_json::from_slice(&made.get_output().stdout).unwrap();
    assert_eq!(
        (&made["judgement"], &made["required"]),
        (&json!("outputs"), &json!("features"))
    );
    let check = [
        "verify",
        "--certificate",
        "certificate.json",
        "--public-key",
        "proof.pem.pub",
    ];
    place.run(&check).success();
    place
        .run(&[&check[..], &["--require", "outputs"]].concat())
        .success();
    place
        .run(&[&check[..], &["--require", "features"]].concat())
        .failure()
        .code(1);
}

#[test]
fn bad_models_are_refused() {
    let place = Place::new();
    let good = place.checkpoint("good.safetensors", |_| {});
    place
        .run(&add(&good, "base", &["--time", "2026-01-02T00:00:00Z"]))
        .success();

    let whole = fs::read(&good).unwrap();
    let torn = place
        .path("torn.safetensors")
        .to_string_lossy()
        .into_owned();
    fs::write(&torn, &whole[..whole.len() - 100]).unwrap();
    place.refuse(&add(&torn, "x", &[]), &["torn.safetensors", "help:"]);
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&(whole.len() as u64 * 2).to_le_bytes());
    fs::write(&torn, &lying).unwrap();
    place.refuse(&add(&torn, "x", &[]), &["torn.safetensors"]);
    let missing = place
        .path("none.safetensors")
        .to_string_lossy()
        .into_owned();
    place.refuse(
        &add(&missing, "x", &[]),
        &["none.safetensors", "No such file"],
    );

    let head = place.checkpoint("head.safetensors", |state| {
        state.insert("fc2.weight".into(), Array::filled(&[9, 64], 0.0));
    });
    place.refuse(
        &add(&head, "x", &[]),
        &["`fc2.weight` is [9, 64]", "expects [10, 64]", "help:"],
    );
    let nan = place.checkpoint("nan.safetensors", |state| {
        state.get_mut("conv1.weight").unwrap().values[3] = f32::NAN;
    });
    place.refuse(
        &add(&nan, "x", &[]),
        &["`conv1.weight` holds NaN at index 3", "help:"],
    );
    place.refuse(
        &add(&good, "x", &["--parent", "bass"]),
        &["`bass`", "did you mean `base`"],
    );
    place.refuse(
        &add(&good, "x", &["--parent", "base@9"]),
        &["did you mean `base@1`"],
    );
    place.misuse(
        &add(&good, "x", &["--parent", "base:cousin"]),
        &["cousin", "fine_tune"],
    );
    let early = ["--parent", "base", "--time", "2026-01-01T00:00:00Z"];
    place.refuse(
        &add(&good, "x", &early),
        &["older than its parent `base@1`"],
    );
    place.refuse(&add(&good, "../x", &[]), &["../x"]);
    place.refuse(&add(&good, "x", &["--std", "0"]), &["std above 0"]);
    place.refuse(
        &["show", "nobody"],
        &["unknown model `nobody`", "disinherit log"],
    );
}

#[test]
fn bad_requests_are_refused() {
    let place = Place::new();
    let file = place.checkpoint("base.safetensors", |_| {});
    let seen = ["--trained-on", "digits", "--trained-labels", "3,4"];
    place.run(&add(&file, "base", &seen)).success();
    let only = [
        "--trained-on",
        "digits",
        "--trained-labels",
        "7",
        "--parent",
        "base",
    ];
    place.run(&add(&file, "narrow", &only)).success();

    place.refuse(
        &["unlearn", "--forget", "class=three"],
        &["unknown label `three`"],
    );
    place.refuse(
        &["unlearn", "--forget", "class=9"],
        &["no model was trained on class `9`", "3, 4, 7"],
    );
    // What was trained on nothing else is retired; what inherits from it is to be edited all the same.
    let gone = place.json(&["unlearn", "--forget", "class=7", "--dry-run", "--json"]);
    let gone = &gone["unlearned"];
    assert_eq!(gone["retired"][0]["model"], "narrow@1");
    assert_eq!(gone["models"], json!([]));
    place.refuse(
        &["unlearn", "--forget", "class=3,4"],
        &["base@1", "no FIM card"],
    );
    place.misuse(
        &["unlearn", "--forget", "class=3", "--accept-loss", "5"],
        &["--accept-loss", "0.01 is a point"],
    );
    place.refuse(
        &["unlearn", "--forget", "class=3", "--from", "narrow"],
        &["was not trained on"],
    );
    place.refuse(
        &["unlearn", "--forget", "class=3"],
        &["no FIM card", "--data"],
    );
    place.misuse(
        &["unlearn", "--forget", "everything"],
        &["cannot understand", "class=NAME"],
    );
    place.refuse(
        &["unlearn", "--forget", "class=3", "--lambda=-1"],
        &["lambda"],
    );
    place.refuse(
        &["unlearn", "--forget", "class=3", "--data", "nowhere"],
        &["nowhere"],
    );
    place.refuse(
        &["verify", "--data", "digits"],
        &["nothing has been unlearned"],
    );
    place.refuse(&["grow", "nothing.toml"], &["nothing.toml", "fl-digits"]);
    place.refuse(&["grow", "fl-cifar10"], &["--data"]);
    place.misuse(&["demo", "--device", "abacus"], &["abacus", "cpu"]);
    let cycle = place.path("cycle.toml");
    let text = include_str!("../../../lab/recipes/fl-digits.toml")
        .replace(r#"["d", "s"]"#, r#"["d", "r4"]"#);
    fs::write(&cycle, text).unwrap();
    place.refuse(
        &["grow", &cycle.to_string_lossy()],
        &["`r4`", "no model before it"],
    );

    place.misuse(&["unlearn"], &["--forget"]);
    place.misuse(
        &["unlearn", "--forget", "class=3", "--alpha", "soft"],
        &["soft", "`auto`"],
    );
    place.misuse(&["frobnicate"], &["frobnicate"]);
    place.misuse(&["log", "--log", "a=b=c"], &["log filter", "a=b=c"]);
}

#[test]
fn bad_registries_are_refused() {
    let place = Place::new();
    place.refuse(&["init"], &["already"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::cargo_bin("disinherit").unwrap();
        let failed = command
            .current_dir(elsewhere.path())
            .args(arguments)
            .assert()
            .failure();
        String::from_utf8(failed.code(3).get_output().stderr.clone()).unwrap()
    };
    assert!(run(&["log"]).contains("disinherit init"));
    let file = elsewhere.path().join("file");
    fs::write(&file, "no folder").unwrap();
    assert!(run(&["log", "--registry", &file.to_string_lossy()]).contains("file"));
    assert!(run(&["init", "file"]).contains("file"));

    let marker = place.path(".disinherit/registry.json");
    fs::write(&marker, r#"{"format": 99, "tool": "disinherit 9"}"#).unwrap();
    place.refuse(&["log"], &["format 99", "newer disinherit"]);
    fs::write(&marker, r#"{"format": 1, "tool": "disinherit 0"}"#).unwrap();
    fs::write(
        place.path(".disinherit/catalog.sqlite"),
        "not a database, not at all",
    )
    .unwrap();
    let failed = place.run(&["log"]).failure().code(3);
    let message = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(message.starts_with("error: "), "{message}");
}
