//! Fisher information through the command line: cards, layers, estimators, precision, requests
//! without data and for single samples.

use std::fs;
use std::path::Path;
use std::process::Command;

use disinherit_testkit::skipped;
use serde_json::Value;

use crate::common::{Place, add};

/// A grown network of small models on the embedded digits.
fn grown(more: &[&str]) -> Place {
    let place = Place::new();
    let grow = ["grow", "fl-digits", "--epochs", "30", "--quiet"];
    place.run(&[&grow[..], more].concat()).success();
    place
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).unwrap().as_f64().unwrap()
}

#[test]
fn cards_are_made_when_a_model_is_added() {
    let place = Place::new();
    let file = place.checkpoint("base.safetensors", |_| {});
    let seen = ["--trained-on", "digits", "--data", "digits"];
    assert_eq!(place.json(&add(&file, "base", &seen))["card"], true);
    let cards = place.json(&["show", "base", "--json"])["cards"].clone();
    assert_eq!(cards[0]["estimator"], "empirical");
    assert!(cards[0]["time"].as_u64().unwrap() > 0);
    let none = [&seen[..], &["--no-fisher"]].concat();
    assert_eq!(place.json(&add(&file, "other", &none))["card"], false);
    // Equal weights are the same model, and have the same card.
    let text = place.text(&["show", "other"]);
    assert!(
        text.contains("FIM card    empirical, head, 1,433 samples"),
        "{text}"
    );
}

#[test]
fn samples_that_are_not_given_are_missed() {
    let place = Place::new();
    let file = place.checkpoint("base.safetensors", |_| {});
    let ids = disinherit_data::open("digits", &disinherit_data::OpenOptions::default()).unwrap();
    let known = ids.train.ids()[..100].join("\n");
    fs::write(place.path("ids.txt"), format!("{known}\nlost/1\nlost/2")).unwrap();
    let seen = ["--trained-on", "digits", "--trained-samples", "ids.txt"];
    let missed = |arguments: &[&str]| {
        let done = place.run(arguments).success();
        let text = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        text.contains("base@1: 2 of the samples that it was trained on are not in `digits`")
    };
    assert!(!missed(&add(&file, "base", &seen)));
    let unlearn = ["unlearn", "--forget", "class=3", "--data", "digits"];
    assert!(missed(&[&unlearn[..], &["--dry-run", "--quiet"]].concat()));
    assert!(missed(&["fisher", "base", "--data", "digits"]));
}

#[test]
fn cards_travel() {
    let (home, away) = (grown(&[]), grown(&["--no-fisher"]));
    home.run(&["fisher", "export", "r1", "r1.card"]).success();
    home.refuse(&["fisher", "export", "r1", "r1.card"], &["--force"]);
    home.refuse(
        &["fisher", "export", "r1", "x", "--estimator", "batch:8"],
        &["no batch:8 FIM card", "disinherit fisher r1@1"],
    );
    let card = home.path("r1.card");
    let card = card.to_str().unwrap();
    let plan = ["plan", "--forget", "class=3", "--from", "r1", "--json"];
    let missing = |place: &Place| {
        let plan = place.json(&plan);
        let stages = plan["plan"]["stages"].as_array().unwrap();
        let tasks = stages
            .iter()
            .flat_map(|stage| stage["tasks"].as_array().unwrap());
        tasks.filter(|task| task["task"] == "card").count()
    };
    assert_eq!(missing(&away), 4);
    let kept = away.json(&["fisher", "import", card, "--json"]);
    assert_eq!(kept["model"], "r1@1");
    assert_eq!(missing(&away), 3);
    away.refuse(
        &["fisher", "import", card, "--model", "r2"],
        &["speaks of the model", "`r2@1` is"],
    );
    let stranger = Place::new();
    stranger.refuse(&["fisher", "import", card], &["not in this registry"]);
    fs::write(stranger.path("torn"), &fs::read(card).unwrap()[..500]).unwrap();
    stranger.refuse(&["fisher", "import", "torn"], &["FIM card cannot be used"]);
}

