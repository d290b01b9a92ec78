//! What the tests of the command line share.

#[cfg(all(unix, feature = "server"))]
pub(crate) mod browser;
#[cfg(all(unix, feature = "server"))]
pub(crate) mod server;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use disinherit_formats::{Tensor, write_checkpoint};
use disinherit_nets::{Architecture, Kind, StateDict, initial_state};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a registry in it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.run(&["init"]).success();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> assert_cmd::assert::Assert {
        self.command(arguments).assert()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("disinherit").unwrap();
        command
            .current_dir(self.folder.path())
            .env("DISINHERIT_ACTOR", "tester")
            .env_remove("DISINHERIT_REGISTRY")
            .args(arguments);
        command
    }

    /// A folder with a registry of a small federated network on the digits, grown in a second or so.
    pub(crate) fn grown() -> Self {
        let place = Self::new();
        place.run(&GROW).success();
        place
    }

    /// Another folder with the same registry.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        copy_folder(&self.path(".disinherit"), &copy.path(".disinherit"));
        copy
    }

    /// The registry as a library sees it.
    pub(crate) fn registry(&self) -> disinherit_registry::Registry {
        disinherit_registry::Registry::open(self.folder.path()).unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments).success().get_output().stdout.clone();
        serde_json::from_slice(&output).unwrap()
    }

    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.run(arguments).success().get_output().stdout.clone()).unwrap()
    }

    /// A command that must fail (exit code 3), say so, and change nothing.
    pub(crate) fn refuse(&self, arguments: &[&str], words: &[&str]) {
        self.stop(3, arguments, words);
    }

    /// A command line that is wrong (exit code 2): it must say so, and change nothing.
    pub(crate) fn misuse(&self, arguments: &[&str], words: &[&str]) {
        self.stop(2, arguments, words);
    }

    /// A command that must end with this exit code and an error, and change nothing.
    pub(crate) fn stop(&self, code: i32, arguments: &[&str], words: &[&str]) {
        let before = contents(&self.path(".disinherit"));
        let failed = self.run(arguments).failure();
        let message = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
        let failed = failed.get_output().status.code();
        assert_eq!(failed, Some(code), "{arguments:?}: {message}");
        assert!(message.starts_with("error: "), "{message}");
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
        let after = contents(&self.path(".disinherit"));
        assert!(after == before, "{arguments:?} changed something");
    }

    /// A checkpoint of the small network on 1x8x8 images with ten labels.
    pub(crate) fn checkpoint(&self, name: &str, change: impl FnOnce(&mut StateDict)) -> String {
        let architecture = Architecture {
            kind: Kind::SmallCnn,
            input: disinherit_nets::Input::Images(disinherit_data::ImageShape {
                channels: 1,
                height: 8,
                width: 8,
            }),
            classes: 10,
            head: None,
        };
        let mut state = initial_state(&architecture, 1).unwrap();
        change(&mut state);
        let tensors: BTreeMap<String, Tensor> = state
            .into_iter()
            .map(|(name, array)| (name, Tensor::from_f32(&array.shape, &array.values)))
            .collect();
        let file = self.path(name);
        write_checkpoint(&file, &tensors, HashMap::new()).unwrap();
        file.to_string_lossy().into_owned()
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The files of all objects.
pub(crate) fn objects(place: &Place) -> Vec<PathBuf> {
    let found = contents(&place.path(".disinherit")).into_keys();
    found.filter(|path| path.is_absolute()).collect()
}

/// Every object and model of a registry (SQLite's own files come and go).
pub(crate) fn contents(registry: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![registry.join("objects")];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    if let Ok(registry) = disinherit_registry::Registry::open(registry) {
        let log = serde_json::to_vec(&registry.operations().unwrap()).unwrap();
        found.insert("operations".into(), log);
    }
    found
}

/// A small federated network, trained for few epochs.
pub(crate) const GROW: [&str; 6] = ["grow", "fl-digits", "--epochs", "3", "--limit", "200"];

/// A request over it. Three epochs make models that name one sample in six: an edit of such a one may cost it two
/// points.
pub(crate) const FORGET: [&str; 9] = [
    "unlearn",
    "--forget",
    "class=3",
    "--from",
    "r1",
    "--data",
    "digits",
    "--accept-loss",
    "0.1",
];

/// The same, for a program to read.
pub(crate) const UNLEARN: [&str; 10] = forget_with("--json");

/// The same with an option.
pub(crate) const fn forget_with(option: &'static str) -> [&'static str; 10] {
    let mut all = [option; 10];
    let mut at = 0;
    while at < FORGET.len() {
        all[at] = FORGET[at];
        at += 1;
    }
    all
}

pub(crate) const ADD: [&str; 7] = [
    "--architecture",
    "small-cnn",
    "--input",
    "1x8x8",
    "--labels",
    "0,1,2,3,4,5,6,7,8,9",
    "--json",
];

pub(crate) fn add<'a>(file: &'a str, name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["add", file, "--name", name][..], &ADD, more].concat()
}
