//! Trees of models, imported with their graph, and adapters that come with the labels of their base.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use disinherit_formats::{Tensor, write_checkpoint};
use serde_json::json;

use crate::common::Place;

/// A tree of models: a base, two that say that they come from it, one that says nothing.
fn tree(place: &Place) {
    let folder = |name: &str| {
        let path = place.path("hub").join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let body: Vec<f32> = (0..400)
        .map(|n| ((n * 37) % 101) as f32 / 50.0 - 1.0)
        .collect();
    let model = |name: &str, by: f32, card: &str| {
        let moved: Vec<f32> = body.iter().map(|v| v + by * (v * 7.0).sin()).collect();
        let tensors = BTreeMap::from([
            (
                "body.weight".to_owned(),
                Tensor::from_f32(&[20, 20], &moved),
            ),
            (
                "classifier.weight".to_owned(),
                Tensor::from_f32(&[2, 20], &moved[..40]),
            ),
            (
                "classifier.bias".to_owned(),
                Tensor::from_f32(&[2], &[by, 0.0]),
            ),
        ]);
        let path = folder(name);
        write_checkpoint(&path.join("model.safetensors"), &tensors, HashMap::new()).unwrap();
        fs::write(
            path.join("config.json"),
            r#"{"id2label": {"0": "ham", "1": "spam"}}"#,
        )
        .unwrap();
        fs::write(path.join("README.md"), card).unwrap();
    };
    model("base", 0.0, "# the base\n");
    model("tuned", 0.1, "---\nbase_model: somebody/base\n---\n");
    model(
        "merged",
        0.2,
        "---\nbase_model: [base, tuned]\nbase_model_relation: merge\n---\n",
    );
    model("silent", 0.3, "# says nothing\n");
}

#[test]
fn a_tree_of_models_is_imported_with_its_graph() {
    let place = Place::new();
    tree(&place);
    // There is no terminal to ask on.
    place.misuse(&["import", "hub"], &["--yes"]);
    let dry = place.json(&["import", "hub", "--dry-run", "--json"]);
    let names: Vec<&str> = dry["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["base", "silent", "tuned", "merged"]);
    assert_eq!(dry["models"][2]["evidence"]["from"], "model_card");
    assert_eq!(place.json(&["list", "--json"])["models"], json!([]));
    place.refuse(
        &["import", "hub", "--labels", "a,b,c", "--yes"],
        &["3 outputs", "labels"],
    );
    let text = place.text(&["import", "hub", "--yes", "--trained-on", "mail"]);
    insta::assert_snapshot!(text);
    let graph = place.json(&["graph", "--json"]).to_string();
    assert!(
        graph.contains("fine_tune") && graph.contains("merged"),
        "{graph}"
    );
    let shown = place.json(&["show", "merged", "--json"]);
    assert_eq!(shown["parents"].as_array().unwrap().len(), 2);
    let silent = place.json(&["show", "silent", "--json"]);
    assert_eq!(silent["parents"].as_array().unwrap().len(), 0);
    // Given back as it came.
    place.run(&["export", "tuned", "tuned-again"]).success();
    for file in ["model.safetensors", "config.json", "README.md"] {
        assert_eq!(
            fs::read(place.path("tuned-again").join(file)).unwrap(),
            fs::read(place.path("hub/tuned").join(file)).unwrap()
        );
    }
    place.refuse(&["export", "tuned", "tuned-again"], &["--force"]);
    place
        .run(&["export", "base", "tuned-again", "--force"])
        .success();
    let fsck = place.text(&["fsck"]);
    assert!(fsck.contains("checked 4 models"), "{fsck}");

    // A merge that says of itself what from, but has no model card.
    let folder = place.path("blend");
    fs::create_dir_all(&folder).unwrap();
    for file in ["model.safetensors", "config.json"] {
        fs::copy(place.path("hub/merged").join(file), folder.join(file)).unwrap();
    }
    let config = "merge_method: slerp\nmodels:\n  - model: somebody/base\n  - model: tuned\nbase_model: base\n";
    fs::write(folder.join("mergekit_config.yml"), config).unwrap();
    let blend = place.json(&["import", "blend", "--dry-run", "--json"]);
    let model = &blend["models"][0];
    assert_eq!(model["evidence"]["from"], "merge_config");
    let parents = model["parents"].as_array().unwrap();
    assert_eq!(parents.len(), 2, "{model}");
    assert!(
        parents
            .iter()
            .all(|parent| parent.to_string().contains("merged"))
    );

    // An encoder without a head is left out, and said so; alone it is refused.
    let bare = BTreeMap::from([(
        "body.weight".to_owned(),
        Tensor::from_f32(&[2, 2], &[1.0; 4]),
    )]);
    let encoder = place.path("more/encoder.safetensors");
    fs::create_dir_all(place.path("more")).unwrap();
    write_checkpoint(&encoder, &bare, HashMap::new()).unwrap();
    place.refuse(
        &["import", "more", "--labels", "a,b", "--yes"],
        &["no linear layer"],
    );
    fs::copy(
        place.path("hub/base/model.safetensors"),
        place.path("more/classifier.safetensors"),
    )
    .unwrap();
    let done = place
        .run(&["import", "more", "--labels", "a,b", "--yes"])
        .success();
    let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert!(
        said.contains("left out") && said.contains("encoder"),
        "{said}"
    );
    // So is one whose card cannot be read: what it says does not matter then.
    let unread = place.path("odd/unread");
    fs::create_dir_all(&unread).unwrap();
    fs::copy(&encoder, unread.join("model.safetensors")).unwrap();
    fs::write(unread.join("README.md"), "---\nbase_model: [a\n---\n").unwrap();
    fs::copy(
        place.path("hub/base/model.safetensors"),
        place.path("odd/another.safetensors"),
    )
    .unwrap();
    place
        .run(&["import", "odd", "--labels", "a,b", "--yes"])
        .success();
    let other = Place::new();
    tree(&other);
    let text = other.text(&[
        "import",
        "hub",
        "--yes",
        "--infer-parents",
        "--confidence",
        "0.1",
    ]);
    assert!(text.contains("% sure"), "{text}");
    let silent = other.json(&["show", "silent", "--json"]);
    assert_eq!(silent["parents"].as_array().unwrap().len(), 1);
}

/// Adapters as PEFT saves them: low-rank updates and a head of their own, and no labels.
#[test]
fn adapters_come_with_the_labels_of_their_base() {
    let place = Place::new();
    tree(&place);
    let adapter = |name: &str, config: &str| {
        let folder = place.path("hub").join(name);
        fs::create_dir_all(&folder).unwrap();
        let named = |name: &str, shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            let values: Vec<f32> = (name.len()..).take(count).map(|v| v as f32).collect();
            let name = format!("base_model.model.{name}");
            (name, Tensor::from_f32(shape, &values))
        };
        let tensors = BTreeMap::from([
            named("body.lora_A.weight", &[2, 20]),
            named("body.lora_B.weight", &[20, 2]),
            named("classifier.weight", &[2, 20]),
            named("classifier.bias", &[2]),
        ]);
        let file = folder.join("adapter_model.safetensors");
        write_checkpoint(&file, &tensors, HashMap::new()).unwrap();
        fs::write(folder.join("adapter_config.json"), config).unwrap();
    };
    // The first in the alphabet: it must wait for its base.
    adapter(
        "adapted",
        r#"{"base_model_name_or_path": "models/of/mine/tuned/", "peft_type": "LORA"}"#,
    );
    adapter("stray", r#"{"base_model_name_or_path": "somebody/else"}"#);
    let done = place.run(&["import", "hub", "--yes"]).success();
    let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert!(
        said.contains("left out") && said.contains("stray"),
        "{said}"
    );
    let shown = place.json(&["show", "adapted", "--json"]);
    assert_eq!(shown["manifest"]["labels"], json!(["ham", "spam"]));
    assert_eq!(shown["manifest"]["head"], "base_model.model.classifier");
    let graph = place.text(&["graph"]);
    assert!(graph.contains("tuned@1 (adapter)"), "{graph}");
    place.run(&["export", "adapted", "again"]).success();
    for file in ["adapter_model.safetensors", "adapter_config.json"] {
        assert_eq!(
            fs::read(place.path("again").join(file)).unwrap(),
            fs::read(place.path("hub/adapted").join(file)).unwrap()
        );
    }
    // Later, with its base in the registry.
    adapter("late", r#"{"base_model_name_or_path": "tuned"}"#);
    place.run(&["import", "hub/late", "--yes"]).success();
    adapter("torn", "{");
    place.refuse(
        &["import", "hub/torn", "--yes"],
        &["adapter_config.json", "no configuration of an adapter"],
    );
}
