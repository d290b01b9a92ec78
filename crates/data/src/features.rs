//! Features of samples that stay where they are: what networks that nobody here can run make of
//! them, written by whatever framework runs those. safetensors, Parquet, or NumPy's `.npy`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use npyz::{NpyFile, TypeChar};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::claims::{numbered, rows_at_once};
use crate::error::DataError;
use crate::open::Splits;
use crate::set::{DataSet, FeatureTable, Samples};

/// The file that makes a folder one of NumPy arrays.
const NPY: &str = "features.npy";

/// Whether there are features at a path.
pub(crate) fn are_in(path: &Path) -> Result<bool, DataError> {
    if path.is_dir() {
        return Ok(path.join(NPY).is_file() || !tables(path)?.is_empty());
    }
    Ok(match extension(path) {
        "safetensors" => true,
        "parquet" => {
            let file = File::open(path).map_err(DataError::io(path))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(file);
            // What is no Parquet is refused by the reader of images and texts.
            builder.is_ok_and(|builder| builder.schema().field_with_name("features").is_ok())
        }
        _ => false,
    })
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("")
}

/// The tables in a folder of them, by name.
fn tables(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(DataError::io(path))? {
        let file = entry.map_err(DataError::io(path))?.path();
        if extension(&file) == "safetensors" {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// A matrix: its shape, and its values.
type Values = ([usize; 2], Vec<f32>);

/// One file's contents.
#[derive(Default)]
struct Contents {
    table: Option<FeatureTable>,
    labels: Vec<u32>,
    names: Option<Vec<String>>,
    ids: Option<Vec<String>>,
    heldout: Option<Vec<bool>>,
}

/// Reads features. Where a file does not say which samples were held out, `divide` does.
pub(crate) fn read(
    name: &str,
    path: &Path,
    divide: fn(DataSet) -> Splits,
) -> Result<Splits, DataError> {
    let mut all = if !path.is_dir() {
        vec![(path.to_owned(), one(path)?)]
    } else if path.join(NPY).is_file() {
        vec![(path.to_owned(), npy_folder(path)?)]
    } else {
        let named = tables(path)?.into_iter().map(|file| {
            let mut contents = one(&file)?;
            if let Some(table) = contents.table.as_mut().filter(|t| t.models.is_empty()) {
                // In a folder of several, a file's name tells whose features it holds.
                let stem = file.file_stem().unwrap_or_default();
                table.models.push(stem.to_string_lossy().into_owned());
            }
            Ok((file, contents))
        });
        named.collect::<Result<Vec<_>, DataError>>()?
    };
    let (first, rest) = all
        .split_first()
        .ok_or_else(|| DataError::Unknown { path: path.into() })?;
    for (file, other) in rest {
        let what = [
            ("labels", other.labels == first.1.labels),
            ("label names", other.names == first.1.names),
            ("ids", other.ids == first.1.ids),
            ("held-out samples", other.heldout == first.1.heldout),
        ];
        if let Some((what, _)) = what.iter().find(|(_, same)| !same) {
            return Err(DataError::Features {
                path: file.clone(),
                reason: format!(
                    "its {what} are not those of {}: all tables of a folder are of the same samples, \
                     in the same order",
                    first.0.display()
                ),
            });
        }
    }
    let tables = all.iter_mut().filter_map(|(_, c)| c.table.take()).collect();
    let (_, shared) = all.swap_remove(0);
    let count = shared.labels.len();
    let names = match shared.names {
        Some(names) => names,
        None => numbered(&shared.labels).map_err(|reason| DataError::Features {
            path: path.to_owned(),
            reason,
        })?,
    };
    let ids = shared
        .ids
        .unwrap_or_else(|| (0..count).map(|row| format!("{name}/{row:06}")).collect());
    let set = DataSet::new(name, Samples::Features(tables), shared.labels, names, ids)?;
    Ok(match shared.heldout {
        None => divide(set),
        Some(heldout) => {
            let side = |wanted: bool| -> Vec<usize> {
                (0..count).filter(|row| heldout[*row] == wanted).collect()
            };
            Splits {
                train: set.select(&side(false)),
                heldout: set.select(&side(true)),
            }
        }
    })
}

fn one(path: &Path) -> Result<Contents, DataError> {
    let refuse = |reason: String| DataError::Features {
        path: path.to_owned(),
        reason,
    };
    let contents = match extension(path) {
        "parquet" => parquet(path)?,
        _ => {
            let bytes = std::fs::read(path).map_err(DataError::io(path))?;
            safetensors(&bytes).map_err(&refuse)?
        }
    };
    checked(contents).map_err(refuse)
}

/// Checks that all parts are of the same number of samples.
fn checked(contents: Contents) -> Result<Contents, String> {
    let count = contents.labels.len();
    if count == 0 {
        return Err("it holds no samples".into());
    }
    let lengths = [
        ("ids", contents.ids.as_ref().map(Vec::len)),
        (
            "marks of held-out samples",
            contents.heldout.as_ref().map(Vec::len),
        ),
    ];
    for (what, length) in lengths {
        if length.is_some_and(|length| length != count) {
            return Err(format!(
                "it has {} {what} for {count} labels",
                length.unwrap_or_default()
            ));
        }
    }
    Ok(contents)
}

fn table(
    models: Vec<String>,
    [rows, width]: [usize; 2],
    values: Vec<f32>,
    logits: Option<Values>,
    labels: usize,
) -> Result<FeatureTable, String> {
    if rows != labels {
        return Err(format!(
            "it has features of {rows} samples and {labels} labels"
        ));
    }
    let logits = match logits {
        Some(([rows, _], _)) if rows != labels => {
            return Err(format!(
                "it has logits of {rows} samples and {labels} labels"
            ));
        }
        Some((_, values)) => values,
        None => Vec::new(),
    };
    Ok(FeatureTable {
        models,
        width,
        values,
        logits,
    })
}

/// Names in a list of JSON, or divided by commas.
fn listed(text: &str) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| format!("a list of names: {error}"));
    }
    Ok(text.split(',').map(|name| name.trim().to_owned()).collect())
}

