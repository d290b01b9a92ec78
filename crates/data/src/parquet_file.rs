//! Parquet images and texts as on the Hugging Face Hub.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;
use serde_json::Value;

use crate::claims::{Allowance, numbered, rows_at_once};
use crate::error::DataError;
use crate::folder::{Picture, assemble, decode};
use crate::open::OpenOptions;
use crate::set::DataSet;
use crate::text::Texts;

/// How many bytes of images or texts a byte of a file may become. Text packs 3 to 10 times.
const CONTENT: u64 = 64;

/// How many bytes of pixels a byte of a file may become. JPEG packs 10 to 50 times.
const PIXELS: u64 = 1024;

/// Reads the rows of some files as one data set of images. The image column is the first struct
/// with a `bytes` field; the label column is called `label`, `labels`, `fine_label` or `target`. Ids
/// are the images' paths where the file records them all, differently, and row numbers otherwise.
pub(crate) fn read(
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
        crate::set::Samples::Images { shape, pixels },
        rows.labels,
        rows.names,
        rows.ids,
    )
}

/// Reads the rows of some files as texts. The text column is called `text`, `content`, `sentence`,
/// `document` or `review`; labels as in [`read`], ids are row numbers.
pub(crate) fn read_texts(files: &[PathBuf]) -> Result<Texts, DataError> {
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

/// Whether a file's samples are texts.
pub(crate) fn is_text(path: &Path) -> Result<bool, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| DataError::Parquet {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    let schema = builder.schema();
    Ok(image_column(schema).is_none() && text_column(schema).is_some())
}

/// Labels, their names and ids.
struct Known {
    labels: Vec<u32>,
    names: Vec<String>,
    ids: Vec<String>,
}

/// Is given the file, the number of rows before, and some rows.
type Take<'a> = dyn FnMut(&Path, usize, &[Row]) -> Result<(), DataError> + 'a;

fn read_rows(files: &[PathBuf], take: &mut Take<'_>) -> Result<Known, DataError> {
    let mut labels = Vec::new();
    let mut ids: Vec<Option<String>> = Vec::new();
    let mut names = None;
    let mut allowance = Allowance::new(size_of(files)?, CONTENT);
    for path in files {
        let refuse = |reason: String| DataError::Parquet {
            path: path.clone(),
            reason,
        };
        let file = File::open(path).map_err(DataError::io(path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| refuse(error.to_string()))?;
        let schema = Arc::clone(builder.schema());
        let columns = Columns::find(&schema).map_err(&refuse)?;
        if names.is_none() {
            names = label_names(&schema, &columns.label);
        }
        let rows = rows_at_once(path, builder.metadata())?;
        let reader = builder.with_batch_size(rows).build();
        let reader = reader.map_err(|error| refuse(error.to_string()))?;
        for batch in reader {
            let batch = batch.map_err(|error| refuse(error.to_string()))?;
            let rows = columns.rows(&batch, &mut allowance).map_err(&refuse)?;
            take(path, labels.len(), &rows)?;
            for (_, id, label) in rows {
                ids.push(id);
                labels.push(label);
            }
        }
    }
    let names = match names {
        Some(names) => names,
        None => numbered(&labels).map_err(|reason| DataError::Parquet {
            path: files.first().cloned().unwrap_or_default(),
            reason,
        })?,
    };
    Ok(Known {
        ids: stable_ids(ids, files),
        labels,
        names,
    })
}

fn size_of(files: &[PathBuf]) -> Result<u64, DataError> {
    let sizes = files.iter().map(|path| {
        let metadata = std::fs::metadata(path).map_err(DataError::io(path))?;
        Ok(metadata.len())
    });
    sizes.sum()
}

fn image_column(schema: &Schema) -> Option<&str> {
    let found = schema
        .fields()
        .iter()
        .find(|field| match field.data_type() {
            DataType::Struct(inner) => inner.iter().any(|f| f.name() == "bytes"),
            _ => false,
        });
    found.map(|field| field.name().as_str())
}

fn text_column(schema: &Schema) -> Option<&'static str> {
    ["text", "content", "sentence", "document", "review"]
        .into_iter()
        .find(|name| schema.field_with_name(name).is_ok())
}

type Row = (Vec<u8>, Option<String>, u32);

struct Columns {
    image: Option<String>,
    text: Option<&'static str>,
    label: String,
}

impl Columns {
    fn find(schema: &Schema) -> Result<Self, String> {
        let image = image_column(schema).map(str::to_owned);
        let text = text_column(schema);
        let label = ["label", "labels", "fine_label", "target"]
            .into_iter()
            .find(|name| schema.field_with_name(name).is_ok());
        let found = || {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            names.join(", ")
        };
        if image.is_none() && text.is_none() {
            return Err(format!(
                "no image column (a struct with `bytes`) and no text column among {}",
                found()
            ));
        }
        let label = label.ok_or_else(|| format!("no `label` column among {}", found()))?;
        Ok(Self {
            image,
            text,
            label: label.to_owned(),
        })
    }

    fn rows(&self, batch: &RecordBatch, allowance: &mut Allowance) -> Result<Vec<Row>, String> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| format!("the column `{name}` is missing"))
        };
        let converted = |array: &ArrayRef, to: &DataType| {
            cast(array, to).map_err(|error| format!("a column has the wrong type: {error}"))
        };
        let images: Option<&StructArray> = match &self.image {
            Some(name) => Some(
                column(name)?
                    .as_struct_opt()
                    .ok_or("the image column is no struct")?,
            ),
            None => None,
        };
        let bytes = match (images, self.text) {
            (Some(images), _) => images
                .column_by_name("bytes")
                .ok_or("the image column has no `bytes`")?,
            (None, text) => column(text.unwrap_or("text"))?,
        };
        let bytes = converted(bytes, &DataType::LargeBinary)?;
        let bytes = bytes
            .as_binary_opt::<i64>()
            .ok_or("`bytes` is not binary")?;
        let ends = bytes.value_offsets();
        let held = ends
            .last()
            .zip(ends.first())
            .map_or(0, |(end, start)| end - start);
        allowance.take(held.unsigned_abs())?;
        let paths = match images.and_then(|images| images.column_by_name("path")) {
            Some(paths) => Some(converted(paths, &DataType::LargeUtf8)?),
            None => None,
        };
        let paths = paths.as_ref().and_then(|p| p.as_string_opt::<i64>());
        let labels = converted(column(&self.label)?, &DataType::Int64)?;
        let labels = labels
            .as_primitive_opt::<Int64Type>()
            .ok_or("the label column is not an integer")?;
        (0..batch.num_rows())
            .map(|row| {
                if labels.is_null(row) || bytes.is_null(row) {
                    return Err(format!("row {row} of a batch has no label or no content"));
                }
                let label = u32::try_from(labels.value(row))
                    .map_err(|_| format!("the label {} is out of range", labels.value(row)))?;
                let id = paths
                    .filter(|p| !p.is_null(row))
                    .map(|p| p.value(row).to_owned());
                Ok((bytes.value(row).to_vec(), id, label))
            })
            .collect()
    }
}

/// The names in the Hub's own metadata: `info.features.<label>.names`.
fn label_names(schema: &Schema, label: &str) -> Option<Vec<String>> {
    let text = schema.metadata().get("huggingface")?;
    let value: Value = serde_json::from_str(text).ok()?;
    let names = value
        .pointer(&format!("/info/features/{label}/names"))?
        .as_array()?;
    names
        .iter()
        .map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn row_id(path: &Path, row: usize) -> String {
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    format!("{stem}/{row:06}")
}

fn stable_ids(ids: Vec<Option<String>>, files: &[PathBuf]) -> Vec<String> {
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
