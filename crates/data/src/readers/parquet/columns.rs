//! Columns of Arrow read as what a data set needs: whole numbers, numbers, texts, bytes, truth
//! values and lists of numbers, from whatever type the writer chose.

use std::fmt::{Display, LowerExp};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// A column, with the name that messages call it by.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) array: &'a ArrayRef,
}

/// Lists of one width: the width, and all values, list after list.
pub(crate) type EqualLists = (usize, Vec<f32>);

impl<'a> Column<'a> {
    /// Whole numbers; fractions are cut off, and what has no place in 64 bits is empty.
    pub(crate) fn integers(&self) -> Result<Vec<Option<i64>>, String> {
        integers(self.array).ok_or_else(|| self.wrong("whole numbers"))
    }

    /// Truth values; numbers are true where they are not 0.
    pub(crate) fn booleans(&self) -> Result<Vec<Option<bool>>, String> {
        booleans(self.array).ok_or_else(|| self.wrong("truth values"))
    }

    /// Texts; numbers are spelled out.
    pub(crate) fn texts(&self) -> Result<Vec<Option<String>>, String> {
        texts(self.array).ok_or_else(|| self.wrong("texts"))
    }

    /// Bytes, which texts have too.
    pub(crate) fn bytes(&self) -> Result<Vec<Option<&'a [u8]>>, String> {
        bytes(self.array).ok_or_else(|| self.wrong("bytes or texts"))
    }

    /// Lists of numbers of one width; a number alone is a list of one. `None` without rows.
    pub(crate) fn lists(&self) -> Result<Option<EqualLists>, String> {
        let array = self.array;
        self.expect_full(array.null_count())?;
        let wrong = || self.wrong("lists of numbers");
        let rows = array.len();
        let (items, ends): (ArrayRef, Vec<usize>) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let ends = list.value_offsets().iter().map(|end| *end as usize);
                (list.values().clone(), ends.collect())
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let ends = list.value_offsets().iter().map(|end| *end as usize);
                (list.values().clone(), ends.collect())
            }
            DataType::FixedSizeList(_, width) => {
                let list = array.as_fixed_size_list();
                let width = usize::try_from(*width).map_err(|_| wrong())?;
                let ends = (0..=rows).map(|row| row * width);
                (list.values().clone(), ends.collect())
            }
            _ => (array.clone(), (0..=rows).collect()),
        };
        let (Some(first), Some(last)) = (ends.first().copied(), ends.last().copied()) else {
            return Ok(None);
        };
        // The type is checked where there are no rows too.
        let values = floats(&items.slice(first, last - first)).ok_or_else(wrong)?;
        if rows == 0 {
            return Ok(None);
        }
        let width = ends[1] - ends[0];
        if ends.windows(2).any(|pair| pair[1] - pair[0] != width) {
            return Err(format!(
                "the lists of `{}` have different lengths",
                self.name
            ));
        }
        Ok(Some((width, values)))
    }

    /// Values, none of them empty.
    pub(crate) fn filled<T>(&self, values: Vec<Option<T>>) -> Result<Vec<T>, String> {
        self.expect_full(values.iter().filter(|value| value.is_none()).count())?;
        Ok(values.into_iter().flatten().collect())
    }

    fn expect_full(&self, empty: usize) -> Result<(), String> {
        match empty {
            0 => Ok(()),
            count => Err(format!(
                "the column `{}` has {count} empty cells",
                self.name
            )),
        }
    }

    fn wrong(&self, wanted: &str) -> String {
        format!(
            "the column `{}` is {}, not {wanted}",
            self.name,
            self.array.data_type()
        )
    }
}

/// Every value of a primitive array, converted.
fn each<P: ArrowPrimitiveType, T>(
    array: &dyn Array,
    convert: impl Fn(P::Native) -> Option<T>,
) -> Vec<Option<T>> {
    let values = array.as_primitive::<P>().iter();
    values.map(|value| value.and_then(&convert)).collect()
}

/// A value for each row of a dictionary array; `read` reads the dictionary itself.
fn looked_up<'a, T: Clone>(
    array: &'a dyn Array,
    read: impl Fn(&'a ArrayRef) -> Option<Vec<Option<T>>>,
) -> Option<Vec<Option<T>>> {
    let dictionary = array.as_any_dictionary_opt()?;
    let values = read(dictionary.values())?;
    let keys = dictionary.keys();
    if values.is_empty() {
        return Some(vec![None; keys.len()]);
    }
    let places = dictionary.normalized_keys().into_iter().enumerate();
    Some(
        places
            .map(|(row, key)| {
                let value = || values.get(key).cloned().flatten();
                keys.is_valid(row).then(value).flatten()
            })
            .collect(),
    )
}

