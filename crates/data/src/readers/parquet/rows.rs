//! The rows of Parquet files: content, labels, names, ids.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{RecordBatch, StructArray};
use arrow_schema::{DataType, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::error::DataError;
use crate::ids::stable_ids;
use crate::limits::{Allowance, numbered};
use crate::readers::parquet::columns::Column;
use crate::readers::parquet::page_limits::rows_at_once;

/// How many bytes of images or texts a byte of a file may become. Text packs 3 to 10 times.
const CONTENT: u64 = 64;

/// Whether a file's samples are texts.
pub(super) fn is_text(path: &Path) -> Result<bool, DataError> {
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
pub(super) struct Known {
    pub(super) labels: Vec<u32>,
    pub(super) names: Vec<String>,
    pub(super) ids: Vec<String>,
}

/// Is given the file, the number of rows before, and some rows.
pub(super) type Take<'a> = dyn FnMut(&Path, usize, &[Row]) -> Result<(), DataError> + 'a;

pub(super) fn read_rows(files: &[PathBuf], take: &mut Take<'_>) -> Result<Known, DataError> {
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

pub(super) fn size_of(files: &[PathBuf]) -> Result<u64, DataError> {
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

/// Content, the recorded path, and the label.
pub(super) type Row = (Vec<u8>, Option<String>, u32);

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
        let images: Option<&StructArray> = match &self.image {
            Some(name) => Some(
                column(name)?
                    .as_struct_opt()
                    .ok_or("the image column is no struct")?,
            ),
            None => None,
        };
        let bytes = match (images, self.text) {
            (Some(images), _) => Column {
                name: "bytes",
                array: images
                    .column_by_name("bytes")
                    .ok_or("the image column has no `bytes`")?,
            },
            (None, text) => {
                let name = text.unwrap_or("text");
                Column {
                    name,
                    array: column(name)?,
                }
            }
        };
        let bytes = bytes.bytes()?;
        let held: u64 = bytes.iter().flatten().map(|value| value.len() as u64).sum();
        allowance.take(held)?;
        let paths = images.and_then(|images| images.column_by_name("path"));
        let paths = paths.map(|array| {
            Column {
                name: "path",
                array,
            }
            .texts()
        });
        let mut paths = paths.transpose()?.unwrap_or_default();
        let labels = Column {
            name: &self.label,
            array: column(&self.label)?,
        };
        let rows = labels.integers()?.into_iter().zip(bytes).enumerate();
        rows.map(|(row, cells)| {
            let (Some(label), Some(bytes)) = cells else {
                return Err(format!("row {row} of a batch has no label or no content"));
            };
            let label =
                u32::try_from(label).map_err(|_| format!("the label {label} is out of range"))?;
            let id = paths.get_mut(row).and_then(Option::take);
            Ok((bytes.to_vec(), id, label))
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
