//! The workspace as Cargo tells it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    /// The packages of the workspace that it needs other than in tests.
    pub(crate) needs: Vec<String>,
    /// The root files of its libraries and binaries.
    pub(crate) roots: Vec<PathBuf>,
}

impl Package {
    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(&self.manifest)
    }
}

/// The workspace's folder and its packages, by name.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

impl Workspace {
    /// Asks `cargo metadata`.
    ///
    /// # Errors
    /// What Cargo says, or that its answer has another form.
    pub(crate) fn load() -> Result<Self, String> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1", "--quiet"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run `cargo metadata`: {error}"))?;
        if !output.status.success() {
            return Err("`cargo metadata` failed".into());
        }
        let told = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        Self::from_metadata(&told)
    }

    fn from_metadata(told: &Value) -> Result<Self, String> {
        let root = told["workspace_root"].as_str();
        let root = root.ok_or("`cargo metadata` tells no workspace root")?;
        let packages = told["packages"].as_array();
        let packages = packages.ok_or("`cargo metadata` tells no packages")?;
        let mut packages: Vec<Package> = packages.iter().map(package).collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<String> = packages.iter().map(|p| p.name.clone()).collect();
        for package in &mut packages {
            package.needs.retain(|name| names.contains(name));
        }
        Ok(Self {
            root: root.into(),
            packages,
        })
    }

    /// A path as it is shown.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }
}

fn package(told: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |key: &str| told[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut needs: Vec<String> = list("dependencies")
        .iter()
        .filter(|need| need["kind"] != "dev")
        .map(|need| text(&need["name"]))
        .collect();
    needs.sort();
    needs.dedup();
    let built = |target: &&Value| {
        let kinds = target["kind"].as_array().map(Vec::as_slice);
        let tried = ["test", "example", "bench", "custom-build"];
        let is_tried = |kind: &Value| kind.as_str().is_some_and(|kind| tried.contains(&kind));
        !kinds.unwrap_or_default().iter().any(is_tried)
    };
    let roots = list("targets").iter().filter(built);
    Package {
        name: text(&told["name"]),
        manifest: text(&told["manifest_path"]).into(),
        needs,
        roots: roots
            .map(|target| text(&target["src_path"]).into())
            .collect(),
    }
}
