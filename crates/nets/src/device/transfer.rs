//! Tensors between the host and a device.

use burn::tensor::{Device, Tensor, TensorData};

use crate::array::Array;
use crate::error::NetError;

/// A tensor of `D` dimensions on a device; nothing when the array has another number.
pub(crate) fn to_device<const D: usize>(array: &Array, device: &Device) -> Option<Tensor<D>> {
    let shape: [usize; D] = array.shape.clone().try_into().ok()?;
    let data = TensorData::new(array.values.clone(), shape);
    Some(Tensor::from_data(data, device))
}

/// A tensor back on the host.
///
/// # Errors
/// As [`read`].
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Array, NetError> {
    let shape = tensor.dims().to_vec();
    Ok(Array {
        shape,
        values: read(tensor)?,
    })
}

/// A tensor's values on the host, row-major.
///
/// # Errors
/// [`NetError::Backend`] when the device cannot be read.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NetError> {
    let failed = |error: &dyn std::fmt::Debug| NetError::Backend(format!("{error:?}"));
    let data = tensor.try_into_data_as::<f32>().map_err(|e| failed(&e))?;
    data.try_to_vec::<f32>().map_err(|e| failed(&e))
}
