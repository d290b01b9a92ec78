//! The rooms of the house: who may know whom, how large a room may be, and its words (`docs/design.md`).

mod arrows;
mod imports;
mod sizes;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::finding::Finding;
use crate::source::read_crate;
use crate::workspace::{Package, Workspace};

/// Checks all packages, or some, and prints what is found. Gives whether nothing was.
///
/// # Errors
/// What cannot be read.
pub(crate) fn modules(only: &[String], json: bool) -> Result<bool, String> {
    let workspace = Workspace::load()?;
    for name in only {
        if !workspace.packages.iter().any(|p| &p.name == name) {
            let names: Vec<&str> = workspace.packages.iter().map(|p| &p.name[..]).collect();
            return Err(format!(
                "no package `{name}`; there are {}",
                names.join(", ")
            ));
        }
    }
    let chosen = |package: &&Package| only.is_empty() || only.contains(&package.name);
    let mut found = Vec::new();
    for package in workspace.packages.iter().filter(chosen) {
        found.extend(check(&workspace, package)?);
    }
    if only.is_empty() {
        found.extend(python(&workspace.root.join("python/src"), &workspace)?);
    }
    found.sort();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &found {
        *counts.entry(finding.rule.name()).or_default() += 1;
    }
    if json {
        let list: Vec<Value> = found.iter().map(Finding::to_json).collect();
        println!("{:#}", json!({"findings": list, "counts": counts}));
    } else {
        for finding in &found {
            println!("{}", finding.to_text());
        }
        let counts: Vec<String> = counts
            .iter()
            .map(|(rule, n)| format!("{rule} {n}"))
            .collect();
        match counts.is_empty() {
            true => println!("nothing found"),
            false => println!("\n{} findings: {}", found.len(), counts.join(", ")),
        }
    }
    Ok(found.is_empty())
}

fn check(workspace: &Workspace, package: &Package) -> Result<Vec<Finding>, String> {
    let text = read(&package.manifest)?;
    let mut found = arrows::check(package, &text);
    for root in &package.roots {
        let source = read_crate(root, &|path| std::fs::read_to_string(path).ok())?;
        found.extend(imports::circles(&source));
        found.extend(imports::through_root(&source));
        found.extend(sizes::check(&source, arrows::is_bindings(package)));
        for file in &source.files {
            found.extend(words::in_rust(&file.path, &read(&file.path)?)?);
        }
    }
    for finding in &mut found {
        finding.file = workspace.shown(&finding.file);
    }
    Ok(found)
}

/// The words of the Python package.
fn python(folder: &Path, workspace: &Workspace) -> Result<Vec<Finding>, String> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(python(&path, workspace)?);
        } else if path.extension().is_some_and(|e| e == "py" || e == "pyi") {
            let shown = workspace.shown(&path);
            found.extend(words::in_python(&shown, &read(&path)?));
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}