/// A fraction cut off; nothing where 64 bits have no place for it.
fn cut(value: f64) -> Option<i64> {
    // 2^63 itself is one too many.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
        .contains(&value)
        .then_some(value as i64)
}

fn integers(array: &ArrayRef) -> Option<Vec<Option<i64>>> {
    Some(match array.data_type() {
        DataType::Int8 => each::<Int8Type, _>(array, |v| Some(v.into())),
        DataType::Int16 => each::<Int16Type, _>(array, |v| Some(v.into())),
        DataType::Int32 => each::<Int32Type, _>(array, |v| Some(v.into())),
        DataType::Int64 => each::<Int64Type, _>(array, Some),
        DataType::UInt8 => each::<UInt8Type, _>(array, |v| Some(v.into())),
        DataType::UInt16 => each::<UInt16Type, _>(array, |v| Some(v.into())),
        DataType::UInt32 => each::<UInt32Type, _>(array, |v| Some(v.into())),
        DataType::UInt64 => each::<UInt64Type, _>(array, |v| i64::try_from(v).ok()),
        DataType::Float16 => each::<Float16Type, _>(array, |v| cut(v.to_f64())),
        DataType::Float32 => each::<Float32Type, _>(array, |v| cut(v.into())),
        DataType::Float64 => each::<Float64Type, _>(array, cut),
        DataType::Boolean => {
            let values = array.as_boolean().iter();
            values.map(|value| value.map(i64::from)).collect()
        }
        DataType::Null => vec![None; array.len()],
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let read = |text: &str| text.parse().ok();
            let values = texts(array)?.into_iter();
            values.map(|value| read(value?.as_str())).collect()
        }
        DataType::Dictionary(..) => looked_up(array, integers)?,
        _ => return None,
    })
}

/// Numbers in single precision; an empty cell is 0.
fn floats(array: &ArrayRef) -> Option<Vec<f32>> {
    let values = match array.data_type() {
        DataType::Float16 => each::<Float16Type, _>(array, |v| Some(v.to_f32())),
        DataType::Float32 => each::<Float32Type, _>(array, Some),
        DataType::Float64 => each::<Float64Type, _>(array, |v| Some(v as f32)),
        DataType::UInt64 => each::<UInt64Type, _>(array, |v| Some(v as f32)),
        DataType::Dictionary(..) => looked_up(array, |values| {
            Some(floats(values)?.into_iter().map(Some).collect())
        })?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => return None,
        _ => {
            let values = integers(array)?.into_iter();
            values.map(|value| value.map(|v| v as f32)).collect()
        }
    };
    let values = values.into_iter();
    Some(values.map(Option::unwrap_or_default).collect())
}

fn booleans(array: &ArrayRef) -> Option<Vec<Option<bool>>> {
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().iter().collect(),
        DataType::Float16 => each::<Float16Type, _>(array, |v| Some(v.to_f32() != 0.0)),
        DataType::Float32 => each::<Float32Type, _>(array, |v| Some(v != 0.0)),
        DataType::Float64 => each::<Float64Type, _>(array, |v| Some(v != 0.0)),
        DataType::UInt64 => each::<UInt64Type, _>(array, |v| Some(v != 0)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => return None,
        DataType::Dictionary(..) => looked_up(array, booleans)?,
        _ => {
            let values = integers(array)?.into_iter();
            values.map(|value| value.map(|v| v != 0)).collect()
        }
    })
}

fn texts(array: &ArrayRef) -> Option<Vec<Option<String>>> {
    Some(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().iter();
            values.map(|value| value.map(|v| v.to_string())).collect()
        }
        DataType::UInt64 => each::<UInt64Type, _>(array, |v| Some(v.to_string())),
        DataType::Float32 => each::<Float32Type, _>(array, |v| {
            Some(float_text(v, v != 0.0 && v.abs() < 1e-4 || v.abs() >= 1e16))
        }),
        DataType::Float64 => each::<Float64Type, _>(array, |v| {
            Some(float_text(v, v != 0.0 && v.abs() < 1e-4 || v.abs() >= 1e16))
        }),
        DataType::Dictionary(..) => looked_up(array, texts)?,
        kind if kind.is_integer() || *kind == DataType::Null => {
            let values = integers(array)?.into_iter();
            values.map(|value| value.map(|v| v.to_string())).collect()
        }
        _ => {
            let read = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
            let values = bytes(array)?.into_iter();
            values.map(|value| read(value?)).collect()
        }
    })
}

