//! The embedded data set: 1,797 real handwritten digits.

use crate::error::DataError;
use crate::samples::{ImageShape, Samples};
use crate::set::DataSet;

/// Grey values of the source run from 0 to 16.
const TOP: f32 = 16.0;

/// The "Optical Recognition of Handwritten Digits" test set of the UCI repository (Alpaydin and
/// Kaynak 1998): 8x8 grey images of ten digits, as it comes with the `smartcore` crate.
pub(crate) fn digits() -> Result<DataSet, DataError> {
    let source = smartcore::dataset::digits::load_dataset();
    let shape = ImageShape {
        channels: 1,
        height: 8,
        width: 8,
    };
    let pixels = source
        .data
        .iter()
        .map(|v| (v / TOP * 255.0).round() as u8)
        .collect();
    DataSet::new(
        "digits",
        Samples::Images { shape, pixels },
        source.target.iter().map(|label| *label as u32).collect(),
        (0..10).map(|digit| digit.to_string()).collect(),
        (0..source.target.len())
            .map(|row| format!("digits/{row:04}"))
            .collect(),
    )
}
