//! Features in a safetensors file.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::readers::features::contents::{Contents, Values, label, listed, table};

/// `features` `[samples, width]` and `labels` `[samples]`; `logits` `[samples, outputs]` and
/// `heldout` `[samples]` where they were kept. In the metadata `model`, `labels` and `ids`.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, String> {
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
