//! Lists of samples through the command line: in clear and hashed, from the request to the purge.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{Place, add, objects};

/// A registry with the built-in network for samples, trained less, that hashes ids or does not.
fn grown(hashed: bool, epochs: &str) -> Place {
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
    };
    let init: &[&str] = if hashed {
        &["init", "--hash-ids"]
    } else {
        &["init"]
    };
    place.run(init).success();
    let grow = [
        "grow",
        "samples-digits",
        "--epochs",
        epochs,
        "--no-fisher",
        "--quiet",
    ];
    place.run(&grow).success();
    place
}

fn samples(place: &Place, model: &str) -> Value {
    place.json(&["show", model, "--json"])["model"]["training"][0]["samples"].clone()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let entries = entries.map(|entry| entry.unwrap().path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

/// Looks for ids of the digits in all that a registry keeps.
fn holds_no_id(place: &Place) {
    for file in files(&place.path(".disinherit")) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(8).any(|part| part == b"digits/0");
        assert!(!found, "an id is in {}", file.display());
    }
}

#[test]
fn a_registry_of_hashed_ids_forgets_proves_and_purges() {
    // The same recipe in clear says which samples those are.
    let clear = grown(false, "1");
    let listed = samples(&clear, "b")["listed"].clone();
    let listed: Vec<String> = serde_json::from_value(listed).unwrap();
    let place = grown(true, "60");
    let kept = samples(&place, "b")["kept"].clone();
    assert_eq!(
        (&kept["count"], &kept["hashed"]),
        (&json!(listed.len()), &json!(true))
    );
    holds_no_id(&place);
    let shown = place.text(&["show", "b"]);
    assert!(shown.contains("120 samples, ids hashed"), "{shown}");
    assert_eq!(
        place.json(&["sample-ids", "--json"])["sample_ids"],
        "hashed"
    );

    // Requests name ids, and reach the same models as in clear.
    for at in [&clear, &place] {
        fs::write(at.path("person.txt"), listed[..12].join("\n")).unwrap();
    }
    let plan = ["plan", "--forget", "samples=person.txt", "--json"];
    assert_eq!(
        place.json(&plan)["plan"]["scope"],
        clear.json(&plan)["plan"]["scope"]
    );
    fs::write(place.path("nobody.txt"), "digits/9999\n").unwrap();
    place.refuse(
        &["plan", "--forget", "samples=nobody.txt"],
        &["no model was trained on 1 listed samples"],
    );
    let unlearn = [
        "unlearn",
        "--forget",
        "samples=person.txt",
        "--data",
        "digits",
        "--json",
    ];
    let done = place.json(&unlearn);
    assert_eq!(done["unlearned"]["models"].as_array().unwrap().len(), 4);
    assert_eq!(
        samples(&place, "b")["kept"]["count"],
        json!(listed.len() - 12)
    );
    place.refuse(
        &["plan", "--forget", "samples=person.txt"],
        &["no model was trained on 12 listed samples"],
    );
    place.run(&["key", "proof.pem"]).success();
    let certify = [
        "certify",
        "--key",
        "proof.pem",
        "--data",
        "digits",
        "--out",
        "proof.json",
    ];
    place.run(&certify).success();
    let before = place.json(&["verify", "--data", "digits", "--json"]);
    // The log says what was forgotten by hashes, and the verdict was on those very samples.
    holds_no_id(&place);
    let named = ["verify", "b", "--forget", "samples=person.txt"];
    let named = place.json(&[&named[..], &["--data", "digits", "--json"]].concat());
    let named = &named["models"][0];
    let models = before["models"].as_array().unwrap().iter();
    let mut same = models.filter(|verdict| verdict["model"] == named["model"]);
    assert_eq!(same.next().unwrap()["samples"], named["samples"]);

    // The purge takes the old lists with it; what was forgotten is still known by the request.
    let count = objects(&place).len();
    let request = done["unlearned"]["request"].as_str().unwrap();
    let purge = [
        "purge",
        "--request",
        request,
        "--reason",
        "erasure request 7",
        "--json",
    ];
    let purged = place.json(&purge);
    assert_eq!(purged["models"].as_array().unwrap().len(), 4);
    assert!(objects(&place).len() < count);
    let old = kept["list"].as_str().unwrap();
    let (folder, name) = old.split_at(2);
    assert!(
        !place
            .path(".disinherit/objects")
            .join(folder)
            .join(name)
            .exists()
    );
    let after = place.json(&["verify", "--data", "digits", "--json"]);
    for at in ["forgotten", "weakest"] {
        let of = |verdict: &Value| verdict["models"][0]["samples"][at].clone();
        assert_eq!(of(&before), of(&after));
    }
    place.run(&["fsck"]).success();
    assert_eq!(place.json(&["gc", "--json"])["objects"], 0);
}

#[test]
fn a_long_list_is_an_object_and_damage_in_it_is_told() {
    let place = Place::new();
    assert_eq!(place.json(&["sample-ids", "--json"])["sample_ids"], "clear");
    let ids: Vec<String> = (0..1500).map(|n| format!("photos/{n:05}")).collect();
    fs::write(place.path("ids.txt"), ids.join("\n")).unwrap();
    let file = place.checkpoint("base.safetensors", |_| ());
    let trained = ["--trained-on", "photos", "--trained-samples", "ids.txt"];
    place.json(&add(&file, "base", &trained));
    let kept = samples(&place, "base")["kept"].clone();
    assert_eq!(kept["count"], 1500);
    let shown = place.text(&["show", "base"]);
    assert!(shown.contains("1,500 samples\n"), "{shown}");
    fs::write(place.path("person.txt"), "photos/01499\n").unwrap();
    let plan = place.json(&["plan", "--forget", "samples=person.txt", "--json"]);
    assert_eq!(plan["plan"]["scope"]["initial"], json!(["base@1"]));

    let (folder, name) = kept["list"].as_str().unwrap().split_at(2);
    let list = place.path(".disinherit/objects").join(folder).join(name);
    let mut bytes = fs::read(&list).unwrap();
    bytes[100] ^= 1;
    fs::write(&list, bytes).unwrap();
    place.refuse(
        &["plan", "--forget", "samples=person.txt"],
        &["list of samples", "damaged", "disinherit fsck"],
    );
    let found = place.command(&["fsck"]).assert().code(1);
    let said = String::from_utf8(found.get_output().stdout.clone()).unwrap();
    assert!(said.contains("base@1"), "{said}");
}
