//! Texts in Parquet files, as on the Hugging Face Hub.

use std::path::PathBuf;

use crate::error::DataError;
use crate::ids::row_id;
use crate::readers::parquet::rows::{Row, read_rows};
use crate::readers::text::Texts;

/// Reads the rows of some files as texts. The text column is called `text`, `content`, `sentence`,
/// `document` or `review`; labels as for images, ids are row numbers.
pub(super) fn read(files: &[PathBuf]) -> Result<Texts, DataError> {
    let mut texts = Vec::new();
    let rows = read_rows(files, &mut |path, first, rows: &[Row]| {
        for (row, (bytes, ..)) in rows.iter().enumerate() {
            let text = String::from_utf8(bytes.clone()).map_err(|error| DataError::Parquet {
                path: path.to_owned(),
                reason: format!(
                    "the text of {} is no UTF-8: {error}",
                    row_id(path, first + row)
                ),
            })?;
            texts.push(text);
        }
        Ok(())
    })?;
    Ok(Texts {
        texts,
        labels: rows.labels,
        label_names: rows.names,
        ids: rows.ids,
    })
}
