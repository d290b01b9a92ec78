//! Files as an archive, and as a folder.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::files::Files;
use crate::error::AuditError;

/// A ZIP archive of files below a folder, the same bytes whenever and wherever it is made: not compressed, and all
/// of 1980-01-01, where the format's time begins.
pub(super) fn zip(folder: &str, files: &Files) -> Result<Vec<u8>, AuditError> {
    let failed = |error: &dyn std::fmt::Display| AuditError::Document(error.to_string());
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (name, bytes) in files.iter() {
        archive
            .start_file(format!("{folder}/{name}"), options)
            .map_err(|error| failed(&error))?;
        archive.write_all(bytes).map_err(|error| failed(&error))?;
    }
    let written = archive.finish().map_err(|error| failed(&error))?;
    Ok(written.into_inner())
}

/// Writes files into a new folder: beside it first, then into place.
pub(super) fn folder(path: &Path, files: &Files) -> Result<(), AuditError> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let beside = tempfile::tempdir_in(parent).map_err(AuditError::io("write into", parent))?;
    let made = beside.path().join("bundle");
    for (name, bytes) in files.iter() {
        let file = made.join(name);
        let above = file.parent().unwrap_or(&made);
        fs::create_dir_all(above).map_err(AuditError::io("make", above))?;
        fs::write(&file, bytes).map_err(AuditError::io("write", &file))?;
    }
    fs::rename(&made, path).map_err(AuditError::io("make", path))
}
