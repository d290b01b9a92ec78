//! Parquet images as on the Hugging Face Hub.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;
use serde_json::Value;

use crate::folder::{Picture, assemble, decode};
use crate::{DataError, DataSet, OpenOptions};

/// Reads the rows of some files as one data set. The image column is the first struct with a
/// `bytes` field; the label column is called `label`, `labels`, `fine_label` or `target`. Ids are
/// the images' paths where the file records them all, differently, and row numbers otherwise.
pub(crate) fn read(
    name: &str,
    files: &[PathBuf],
    options: &OpenOptions,
) -> Result<DataSet, DataError> {
    let mut pictures = Vec::new();
    let mut labels = Vec::new();
    let mut ids: Vec<Option<String>> = Vec::new();
    let mut names = None;
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
        let reader = builder.build().map_err(|error| refuse(error.to_string()))?;
        for batch in reader {
            let batch = batch.map_err(|error| refuse(error.to_string()))?;
            let rows = columns.rows(&batch).map_err(&refuse)?;
            let first = pictures.len();
            let decoded: Result<Vec<Picture>, DataError> = rows
                .par_iter()
                .enumerate()
                .map(|(row, (bytes, id, _))| {
                    let id = id.clone().unwrap_or_else(|| row_id(path, first + row));
                    decode(&id, bytes, options)
                })
                .collect();
            pictures.extend(decoded?);
            for (_, id, label) in rows {
                ids.push(id);
                labels.push(label);
            }
        }
    }
    let ids = stable_ids(ids, files);
    let names = names.unwrap_or_else(|| {
        let count = labels.iter().max().map_or(0, |top| top + 1);
        (0..count).map(|label| label.to_string()).collect()
    });
    let (shape, pixels) = assemble(&ids, pictures)?;
    DataSet::new(
        name,
        crate::Samples::Images { shape, pixels },
        labels,
        names,
        ids,
    )
}

type Row = (Vec<u8>, Option<String>, u32);

struct Columns {
    image: String,
    label: String,
}

impl Columns {
    fn find(schema: &Schema) -> Result<Self, String> {
        let image = schema
            .fields()
            .iter()
            .find(|field| match field.data_type() {
                DataType::Struct(inner) => inner.iter().any(|f| f.name() == "bytes"),
                _ => false,
            });
        let label = ["label", "labels", "fine_label", "target"]
            .into_iter()
            .find(|name| schema.field_with_name(name).is_ok());
        let found = || {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            names.join(", ")
        };
        match (image, label) {
            (Some(image), Some(label)) => Ok(Self {
                image: image.name().clone(),
                label: label.to_owned(),
            }),
            (None, _) => Err(format!(
                "no image column (a struct with `bytes`) among {}",
                found()
            )),
            (_, None) => Err(format!("no `label` column among {}", found())),
        }
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Vec<Row>, String> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| format!("the column `{name}` is missing"))
        };
        let images: &StructArray = column(&self.image)?
            .as_struct_opt()
            .ok_or("the image column is no struct")?;
        let converted = |array: &ArrayRef, to: &DataType| {
            cast(array, to).map_err(|error| format!("a column has the wrong type: {error}"))
        };
        let bytes = images
            .column_by_name("bytes")
            .ok_or("the image column has no `bytes`")?;
        let bytes = converted(bytes, &DataType::LargeBinary)?;
        let bytes = bytes
            .as_binary_opt::<i64>()
            .ok_or("`bytes` is not binary")?;
        let paths = match images.column_by_name("path") {
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
                    return Err(format!("row {row} of a batch has no label or no image"));
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