/// `features` `[samples, width]` and `labels` `[samples]`; `logits` `[samples, outputs]` and
/// `heldout` `[samples]` where they were kept. In the metadata `model`, `labels` and `ids`.
fn safetensors(bytes: &[u8]) -> Result<Contents, String> {
    let wrong = |error: safetensors::SafeTensorError| error.to_string();
    let file = SafeTensors::deserialize(bytes).map_err(wrong)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
    let said = header.metadata().clone().unwrap_or_default();
    let names = |key: &str| said.get(key).map(|text| listed(text)).transpose();
    let tensor = |name: &str| {
        file.tensor(name).map_err(|_| {
            let known = file.names().join(", ");
            format!("it has no tensor `{name}` (it has {known}): a file of features has `features` and `labels`")
        })
    };
    let labels = whole_numbers(&tensor("labels")?)?;
    let (shape, values) = matrix(&tensor("features")?, "features")?;
    let logits = file.tensor("logits").ok();
    let logits = logits.map(|view| matrix(&view, "logits")).transpose()?;
    let heldout = file.tensor("heldout").ok();
    Ok(Contents {
        table: Some(table(
            names("model")?.unwrap_or_default(),
            shape,
            values,
            logits,
            labels.len(),
        )?),
        labels,
        names: names("labels")?,
        ids: names("ids")?,
        heldout: match heldout {
            None => None,
            Some(view) => Some(whole_numbers(&view)?.iter().map(|v| *v != 0).collect()),
        },
    })
}

fn matrix(view: &TensorView<'_>, what: &str) -> Result<Values, String> {
    let [rows, cols] = view.shape()[..] else {
        return Err(format!(
            "`{what}` is {:?}, not [samples, values]",
            view.shape()
        ));
    };
    let bytes = view.data();
    let values = match view.dtype() {
        Dtype::F32 => words(bytes).map(f32::from_le_bytes).collect(),
        Dtype::F64 => words(bytes).map(|w| f64::from_le_bytes(w) as f32).collect(),
        Dtype::F16 => words(bytes)
            .map(|w| half::f16::from_le_bytes(w).to_f32())
            .collect(),
        Dtype::BF16 => words(bytes)
            .map(|w| half::bf16::from_le_bytes(w).to_f32())
            .collect(),
        other => {
            return Err(format!(
                "`{what}` holds {other:?}, not floating-point numbers"
            ));
        }
    };
    Ok(([rows, cols], values))
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks_exact(N).map(|chunk| {
        let mut word = [0; N];
        word.copy_from_slice(chunk);
        word
    })
}

fn whole_numbers(view: &TensorView<'_>) -> Result<Vec<u32>, String> {
    let bytes = view.data();
    let values: Vec<i64> = match view.dtype() {
        Dtype::I64 => words(bytes).map(i64::from_le_bytes).collect(),
        Dtype::I32 => words(bytes).map(|w| i32::from_le_bytes(w).into()).collect(),
        Dtype::U32 => words(bytes).map(|w| u32::from_le_bytes(w).into()).collect(),
        Dtype::I16 => words(bytes).map(|w| i16::from_le_bytes(w).into()).collect(),
        Dtype::U8 | Dtype::BOOL => bytes.iter().map(|v| i64::from(*v)).collect(),
        other => return Err(format!("labels are {other:?}, not whole numbers")),
    };
    values.into_iter().map(label).collect()
}

fn label(value: i64) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("the label {value} is out of range"))
}

