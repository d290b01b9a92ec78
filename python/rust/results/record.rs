//! What every result shares: how it becomes an object of its dataclass, and what its fields become.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

/// Something that is a dataclass in Python.
pub(crate) trait Record {
    /// It, as an object of its class.
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// Makes an object of a class from its fields.
macro_rules! record {
    ($py:expr, $class:literal { $($field:ident: $value:expr),* $(,)? }) => {{
        let fields = pyo3::types::PyDict::new($py);
        $(fields.set_item(stringify!($field), $value)?;)*
        $crate::results::record::made($py, $class, &fields)
    }};
}
pub(super) use record;

/// An object of a class of `disinherit.results`.
pub(super) fn made<'py>(
    py: Python<'py>,
    class: &str,
    fields: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let results = py.import("disinherit.results")?;
    results.getattr(class)?.call((), Some(fields))
}

/// A list of objects.
pub(crate) fn list<'py, 'a, T: Record + 'a>(
    py: Python<'py>,
    items: impl IntoIterator<Item = &'a T>,
) -> PyResult<Bound<'py, PyList>> {
    let objects = PyList::empty(py);
    for item in items {
        objects.append(item.record(py)?)?;
    }
    Ok(objects)
}

/// An object, or `None`.
pub(super) fn maybe<'py, T: Record>(
    py: Python<'py>,
    item: Option<&T>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    item.map(|item| item.record(py)).transpose()
}

/// A dictionary of what texts name.
pub(super) fn dict<'py, K: ToString, V>(
    py: Python<'py>,
    items: impl IntoIterator<Item = (K, V)>,
    value: impl Fn(V) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    for (key, item) in items {
        found.set_item(key.to_string(), value(item)?)?;
    }
    Ok(found)
}

/// Ids, digests and other things that are texts in Python.
pub(crate) fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// A text, or `None`.
pub(super) fn text<T: ToString>(item: Option<&T>) -> Option<String> {
    item.map(ToString::to_string)
}

/// A document, as plain values of Python.
pub(crate) fn plain<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => value.into_pyobject(py)?.into_any(),
            (None, Some(value)) => value.into_pyobject(py)?.into_any(),
            (None, None) => number.as_f64().into_pyobject(py)?,
        },
        Value::String(value) => value.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let found = PyList::empty(py);
            for item in items {
                found.append(plain(py, item)?)?;
            }
            found.into_any()
        }
        Value::Object(items) => dict(py, items, |item| plain(py, item))?.into_any(),
    })
}

/// A document, or `None`.
pub(super) fn plain_or_none<'py>(
    py: Python<'py>,
    value: Option<&Value>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    value.map(|value| plain(py, value)).transpose()
}

/// Plain values of Python as a document.
pub(crate) fn from_plain(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.extract::<bool>() {
        return Ok(value.into());
    }
    if let Ok(value) = value.extract::<i64>() {
        return Ok(value.into());
    }
    if let Ok(value) = value.extract::<f64>() {
        let finite = serde_json::Number::from_f64(value).map(Value::Number);
        return finite.ok_or_else(|| PyValueError::new_err(format!("{value} is no finite number")));
    }
    if let Ok(value) = value.extract::<String>() {
        return Ok(value.into());
    }
    if let Ok(items) = value.cast::<PyDict>() {
        let pairs = items.iter();
        let pairs = pairs.map(|(key, item)| Ok((key.extract::<String>()?, from_plain(&item)?)));
        return pairs
            .collect::<PyResult<serde_json::Map<_, _>>>()
            .map(Value::Object);
    }
    let items = value.try_iter()?;
    let items = items.map(|item| from_plain(&item?));
    items.collect::<PyResult<Vec<_>>>().map(Value::Array)
}
