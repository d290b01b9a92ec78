//! What version 0.1.0 wrote, in the hands of today's version: it opens, verifies and continues, byte
//! for byte and hash for hash. `golden/make.sh` says what the files are and how they were made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use disinherit_registry::{Digest, FisherCard, check_chain};
use serde_json::{Value, json};
use sqlx::Row;

use crate::common::{Place, copy_folder};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn recorded(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

/// A folder with a copy of a recorded registry.
fn place(registry: &str) -> Place {
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
    };
    copy_folder(&golden(registry), &place.path(".disinherit"));
    place
}

/// Fails where something that was recorded is missing or another; what is new is welcome. Numbers may
/// differ in the last digit, as they do when they are written and read.
fn holds(recorded: &Value, now: &Value, at: &str) {
    match (recorded, now) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let now = new.get(key).unwrap_or(&Value::Null);
                holds(value, now, &format!("{at}.{key}"));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "at {at}");
            for (place, (old, new)) in old.iter().zip(new).enumerate() {
                holds(old, new, &format!("{at}[{place}]"));
            }
        }
        (Value::Number(old), Value::Number(new)) => {
            let (old, new) = (old.as_f64().unwrap(), new.as_f64().unwrap());
            let most = 1e-12 * old.abs().max(1.0);
            assert!((old - new).abs() <= most, "{old} {new} at {at}");
        }
        _ => assert_eq!(recorded, now, "at {at}"),
    }
}

/// The rows of a table as they are stored, texts untouched.
fn stored(place: &Place, query: &'static str) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let file = place.path(".disinherit/catalog.sqlite");
    let rows = runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let rows = sqlx::query(query).fetch_all(&pool).await.unwrap();
        pool.close().await;
        rows
    });
    let value = |row: &sqlx::sqlite::SqliteRow, column: usize| match row.try_get::<i64, _>(column) {
        Ok(number) => json!(number),
        Err(_) => json!(row.get::<String, _>(column)),
    };
    rows.iter()
        .map(|row| (0..row.len()).map(|at| value(row, at)).collect::<Value>())
        .collect()
}

const OPERATIONS: &str = "SELECT id, time, actor, command, detail, made, previous, hash \
                          FROM operations ORDER BY id";

/// Every stored text is still what 0.1.0 wrote.
fn nothing_stored_has_changed(place: &Place) {
    let old = recorded("stored.json");
    for (table, query) in [
        ("operations", OPERATIONS),
        (
            "models",
            "SELECT name, version, manifest, vertex FROM models ORDER BY position",
        ),
        (
            "edges",
            "SELECT child, parent, relation FROM edges ORDER BY position",
        ),
        (
            "cards",
            "SELECT model, estimator, blob FROM cards ORDER BY position",
        ),
    ] {
        assert_eq!(stored(place, query), old[table], "{table}");
    }
}

/// Every model with its digest.
fn digests(place: &Place) -> BTreeMap<String, String> {
    let rows = place.registry().models().unwrap().into_iter();
    rows.map(|row| (row.vertex.id.to_string(), row.manifest.to_string()))
        .collect()
}

fn sound(place: &Place) {
    let health = place.registry().check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
    place.run(&["fsck"]).success();
}

#[test]
fn an_old_registry_opens_and_is_sound() {
    let place = place("registry");
    sound(&place);
    let known = recorded("printed/list.json");
    holds(&known, &place.json(&["list", "--json"]), "list");
    for entry in fs::read_dir(golden("printed")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(model) = file.strip_prefix("show-") else {
            continue;
        };
        let model = model.strip_suffix(".json").unwrap();
        let model = model.replace("forms-", "forms/");
        let shown = place.json(&["show", &model, "--json"]);
        holds(&recorded(&format!("printed/{file}")), &shown, &model);
    }
    let text = place.text(&["retention"]);
    assert!(text.contains("30d"), "{text}");
    nothing_stored_has_changed(&place);
}

