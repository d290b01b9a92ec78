//! What can be wrong with the numbers.

/// Input that is refused. Tensors are named by the caller, who knows their names.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FisherError {
    /// Lengths or shapes that do not fit together.
    #[error("{what} has {found}, expected {expected}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// A NaN or an infinity.
    #[error("{what} holds {value} at {place}")]
    NotFinite {
        /// Which input.
        what: &'static str,
        /// The value.
        value: f32,
        /// Where, in words.
        place: String,
    },
    /// A label that is no class.
    #[error("sample {sample} has label {label}, but there are {classes} classes")]
    Label {
        /// The sample's row.
        sample: usize,
        /// Its label.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// No samples where some are needed.
    #[error("there are no samples {0}")]
    NoSamples(String),
    /// A parameter of the method outside its range.
    #[error("{name} must be {range}, not {value}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// The allowed range, in words.
        range: &'static str,
        /// The value given.
        value: f64,
    },
}

pub(crate) fn expect_len(
    what: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), FisherError> {
    if found == expected {
        return Ok(());
    }
    Err(FisherError::Shape {
        what,
        found: format!("{found} values"),
        expected: format!("{expected}"),
    })
}

pub(crate) fn expect_finite(what: &'static str, values: &[f32]) -> Result<(), FisherError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(FisherError::NotFinite {
            what,
            value: values[index],
            place: format!("index {index}"),
        }),
    }
}

pub(crate) fn expect_row(what: &'static str, index: usize, row: &[f32]) -> Result<(), FisherError> {
    match row.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(&value) => Err(FisherError::NotFinite {
            what,
            value,
            place: format!("sample {index}"),
        }),
    }
}
