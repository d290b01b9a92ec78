//! Ids of samples that stay the same whatever is done with their file.

use std::path::{Path, PathBuf};

/// The id of a row by its number.
pub(crate) fn row_id(path: &Path, row: usize) -> String {
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    format!("{stem}/{row:06}")
}

/// The recorded ids where there is one for each sample and all differ; otherwise the numbers of the rows.
pub(crate) fn stable_ids(ids: Vec<Option<String>>, files: &[PathBuf]) -> Vec<String> {
    let split = files
        .first()
        .map(PathBuf::as_path)
        .unwrap_or(Path::new("data"));
    let prefix = split
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let paths: Option<Vec<String>> = ids.iter().cloned().collect();
    let distinct = paths.filter(|paths| {
        let set: std::collections::HashSet<&String> = paths.iter().collect();
        set.len() == paths.len()
    });
    match distinct {
        // Both splits of a set may use the same paths for different images.
        Some(paths) => paths
            .into_iter()
            .map(|path| format!("{prefix}/{path}"))
            .collect(),
        None => (0..ids.len())
            .map(|row| format!("{prefix}/{row:06}"))
            .collect(),
    }
}
