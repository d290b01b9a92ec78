//! Finds models below folders.

use std::path::{Path, PathBuf};

use disinherit_formats::{FormatError, is_model_folder};

/// Endings of model files, without the dot. A file that ends in `.bin` is a model only inside a model
/// folder.
pub const MODEL_ENDINGS: [&str; 5] = ["safetensors", "pt", "pth", "ckpt", "onnx"];

/// All models at these paths and below, each with its name: the name of its folder, or that of its
/// file without the ending. A path that is no folder is taken as a model whatever its ending is.
/// Hidden files and folders below are skipped. The order is that of the paths, then of the names.
///
/// # Errors
/// [`FormatError::Io`] when a folder cannot be read.
pub fn find_models(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, FormatError> {
    let mut found = Vec::new();
    for path in paths {
        gather(path, &mut found)?;
    }
    Ok(found)
}

fn gather(path: &Path, into: &mut Vec<(PathBuf, String)>) -> Result<(), FormatError> {
    if !path.is_dir() || is_model_folder(path) {
        into.push((path.to_owned(), name_of(path)));
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|list| list.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(FormatError::io("read", path))?;
    entries.sort();
    for entry in entries {
        let hidden = entry
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = entry.extension().unwrap_or_default().to_string_lossy();
        if !hidden && (entry.is_dir() || MODEL_ENDINGS.contains(&ending.as_ref())) {
            gather(&entry, into)?;
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
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

    #[test]
    fn files_and_model_folders_are_found_and_named() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        for name in [
            "b/deep/one.onnx",
            "b/notes.txt",
            "b/.hidden.pt",
            ".git/two.pt",
            "a/model.safetensors",
            "a/config.json",
        ] {
            write(name);
        }
        let found = find_models(&[place.path().to_owned()]).unwrap();
        let names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["a", "one"]);
        let alone = find_models(&[place.path().join("b/notes.txt")]).unwrap();
        assert_eq!(alone[0].1, "notes");
        assert!(find_models(&[place.path().join(".git")]).unwrap().len() == 1);
    }
}
