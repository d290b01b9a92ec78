//! The same models as ONNX graphs: what is edited in a graph is what is edited in the network that runs here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use disinherit_formats::TensorSource;
use serde_json::Value;

use crate::bring::{FORGET, bring_away, grown, heads, run, same};
use crate::common::Place;

/// The same weights in an ONNX file that PyTorch made of the same network.
fn as_onnx(away: &Place, name: &str) {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/small-cnn.onnx");
    let template = disinherit_formats::open(&template).unwrap();
    let weights = disinherit_formats::open(&away.path(&format!("{name}.safetensors"))).unwrap();
    let known = weights.tensors();
    let parts = disinherit_formats::Parts {
        documents: template.documents.clone(),
        describe: &|name| known.get(name).cloned(),
        tensor: &|name| weights.tensor(name),
        copy: None,
    };
    let file = away.path(&format!("{name}.onnx"));
    disinherit_formats::write(&file, &template.format, &parts).unwrap();
}

/// All models as ONNX files; the roots are known not to have learnt the forgotten class.
fn bring_as_onnx(home: &Place, away: &Place) {
    let models = home.json(&["log", "--json"]);
    for model in models.as_array().unwrap() {
        let mut arguments = bring_away(home, away, model);
        let name = arguments[3].clone();
        as_onnx(away, &name);
        arguments[1] = format!("{name}.onnx");
        if ["d", "s"].contains(&&name[..]) {
            arguments.extend(["--trained-labels", "0,1,2,4,5,6,7,8,9"].map(str::to_owned));
        }
        run(away, &arguments);
    }
}

#[test]
fn onnx_gives_the_same_heads_as_the_network() {
    let (home, away) = (grown(), Place::new());
    bring_as_onnx(&home, &away);
    let data = ["--data", "digits"];
    let at_home = heads(&home, &home.json(&[&FORGET[..], &data].concat()));
    let abroad = heads(&away, &away.json(&[&FORGET[..], &data].concat()));
    same(&at_home, &abroad);
    // Given back: an ONNX file that has forgotten, and the old one byte for byte.
    away.run(&["export", "r4@1", "same.onnx"]).success();
    let read = |name: &str| fs::read(away.path(name)).unwrap();
    assert!(read("same.onnx") == read("r4.onnx"));
    away.run(&["export", "r4", "new.onnx"]).success();
    let (old, new) = (read("r4.onnx"), read("new.onnx"));
    assert_eq!(old.len(), new.len());
    let changed = old.iter().zip(&new).filter(|(a, b)| a != b).count();
    assert!(changed > 0 && changed <= (64 + 1) * 10 * 4, "{changed}");
    away.run(&["verify", "--data", "features", "--json"])
        .success();
    away.run(&["report", "--data", "digits"]).success();
    assert!(away.path("report.html").exists());
}

/// The layer below the head is found in the graph, and edited as in the network that runs here: by the same
/// root's answers, as strongly, to the same weights.
#[test]
fn onnx_forgets_in_its_features_as_the_network_does() {
    let (home, away) = (grown(), Place::new());
    bring_as_onnx(&home, &away);
    let deep = ["unlearn", "--forget", "class=3", "--from", "r1", "--json"];
    let from = |data: &'static str| [&deep[..], &["--data", data]].concat();
    // Features are no samples: the graph has nothing to read, and the outputs alone are edited.
    let flat = away.json(&[&from("features")[..], &["--dry-run"]].concat());
    let warnings = flat["unlearned"]["warnings"].to_string();
    assert!(warnings.contains("the data has its features"), "{warnings}");
    // No data: what to read is missing, and the head is dampened by what cards there are.
    let planned = away.text(&["plan", "--forget", "class=3", "--from", "r1"]);
    assert!(
        planned.contains("their features are edited too"),
        "{planned}"
    );

    let (at_home, abroad) = (home.json(&from("digits")), away.json(&from("digits")));
    let inner = |done: &Value| -> Vec<Value> {
        let models = done["unlearned"]["models"].as_array().unwrap();
        models.iter().map(|model| model["inner"].clone()).collect()
    };
    for (ours, theirs) in inner(&at_home).iter().zip(inner(&abroad)) {
        assert_eq!(theirs["layer"], "fc1.weight", "{theirs}");
        assert_eq!(theirs["ridge"], ours["ridge"], "{ours} {theirs}");
        assert_eq!(theirs["reference"], ours["reference"], "{ours} {theirs}");
        assert!(theirs["reference"].is_string() && theirs["outputs_only"].is_null());
    }
    // Given back: the layer and the head are new, and every other byte is as it was.
    away.run(&["export", "r4", "new.onnx"]).success();
    let read = |name: &str| fs::read(away.path(name)).unwrap();
    let (old, new) = (read("r4.onnx"), read("new.onnx"));
    assert_eq!(old.len(), new.len());
    let changed = old.iter().zip(&new).filter(|(a, b)| a != b).count();
    let most = (128 * 64 + 64 + 64 * 10 + 10) * 4;
    assert!(changed > 64 * 10 * 4 && changed <= most, "{changed}");
    // Its verdict is beside the same root's, and says what was not looked at.
    let verdicts = away.json(&["verify", "--data", "digits", "--deep", "--json"]);
    for verdict in verdicts["models"].as_array().unwrap() {
        let inside = &verdict["inside"];
        assert!(inside["reference"]["models"].is_array(), "{verdict}");
        assert!(inside["measured"]["probe"].is_object(), "{verdict}");
        assert_eq!(inside["measured"]["head_alone"], true, "{verdict}");
        let (left, kept) = (
            &verdict["scores"]["forget"]["heldout"],
            &verdict["scores"]["retain"]["heldout"],
        );
        assert!(left.as_f64().unwrap() <= 0.03, "{verdict}");
        assert!(kept.as_f64().unwrap() >= 0.9, "{verdict}");
    }
    let said = away.text(&["verify", "--data", "digits", "--deep"]);
    assert!(
        said.contains("not measured: how fast the layers below"),
        "{said}"
    );
}

