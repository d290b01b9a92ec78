//! Keeping a registry: what is replaced, taken back, deleted, checked and proven.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Place, UNLEARN, objects};

/// Answers the request, and says what happened.
fn unlearned(place: &Place) -> Value {
    place.json(&UNLEARN)["unlearned"].clone()
}

fn filtered(text: &str) -> String {
    let mut out = text.to_owned();
    // Times and digests are another matter.
    for (pattern, instead) in [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
        (r"request-[0-9a-f]{12}", "REQUEST"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{12,16}\b", "DIGEST"),
        (r"\d+(\.\d+)? (KiB|MiB|B)\b", "SIZE"),
    ] {
        out = regex::Regex::new(pattern)
            .unwrap()
            .replace_all(&out, instead)
            .into_owned();
    }
    out
}

#[test]
fn a_request_is_undone_repeated_and_purged() {
    let place = Place::grown();
    let before = place.text(&["log"]);
    let done = unlearned(&place);
    let number = done["operation"].as_i64().unwrap().to_string();
    assert_ne!(place.text(&["log"]), before);
    insta::assert_snapshot!("undo", filtered(&place.text(&["undo", &number])));
    assert_eq!(place.text(&["log"]), before);
    place.refuse(&["undo", &number], &["already"]);
    place.refuse(
        &["undo", "1"],
        &["inherits from", "undo the later operation first"],
    );
    place.refuse(&["undo", "4711"], &["no operation 4711"]);
    place.refuse(
        &["verify", "--data", "digits"],
        &["nothing has been unlearned"],
    );

    // The same again gives the same versions.
    let again = unlearned(&place);
    assert_eq!(
        digests_after(&done),
        digests_after(&again),
        "the same request gives the same weights"
    );
    let shown = place.text(&["show", again["operation"].to_string().as_str()]);
    assert!(
        shown.contains("superseded  r1@1") && shown.contains("made        r1@2"),
        "{shown}"
    );

    place.refuse(
        &["purge", "r1@2", "--reason", "test"],
        &["r1@2", "is in use"],
    );
    place.misuse(&["purge", "r1@1", "--reason", " "], &["needs a reason"]);
    place.refuse(
        &["purge", "--due", "--reason", "test"],
        &["no retention policy"],
    );
    assert_eq!(
        place.json(&["retention", "30d", "--json"])["retention"],
        "30d"
    );
    place.misuse(&["retention", "soon"], &["no length of time"]);
    let due = place.json(&["purge", "--due", "--reason", "test", "--json"]);
    assert_eq!(due["models"], json!([]), "nothing is older than 30 days");

    let request = again["request"].as_str().unwrap();
    let purge = [
        "purge",
        "--request",
        request,
        "--reason",
        "erasure request 7",
    ];
    let dry = [&purge[..], &["--dry-run"]].concat();
    let count = objects(&place).len();
    insta::assert_snapshot!("purge_dry", filtered(&place.text(&dry)));
    assert_eq!(objects(&place).len(), count);
    insta::assert_snapshot!("purge", filtered(&place.text(&purge)));
    assert!(objects(&place).len() < count);
    let states = place.text(&["list", "r"]);
    assert_eq!(states.matches("purged").count(), 4, "{states}");
    assert_eq!(states.matches("current").count(), 4, "{states}");
    place.refuse(&["export", "r1@1", "gone.safetensors"], &["r1@1", "purged"]);
    place.run(&["export", "r1", "there.safetensors"]).success();
    let operation = again["operation"].to_string();
    place.refuse(&["undo", &operation], &["was purged"]);
    insta::assert_snapshot!("fsck", filtered(&place.text(&["fsck"])));
    insta::assert_snapshot!(
        "operations",
        filtered(&place.text(&["log", "--operations"]))
    );
}

fn digests_after(done: &Value) -> Vec<Value> {
    let models = done["models"].as_array().unwrap();
    models.iter().map(|m| m["digest_after"].clone()).collect()
}

#[test]
fn models_are_listed_page_by_page() {
    let place = Place::grown();
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut arguments = vec!["list", "--limit", "4", "--json"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let page = place.json(&arguments);
        let models = page["models"].as_array().unwrap();
        names.extend(
            models
                .iter()
                .map(|m| m["model"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(names, ["d@1", "r1@1", "r2@1", "r3@1", "r4@1", "s@1"]);
    let text = place.text(&["list", "r", "--limit", "2"]);
    assert!(text.contains("more: --after r2@1"), "{text}");
    place.run(&["list", "--limit", "0"]).failure().code(2);
}

#[test]
fn what_is_damaged_is_found_and_repaired() {
    let place = Place::grown();
    let copy = place.copy();
    let sound = place.json(&["fsck", "--json"]);
    assert_eq!(sound["damages"], json!([]));
    // A manifest, and of another model one byte of one tensor, half of a second, and a third
    // altogether: what only the first manifest speaks of cannot be told from garbage.
    let registry = place.registry();
    let file = |digest: disinherit_registry::Digest| {
        let name = digest.to_string();
        place.path(&format!(
            ".disinherit/objects/{}/{}",
            &name[..2],
            &name[2..]
        ))
    };
    let digest = |model: &str| registry.digest(&model.parse().unwrap()).unwrap().unwrap();
    fs::write(file(digest("s@1")), "{}").unwrap();
    let tensors = registry.manifest(digest("r1@1")).unwrap().tensors;
    let files: Vec<_> = tensors.values().map(|tensor| file(tensor.digest)).collect();
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[0] ^= 1;
    fs::write(&files[0], &bytes).unwrap();
    let half = fs::read(&files[1]).unwrap();
    fs::write(&files[1], &half[..half.len() / 2]).unwrap();
    fs::remove_file(&files[2]).unwrap();
    let fsck = |arguments: &[&str]| {
        let output = place.command(arguments).output().unwrap();
        let health: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), health)
    };
    let (code, health) = fsck(&["fsck", "--json"]);
    assert_eq!(code, 1);
    // Half a tensor is named twice: its digest, and its length.
    assert_eq!(health["damages"].as_array().unwrap().len(), 5, "{health}");
    place.refuse(&["gc"], &["damaged"]);

    let other = copy.folder.path().to_str().unwrap();
    let (code, health) = fsck(&["fsck", "--repair", "--from", other, "--json"]);
    assert_eq!(code, 0, "{health}");
    assert_eq!(fsck(&["fsck", "--json"]).1["damages"], json!([]));
    assert_eq!(
        crate::common::contents(&place.path(".disinherit/objects")).len(),
        crate::common::contents(&copy.path(".disinherit/objects")).len()
    );
}

#[test]
fn garbage_goes_and_nothing_else() {
    let place = Place::grown();
    let before = objects(&place);
    let registry = place.registry();
    let tensors = [(
        "w".to_owned(),
        disinherit_formats::Tensor::from_f32(&[1], &[4.25]),
    )];
    let manifest = disinherit_registry::Manifest {
        head: "w".into(),
        ..disinherit_registry::Manifest::default()
    };
    registry.put_model(manifest, tensors.into()).unwrap();
    fs::write(place.path(".disinherit/objects/ab"), "a file").ok();
    fs::write(place.path(".disinherit/.tmpXYZ"), "half a file").unwrap();
    assert!(objects(&place).len() > before.len());
    // A writer keeps the objects that no manifest names yet.
    place.refuse(&["gc"], &["another process is writing"]);
    drop(registry);
    let dry = place.json(&["gc", "--dry-run", "--json"]);
    assert_eq!(dry["objects"], 2);
    let done = place.json(&["gc", "--json"]);
    assert_eq!(
        (&done["objects"], &done["bytes"]),
        (&dry["objects"], &dry["bytes"])
    );
    assert!(done["files"].as_i64().unwrap() >= 1);
    assert_eq!(objects(&place), before);
    assert_eq!(place.json(&["fsck", "--json"])["damages"], json!([]));
}

#[test]
fn certificates_stand_on_their_own() {
    let place = Place::grown();
    place.refuse(&["certify", "--key", "none.pem"], &["none.pem"]);
    place.run(&["key", "proof.pem"]).success();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(place.path("proof.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    place.refuse(&["key", "proof.pem"], &["already"]);
    place.refuse(
        &["certify", "--key", "proof.pem"],
        &["nothing has been unlearned"],
    );
    let number = unlearned(&place)["operation"].to_string();
    let certify = [
        "certify",
        "--key",
        "proof.pem",
        "--data",
        "digits",
        "--json",
    ];
    let made = place.json(&certify);
    assert_eq!(made["judged"], 4);
    place.refuse(&certify, &["already", "--force"]);

    // Elsewhere, without the registry.
    let elsewhere = Place::new();
    for name in ["certificate.json", "proof.pem.pub"] {
        fs::copy(place.path(name), elsewhere.path(name)).unwrap();
    }
    let verify = [
        "verify",
        "--certificate",
        "certificate.json",
        "--public-key",
        "proof.pem.pub",
    ];
    insta::assert_snapshot!("certificate", filtered(&elsewhere.text(&verify)));
    let with_registry = [&verify[..], &["--registry", "."]].concat();
    let text = place.text(&with_registry);
    assert!(
        text.contains("the registry has it all as certified"),
        "{text}"
    );

    // Altered in any way, it is refused.
    let whole = fs::read_to_string(place.path("certificate.json")).unwrap();
    let mut envelope: Value = serde_json::from_str(&whole).unwrap();
    let payload = envelope["payload"].as_str().unwrap().to_owned();
    let tampered = format!(
        "{}{}",
        &payload[..200],
        payload[200..].replacen('a', "b", 1)
    );
    envelope["payload"] = tampered.into();
    let file = elsewhere.path("certificate.json");
    fs::write(&file, envelope.to_string()).unwrap();
    elsewhere.stop(1, &verify, &["altered since it was signed"]);
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    elsewhere.refuse(&verify, &["certificate cannot be used"]);
    fs::write(&file, &whole).unwrap();
    elsewhere.run(&["key", "other.pem"]).success();
    elsewhere.stop(
        1,
        &[&verify[..3], &["--public-key", "other.pem.pub"]].concat(),
        &["signed with the key"],
    );

    // What the registry does not have as certified is said.
    place.run(&["undo", &number]).success();
    let output = place.command(&with_registry).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("PROBLEM: the request was undone"), "{text}");
    assert!(
        text.contains("PROBLEM: `r1@2` is not in the registry"),
        "{text}"
    );
}

#[test]
fn a_log_that_was_tampered_with_is_found() {
    let place = Place::grown();
    let number = unlearned(&place)["operation"].to_string();
    place.run(&["key", "proof.pem"]).success();
    place.run(&["certify", "--key", "proof.pem"]).success();
    let whole = place.copy();
    let database = |place: &Place, statement: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let file = place.path(".disinherit/catalog.sqlite");
        runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        });
    };
    for (statement, words) in [
        (
            "UPDATE operations SET actor = 'somebody else' WHERE id = 3",
            "operation 3 (`grow`) has been altered",
        ),
        (
            "DELETE FROM operations WHERE id = 4",
            "entries have been taken out",
        ),
        (
            "UPDATE operations SET time = time + 1, hash = '00' WHERE id = 2",
            "operation 3 does not follow",
        ),
        (
            "DELETE FROM models WHERE name = 's'",
            "the catalog lacks it",
        ),
        (
            "UPDATE models SET superseded = 0 WHERE name = 'r1'",
            "not in the state that the log says",
        ),
        (
            "UPDATE models SET manifest = (SELECT manifest FROM models WHERE name = 'd') WHERE name = 's'",
            "by the log it was published with",
        ),
    ] {
        let place = whole.copy();
        database(&place, statement);
        let output = place.command(&["fsck"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{statement}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(words), "{statement}: {text}");
        if statement.contains("operations") {
            let log = place.command(&["log", "--operations"]).output().unwrap();
            assert_eq!(log.status.code(), Some(1), "{statement}");
        }
    }
    // The last entries leave no gap; but a certificate that was issued after them speaks of them.
    let cut = whole.copy();
    database(&cut, &format!("DELETE FROM operations WHERE id = {number}"));
    let files = ["certificate.json", "proof.pem.pub"].map(|name| place.path(name));
    let [certificate, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let verify = [
        "verify",
        "--certificate",
        certificate,
        "--public-key",
        key,
        "--registry",
        ".",
    ];
    let output = cut.command(&verify).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lacks = format!("PROBLEM: the log lacks operation {number}");
    assert!(text.contains(&lacks), "{text}");
}
