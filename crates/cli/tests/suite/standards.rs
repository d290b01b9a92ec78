//! Documents for other tools: graphs, statements, bills of materials, lineage, signatures. That the tools take them
//! is tested in Python, where their validators are (`python/tests/test_standards.py`, `test_certificates.py`).

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::common::{Place, UNLEARN};

fn forgotten(place: &Place) -> String {
    let done = place.json(&UNLEARN);
    done["unlearned"]["operation"].to_string()
}

/// The statement in an envelope.
fn statement(place: &Place, file: &str) -> Value {
    let envelope: Value = serde_json::from_slice(&fs::read(place.path(file)).unwrap()).unwrap();
    let payload = decoded(envelope["payload"].as_str().unwrap());
    serde_json::from_slice(&payload).unwrap()
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

#[test]
fn the_graph_is_written_for_other_tools() {
    let place = Place::grown();
    forgotten(&place);
    let current = place.text(&["graph", "--format", "dot"]);
    assert_eq!(current, place.text(&["graph", "--dot"]));
    assert!(
        current.contains("\"r1@2\"") && !current.contains("\"r1@1\""),
        "{current}"
    );
    let all = place.text(&["graph", "--all", "--format", "mermaid"]);
    assert!(all.contains("r1@1") && all.contains("r1@2"), "{all}");
    let json: umig::Umig =
        serde_json::from_str(&place.text(&["graph", "--all", "--format", "json"])).unwrap();
    let edges = json.edges().count();
    let written = place.json(&[
        "graph",
        "--all",
        "--format",
        "graphml",
        "--out",
        "graph.graphml",
        "--json",
    ]);
    assert_eq!(
        (&written["models"], &written["edges"]),
        (&json!(json.len()), &json!(edges))
    );
    let text = fs::read_to_string(place.path("graph.graphml")).unwrap();
    assert_eq!(text.matches("<node ").count(), json.len());
    assert_eq!(text.matches("<edge ").count(), edges);
    let graph = ["graph", "--format", "graphml", "--out", "graph.graphml"];
    place.refuse(&graph, &["already", "--force"]);
    place.run(&[&graph[..], &["--force"]].concat()).success();
    place.misuse(&["graph", "--format", "parquet"], &["no text", "--out"]);
    let table = [
        "graph",
        "--all",
        "--format",
        "parquet",
        "--out",
        "edges.parquet",
    ];
    assert!(place.text(&table).contains(&format!("{edges} edges")));
    let bytes = fs::read(place.path("edges.parquet")).unwrap();
    assert_eq!(
        (&bytes[..4], &bytes[bytes.len() - 4..]),
        (&b"PAR1"[..], &b"PAR1"[..])
    );
}

#[test]
fn certificates_are_written_for_other_tools_too() {
    let place = Place::grown();
    forgotten(&place);
    for kind in ["ed25519", "p256"] {
        let (key, file) = (format!("{kind}.pem"), format!("{kind}.json"));
        place.run(&["key", &key, "--kind", kind]).success();
        let certify = [
            "certify",
            "--key",
            &key,
            "--data",
            "digits",
            "--out",
            &file,
            "--in-toto",
        ];
        let made = place.json(&[&certify[..], &["--json"]].concat());
        let [test, summary] = ["test-result", "summary"].map(|what| format!("{kind}.{what}.json"));
        assert_eq!(made["in_toto"], json!([&test, &summary]));
        place.refuse(&certify, &["already"]);
        let own = statement(&place, &file);
        for other in [&test, &summary] {
            let other = statement(&place, other);
            assert_eq!(other["subject"], own["subject"]);
            assert_eq!(other["_type"], own["_type"]);
        }
        let digests = &own["subject"][0]["digest"];
        let sha256 = digests["sha256"].as_str().unwrap();
        assert_eq!(
            (sha256.len(), digests["blake3"].as_str().unwrap().len()),
            (64, 64)
        );
        let public = format!("{key}.pub");
        let verify = ["verify", "--certificate", &file, "--public-key", &public];
        place.run(&verify).success();
        // A statement in other words is no certificate.
        place.stop(
            1,
            &["verify", "--certificate", &test, "--public-key", &public],
            &["cannot be used"],
        );
    }
}

#[test]
fn models_and_requests_have_bills_of_materials() {
    let place = Place::grown();
    let operation = forgotten(&place);
    place.run(&["key", "proof.pem"]).success();
    place
        .run(&["certify", "--key", "proof.pem", "--data", "digits"])
        .success();
    let proof = [
        "--certificate",
        "certificate.json",
        "--public-key",
        "proof.pem.pub",
    ];
    let bill = place.json(&[&["bom", "r1"][..], &proof].concat());
    assert_eq!(
        (&bill["bomFormat"], &bill["specVersion"]),
        (&json!("CycloneDX"), &json!("1.7"))
    );
    let model = &bill["metadata"]["component"];
    assert_eq!(model["bom-ref"], "r1@2");
    let variants = model["pedigree"]["variants"].as_array().unwrap();
    assert_eq!(variants[0]["version"], "1");
    let metrics = &model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"];
    let slices: Vec<&str> = metrics
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["slice"].as_str().unwrap())
        .collect();
    assert!(slices.contains(&"forgotten data, held out"), "{slices:?}");
    assert_eq!(model["externalReferences"][0]["url"], "certificate.json");
    let whole = place.json(&["bom", "--request", &operation]);
    assert_eq!(whole["components"].as_array().unwrap().len(), 4);
    let said = place.json(&["bom", "r1", "--out", "r1.cdx.json", "--json"]);
    let read: Value =
        serde_json::from_slice(&fs::read(place.path("r1.cdx.json")).unwrap()).unwrap();
    assert_eq!(said["serial_number"], read["serialNumber"]);
    place.refuse(&["bom", "r1", "--out", "r1.cdx.json"], &["already"]);
    place.refuse(&["bom", "r99"], &["r99"]);
    place.refuse(&["bom", "--request", "4711"], &["4711"]);
    place.misuse(&["bom"], &["MODEL"]);
    place.misuse(
        &["bom", "r1", "--certificate", "certificate.json"],
        &["--public-key"],
    );
    place.run(&["key", "other.pem"]).success();
    let other = [
        "bom",
        "r1",
        "--certificate",
        "certificate.json",
        "--public-key",
        "other.pem.pub",
    ];
    place.refuse(&other, &["signed with the key"]);
}

