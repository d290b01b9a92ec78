//! Finds models below folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disinherit_formats::{FormatError, is_model_folder};

use super::hub_cache::{CachedRepository, is_other_cache};

/// Endings of model files, without the dot. A file that ends in `.bin` is a model only inside a model
/// folder.
pub const MODEL_ENDINGS: [&str; 5] = ["safetensors", "pt", "pth", "ckpt", "onnx"];

/// A model that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModel {
    /// Its file or folder.
    pub path: PathBuf,
    /// The name of its folder, or that of its file without the ending. A model in a cache of the Hub has
    /// the name of its repository, with the owner (`OWNER/NAME`) where another model has that name too.
    pub name: String,
    /// The repository (`OWNER/NAME`), for a model in a cache of the Hub.
    pub repository: Option<String>,
}

/// All models at these paths and below. A path that is no folder is taken as a model whatever its ending
/// is. Hidden files and folders below are skipped. A repository in a cache of the Hugging Face Hub
/// (`models--OWNER--NAME`) gives one revision: the one that `refs/main` names, or else the only one. The order is
/// that of the paths, then of the names.
///
/// # Errors
/// [`FormatError::Io`] when a folder cannot be read; [`FormatError::File`] when it is a cached repository
/// with several revisions and no `refs/main`.
pub fn find_models(paths: &[PathBuf]) -> Result<Vec<FoundModel>, FormatError> {
    let mut found = Vec::new();
    for path in paths {
        gather(path, &mut found)?;
    }
    name_apart(&mut found);
    Ok(found)
}

fn gather(path: &Path, into: &mut Vec<FoundModel>) -> Result<(), FormatError> {
    if let Some(repository) = CachedRepository::at(path)? {
        return gather_cached(repository, into);
    }
    if !path.is_dir() || is_model_folder(path) {
        into.push(FoundModel {
            path: path.to_owned(),
            name: name_of(path),
            repository: None,
        });
        return Ok(());
    }
    gather_below(path, into)
}

fn gather_below(path: &Path, into: &mut Vec<FoundModel>) -> Result<(), FormatError> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|list| list.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(FormatError::io("read", path))?;
    entries.sort();
    for entry in entries {
        let hidden = entry
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = entry.extension().unwrap_or_default().to_string_lossy();
        let model = entry.is_dir() || MODEL_ENDINGS.contains(&ending.as_ref());
        if !hidden && model && !is_other_cache(&entry) {
            gather(&entry, into)?;
        }
    }
    Ok(())
}

/// The models of one revision of a repository, named after the repository: its folder, or the files in it.
fn gather_cached(
    repository: CachedRepository,
    into: &mut Vec<FoundModel>,
) -> Result<(), FormatError> {
    let Some(revision) = repository.revision else {
        return Ok(());
    };
    let mut inside = Vec::new();
    if is_model_folder(&revision) {
        inside.push(FoundModel {
            path: revision,
            name: String::new(),
            repository: None,
        });
    } else {
        gather_below(&revision, &mut inside)?;
    }
    let single = inside.len() == 1;
    into.extend(inside.into_iter().map(|model| FoundModel {
        name: if single {
            last_part(&repository.name).to_owned()
        } else {
            format!("{}/{}", last_part(&repository.name), model.name)
        },
        repository: Some(repository.name.clone()),
        ..model
    }));
    Ok(())
}

/// Puts the owner before the names of cached models that other models have too.
fn name_apart(found: &mut [FoundModel]) {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for model in &*found {
        *count.entry(model.name.clone()).or_default() += 1;
    }
    for model in found.iter_mut().filter(|model| count[&model.name] > 1) {
        let owner = model.repository.as_deref().and_then(|r| r.split_once('/'));
        if let Some((owner, _)) = owner {
            model.name = format!("{owner}/{}", model.name);
        }
    }
}

/// What stands after the owner in the name of a repository, or after the last slash of a path.
pub(super) fn last_part(name: &str) -> &str {
    let path = name.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// The name that a path itself gives: not that of what a symbolic link leads to.
fn name_of(path: &Path) -> String {
    let full = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    };
    let name = if full.is_dir() {
        full.file_name()
    } else {
        full.file_stem()
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn write(place: &Path, name: &str, text: &str) {
        let path = place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn names(paths: &[PathBuf]) -> Vec<String> {
        let found = find_models(paths).unwrap();
        found.into_iter().map(|model| model.name).collect()
    }

    #[test]
    fn files_and_model_folders_are_found_and_named() {
        let place = tempfile::tempdir().unwrap();
        for name in [
            "b/deep/one.onnx",
            "b/notes.txt",
            "b/.hidden.pt",
            ".git/two.pt",
            "a/model.safetensors",
            "a/config.json",
        ] {
            write(place.path(), name, "");
        }
        assert_eq!(names(&[place.path().to_owned()]), ["a", "one"]);
        assert_eq!(names(&[place.path().join("b/notes.txt")]), ["notes"]);
        assert_eq!(names(&[place.path().join("a/../a/.")]), ["a"]);
        assert!(find_models(&[place.path().join(".git")]).unwrap().len() == 1);
    }

    #[test]
    fn cached_repositories_are_named_and_give_one_revision() {
        let place = tempfile::tempdir().unwrap();
        let cache = place.path();
        for (name, text) in [
            ("models--us--clf/refs/main", "new\n"),
            ("models--us--clf/snapshots/new/model.safetensors", ""),
            ("models--us--clf/snapshots/old/model.safetensors", ""),
            ("models--us--clf/blobs/0123.safetensors", ""),
            ("models--us--clf/.no_exist/new/model.safetensors", ""),
            ("models--them--clf/snapshots/only/model.safetensors", ""),
            ("models--plain/snapshots/1/one.onnx", ""),
            ("models--us--two/snapshots/1/a.onnx", ""),
            ("models--us--two/snapshots/1/more/b.onnx", ""),
            ("models--us--words/snapshots/1/tokenizer.json", ""),
            ("models--us--gone/refs/main", "missing"),
            ("models--us--torn/refs/dev", "a"),
            ("datasets--us--data/snapshots/1/data.pt", ""),
        ] {
            write(cache, name, text);
        }
        let expected = ["plain", "them/clf", "us/clf", "two/a", "two/b"];
        assert_eq!(names(&[cache.to_owned()]), expected);
        let clf = cache.join("models--us--clf");
        let found = find_models(&[clf.clone(), clf.join("snapshots/old")]).unwrap();
        assert_eq!(found[0].path, clf.join("snapshots/new"));
        assert_eq!(found[1].path, clf.join("snapshots/old"));
        assert!(
            found
                .iter()
                .all(|model| model.repository.as_deref() == Some("us/clf"))
        );
        let alone = find_models(&[clf]).unwrap();
        assert_eq!(alone[0].name, "clf");
        // Which of two revisions is meant is for the user to say.
        for revision in ["a", "b"] {
            let name = format!("models--us--torn/snapshots/{revision}/model.safetensors");
            write(cache, &name, "");
        }
        let said = find_models(&[cache.to_owned()]).unwrap_err().to_string();
        assert!(
            said.contains("snapshots/a") && said.contains("refs/main"),
            "{said}"
        );
    }
}