#[test]
fn an_old_log_is_what_it_was() {
    let place = place("registry");
    let now = place.json(&["log", "--operations", "--json"]);
    let old = recorded("printed/log.json");
    let (now, old) = (now.as_array().unwrap(), old.as_array().unwrap());
    assert_eq!(now.len(), old.len());
    for (now, old) in now.iter().zip(old) {
        for key in [
            "id", "time", "actor", "command", "detail", "made", "previous", "hash",
        ] {
            assert_eq!(now[key], old[key], "{key} of operation {}", old["id"]);
        }
    }
    let rows = place.registry().operations().unwrap();
    assert_eq!(check_chain(&rows), Vec::<String>::new());
    for (row, old) in rows.iter().zip(old) {
        assert_eq!(row.expected_hash(), old["hash"].as_str().unwrap());
    }
    for old in old {
        let shown = place.json(&["show", &old["id"].to_string(), "--json"]);
        assert_eq!(shown["detail"], old["detail"]);
    }
    nothing_stored_has_changed(&place);
}

#[test]
fn old_manifests_and_cards_are_written_as_they_were() {
    let place = place("registry");
    let registry = place.registry();
    let mut manifests = 0;
    for row in registry.models().unwrap() {
        if row.state() == disinherit_registry::State::Purged {
            continue;
        }
        let manifest = registry.manifest(row.manifest).unwrap();
        registry.tensors(&manifest).unwrap();
        let again = registry.put_model(manifest, BTreeMap::new()).unwrap();
        assert_eq!(again, row.manifest, "{}", row.vertex.id);
        manifests += 1;
    }
    assert_eq!(manifests, 10);
    let rows = recorded("stored.json")["cards"].clone();
    for card in rows.as_array().unwrap() {
        let model: Digest = card[0].as_str().unwrap().parse().unwrap();
        let rows = registry.cards(model).unwrap();
        let row = rows.into_iter().find(|row| row.estimator == card[1]);
        let row = row.unwrap();
        assert_eq!(row.blob.to_string(), card[2].as_str().unwrap());
        let read = registry.card_of(&row).unwrap().card(&registry).unwrap();
        assert_eq!(registry.put_card(&read).unwrap(), row);
    }
    let exported = fs::read(golden("card.safetensors")).unwrap();
    let card = FisherCard::from_bytes(&exported).unwrap();
    assert!(safetensors(&card.to_bytes().unwrap()) == safetensors(&exported));
    place
        .run(&["fisher", "export", "r1@1", "card.safetensors"])
        .success();
    let again = fs::read(place.path("card.safetensors")).unwrap();
    assert!(safetensors(&again) == safetensors(&exported));
}

/// The header of a safetensors file, whose metadata have no order, and the rest of it.
fn safetensors(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let (header, rest) = bytes[8..].split_at(length.try_into().unwrap());
    (serde_json::from_slice(header).unwrap(), rest.to_vec())
}

/// The files in a folder with their bytes, or the one file.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if path.is_file() {
        return [(PathBuf::new(), fs::read(path).unwrap())].into();
    }
    let entries = fs::read_dir(path).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn old_models_are_exported_in_the_form_they_came_in() {
    let place = place("registry");
    fs::create_dir(place.path("external")).unwrap();
    for (model, target, compared) in [
        ("forms/gemm", "gemm.onnx", "gemm.onnx"),
        ("forms/external", "external/external.onnx", "external"),
        ("forms/nested", "nested.pt", "nested.pt"),
        ("forms/hub", "hub", "hub"),
    ] {
        place.run(&["export", model, target]).success();
        let known = files(&golden("exported").join(compared));
        assert!(files(&place.path(compared)) == known, "{model}");
    }
    // One that was grown here has no form of its own.
    place.run(&["export", "t@2", "t.safetensors"]).success();
    let [now, known] = [
        place.path("t.safetensors"),
        golden("exported/t.safetensors"),
    ]
    .map(|file| safetensors(&fs::read(file).unwrap()));
    assert!(now == known);
}

