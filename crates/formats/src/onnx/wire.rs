//! Protocol buffers as they lie in a file: fields with their places, so that bytes can be exchanged
//! without touching any other (<https://protobuf.dev/programming-guides/encoding/>).

use std::ops::Range;

/// One field of a message.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) value: Value,
}

/// What a field holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number of variable length.
    Number(u64),
    /// Four bytes.
    Word([u8; 4]),
    /// Eight bytes.
    Double,
    /// Bytes: text, a message, packed numbers. Their place in the file.
    Bytes(Range<usize>),
}

/// Reads the fields of a message that lies at some place of a file.
pub(super) fn fields(file: &[u8], place: Range<usize>) -> Result<Vec<Field>, String> {
    let mut at = place.start;
    let mut list = Vec::new();
    while at < place.end {
        let tag = varint(file, &mut at, place.end)?;
        let number = tag >> 3;
        let mut fixed = |length: usize| -> Result<Range<usize>, String> {
            let end = at.checked_add(length).filter(|end| *end <= place.end);
            let end = end.ok_or("it ends in the middle of a field")?;
            let range = at..end;
            at = end;
            Ok(range)
        };
        let value = match tag & 7 {
            0 => Value::Number(varint(file, &mut at, place.end)?),
            1 => {
                fixed(8)?;
                Value::Double
            }
            2 => {
                let length = varint(file, &mut at, place.end)?;
                let length = usize::try_from(length).map_err(|_| "a field is too long")?;
                let end = at.checked_add(length).filter(|end| *end <= place.end);
                let end = end.ok_or("a field is longer than the file")?;
                let range = at..end;
                at = end;
                Value::Bytes(range)
            }
            5 => {
                let mut word = [0; 4];
                word.copy_from_slice(&file[fixed(4)?]);
                Value::Word(word)
            }
            other => return Err(format!("a field has the unknown type {other}")),
        };
        list.push(Field { number, value });
    }
    Ok(list)
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(file: &[u8], at: &mut usize, end: usize) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *file[..end]
            .get(*at)
            .ok_or("it ends in the middle of a number")?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number is too long".into())
}

/// Writes a number.
pub(super) fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Writes a field of bytes.
pub(super) fn put_bytes(into: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(into, number << 3 | 2);
    put_varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// The messages or texts of a field, in their order.
pub(super) fn all(fields: &[Field], number: u64) -> impl Iterator<Item = Range<usize>> + '_ {
    fields.iter().filter_map(move |field| match &field.value {
        Value::Bytes(range) if field.number == number => Some(range.clone()),
        _ => None,
    })
}

/// The last number of a field: a later one replaces an earlier.
pub(super) fn number(fields: &[Field], wanted: u64) -> Option<u64> {
    fields.iter().rev().find_map(|field| match field.value {
        Value::Number(value) if field.number == wanted => Some(value),
        _ => None,
    })
}

/// The last text of a field.
pub(super) fn text(file: &[u8], fields: &[Field], number: u64) -> Result<String, String> {
    match all(fields, number).last() {
        None => Ok(String::new()),
        Some(range) => {
            String::from_utf8(file[range].to_vec()).map_err(|_| "a name is no UTF-8".to_owned())
        }
    }
}

/// Numbers that stand alone or packed.
pub(super) fn numbers(file: &[u8], fields: &[Field], wanted: u64) -> Result<Vec<u64>, String> {
    let mut list = Vec::new();
    for field in fields.iter().filter(|field| field.number == wanted) {
        match &field.value {
            Value::Number(value) => list.push(*value),
            Value::Bytes(range) => {
                let mut at = range.start;
                while at < range.end {
                    list.push(varint(file, &mut at, range.end)?);
                }
            }
            _ => return Err("a list of numbers holds something else".into()),
        }
    }
    Ok(list)
}
