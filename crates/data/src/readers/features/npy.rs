//! Features in a folder of NumPy arrays.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use npyz::{NpyFile, TypeChar};

use crate::error::DataError;
use crate::readers::features::contents::{Contents, Values, checked, table};

/// The file that makes a folder one of NumPy arrays.
pub(super) const NPY: &str = "features.npy";

/// `features.npy` and `labels.npy`; `logits.npy`, `heldout.npy`, and `labels.txt`, `ids.txt` and
/// `model.txt` with a name a line, where they were kept.
pub(super) fn read_folder(folder: &Path) -> Result<Contents, DataError> {
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

/// Rows and columns, in a file of so many bytes.
fn npy_shape(shape: &[u64], size: u64) -> Result<[u64; 2], String> {
    let [rows, cols] = match *shape {
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
    Ok([rows, cols])
}

fn npy(mut input: impl Read, size: u64) -> Result<Array2, String> {
    let header = npy_header(&mut input)?;
    let whole = Cursor::new(header).chain(input);
    let file = NpyFile::new(whole).map_err(|error| error.to_string())?;
    let [rows, cols] = npy_shape(file.shape(), size)?;
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
