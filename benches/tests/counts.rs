//! Kernels take no more instructions than they did. `benches/counts.json` has what they took, in the profile that tests
//! are built in; `DISINHERIT_COUNTS=keep` writes what they take now into it, after a change that is worth it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use disinherit_testkit::{note, skipped};
use serde_json::Value;

/// How many times as many as before are too many. What the compiler puts into one function depends on how the build is cut
/// into pieces, and copies of memory on the C library.
const TOO_MANY: f64 = 1.25;

#[test]
fn kernels_take_no_more_instructions_than_they_did() {
    let what = "instructions of the kernels";
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return skipped(what, "they were counted on Linux on x86-64");
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skipped(what, "there is no valgrind");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_benches"))
        .arg("counts")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let counted: BTreeMap<String, f64> = lines
        .map(|line: Value| {
            let name = line["name"].as_str().unwrap().to_owned();
            (name, line["ours"].as_f64().unwrap())
        })
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.json");
    if std::env::var_os("DISINHERIT_COUNTS").is_some_and(|what| what == "keep") {
        let text = serde_json::to_string_pretty(&counted).unwrap();
        return std::fs::write(file, text + "\n").unwrap();
    }
    let before = std::fs::read_to_string(file).unwrap();
    let before: BTreeMap<String, f64> = serde_json::from_str(&before).unwrap();
    let names = |counts: &BTreeMap<String, f64>| counts.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&counted), names(&before), "DISINHERIT_COUNTS=keep");
    let told = |(name, count): (&String, &f64)| {
        let share = count / before[name];
        note(&format!(
            "{name}: {count:.2} M instructions, {share:.3} of before"
        ));
        (share > TOO_MANY).then(|| format!("{name}: {share:.3} times as many"))
    };
    let worse: Vec<String> = counted.iter().filter_map(told).collect();
    assert!(worse.is_empty(), "{}", worse.join("\n"));
}
