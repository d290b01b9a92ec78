//! What a request may cost: a model that cannot be edited within the bound is not edited, whatever the
//! method, and nothing is published.

use std::fs;

use disinherit_data::{OpenOptions, open};
use serde_json::Value;

use crate::common::Place;

/// A model of ten samples: five each of two labels that share all that they are told by.
const TEN: &str = r#"
name = "ten"
seed = 1
[data]
source = "digits"
clients = 1
limit = 50
[forget]
classes = ["3"]
[network]
architecture = "small-cnn"
heads = "growing"
[training]
learning_rate = 0.05
epochs = 60
batch_size = 5
[[model]]
name = "ten"
client = 1
labels = ["3", "8"]
"#;

/// The model, and a file that names eight of its samples: all but two, both an 8.
fn ten() -> Place {
    let place = Place::new();
    fs::write(place.path("ten.toml"), TEN).unwrap();
    place.run(&["grow", "ten.toml"]).success();
    let shown = place.json(&["show", "ten", "--json"]);
    let listed = &shown["model"]["training"][0]["samples"]["listed"];
    let listed = listed.as_array().unwrap().iter();
    let mut ids: Vec<&str> = listed.flat_map(Value::as_str).collect();
    assert_eq!(ids.len(), 10);
    let digits = open("digits", &OpenOptions::default()).unwrap().train;
    let label = |id: &str| {
        let at = digits.ids().iter().position(|known| known == id).unwrap();
        digits.label_names()[digits.labels()[at] as usize].clone()
    };
    ids.sort_by_key(|id| label(id));
    assert_eq!((label(ids[4]), label(ids[5])), ("3".into(), "8".into()));
    // All but two 8s, and all but one of each.
    let each: Vec<&str> = ids[1..9].to_vec();
    fs::write(place.path("eights.txt"), ids[..8].join("\n")).unwrap();
    fs::write(place.path("each.txt"), each.join("\n")).unwrap();
    place
}

/// A request for the samples that a file lists.
fn forget<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let request = ["unlearn", "--forget", file, "--data", "digits"];
    [&request[..], more].concat()
}

#[test]
fn what_no_method_can_do_within_the_bound_is_not_done() {
    let place = ten();
    // Whatever the method: with all parameters cleared that the forget samples touch, one of the two that
    // are left is lost.
    let cleared = ["--alpha", "0", "--lambda", "0"];
    for method in ["fiun", "ssd", "lfssd"] {
        let more = [&["--method", method][..], &cleared].concat();
        place.refuse(
            &forget("samples=each.txt", &more),
            &[
                "nothing was published",
                "a model may lose 1.0 points",
                "ten@1 would lose 100.0 points (100.0 % before, 0.0 % after, on 1 retained training",
                "--accept-loss 1.000",
            ],
        );
    }
    // And trained again on two samples of one label, it knows no other.
    for method in ["retrain", "distill"] {
        place.refuse(
            &forget("samples=eights.txt", &["--method", method]),
            &[
                "nothing was published",
                "ten@1 would lose",
                "held-out samples",
            ],
        );
    }
    // A program is told the same.
    let more = [&cleared[..], &["--json"]].concat();
    let refused = place
        .run(&forget("samples=each.txt", &more))
        .failure()
        .code(3);
    let told: Value = serde_json::from_slice(&refused.get_output().stdout).unwrap();
    let told = &told["refused"];
    assert_eq!(told["loss_bound"]["target"], 0.01);
    assert_eq!(told["models"][0]["model"], "ten@1");
    assert_eq!(told["models"][0]["loss"], 1.0);

    // Accepted, it is published, and the log says so.
    let more = [&cleared[..], &["--accept-loss", "1", "--json"]].concat();
    let done = place.json(&forget("samples=each.txt", &more));
    assert_eq!(done["unlearned"]["loss_bound"]["accepted"], 1.0);
    let shown = place.text(&["show", &done["unlearned"]["operation"].to_string()]);
    assert!(
        shown.contains("loss bound  1.0 points of retained accuracy, 100.0 points accepted"),
        "{shown}"
    );
}

#[test]
fn without_data_the_loss_is_said_not_to_be_measured() {
    let place = Place::grown();
    let unlearn = ["unlearn", "--forget", "class=3", "--from", "r1", "--json"];
    let done = place.json(&unlearn);
    let models = done["unlearned"]["models"].as_array().unwrap();
    assert!(models.iter().all(|model| model["loss"] == "not_measured"));
    let warnings = done["unlearned"]["warnings"].to_string();
    assert!(
        warnings.contains("not measured") && warnings.contains("r1@1, r2@1, r3@1, r4@1"),
        "{warnings}"
    );
    let shown = place.text(&["show", &done["unlearned"]["operation"].to_string()]);
    assert!(shown.contains("lost        r1@2: not measured"), "{shown}");
}
