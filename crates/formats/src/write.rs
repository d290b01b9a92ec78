//! A model given back in the format that it came in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::checkpoint::write_file;
use crate::error::FormatError;
use crate::model_file::{FileFormat, ModelFormat, WeightFile};
use crate::onnx;
use crate::parts::Parts;
use crate::pytorch::pickle::{self, PickleError};

/// The files of an ONNX model with their tensors in place, by their names.
///
/// # Errors
/// [`FormatError`] when a part is missing.
pub fn onnx_files(
    format: &ModelFormat,
    parts: &Parts<'_>,
) -> Result<BTreeMap<String, Vec<u8>>, FormatError> {
    let mut files = BTreeMap::new();
    for file in &format.files {
        if let Some(bytes) = cut_file(Path::new(&file.name), file, parts)? {
            files.insert(file.name.clone(), bytes);
        }
    }
    Ok(files)
}

/// The bytes of a file that tensors were cut out of; nothing for one of another kind.
fn cut_file(
    path: &Path,
    file: &WeightFile,
    parts: &Parts<'_>,
) -> Result<Option<Vec<u8>>, FormatError> {
    let cuts = match &file.format {
        FileFormat::Onnx(format) => &format.cuts,
        FileFormat::OnnxData { cuts } => cuts,
        _ => return Ok(None),
    };
    let rest = parts.documents.get(&file.header()).ok_or_else(|| {
        FormatError::file(path, format!("the rest of `{}` is missing", file.name))
    })?;
    onnx::assemble(cuts, rest, parts.tensor).map(Some)
}

/// Writes a model: a file, or a folder, whole or not at all. Folders above it are made.
///
/// # Errors
/// [`FormatError`] when it cannot be written, or the format does not fit the tensors.
pub fn write(path: &Path, format: &ModelFormat, parts: &Parts<'_>) -> Result<(), FormatError> {
    let beside = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let io = |error: std::io::Error| FormatError::unreadable(path)(error);
    std::fs::create_dir_all(beside).map_err(io)?;
    if !format.folder {
        return alone(path, beside, format, parts);
    }
    let folder = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(beside)
        .map_err(io)?;
    for file in &format.files {
        let place = folder.path().join(&file.name);
        one(&File::create(&place).map_err(io)?, path, file, parts)?;
    }
    let headers: Vec<String> = format.files.iter().map(WeightFile::header).collect();
    for (name, bytes) in &parts.documents {
        if !headers.contains(name) {
            write_file(&folder.path().join(name), bytes)?;
        }
    }
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(io)?;
    }
    std::fs::rename(folder.keep(), path).map_err(io)?;
    Ok(())
}

/// Writes a model that is a file, and the files that go with it, which keep their names: the graph names
/// them. All are complete before the first takes its place, the model's own file the last.
fn alone(
    path: &Path,
    beside: &Path,
    format: &ModelFormat,
    parts: &Parts<'_>,
) -> Result<(), FormatError> {
    let io = |error: std::io::Error| FormatError::unreadable(path)(error);
    let (file, others) = format
        .files
        .split_first()
        .ok_or_else(|| FormatError::file(path, "the model's format has no file"))?;
    let mut written = Vec::new();
    for other in others {
        let place = beside.join(&other.name);
        if path.file_name() == Some(other.name.as_ref()) {
            return Err(FormatError::file(
                path,
                "the model's weights go into a file of that name beside it: give it another",
            ));
        }
        if place.exists() && !path.exists() {
            return Err(FormatError::file(
                &place,
                "it is there already, and the model's weights go into a file of that name: export into \
                 another folder",
            ));
        }
        written.push((other, place));
    }
    written.push((file, path.to_owned()));
    let mut complete = Vec::new();
    for (file, place) in written {
        let temporary = tempfile::NamedTempFile::new_in(beside).map_err(io)?;
        one(temporary.as_file(), path, file, parts)?;
        temporary.as_file().sync_all().map_err(io)?;
        complete.push((temporary, place));
    }
    for (temporary, place) in complete {
        temporary.persist(&place).map_err(|error| io(error.error))?;
    }
    Ok(())
}

fn one(out: &File, path: &Path, file: &WeightFile, parts: &Parts<'_>) -> Result<(), FormatError> {
    let io = |error: std::io::Error| FormatError::unreadable(path)(error);
    let mut out = BufWriter::new(out);
    match &file.format {
        FileFormat::Safetensors => {
            let header = parts.documents.get(&file.header()).ok_or_else(|| {
                FormatError::file(path, format!("the header of `{}` is missing", file.name))
            })?;
            out.write_all(header).map_err(io)?;
            for name in &file.tensors {
                parts.write_tensor(name, &mut out).map_err(io)??;
            }
        }
        FileFormat::Onnx(_) | FileFormat::OnnxData { .. } => {
            let bytes = cut_file(path, file, parts)?.unwrap_or_default();
            out.write_all(&bytes).map_err(io)?;
        }
        FileFormat::Pytorch { key } => {
            let written = pickle::write(&mut out, key.as_deref(), &file.tensors, parts);
            written.map_err(|trouble| match trouble {
                PickleError::Format(error) => error,
                other => FormatError::file(path, other.to_string()),
            })?;
        }
    }
    out.flush().map_err(io)
}
