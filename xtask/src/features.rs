//! Whether the builds of the workspace share one compilation of the libraries that they stand on.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The library that takes longest to compile.
const LIBRARY: &str = "burn";

/// What is built.
struct Build {
    name: &'static str,
    /// As `cargo tree` selects it.
    selection: &'static [&'static str],
    /// Whether all libraries are shared, or only those below [`LIBRARY`], where the build leaves features out.
    whole: bool,
}

/// The command of the README, the whole command with and without its tests, the Python package, the
/// benchmarks. Each is compared with the workspace and its tests.
const BUILDS: &[Build] = &[
    Build {
        name: "cargo demo",
        selection: &[
            "-p",
            "disinherit-cli",
            "--no-default-features",
            "-e",
            "normal,build",
        ],
        whole: false,
    },
    Build {
        name: "cargo install",
        selection: &["-p", "disinherit-cli", "-e", "normal,build"],
        whole: true,
    },
    Build {
        name: "the command's tests",
        selection: &["-p", "disinherit-cli", "-e", "normal,build,dev"],
        whole: true,
    },
    Build {
        name: "the wheel",
        selection: &["-p", "disinherit-python", "-e", "normal,build"],
        whole: true,
    },
    Build {
        name: "the benchmarks",
        selection: &["-p", "benches", "-e", "normal,build"],
        whole: true,
    },
];

/// Name and version of a package, and the features it is compiled with (more than once where a build
/// script or a macro asks for others).
type Packages = BTreeMap<String, BTreeSet<String>>;

/// Prints the libraries that a build compiles with features that `cargo test --workspace` does not compile
/// them with; true when there are none.
pub(crate) fn features() -> Result<bool, String> {
    let below: BTreeSet<String> = tree(&["-p", LIBRARY, "-e", "normal,build"])?
        .into_keys()
        .collect();
    let tests = tree(&["--workspace", "-e", "normal,build,dev"])?;
    let mut shared = true;
    for build in BUILDS {
        for (package, features) in tree(build.selection)? {
            // Packages of the workspace have their path behind their version.
            let ours = package.contains(" (");
            if ours || !(build.whole || below.contains(&package)) {
                continue;
            }
            let known = tests.get(&package);
            for own in features {
                if known.is_none_or(|known| !known.contains(&own)) {
                    shared = false;
                    let theirs = known.map_or_else(Vec::new, |known| known.iter().collect());
                    println!("{}: {package} [{own}], the tests: {theirs:?}", build.name);
                }
            }
        }
    }
    if shared {
        println!("one compilation for all builds");
    } else {
        println!("help: add what differs to crates/unified/Cargo.toml");
    }
    Ok(shared)
}

/// What `cargo tree` lists for a selection.
fn tree(selection: &[&str]) -> Result<Packages, String> {
    let output = Command::new("cargo")
        .args(["tree", "--prefix", "none", "-f", "{p}|{f}"])
        .args(selection)
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut packages = Packages::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let line = line.trim_end_matches(" (*)");
        if let Some((package, features)) = line.split_once('|') {
            let package = package.trim_end_matches(" (proc-macro)");
            packages
                .entry(package.to_owned())
                .or_default()
                .insert(features.trim_end_matches(" (*)").to_owned());
        }
    }
    Ok(packages)
}