/// Columns `features` (lists of numbers) and `label`; `logits`, `id` and `heldout` where they were
/// kept. In the file's metadata `model` and `labels`.
fn parquet(path: &Path) -> Result<Contents, DataError> {
    let refuse = |reason: String| DataError::Features {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(DataError::io(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|error| refuse(error.to_string()))?;
    let rows = rows_at_once(path, builder.metadata())?;
    let schema = builder.schema().clone();
    let said: BTreeMap<String, String> = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    let reader = builder.with_batch_size(rows).build();
    let reader = reader.map_err(|error| refuse(error.to_string()))?;
    let batches: Vec<RecordBatch> = reader
        .collect::<Result<_, _>>()
        .map_err(|error| refuse(error.to_string()))?;
    let batch = concat_batches(&schema, &batches).map_err(|error| refuse(error.to_string()))?;
    columns(&batch, &said).map_err(refuse)
}

fn columns(batch: &RecordBatch, said: &BTreeMap<String, String>) -> Result<Contents, String> {
    let named = |names: &[&str]| names.iter().find_map(|name| batch.column_by_name(name));
    let converted = |array: &ArrayRef, to: &DataType| {
        let done =
            cast(array, to).map_err(|error| format!("a column has the wrong type: {error}"))?;
        match done.null_count() {
            0 => Ok(done),
            count => Err(format!("a column has {count} empty cells")),
        }
    };
    let labels = named(&["label", "labels"]).ok_or("it has no column `label`")?;
    let labels = converted(labels, &DataType::Int64)?;
    let labels: Vec<u32> = labels
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .map(|value| label(*value))
        .collect::<Result<_, _>>()?;
    let lists = |name: &str| -> Result<Option<Values>, String> {
        let Some(column) = named(&[name]) else {
            return Ok(None);
        };
        let item = arrow_schema::Field::new("item", DataType::Float32, true);
        let column = converted(column, &DataType::LargeList(item.into()))?;
        let list = column.as_list::<i64>();
        let ends = list.value_offsets();
        let width = ends.get(1).map_or(0, |end| end - ends[0]);
        if ends.windows(2).any(|pair| pair[1] - pair[0] != width) {
            return Err(format!("the lists of `{name}` have different lengths"));
        }
        let values = list.values().as_primitive::<Float32Type>();
        let (from, to) = (ends[0] as usize, ends[ends.len() - 1] as usize);
        let values = values.values()[from..to].to_vec();
        Ok(Some(([batch.num_rows(), width as usize], values)))
    };
    let (shape, values) = lists("features")?.ok_or("it has no column `features`")?;
    let names = |key: &str| said.get(key).map(|text| listed(text)).transpose();
    let ids = match named(&["id", "ids"]) {
        None => None,
        Some(column) => {
            let column = converted(column, &DataType::LargeUtf8)?;
            let texts = column.as_string::<i64>();
            Some(
                (0..texts.len())
                    .map(|row| texts.value(row).to_owned())
                    .collect(),
            )
        }
    };
    let heldout = match named(&["heldout"]) {
        None => None,
        Some(column) => {
            let column = converted(column, &DataType::Boolean)?;
            let marks: &BooleanArray = column.as_boolean();
            Some((0..marks.len()).map(|row| marks.value(row)).collect())
        }
    };
    Ok(Contents {
        table: Some(table(
            names("model")?.unwrap_or_default(),
            shape,
            values,
            lists("logits")?,
            labels.len(),
        )?),
        labels,
        names: names("labels")?,
        ids,
        heldout,
    })
}

/// `features.npy` and `labels.npy`; `logits.npy`, `heldout.npy`, and `labels.txt`, `ids.txt` and
/// `model.txt` with a name a line, where they were kept.
fn npy_folder(folder: &Path) -> Result<Contents, DataError> {
    let array = |name: &str| -> Result<Option<Array2>, DataError> {
        let path = folder.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let file = File::open(&path).map_err(DataError::io(&path))?;
        let size = file.metadata().map_err(DataError::io(&path))?.len();
        npy(BufReader::new(file), size)
            .map(Some)
            .map_err(|reason| DataError::Features { path, reason })
    };
    let lines = |name: &str| -> Result<Option<Vec<String>>, DataError> {
        let path = folder.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(DataError::io(&path))?;
        Ok(Some(text.lines().map(str::to_owned).collect()))
    };
    let refuse = |reason: String| DataError::Features {
        path: folder.to_owned(),
        reason,
    };
    let wanted = |name: &str, array: Option<Array2>| {
        array.ok_or_else(|| refuse(format!("it has no `{name}`")))
    };
    let features = wanted(NPY, array(NPY)?)?;
    let labels = wanted("labels.npy", array("labels.npy")?)?;
    let whole = |array: Array2| -> Result<Vec<u32>, DataError> {
        let values = array.values.into_iter();
        values
            .map(|value| {
                if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
                    Ok(value as u32)
                } else {
                    Err(refuse(format!("the label {value} is out of range")))
                }
            })
            .collect()
    };
    let floats = |array: Array2| -> Values {
        let values = array.values.into_iter().map(|value| value as f32);
        (array.shape, values.collect())
    };
    let labels = whole(labels)?;
    let (shape, values) = floats(features);
    let logits = array("logits.npy")?.map(floats);
    let models = lines("model.txt")?.unwrap_or_default();
    let heldout = array("heldout.npy")?.map(whole).transpose()?;
    let contents = Contents {
        table: Some(table(models, shape, values, logits, labels.len()).map_err(refuse)?),
        labels,
        names: lines("labels.txt")?,
        ids: lines("ids.txt")?,
        heldout: heldout.map(|marks| marks.iter().map(|mark| *mark != 0).collect()),
    };
    checked(contents).map_err(refuse)
}

/// A vector (one column) or a matrix.
struct Array2 {
    shape: [usize; 2],
    values: Vec<f64>,
}

/// The largest header of an array that is read; NumPy's have 118 bytes.
const LARGEST_HEADER: usize = 1 << 14;

/// The beginning of a `.npy` file up to the end of its header. A plain array's header is one dictionary
/// without any other in it; nested ones cost the library that reads headers time without end.
fn npy_header(input: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut start = vec![0; 10];
    input
        .read_exact(&mut start)
        .map_err(|_| "it is too short")?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err("it is no array of NumPy".into());
    }
    let mut length = usize::from(u16::from_le_bytes([start[8], start[9]]));
    if start[6] > 1 {
        start.resize(12, 0);
        input
            .read_exact(&mut start[10..])
            .map_err(|_| "it is too short")?;
        length |= usize::from(u16::from_le_bytes([start[10], start[11]])) << 16;
    }
    if length > LARGEST_HEADER {
        return Err(format!("its header claims {length} bytes"));
    }
    let begin = start.len();
    start.resize(begin + length, 0);
    input
        .read_exact(&mut start[begin..])
        .map_err(|_| "its header is cut off")?;
    let count = |mark: u8| start[begin..].iter().filter(|byte| **byte == mark).count();
    if count(b'{') != 1 || count(b'(') > 1 || count(b'[') > 0 {
        return Err("it is no plain array of numbers".into());
    }
    Ok(start)
}