/// What verification measured below the heads of the newest versions, by name: the probe's accuracy.
fn probes(place: &Place) -> BTreeMap<String, f64> {
    let verdicts = place.json(&["verify", "--data", "digits", "--deep", "--json"]);
    let verdicts = verdicts["models"].as_array().unwrap();
    verdicts
        .iter()
        .map(|verdict| {
            let number = |at: &str| verdict.pointer(at).and_then(Value::as_f64).unwrap();
            assert_eq!(number("/scores/forget/heldout"), 0.0, "{verdict}");
            assert!(number("/scores/retain/heldout") >= 0.9, "{verdict}");
            let name = verdict["model"].as_str().unwrap().to_owned();
            (name, number("/inside/measured/probe/mean"))
        })
        .collect()
}

/// Cards of graphs say what enters the layer's block: without data the features forget as they do in the
/// network that runs here, from the same draws.
#[test]
fn onnx_forgets_in_its_features_from_cards_alone() {
    let (home, away) = (grown(), Place::new());
    bring_as_onnx(&home, &away);
    let flat = Place::new();
    bring_as_onnx(&home, &flat);
    for place in [&home, &away] {
        place.run(&["fisher", "--data", "digits"]).success();
    }
    let planned = away.text(&["plan", "--forget", "class=3", "--from", "r1"]);
    assert!(
        planned.contains("from the activation statistics in their FIM cards"),
        "{planned}"
    );
    let deep = ["unlearn", "--forget", "class=3", "--from", "r1", "--json"];
    let (at_home, abroad) = (home.json(&deep), away.json(&deep));
    let inner = |done: &Value| -> Vec<Value> {
        let models = done["unlearned"]["models"].as_array().unwrap();
        models.iter().map(|model| model["inner"].clone()).collect()
    };
    for (ours, theirs) in inner(&at_home).iter().zip(inner(&abroad)) {
        assert_eq!(theirs["basis"], "card", "{theirs}");
        assert_eq!(theirs["layer"], "fc1.weight", "{theirs}");
        assert_eq!(theirs["ridge"], ours["ridge"], "{ours} {theirs}");
        assert!(theirs["outputs_only"].is_null() && theirs["reference"].is_null());
    }
    // A card without statistics is enough for the outputs alone, and that is said.
    flat.run(&["fisher", "--data", "digits", "--no-activations"])
        .success();
    let said = flat.json(&[&deep[..], &["--dry-run"]].concat());
    let warnings = said["unlearned"]["warnings"].to_string();
    assert!(
        warnings.contains("no activation statistics in its FIM card"),
        "{warnings}"
    );
    flat.json(&[&deep[..], &["--depth", "outputs", "--data", "digits"]].concat());
    let (edited, outputs) = (probes(&away), probes(&flat));
    let mean = |of: &BTreeMap<String, f64>| of.values().sum::<f64>() / of.len() as f64;
    for (name, probe) in &edited {
        assert!(*probe < outputs[name], "{edited:?} {outputs:?}");
    }
    assert!(
        mean(&edited) < mean(&outputs) - 0.04,
        "{edited:?} {outputs:?}"
    );
}
