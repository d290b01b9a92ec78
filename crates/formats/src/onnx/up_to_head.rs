//! An ONNX model cut off before its head.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::onnx::graph::{self, Graph, Weight};
use crate::onnx::wire;

/// The same model with other values as its only outputs, such as the head's input, in one piece: weights
/// that it keeps in other files are taken from `others`, the bytes of those files by their names.
///
/// # Errors
/// A sentence when the file is no ONNX model, or a weight is not there.
pub fn up_to_head(
    file: &[u8],
    values: &[&str],
    others: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let graph = Graph::read(file)?;
    let mut changed = Vec::with_capacity(graph.place.len());
    let apart = graph.weights.values().any(|weight| weight.file.is_some());
    let without: &[u64] = if apart { &[5, 12] } else { &[12] };
    copy(file, graph.place.clone(), without, &mut changed)?;
    for value in values {
        let mut info = Vec::new();
        wire::put_bytes(&mut info, 1, value.as_bytes());
        wire::put_bytes(&mut changed, 12, &info);
    }
    if apart {
        let fields = wire::fields(file, graph.place.clone())?;
        for range in wire::all(&fields, 5) {
            wire::put_bytes(&mut changed, 5, &whole(file, range, others)?);
        }
    }
    let mut model = Vec::with_capacity(file.len() + changed.len());
    copy(file, 0..file.len(), &[7], &mut model)?;
    wire::put_bytes(&mut model, 7, &changed);
    Ok(model)
}

/// A `TensorProto` with its bytes in it.
fn whole(
    file: &[u8],
    range: Range<usize>,
    others: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let mut message = Vec::with_capacity(range.len());
    let weight = graph::weight(file, range.clone())?;
    let Some((
        name,
        Weight {
            file: Some(at),
            place,
            ..
        },
    )) = weight
    else {
        message.extend_from_slice(&file[range]);
        return Ok(message);
    };
    let bytes = others
        .get(&at)
        .and_then(|bytes| {
            let start = usize::try_from(place.start).ok()?;
            bytes.get(start..usize::try_from(place.end).ok()?)
        })
        .ok_or_else(|| format!("its weight `{name}` is not in `{at}`"))?;
    // `external_data` and `data_location` give way to `raw_data`.
    copy(file, range, &[13, 14], &mut message)?;
    wire::put_bytes(&mut message, 9, bytes);
    Ok(message)
}

/// Copies a message without the fields of some numbers.
fn copy(
    file: &[u8],
    place: Range<usize>,
    without: &[u64],
    into: &mut Vec<u8>,
) -> Result<(), String> {
    let mut at = place.start;
    while at < place.end {
        let start = at;
        let tag = wire::varint(file, &mut at, place.end)?;
        let length = match tag & 7 {
            0 => {
                wire::varint(file, &mut at, place.end)?;
                0
            }
            1 => 8,
            2 => usize::try_from(wire::varint(file, &mut at, place.end)?)
                .map_err(|_| "a field is too long")?,
            5 => 4,
            other => return Err(format!("a field has the unknown type {other}")),
        };
        at = at
            .checked_add(length)
            .filter(|end| *end <= place.end)
            .ok_or("a field is longer than the file")?;
        if !without.contains(&(tag >> 3)) {
            into.extend_from_slice(&file[start..at]);
        }
    }
    Ok(())
}
