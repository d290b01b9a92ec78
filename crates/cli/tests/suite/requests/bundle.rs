//! The auditor's bundle: made twice, checked by the commands in its own README.md, tampered with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use disinherit_testkit::skipped;
use serde_json::Value;

use super::{desk, steps};

use crate::common::{Place, copy_folder};

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

fn has(tool: &str) -> bool {
    Command::new(tool)
        .arg("--version")
        .output()
        .is_ok_and(|said| said.status.success())
}

/// A bundle on the disk with the commands of its README.
struct Taken {
    folder: tempfile::TempDir,
    blocks: Vec<String>,
}

impl Taken {
    fn new(place: &Place, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&place.path(name), folder.path());
        let readme = fs::read_to_string(folder.path().join("README.md")).unwrap();
        let blocks = readme.split("```sh\n").skip(1);
        let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
        Self {
            blocks: blocks.collect(),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the blocks that use this tool, as they stand; how many were run, and whether all of them held.
    fn check(&self, tool: &str) -> (usize, bool) {
        let blocks = self.blocks.iter().filter(|block| block.contains(tool));
        let ran = blocks.map(|block| {
            let mut shell = Command::new("sh");
            shell
                .args(["-e", "-c", block])
                .current_dir(self.folder.path());
            let output = shell.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.success(), said)
        });
        let ran: Vec<(bool, String)> = ran.collect();
        (ran.len(), ran.iter().all(|(held, _)| *held))
    }

    fn holds(&self, tool: &str) -> bool {
        let (count, held) = self.check(tool);
        assert!(count > 0, "no command uses {tool}");
        held
    }

    /// Changes a file, and writes the sums of all files anew, as somebody would who wants it to go unnoticed.
    fn alter(&self, name: &str, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let altered = change(text.clone());
        assert_ne!(text, altered, "{name}");
        fs::write(self.path(name), altered).unwrap();
        let write = "find . -type f ! -name SHA256SUMS | sort | sed 's,^[.]/,,' | xargs sha256sum > SHA256SUMS";
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", write])
            .current_dir(self.folder.path());
        assert!(shell.status().unwrap().success());
        assert!(
            self.holds("sha256sum"),
            "the sums are those of the altered files"
        );
    }
}

/// A registry whose request 1 is closed, with an entry of another matter between its steps.
fn closed() -> Place {
    let place = desk();
    for (at, step) in steps().iter().enumerate() {
        place.run(step).success();
        if at == 4 {
            place
                .run(&[
                    "request",
                    "new",
                    "--forget",
                    "class=5",
                    "--requester",
                    "subject-other",
                ])
                .success();
        }
    }
    place
}

fn bundle(place: &Place, out: &str, more: &[&str]) -> Value {
    let words = ["request", "bundle", "1", "--json", "--out", out];
    place.json(&[&words[..], more].concat())
}

