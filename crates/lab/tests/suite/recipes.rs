//! What recipes say of training, read and written.

use disinherit_lab::Recipe;
use disinherit_nets::{Augment, Schedule, TrainingConfig};

fn recipe(training: &str) -> Result<Recipe, String> {
    let text = format!(
        "name = \"small\"\n[data]\nsource = \"digits\"\nclients = 1\n[forget]\nclasses = [\"3\"]\n\
         [network]\narchitecture = \"resnet-8\"\n[training]\n{training}\n[[model]]\nname = \"a\"\n\
         client = 1\n"
    );
    Recipe::parse(&text).map_err(|error| error.to_string())
}

/// Fingerprints of grown models are made from this text: what was written before stays the same.
#[test]
fn trainings_of_before_are_written_as_they_were() {
    let old = r#"{"optimizer":"sgd","learning_rate":0.1,"momentum":0.9,"weight_decay":0.0005,"schedule":"cosine","epochs":5,"batch_size":64,"augment":true}"#;
    let config: TrainingConfig = serde_json::from_str(old).unwrap();
    assert_eq!(config.augment, Augment::STANDARD);
    assert_eq!(serde_json::to_string(&config).unwrap(), old);
    let plain = old.replace("true", "false");
    let config: TrainingConfig = serde_json::from_str(&plain).unwrap();
    assert_eq!(config.augment, Augment::NONE);
    assert_eq!(serde_json::to_string(&config).unwrap(), plain);
}

#[test]
fn random_changes_are_chosen_one_by_one() {
    for (text, crop, flip) in [
        ("augment = false", 0, false),
        ("augment = true", 4, true),
        ("augment = { flip = false }", 4, false),
        ("augment = { crop = 1, flip = false }", 1, false),
        ("augment = { crop = 0 }", 0, true),
        ("", 0, false),
    ] {
        let config = recipe(text).unwrap().training;
        assert_eq!(config.augment, Augment { crop, flip }, "{text}");
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<TrainingConfig>(&written).unwrap(),
            config
        );
    }
    for text in ["augment = { shift = 1 }", "augment = \"flips\""] {
        let refused = recipe(text).unwrap_err();
        assert!(refused.contains("{ crop = 4, flip = false }"), "{refused}");
    }
}

#[test]
fn schedules_have_names() {
    for (name, schedule) in [
        ("\"constant\"", Schedule::Constant),
        ("\"cosine\"", Schedule::Cosine),
        ("\"one_cycle\"", Schedule::OneCycle),
        ("{ step = [0.5] }", Schedule::Step(vec![0.5])),
    ] {
        let config = recipe(&format!("schedule = {name}")).unwrap().training;
        assert_eq!(config.schedule, schedule);
    }
}