#[test]
fn a_card_of_one_source_lies_beside_that_of_all_data() {
    let (place, away) = (Place::new(), Place::new());
    let file = place.checkpoint("model.safetensors", |_| {});
    let trained = |source| ["--trained-on", "digits", "--source", source];
    let both = [trained("east"), trained("west")].concat();
    place.run(&add(&file, "average", &both)).success();
    let data = [&trained("east")[..], &["--data", "digits"]].concat();
    away.run(&add(&file, "average", &data)).success();
    away.run(&["fisher", "export", "average", "east.card"])
        .success();
    let card = away.path("east.card");
    let import = ["fisher", "import", card.to_str().unwrap()];
    let import = |more: &[&'static str]| [&import[..], &["--model", "average"], more].concat();
    place.refuse(&import(&["--source", "north"]), &["no samples of `north`"]);
    place.run(&import(&["--source", "east"])).success();
    place.run(&import(&[])).success();
    let cards = place.json(&["show", "average", "--json"])["cards"].clone();
    assert_eq!(cards.as_array().unwrap().len(), 2);
    assert_eq!(cards[0]["source"], "east");
    assert_eq!(cards[1].get("source"), None);
    let text = place.text(&["show", "average"]);
    assert!(text.contains("samples of `east` alone"), "{text}");
}

/// The example of `docs/formats.md`, where Python has what it needs.
#[test]
fn python_reads_cards() {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md");
    let text = fs::read_to_string(book).unwrap();
    let mut blocks = text.split("```python\n").skip(1);
    let code = blocks.find(|block| block.contains("r1.card")).unwrap();
    let code = code.split("```").next().unwrap();
    let python = std::env::var("DISINHERIT_PYTHON").unwrap_or_else(|_| "python3".into());
    let ready = Command::new(&python)
        .args(["-c", "import numpy, safetensors"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !ready {
        let why = format!("`{python}` has not both numpy and safetensors");
        return skipped("cards read by Python", &why);
    }
    let place = grown(&[]);
    place.run(&["fisher", "export", "r1", "r1.card"]).success();
    let output = Command::new(&python)
        .args(["-c", code])
        .current_dir(place.folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    // The count-weighted mean over the classes is the total.
    let last = printed.lines().last().unwrap();
    assert!(last.parse::<f64>().unwrap() < 1e-5, "{printed}");
}

#[test]
fn a_second_class_goes_without_data_too() {
    let place = grown(&[]);
    let forget = |class: &str| {
        let wanted = format!("class={class}");
        place.json(&[
            "unlearn", "--forget", &wanted, "--from", "r1", "--depth", "outputs", "--json",
        ])
    };
    let plan = place.text(&["plan", "--forget", "class=3", "--from", "r1"]);
    assert!(plan.contains("needs no data: the FIM cards hold"), "{plan}");
    let first = forget("3");
    assert_eq!(first["from_cards"], 4);
    // New versions have no cards; those of the versions before are their fallback, less the class.
    let plan = place.text(&["plan", "--forget", "class=5", "--from", "r1"]);
    assert!(plan.contains("that of r1@1 is its fallback card"), "{plan}");
    let second = forget("5");
    let models = second["unlearned"]["models"].as_array().unwrap();
    assert_eq!(models[0]["stand_in"], "r1@1");
    let warnings = second["unlearned"]["warnings"].to_string();
    assert!(warnings.contains("no FIM card of its own"), "{warnings}");
    // With data there is no need for a stand-in.
    let third = place.json(&[
        "unlearn", "--forget", "class=7", "--from", "r1", "--data", "digits", "--json",
    ]);
    assert_eq!(third["from_cards"], 0);
    assert_eq!(third["unlearned"]["models"][0]["stand_in"], Value::Null);
    for class in ["3", "7"] {
        let wanted = format!("class={class}");
        let scores = place.run(&["verify", "--forget", &wanted, "--data", "digits", "--json"]);
        let scores: Value = serde_json::from_slice(&scores.get_output().stdout).unwrap();
        for model in scores["models"].as_array().unwrap() {
            let left = number(model, "/scores/forget/heldout");
            assert!(
                left <= if class == "7" { 0.01 } else { 0.3 },
                "{class}: {model}"
            );
        }
    }
}

#[test]
fn every_layer_and_some_of_them() {
    let place = grown(&["--layers", "conv2.*"]);
    let header = &place.json(&["show", "r1", "--json"])["cards"][0];
    assert_eq!(
        header["layers"],
        serde_json::json!(["conv2.bias", "conv2.weight"])
    );
    let from = ["--forget", "class=3", "--from", "r1"];
    let with = |command: &str, more: &[&str]| {
        let all = [&[command][..], &from, more].concat();
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let plan = with("plan", &["--layers", "conv2.*,fc2.*"]);
    let plan: Vec<&str> = plan.iter().map(String::as_str).collect();
    let text = place.text(&plan);
    assert!(
        text.contains("needs the forget data, to be run through r1@1\n"),
        "{text}"
    );
    let plan = with("plan", &["--layers", "all"]);
    let plan: Vec<&str> = plan.iter().map(String::as_str).collect();
    let text = place.text(&plan);
    assert!(
        text.contains("needs data: no FIM card for these layers of r1@1, r2@1"),
        "{text}"
    );
    let refused = with("unlearn", &["--layers", "layer4.*", "--data", "digits"]);
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    place.refuse(&refused, &["no tensor of `r1@1` fits", "conv1.weight"]);

    let tight = [
        "fisher", "r1", "--data", "digits", "--layers", "all", "--memory", "10KB",
    ];
    place.refuse(&tight, &["do not suffice"]);
    let before = place.json(&["show", "r1", "--json"]);
    let run = with(
        "unlearn",
        &[
            "--layers",
            "all",
            "--data",
            "digits",
            "--json",
            "--accept-loss",
            "0.1",
        ],
    );
    let run: Vec<&str> = run.iter().map(String::as_str).collect();
    let done = place.json(&run);
    for model in done["unlearned"]["models"].as_array().unwrap() {
        let tensors = model["tensors"].as_object().unwrap();
        assert_eq!(tensors.len(), 8, "two convolutions and two linear layers");
        assert!(number(model, "/tensors/conv1.weight/parameters") > 0.0);
        let curve = model["choice"]["curve"].as_array().unwrap();
        assert!(curve.len() > 10);
    }
    let after = place.json(&["show", "r1", "--json"]);
    let tensors = |value: &Value| value["manifest"]["tensors"].clone();
    assert_ne!(tensors(&before), tensors(&after));
    let verify = place.run(&["verify", "--data", "digits", "--json"]);
    let verify: Value = serde_json::from_slice(&verify.get_output().stdout).unwrap();
    for model in verify["models"].as_array().unwrap() {
        assert!(number(model, "/scores/forget/heldout") <= 0.1, "{model}");
        assert!(number(model, "/scores/retain/heldout") >= 0.7, "{model}");
    }
}

#[test]
fn estimators_and_precision_are_written_into_the_card() {
    let place = grown(&["--no-fisher"]);
    let card = |more: &[&str]| {
        let fisher = ["fisher", "r1", "--data", "digits", "--json"];
        place.json(&[&fisher[..], more].concat())["cards"][0].clone()
    };
    let few = card(&["--max-samples", "100"]);
    assert_eq!(number(&few, "/precision/samples"), 100.0);
    assert!(number(&few, "/precision/open") > 0.0);
    assert!(number(&few, "/precision/standard_error") > 0.0);
    let shown = place.text(&["show", "r1"]);
    assert!(
        shown.contains("100 of 359 samples, standard error"),
        "{shown}"
    );
    let sure = card(&["--precision", "auto", "--again"]);
    assert!(number(&sure, "/precision/open") <= 0.001);
    let lax = card(&["--precision", "0.9", "--estimator", "true:1"]);
    assert!(number(&lax, "/precision/open") <= 0.9);
    assert_eq!(lax["estimator"], "true:1");
    assert_eq!(card(&["--estimator", "batch:16"])["estimator"], "batch:16");
    place
        .run(&["fisher", "r1", "--precision", "2"])
        .failure()
        .code(2);
    // What a batch's squares say of single samples is nothing.
    let batches = ["--estimator", "batch:8", "--max-samples", "100"];
    assert_eq!(card(&batches)["precision"], Value::Null);
    place.refuse(
        &[
            "fisher",
            "r1",
            "--data",
            "digits",
            "--estimator",
            "batch:4",
            "--precision",
            "auto",
        ],
        &["per-sample estimates", "--max-samples"],
    );
    // Cards of different estimators are never mixed.
    place.refuse(
        &[
            "unlearn",
            "--forget",
            "class=3",
            "--from",
            "r1",
            "--estimator",
            "true:9",
        ],
        &["no FIM card", "--data"],
    );
}

/// The ids of the samples that r1 was trained on.
fn samples_of_r1(place: &Place) -> Vec<String> {
    let registry = disinherit_registry::Registry::open(place.folder.path()).unwrap();
    let graph = registry.graph().unwrap();
    let id: umig::ModelId = "r1@1".parse().unwrap();
    let umig::SampleSet::Listed(ids) = &graph.get(&id).unwrap().training[0].samples else {
        panic!("grown models list their samples");
    };
    ids.iter().cloned().collect()
}

#[test]
fn a_source_is_forgotten() {
    let place = grown(&[]);
    let ids = samples_of_r1(&place);
    place.run(&["export", "r1", "r1.safetensors"]).success();
    let file = place.path("r1.safetensors");
    let file = file.to_str().unwrap();
    // Every fourth sample came from a clinic that leaves.
    let (gone, kept): (Vec<_>, Vec<_>) = ids.iter().enumerate().partition(|(n, _)| n % 4 == 0);
    for (name, list) in [("gone.txt", gone), ("kept.txt", kept)] {
        let list: Vec<&str> = list.iter().map(|(_, id)| id.as_str()).collect();
        fs::write(place.path(name), list.join("\n")).unwrap();
    }
    let from = |source, samples| {
        [
            "--trained-on",
            "digits",
            "--source",
            source,
            "--trained-samples",
            samples,
        ]
    };
    let both = [from("clinic-a", "gone.txt"), from("clinic-b", "kept.txt")].concat();
    let base = [&both[..], &["--data", "digits"]].concat();
    assert_eq!(place.json(&add(file, "base", &base))["card"], true);
    let child = [&both[6..], &["--parent", "base", "--data", "digits"]].concat();
    assert_eq!(place.json(&add(file, "child", &child))["model"], "child@1");
    place.misuse(
        &add(
            file,
            "odd",
            &[&both[..], &["--source", "clinic-c"]].concat(),
        ),
        &["--source is given 3 times, --trained-on 2 times"],
    );

    let plan = place.text(&["plan", "--forget", "source=clinic-a", "--method", "fiun"]);
    assert!(
        plan.contains("needs the forget data, to be run through base@1"),
        "{plan}"
    );
    let done = place.json(&[
        "unlearn",
        "--forget",
        "source=clinic-a",
        "--data",
        "digits",
        "--method",
        "fiun",
        // What dampening costs here is not what is asked.
        "--accept-loss",
        "0.1",
        "--json",
    ]);
    let models = done["unlearned"]["models"].as_array().unwrap();
    let names: Vec<&str> = models
        .iter()
        .map(|m| m["before"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["base@1", "child@1"]);
    assert!(models.iter().all(|m| m["choice"].is_object()));
    let left = &place.json(&["show", "base", "--json"])["model"]["training"];
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["source"], "clinic-b");
}

#[test]
fn single_samples_are_forgotten() {
    let place = grown(&[]);
    let ids = samples_of_r1(&place);
    fs::write(place.path("gone.txt"), ids[..8].join("\n")).unwrap();

    let plan = place.text(&["plan", "--forget", "samples=gone.txt", "--method", "fiun"]);
    assert!(
        plan.contains("needs the forget data, to be run through r1@1"),
        "{plan}"
    );
    place.refuse(&["unlearn", "--forget", "samples=gone.txt"], &["--data"]);
    let done = place.json(&[
        "unlearn",
        "--forget",
        "samples=gone.txt",
        "--data",
        "digits",
        "--method",
        "fiun",
        "--json",
    ]);
    let models = done["unlearned"]["models"].as_array().unwrap();
    assert!(models.iter().any(|m| m["before"] == "r1@1"));
    let warnings = done["unlearned"]["warnings"].to_string();
    for model in models {
        let (alpha, choice) = (number(model, "/alpha"), &model["choice"]);
        let tried = choice["curve"].as_array().unwrap();
        let chosen = tried.iter().find(|t| number(t, "/alpha") == alpha).unwrap();
        // A target between 0 and what the model knew: as well as samples that were never seen.
        assert!(
            number(chosen, "/forget") <= number(choice, "/before/0"),
            "{chosen}"
        );
        let (retain, before) = (number(chosen, "/retain"), number(choice, "/before/1"));
        if choice["reached"] == true {
            assert!(retain >= before - 0.01, "{chosen}");
        } else {
            let name = model["before"].as_str().unwrap();
            assert!(
                warnings.contains(&format!("{name}: no alpha meets the target")),
                "{warnings}"
            );
            assert!(retain >= before - 0.1, "{chosen}");
        }
    }
    // Nothing computed from those samples' labels is left in the cache.
    let cache = place.path(".disinherit/cache");
    let left = fs::read_dir(&cache).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[test]
fn features_are_cached_and_dropped_with_their_data() {
    let place = grown(&["--no-fisher"]);
    let cache = place.path(".disinherit/cache");
    let entries = |cache: &Path| fs::read_dir(cache).map_or(0, Iterator::count);
    place
        .run(&["fisher", "r1", "--data", "digits", "--feature-cache", "0"])
        .success();
    assert_eq!(entries(&cache), 0);
    place
        .run(&["fisher", "r1", "--data", "digits", "--again"])
        .success();
    assert_eq!(entries(&cache), 10, "one for each label");
    place
        .run(&["fisher", "r1", "--data", "digits", "--again"])
        .success();
    assert_eq!(entries(&cache), 10);
    let forget = [
        "unlearn", "--forget", "class=3", "--from", "r1", "--data", "digits",
    ];
    place.run(&forget).success();
    let kept = entries(&cache);
    place.run(&["verify", "--data", "digits"]).success();
    let after = entries(&cache);
    assert!(
        kept > 9 && after > kept,
        "{kept} {after}: the other models' and held-out features"
    );
    // What is left holds no sample of the class: forgetting it by name finds nothing.
    let registry = disinherit_registry::Registry::open(place.folder.path()).unwrap();
    let cache = registry.feature_cache(1 << 30).unwrap();
    assert_eq!(cache.forget(Some(&["3".into()])).unwrap(), 0);
    assert!(cache.forget(Some(&["4".into()])).unwrap() > 0);
}
