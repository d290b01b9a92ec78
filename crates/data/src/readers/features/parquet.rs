//! Features in a Parquet file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::DataError;
use crate::readers::features::contents::{Contents, Values, label, listed, table};
use crate::readers::parquet::columns::Column;
use crate::readers::parquet::page_limits::rows_at_once;

/// Whether a Parquet file has a column of features. What is no Parquet is refused by the reader of
/// images and texts.
pub(super) fn is_one(path: &Path) -> Result<bool, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file);
    Ok(builder.is_ok_and(|builder| builder.schema().field_with_name("features").is_ok()))
}

/// Columns `features` (lists of numbers) and `label`; `logits`, `id` and `heldout` where they were
/// kept. In the file's metadata `model` and `labels`.
pub(super) fn read(path: &Path) -> Result<Contents, DataError> {
    let refuse = |reason: String| DataError::Features {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(DataError::io(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|error| refuse(error.to_string()))?;
    let rows = rows_at_once(path, builder.metadata())?;
    let said: BTreeMap<String, String> = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    // A file without rows has its columns all the same.
    let mut columns = Columns::default();
    let empty = RecordBatch::new_empty(builder.schema().clone());
    columns.add(&empty).map_err(&refuse)?;
    let reader = builder.with_batch_size(rows).build();
    for batch in reader.map_err(|error| refuse(error.to_string()))? {
        let batch = batch.map_err(|error| refuse(error.to_string()))?;
        columns.add(&batch).map_err(&refuse)?;
    }
    columns.contents(&said).map_err(refuse)
}

/// Lists of one width, put together from several batches.
#[derive(Default)]
struct Lists {
    width: Option<usize>,
    rows: usize,
    values: Vec<f32>,
}

impl Lists {
    fn add(&mut self, column: Column<'_>) -> Result<(), String> {
        let rows = column.array.len();
        if let Some((width, values)) = column.lists()? {
            if *self.width.get_or_insert(width) != width {
                return Err(format!(
                    "the lists of `{}` have different lengths",
                    column.name
                ));
            }
            self.values.extend(values);
        }
        self.rows += rows;
        Ok(())
    }

    fn values(self) -> Values {
        ([self.rows, self.width.unwrap_or(0)], self.values)
    }
}

/// The columns of all batches.
#[derive(Default)]
struct Columns {
    labels: Vec<u32>,
    features: Lists,
    logits: Option<Lists>,
    ids: Option<Vec<String>>,
    heldout: Option<Vec<bool>>,
}

impl Columns {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let named = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let array = batch.column_by_name(name)?;
                Some(Column { name, array })
            })
        };
        let labels = named(&["label", "labels"]).ok_or("it has no column `label`")?;
        for value in labels.filled(labels.integers()?)? {
            self.labels.push(label(value)?);
        }
        let features = named(&["features"]).ok_or("it has no column `features`")?;
        self.features.add(features)?;
        if let Some(column) = named(&["logits"]) {
            self.logits.get_or_insert_default().add(column)?;
        }
        if let Some(column) = named(&["id", "ids"]) {
            let ids = column.filled(column.texts()?)?;
            self.ids.get_or_insert_default().extend(ids);
        }
        if let Some(column) = named(&["heldout"]) {
            let marks = column.filled(column.booleans()?)?;
            self.heldout.get_or_insert_default().extend(marks);
        }
        Ok(())
    }

    fn contents(self, said: &BTreeMap<String, String>) -> Result<Contents, String> {
        let names = |key: &str| said.get(key).map(|text| listed(text)).transpose();
        let (shape, values) = self.features.values();
        Ok(Contents {
            table: Some(table(
                names("model")?.unwrap_or_default(),
                shape,
                values,
                self.logits.map(Lists::values),
                self.labels.len(),
            )?),
            labels: self.labels,
            names: names("labels")?,
            ids: self.ids,
            heldout: self.heldout,
        })
    }
}