#[test]
fn the_log_is_written_as_events() {
    let place = Place::grown();
    let operation = forgotten(&place);
    let lines = place.text(&["log", "--openlineage", "--namespace", "clinics"]);
    let events: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let log = place.json(&["log", "--operations", "--json"]);
    assert_eq!(events.len(), log.as_array().unwrap().len());
    for (event, entry) in events.iter().zip(log.as_array().unwrap()) {
        assert_eq!(
            event["job"],
            json!({
                "namespace": "clinics", "name": entry["command"], "facets": event["job"]["facets"],
            })
        );
        assert_eq!(
            event["run"]["facets"]["disinherit_operation"]["hash"],
            entry["hash"]
        );
    }
    let last = events.last().unwrap();
    let change = &last["outputs"][0]["facets"]["lifecycleStateChange"]["lifecycleStateChange"];
    assert_eq!(change, "OVERWRITE");
    let one = place.text(&[
        "log",
        "--openlineage",
        "--namespace",
        "clinics",
        "--request",
        &operation,
    ]);
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap(), *last);
    place.misuse(&["log", "--request", &operation], &["--openlineage"]);
}

#[test]
fn exported_models_are_signed() {
    let place = Place::grown();
    place.run(&["key", "proof.pem"]).success();
    place
        .run(&["key", "models.pem", "--kind", "p256"])
        .success();
    let export = ["export", "r1", "r1.safetensors", "--sign"];
    place.refuse(
        &[&export[..], &["proof.pem"]].concat(),
        &["P-256", "--kind p256"],
    );
    assert!(!place.path("r1.safetensors").exists());
    let said = place.json(&[&export[..], &["models.pem", "--json"]].concat());
    assert_eq!(said["signature"], "r1.safetensors.sig");
    let bundle: Value =
        serde_json::from_slice(&fs::read(place.path("r1.safetensors.sig")).unwrap()).unwrap();
    let payload = decoded(bundle["dsseEnvelope"]["payload"].as_str().unwrap());
    let said: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        said["predicateType"],
        "https://model_signing/signature/v1.0"
    );
    assert_eq!(said["predicate"]["resources"][0]["name"], ".");
}

/// The files that a signature covers, with their digests.
fn covered(signature: &std::path::Path) -> BTreeMap<String, String> {
    let bundle: Value = serde_json::from_slice(&fs::read(signature).unwrap()).unwrap();
    let payload = decoded(bundle["dsseEnvelope"]["payload"].as_str().unwrap());
    let said: Value = serde_json::from_slice(&payload).unwrap();
    let resources = said["predicate"]["resources"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    resources
        .map(|resource| (text(&resource["name"]), text(&resource["digest"])))
        .collect()
}

#[test]
fn what_lies_there_already_is_signed() {
    let place = Place::grown();
    place.run(&["key", "proof.pem"]).success();
    place
        .run(&["key", "models.pem", "--kind", "p256"])
        .success();
    let folder = place.path("model");
    fs::create_dir(&folder).unwrap();
    place
        .run(&["export", "r1", "model/model.safetensors"])
        .success();
    let sign = ["sign", "model", "--key"];
    place.refuse(&[&sign[..], &["proof.pem"]].concat(), &["P-256"]);
    place.refuse(&["sign", "absent", "--key", "models.pem"], &["absent"]);
    let said = place.json(&[&sign[..], &["models.pem", "--json"]].concat());
    assert_eq!(said["signature"], "model/model.sig");
    let before = covered(&folder.join("model.sig"));
    assert_eq!(before.len(), 1);
    // A card written afterwards is covered once it is signed again; the signature itself never is.
    fs::write(folder.join("README.md"), "# A card").unwrap();
    let text = place.text(&[&sign[..], &["models.pem"]].concat());
    assert!(text.contains("signed in model/model.sig"), "{text}");
    let after = covered(&folder.join("model.sig"));
    assert_eq!(after.len(), 2);
    assert_eq!(after["model.safetensors"], before["model.safetensors"]);
    assert!(after.contains_key("README.md"));
    // Checkers refuse folders with links, so nothing is signed that they would refuse.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("README.md", folder.join("LINK.md")).unwrap();
        place.refuse(&[&sign[..], &["models.pem"]].concat(), &["symbolic link"]);
    }
}
