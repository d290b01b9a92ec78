//! Images in Parquet files, as on the Hugging Face Hub.

use std::path::PathBuf;

use rayon::prelude::*;

use crate::error::DataError;
use crate::ids::row_id;
use crate::limits::Allowance;
use crate::options::OpenOptions;
use crate::readers::parquet::rows::{Row, read_rows, size_of};
use crate::readers::picture::{Picture, assemble, decode};
use crate::samples::Samples;
use crate::set::DataSet;

/// How many bytes of pixels a byte of a file may become. JPEG packs 10 to 50 times.
const PIXELS: u64 = 1024;

/// Reads the rows of some files as one data set of images. The image column is the first struct
/// with a `bytes` field; the label column is called `label`, `labels`, `fine_label` or `target`. Ids
/// are the images' paths where the file records them all, differently, and row numbers otherwise.
pub(super) fn read(
    name: &str,
    files: &[PathBuf],
    options: &OpenOptions,
) -> Result<DataSet, DataError> {
    let mut pictures = Vec::new();
    let mut allowance = Allowance::new(size_of(files)?, PIXELS);
    let rows = read_rows(files, &mut |path, first, rows: &[Row]| {
        let decoded: Result<Vec<Picture>, DataError> = rows
            .par_iter()
            .enumerate()
            .map(|(row, (bytes, id, _))| {
                let id = id.clone().unwrap_or_else(|| row_id(path, first + row));
                decode(&id, bytes, options)
            })
            .collect();
        let decoded = decoded?;
        let bytes: usize = decoded.iter().map(Picture::bytes).sum();
        allowance
            .take(bytes as u64)
            .map_err(|reason| DataError::Parquet {
                path: path.to_owned(),
                reason,
            })?;
        pictures.extend(decoded);
        Ok(())
    })?;
    let (shape, pixels) = assemble(&rows.ids, pictures)?;
    DataSet::new(
        name,
        Samples::Images { shape, pixels },
        rows.labels,
        rows.names,
        rows.ids,
    )
}
