//! A person's samples and a source, through the command line.

use std::fs;

use serde_json::Value;

use crate::common::Place;

/// A registry with the built-in network for samples, trained less; and the first samples of its base.
fn grown() -> Place {
    let place = Place::new();
    let grow = [
        "grow",
        "samples-digits",
        "--epochs",
        "60",
        "--no-fisher",
        "--quiet",
    ];
    place.run(&grow).success();
    let base = place.json(&["show", "b", "--json"]);
    let ids = base["model"]["training"][0]["samples"]["listed"]
        .as_array()
        .unwrap();
    let ids: Vec<&str> = ids.iter().take(12).map(|id| id.as_str().unwrap()).collect();
    fs::write(place.path("person.txt"), ids.join("\n")).unwrap();
    place
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).unwrap().as_f64().unwrap()
}

#[test]
fn a_persons_samples_are_matched_by_default() {
    let place = grown();
    let plan = place.text(&["plan", "--forget", "samples=person.txt"]);
    assert!(
        plan.contains("stage 1: bring the forgotten samples"),
        "{plan}"
    );
    assert!(
        plan.contains("stage 2: take over the initial models' change"),
        "{plan}"
    );
    assert!(
        plan.contains("(3 tasks)") && !plan.contains("stage 3"),
        "{plan}"
    );
    assert!(plan.contains("needs unseen samples"), "{plan}");
    let other = place.text(&["plan", "--forget", "samples=person.txt", "--method", "fiun"]);
    assert!(other.contains("merge, select and dampen"), "{other}");

    let forget = [
        "unlearn",
        "--forget",
        "samples=person.txt",
        "--data",
        "digits",
    ];
    let tried = place.text(&[&forget[..], &["--dry-run"]].concat());
    assert!(
        tried.contains("membership area of the forgotten samples"),
        "{tried}"
    );
    assert!(
        tried.contains("would have unlearned by matching"),
        "{tried}"
    );
    let dampened = place.json(
        &[
            &forget[..],
            &[
                "--method",
                "fiun",
                "--dry-run",
                "--json",
                "--accept-loss",
                "1",
            ],
        ]
        .concat(),
    );
    assert_eq!(dampened["method"], "fiun");
    let given = place.json(
        &[
            &forget[..],
            &[
                "--layers",
                "all",
                "--dry-run",
                "--json",
                "--accept-loss",
                "1",
            ],
        ]
        .concat(),
    );
    assert_eq!(given["method"], "fiun");

    let done = place.json(&[&forget[..], &["--json"]].concat());
    assert_eq!(done["method"], "matching");
    assert!(done["settings"].is_null());
    let models = done["unlearned"]["models"].as_array().unwrap();
    assert_eq!(models.len(), 4);
    for model in models {
        let away = |at: &str| (number(model, at) - number(model, "/matched/aim")).abs();
        assert!(away("/matched/area/1") < 0.05, "{model}");
        assert!(away("/matched/area/1") < away("/matched/area/0"), "{model}");
    }
    // It is in the log, and verified on samples that it was not aimed by.
    let log = place.json(&["log", "--operations", "--json"]);
    let entry = log
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["command"] == "unlearn");
    assert_eq!(
        entry.unwrap()["detail"]["models"][0]["matched"]["forgotten"],
        12
    );
    let verdict = place.json(&["verify", "--data", "digits", "--json"]);
    for model in verdict["models"].as_array().unwrap() {
        assert_eq!(model["samples"]["forgotten"], 12, "{model}");
        assert!(number(model, "/samples/unseen") < 250.0, "{model}");
        assert!(number(model, "/samples/interval/0") < number(model, "/samples/interval/1"));
        let weakest = model["samples"]["weakest"]["id"].as_str().unwrap();
        let ids = fs::read_to_string(place.path("person.txt")).unwrap();
        assert!(ids.lines().any(|id| id == weakest), "{model}");
        assert_eq!(model["passed"], true, "{model}");
    }
    let said = place.text(&["verify", "--data", "digits"]);
    assert!(
        said.contains("the one that stands out most is `digits/"),
        "{said}"
    );
}

#[test]
fn a_study_of_a_source_compares_what_serves_it() {
    let place = Place::new();
    let done = place.json(&[
        "reproduce",
        "client",
        "--epochs",
        "10",
        "--methods",
        "matching,retrain,mask",
        "--no-relearning",
        "--out",
        "client",
        "--json",
    ]);
    let study = &done["studies"][0];
    assert_eq!(study["forget"]["source"], "client-3");
    let results = study["results"].as_array().unwrap();
    let failed = |at: usize| results[at]["failed"].as_str();
    assert_eq!((failed(0), failed(1)), (None, None));
    assert!(
        failed(2).unwrap().contains("whole classes"),
        "{}",
        results[2]
    );
    for model in results[0]["models"].as_array().unwrap() {
        assert!(model["verdicts"]["samples"]["area"].is_number(), "{model}");
    }
    let text = place.text(&["recipes", "samples-digits"]);
    assert!(text.contains("share = 0.1"), "{text}");
}