/// The files of an archive, without the folder that they are in.
fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    (0..archive.len())
        .map(|at| {
            let mut file = archive.by_index(at).unwrap();
            let name = file.name().unwrap().into_owned();
            let name = name.strip_prefix("request-1/").unwrap().to_owned();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

/// `bundle` and `request bundle` are one command, with one help and one set of exit codes.
#[test]
fn a_bundle_has_a_command_of_its_own() {
    let place = closed();
    let made = place.json(&["bundle", "1", "--json", "--out", "own.zip"]);
    assert_eq!(made["files"], bundle(&place, "two.zip", &[])["files"]);
    let [own, two] = ["own.zip", "two.zip"].map(|name| fs::read(place.path(name)).unwrap());
    assert!(own == two);
    assert!(place.text(&["bundle", "1"]).contains("wrote request-1.zip"));
    place.refuse(
        &["bundle", "1"],
        &["request-1.zip is there already", "--out"],
    );
    place.refuse(&["bundle", "9"], &["no request 9", "help:"]);
    place.misuse(&["bundle"], &["<REQUEST>"]);
    place.misuse(&["bundle", "first"], &["first"]);
    let help = place.text(&["bundle", "--help"]);
    let options = help.split("Options:").next().unwrap();
    assert!(
        place
            .text(&["request", "bundle", "--help"])
            .contains("disinherit bundle 3")
    );
    insta::assert_snapshot!("bundle", options);
}

#[test]
fn a_bundle_is_the_same_whenever_it_is_made() {
    let place = closed();
    let made = bundle(&place, "one.zip", &[]);
    bundle(&place, "two.zip", &[]);
    bundle(&place, "folder", &[]);
    place.refuse(
        &["request", "bundle", "1", "--out", "folder"],
        &["folder is there already", "--out"],
    );
    place.refuse(&["request", "bundle", "9"], &["no request 9"]);
    let [one, two] = ["one.zip", "two.zip"].map(|name| fs::read(place.path(name)).unwrap());
    assert!(one == two);
    let inside = unpacked(&one);
    let listed: Vec<&str> = made["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        listed,
        inside.keys().map(String::as_str).collect::<Vec<_>>()
    );
    for (name, bytes) in &inside {
        assert!(
            *bytes == fs::read(place.path("folder").join(name)).unwrap(),
            "{name}"
        );
    }
    let request: Value = serde_json::from_slice(&inside["request.json"]).unwrap();
    let states: Vec<&str> = request["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step["state"].as_str())
        .collect();
    assert_eq!((states[0], *states.last().unwrap()), ("received", "closed"));
    let bom: Value = serde_json::from_slice(&inside["ml-bom.cdx.json"]).unwrap();
    assert_eq!(bom["components"].as_array().unwrap().len(), 4);
    let report = String::from_utf8(inside["report.html"].clone()).unwrap();
    for words in [
        "Every step",
        "request close",
        "membership inference",
        "backups",
    ] {
        assert!(
            report.to_lowercase().contains(&words.to_lowercase()),
            "{words}"
        );
    }
    assert!(
        !report.contains("href=") && !report.contains("<script"),
        "a file needs nothing else"
    );
    // The other matter is named only where the whole chain is asked for.
    let whole = bundle(&place, "whole.zip", &["--whole-chain"]);
    let whole_files = whole["files"].as_array().unwrap().len();
    assert_eq!(whole_files, inside.len() + 1);
    let names = |archive: &[u8]| {
        unpacked(archive)
            .into_values()
            .any(|text| String::from_utf8_lossy(&text).contains("subject-other"))
    };
    assert!(!names(&one) && names(&fs::read(place.path("whole.zip")).unwrap()));
    // As far as a request has come.
    bundle(&place, "early.zip", &[]);
    let words = ["request", "bundle", "2", "--json", "--out", "early"];
    assert_eq!(place.json(&words)["key"], Value::Null);
    let early = fs::read_to_string(place.path("early/README.md")).unwrap();
    assert!(
        early.contains("has no certificate: it is received"),
        "{early}"
    );
}

#[test]
fn a_bundle_is_checked_by_the_commands_in_its_readme() {
    let what = "the commands of a bundle's README.md";
    if let Some(tool) = ["sha256sum", "jq", "openssl", "base64"]
        .into_iter()
        .find(|tool| {
            // openssl has its version as a command.
            !has(tool) && Command::new(tool).arg("version").output().is_err()
        })
    {
        return skipped(what, &format!("there is no {tool}"));
    }
    let place = closed();
    bundle(&place, "folder", &["--whole-chain"]);
    let taken = || Taken::new(&place, "folder");
    let whole = taken();
    for tool in ["sha256sum", "openssl pkeyutl", "jq"] {
        if tool == "jq" && !has("b3sum") {
            continue;
        }
        assert!(whole.holds(tool), "{tool}: {:?}", whole.blocks);
    }
    // A byte of any file, a file more, a file less.
    for file in files(whole.folder.path()) {
        let bytes = fs::read(&file).unwrap();
        let mut other = bytes.clone();
        other[bytes.len() / 2] ^= 1;
        fs::write(&file, other).unwrap();
        assert!(!whole.holds("sha256sum"), "{}", file.display());
        fs::write(&file, bytes).unwrap();
    }
    fs::write(whole.path("log/0.json"), "[]").unwrap();
    assert!(!whole.holds("sha256sum"));
    fs::remove_file(whole.path("log/0.json")).unwrap();
    fs::remove_file(whole.path("scope.json")).unwrap();
    assert!(!whole.holds("sha256sum"));

    // With sums that were written anew: the signature and the log notice.
    let statement = taken();
    statement.alter("statement.json", |text| {
        text.replace("\"tester\"", "\"another\"")
    });
    assert!(!statement.holds("openssl pkeyutl"));
    let certificate = taken();
    certificate.alter("certificate.json", |text| {
        text.replacen("\"payload\": \"e", "\"payload\": \"f", 1)
    });
    assert!(!certificate.holds("openssl pkeyutl"));
    let signature = taken();
    signature.alter("certificate.json", |text| {
        let mut document: Value = serde_json::from_str(&text).unwrap();
        let sig = document["signatures"][0]["sig"]
            .as_str()
            .unwrap()
            .to_owned();
        let first = if sig.starts_with('A') { "B" } else { "A" };
        document["signatures"][0]["sig"] = format!("{first}{}", &sig[1..]).into();
        document.to_string()
    });
    assert!(!signature.holds("openssl pkeyutl"));
    // An entry with the hash of another entry before it.
    let log = taken();
    let second = log
        .blocks
        .iter()
        .find(|block| block.contains("--rawfile"))
        .unwrap();
    assert!(log.holds("--rawfile"), "{second}");
    let number = place
        .registry()
        .erasure_history(disinherit_registry::ErasureId::new(1))
        .unwrap()[2]
        .id;
    log.alter(&format!("log/{number}.json"), |text| {
        let mut entry: Value = serde_json::from_str(&text).unwrap();
        entry[1] = "0".repeat(64).into();
        entry.to_string()
    });
    assert!(!log.holds("--rawfile"));
    if !has("b3sum") {
        return skipped("the log in a bundle's README.md", "there is no b3sum");
    }
    for (name, tool) in [
        (format!("log/{number}.json"), "log/B3SUMS"),
        ("scope.json".to_owned(), "scope.json"),
        ("verdicts.json".to_owned(), "verdicts.json"),
    ] {
        let altered = taken();
        altered.alter(&name, |text| text.replacen('1', "2", 1));
        assert!(!altered.holds(tool), "{name}");
    }
}