fn npy(mut input: impl Read, size: u64) -> Result<Array2, String> {
    let header = npy_header(&mut input)?;
    let whole = Cursor::new(header).chain(input);
    let file = NpyFile::new(whole).map_err(|error| error.to_string())?;
    let shape: Vec<u64> = file.shape().to_vec();
    let [rows, cols] = match shape[..] {
        [rows] => [rows, 1],
        [rows, cols] => [rows, cols],
        _ => {
            return Err(format!(
                "it is an array of the shape {shape:?}, not a vector or a matrix"
            ));
        }
    };
    // The header is believed only as far as there are bytes.
    let claimed = rows.checked_mul(cols);
    if claimed.is_none_or(|count| count > size) {
        return Err(format!("it claims the shape {shape:?} in {size} bytes"));
    }
    if file.order() == npyz::Order::Fortran && cols > 1 {
        return Err("it is in Fortran's order; save numpy.ascontiguousarray(...)".into());
    }
    let npyz::DType::Plain(kind) = file.dtype() else {
        return Err("it is a structured array".into());
    };
    let width = kind.size_field();
    macro_rules! read {
        ($type:ty) => {{
            let data = file
                .into_vec::<$type>()
                .map_err(|error| error.to_string())?;
            data.into_iter().map(|value| value as f64).collect()
        }};
    }
    let values: Vec<f64> = match (kind.type_char(), width) {
        (TypeChar::Float, 4) => read!(f32),
        (TypeChar::Float, 8) => read!(f64),
        (TypeChar::Int, 8) => read!(i64),
        (TypeChar::Int, 4) => read!(i32),
        (TypeChar::Int, 2) => read!(i16),
        (TypeChar::Int, 1) => read!(i8),
        (TypeChar::Uint, 8) => read!(u64),
        (TypeChar::Uint, 4) => read!(u32),
        (TypeChar::Uint, 1) => read!(u8),
        (TypeChar::Bool, 1) => {
            let data = file.into_vec::<bool>().map_err(|error| error.to_string())?;
            data.into_iter()
                .map(|value| f64::from(u8::from(value)))
                .collect()
        }
        _ => {
            return Err(format!(
                "it holds {kind:?}; save float32, or whole numbers for labels"
            ));
        }
    };
    Ok(Array2 {
        shape: [rows as usize, cols as usize],
        values,
    })
}
