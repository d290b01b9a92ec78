//! Files that commands read and write.

use std::path::Path;

use disinherit::formats::write_file;

use crate::error::CliError;

/// The text of a file.
pub(crate) fn read_text(file: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(file).map_err(CliError::file("read", file))
}

/// The bytes of a file.
pub(crate) fn read_bytes(file: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(file).map_err(CliError::file("read", file))
}

/// The lines of a file that are not empty.
pub(crate) fn read_lines(file: &Path) -> Result<Vec<String>, CliError> {
    let text = read_text(file)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// Writes a file whole or not at all.
pub(crate) fn write(file: &Path, bytes: impl AsRef<[u8]>) -> Result<(), CliError> {
    Ok(write_file(file, bytes.as_ref())?)
}

/// Makes a folder, and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(CliError::file("make", folder))
}

/// Refuses to write over a file.
pub(crate) fn refuse_existing(file: &Path, force: bool) -> Result<(), CliError> {
    if file.exists() && !force {
        return Err(
            CliError::new(format!("{} is there already", file.display()))
                .help("give another name, or `--force` to replace it"),
        );
    }
    Ok(())
}
