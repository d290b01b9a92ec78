//! What the engine exports, and who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::source::{Seen, Source, Target, read_crate, token_paths};
use crate::workspace::{Package, Workspace};

/// The most items that the engine exports.
const LIMIT: usize = 40;

/// The engine.
const ENGINE: &str = "disinherit";

/// Whose use counts, besides examples.
const USERS: &[&str] = &[
    "disinherit-cli",
    "disinherit-server",
    "disinherit-python",
    "disinherit-lab",
    "disinherit-report",
    "disinherit-desk",
    "disinherit-audit",
];

/// Counts the engine's exports and prints those that none of its users needs. Gives whether they are
/// few enough and all of them used.
///
/// # Errors
/// What cannot be read.
pub(crate) fn exports(json: bool) -> Result<bool, String> {
    let workspace = Workspace::load()?;
    let engine = workspace.packages.iter().find(|p| p.name == ENGINE);
    let engine = engine.ok_or_else(|| format!("no package `{ENGINE}`"))?;
    let root = engine.folder().join("src/lib.rs");
    let source = read_crate(&root, &|path| std::fs::read_to_string(path).ok())?;
    let exported = exported(&source);
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (user, folder) in places(&workspace) {
        for file in rust_files(&folder)? {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            let names = used(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            for name in names {
                users.entry(name).or_default().insert(user.clone());
            }
        }
    }
    let none = BTreeSet::new();
    let by = |name: &String| users.get(name).unwrap_or(&none);
    let unused: Vec<&String> = exported.iter().filter(|name| by(name).is_empty()).collect();
    if json {
        let list: Vec<_> = exported
            .iter()
            .map(|name| json!({"name": name, "used_by": by(name)}))
            .collect();
        let count = exported.len();
        println!(
            "{:#}",
            json!({"count": count, "limit": LIMIT, "exports": list, "unused": unused})
        );
    } else {
        println!(
            "`{ENGINE}` exports {} items, at most {LIMIT}",
            exported.len()
        );
        for name in &unused {
            println!("{name}: no front end and no example uses it; export it no more");
        }
    }
    Ok(exported.len() <= LIMIT && unused.is_empty())
}

/// The names that a crate gives to others.
fn exported(source: &Source) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    public_names(source, 0, &mut BTreeSet::new(), &mut names);
    names
}

fn public_names(
    source: &Source,
    place: usize,
    seen: &mut BTreeSet<usize>,
    names: &mut BTreeSet<String>,
) {
    if !seen.insert(place) {
        return;
    }
    let module = &source.modules[place];
    let public = module.defined.iter().filter(|(_, public)| **public);
    names.extend(public.map(|(name, _)| name.clone()));
    names.extend(module.public_children.iter().cloned());
    for import in module.imports.iter().filter(|i| i.seen == Seen::World) {
        names.extend(import.name.clone());
        if import.all
            && let Some(Target::Module(inside)) = source.resolve(place, &import.path)
        {
            public_names(source, inside, seen, names);
        }
    }
}

/// Folders with code whose use counts, each with the name that it is told by.
fn places(workspace: &Workspace) -> Vec<(String, PathBuf)> {
    let users = |package: &&Package| USERS.contains(&&package.name[..]);
    let users = workspace.packages.iter().filter(users);
    // The Python package keeps its Rust beside its Python.
    let sources = users.flat_map(|package| {
        ["src", "rust"].map(|folder| (package.name.clone(), package.folder().join(folder)))
    });
    let examples = workspace.packages.iter().map(|package| {
        let name = format!("an example of {}", package.name);
        (name, package.folder().join("examples"))
    });
    let beside = ("an example".to_owned(), workspace.root.join("examples"));
    sources.chain(examples).chain([beside]).collect()
}

/// The `.rs` files below a folder; none where it is not there.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        if !folder.is_dir() {
            continue;
        }
        let failed = |error| format!("cannot list {}: {error}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names of the engine that a text uses: `disinherit::Name`, also within macros and groups.
fn used(text: &str) -> Result<BTreeSet<String>, String> {
    let tokens = text.parse().map_err(|error| format!("{error}"))?;
    let paths = token_paths(tokens).into_iter();
    Ok(paths
        .filter(|(path, _)| path[0] == ENGINE)
        .filter_map(|(path, _)| path.get(1).cloned())
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_public_is_exported() {
        let lib = "mod a;\npub mod open {}\npub use a::{A, b as c};\npub use a::inner::*;\n\
                   pub const D: u8 = 1;\nfn hidden() {}\npub(crate) use a::E;\n";
        let a = "pub struct A;\npub struct E;\npub mod inner { pub fn f() {} fn g() {} }\n";
        let text = |path: &Path| match path.to_str().unwrap() {
            "lib.rs" => Some(lib.to_owned()),
            "a.rs" => Some(a.to_owned()),
            _ => None,
        };
        let source = read_crate(Path::new("lib.rs"), &text).unwrap();
        assert_eq!(exported(&source), names(&["A", "D", "c", "f", "open"]));
    }

    #[test]
    fn uses_are_found_in_imports_code_and_macros() {
        let text = "use disinherit::{Engine, plan::{self, Task}, Method as M};\n\
                    fn f(x: disinherit::Cost) { format!(\"{}\", disinherit::now()); other::disinherit::No; }\n";
        let known = names(&["Cost", "Engine", "Method", "now", "plan"]);
        assert_eq!(used(text).unwrap(), known);
    }
}