#[test]
fn old_certificates_verify_and_old_keys_sign() {
    let place = place("registry");
    let public = golden("key.pub").display().to_string();
    for (certificate, printed) in [
        ("certificate.json", "verify.json"),
        ("measured.json", "verify-measured.json"),
    ] {
        let file = golden(certificate).display().to_string();
        let verify = [
            "verify",
            "--certificate",
            &file,
            "--public-key",
            &public,
            "--json",
        ];
        let known = recorded(&format!("printed/{printed}"));
        let alone = place.json(&verify);
        holds(&known["statement"], &alone["statement"], certificate);
        let compared = place.json(&[&verify[..], &["--registry", "."]].concat());
        assert_eq!(compared["problems"], json!([]), "{certificate}");
        // One more digit makes it another statement.
        let altered = place.path("altered.json");
        let mut envelope = recorded(certificate);
        let payload = envelope["payload"].as_str().unwrap();
        envelope["payload"] = json!(format!("A{}", &payload[1..]));
        fs::write(&altered, envelope.to_string()).unwrap();
        let altered = altered.display().to_string();
        let verify = verify.map(|word| if word == file { &altered } else { word });
        place.run(&verify).failure();
    }
    let key = golden("key").display().to_string();
    place
        .run(&["certify", "15", "--key", &key, "--out", "new.json"])
        .success();
    place
        .run(&[
            "verify",
            "--certificate",
            "new.json",
            "--public-key",
            &public,
            "--registry",
            ".",
        ])
        .success();
    nothing_stored_has_changed(&place);
}

#[test]
fn a_recipe_finds_the_models_it_made() {
    for registry in ["registry", "study/seed-3/registry"] {
        let place = place(registry);
        let before = digests(&place);
        let recipe = golden("golden.toml").display().to_string();
        let log = place.registry().operations().unwrap();
        place.run(&["grow", &recipe, "--no-fisher"]).success();
        assert_eq!(digests(&place), before, "{registry} was trained again");
        assert_eq!(place.registry().operations().unwrap(), log, "{registry}");
    }
}

#[test]
fn a_finished_study_is_read_and_drawn_again() {
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
    };
    copy_folder(&golden("study"), &place.path("study"));
    fs::rename(
        place.path("study/seed-3/registry"),
        place.path("study/seed-3/.disinherit"),
    )
    .unwrap();
    let kept = files_below(&place.path("study/seed-3"));
    assert_eq!(kept.len(), 5);
    let recipe = golden("golden.toml").display().to_string();
    let study = [
        "reproduce",
        "fl",
        "--recipe",
        &recipe,
        "--methods",
        "fiun,fine-tune,mask",
        "--out",
        "study",
    ];
    // The recipe is known again, and another one is not taken for it.
    let other = [&study[..], &["--epochs", "7"]].concat();
    place.run(&other).failure();
    place.run(&study).success();
    let results = fs::read(place.path("study/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    holds(&recorded("study/results.json"), &results, "results");
    assert!(files_below(&place.path("study/seed-3")) == kept);
    let page = fs::read_to_string(place.path("study/report.html")).unwrap();
    assert!(page.contains("golden"));
}

/// The files in a folder, not those in folders below.
fn files_below(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| (entry.path(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn an_old_registry_continues() {
    let place = place("registry");
    let before = digests(&place);
    let old = recorded("stored.json");
    let old = old["operations"].as_array().unwrap();
    place
        .run(&["unlearn", "--forget", "class=7", "--from", "r1"])
        .success();
    let known: BTreeMap<String, String> =
        serde_json::from_value(recorded("continued.json")).unwrap();
    assert_eq!(digests(&place), known);
    let now = stored(&place, OPERATIONS);
    let now = now.as_array().unwrap();
    assert_eq!(&now[..old.len()], &old[..]);
    assert_eq!(now.len(), old.len() + 1);
    assert_eq!(now[old.len()][6], old[old.len() - 1][7], "the chain");
    let rows = place.registry().operations().unwrap();
    assert_eq!(check_chain(&rows), Vec::<String>::new());
    sound(&place);

    // The drafts of the request that was stopped do no harm, and go when they are told to.
    place.run(&["gc", "--drafts"]).success();
    assert_eq!(place.registry().all_drafts().unwrap(), []);
    sound(&place);
    assert_eq!(digests(&place), known);

    place.run(&["report", "15"]).success();
    place.run(&["undo", "20"]).success();
    assert_eq!(digests(&place), before);
    place
        .run(&["purge", "r2@1", "--reason", "golden", "--dry-run"])
        .success();
    place
        .run(&["purge", "r2@1", "--reason", "golden"])
        .success();
    sound(&place);
}