/// A number with a fraction as the text of an id or a label: with a digit behind the point, and with an exponent where it
/// is `far` from 1. Registries keep ids and labels, so this stays as it is.
fn float_text(value: impl Display + LowerExp, far: bool) -> String {
    let text = match far {
        true => format!("{value:e}"),
        false => value.to_string(),
    };
    let whole = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    match whole && !far {
        true => format!("{text}.0"),
        false => text,
    }
}

fn bytes(array: &ArrayRef) -> Option<Vec<Option<&[u8]>>> {
    Some(match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().iter().collect(),
        DataType::LargeBinary => array.as_binary::<i64>().iter().collect(),
        DataType::BinaryView => array.as_binary_view().iter().collect(),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().iter().collect(),
        DataType::Utf8 => spelled(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => spelled(array.as_string::<i64>().iter()),
        DataType::Utf8View => spelled(array.as_string_view().iter()),
        DataType::Dictionary(..) => looked_up(array, bytes)?,
        _ => return None,
    })
}

fn spelled<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Vec<Option<&'a [u8]>> {
    texts.map(|text| text.map(str::as_bytes)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow_array::{
        BooleanArray, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array,
        ListArray, StringArray, UInt64Array,
    };

    use super::*;

    fn column(array: &ArrayRef) -> Column<'_> {
        Column {
            name: "mine",
            array,
        }
    }

    #[test]
    fn numbers_dictionaries_and_truth_values_become_what_is_asked_for() {
        let fractions: ArrayRef = Arc::new(Float64Array::from(vec![1.9, -1.9, f64::NAN, 1e300]));
        let whole = column(&fractions).integers().unwrap();
        assert_eq!(whole, [Some(1), Some(-1), None, None]);
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 7]));
        assert_eq!(column(&large).integers().unwrap(), [None, Some(7)]);
        let texts = column(&large).texts().unwrap();
        assert_eq!(texts[0].as_deref(), Some("18446744073709551615"));
        let marks: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
        assert_eq!(column(&marks).integers().unwrap(), [Some(1), None]);
        assert_eq!(column(&marks).booleans().unwrap(), [Some(true), None]);

        let keys = Int32Array::from(vec![Some(1), None, Some(0), Some(1)]);
        let values: ArrayRef = Arc::new(StringArray::from(vec!["3", "4"]));
        let dictionary: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
        let column = column(&dictionary);
        assert_eq!(
            column.integers().unwrap(),
            [Some(4), None, Some(3), Some(4)]
        );
        let bytes = column.bytes().unwrap();
        assert_eq!(bytes, [Some(&b"4"[..]), None, Some(b"3"), Some(b"4")]);
        let refused = column.filled(column.texts().unwrap()).unwrap_err();
        assert_eq!(refused, "the column `mine` has 1 empty cells");
    }

    #[test]
    fn lists_have_one_width() {
        let list = |rows: Vec<Vec<i32>>| -> ArrayRef {
            let rows = rows.into_iter().map(|row| Some(row.into_iter().map(Some)));
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows))
        };
        let even = list(vec![vec![9], vec![1, 2], vec![3, 4]]).slice(1, 2);
        let read = column(&even).lists().unwrap();
        assert_eq!(read, Some((2, vec![1.0, 2.0, 3.0, 4.0])));
        let uneven = list(vec![vec![1, 2], vec![3]]);
        let refused = column(&uneven).lists().unwrap_err();
        assert_eq!(refused, "the lists of `mine` have different lengths");
        let fixed = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(
            [Some([Some(0.5)]), Some([Some(1.5)]), Some([Some(2.5)])],
            1,
        );
        let fixed = (Arc::new(fixed) as ArrayRef).slice(1, 2);
        assert_eq!(column(&fixed).lists().unwrap(), Some((1, vec![1.5, 2.5])));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let refused = column(&texts).lists().unwrap_err();
        assert_eq!(refused, "the column `mine` is Utf8, not lists of numbers");
    }

    /// Ids and labels that registries keep were spelled by `Debug`: these are the same bytes.
    #[test]
    fn numbers_with_fractions_are_spelled_as_ever() {
        let values = [
            0.0,
            -0.0,
            1.0,
            -3.0,
            0.1,
            1.5e-5,
            1e-4,
            9.999e-5,
            123_456.78,
            1e15,
            9.999e15,
            1e16,
            -2.5e17,
            3.4e38,
            1e-38,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let double: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let spelled = column(&double).texts().unwrap().into_iter().flatten();
        assert!(spelled.eq(values.map(|v| format!("{v:?}"))));
        let values = values.map(|v| v as f32);
        let single: ArrayRef = Arc::new(Float32Array::from(values.to_vec()));
        let spelled = column(&single).texts().unwrap().into_iter().flatten();
        assert!(spelled.eq(values.map(|v| format!("{v:?}"))));
    }
}
