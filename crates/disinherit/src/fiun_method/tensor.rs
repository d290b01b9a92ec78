//! The edits of one tensor, in every type that an edit knows.

use disinherit_formats::{Dtype, Tensor};
use fiun::{Dampening, FisherTensor, LogitSuppression, Scalar, Selection, dampen};
use half::{bf16, f16};

/// Selects and dampens in one tensor.
pub(super) fn dampen_tensor(
    tensor: &mut Tensor,
    forget: &FisherTensor,
    own: &FisherTensor,
    dampening: Dampening,
) -> Result<Selection, fiun::FisherError> {
    fn typed<T: Scalar + bytemuck::Pod>(
        bytes: &mut [u8],
        forget: &FisherTensor,
        own: &FisherTensor,
        dampening: Dampening,
    ) -> Result<Selection, fiun::FisherError> {
        let values: Vec<T> = bytemuck::pod_collect_to_vec(bytes);
        let mut edited = values.clone();
        let selection = dampen(&values, forget, own, dampening, &mut edited)?;
        bytes.copy_from_slice(bytemuck::cast_slice(&edited));
        Ok(selection)
    }
    let bytes = &mut tensor.bytes;
    match tensor.dtype {
        Dtype::F32 => typed::<f32>(bytes, forget, own, dampening),
        Dtype::F16 => typed::<f16>(bytes, forget, own, dampening),
        Dtype::BF16 => typed::<bf16>(bytes, forget, own, dampening),
        other => Err(not_editable(other)),
    }
}

/// Suppresses rows of one tensor, which has one for each output.
pub(super) fn suppress_tensor(
    tensor: &mut Tensor,
    suppression: &LogitSuppression,
) -> Result<(), fiun::FisherError> {
    let outputs = tensor.shape.first().copied().unwrap_or_default();
    let mut values = tensor.to_f32().ok_or_else(|| not_editable(tensor.dtype))?;
    suppression.apply(&mut values, outputs);
    let values = values.into_iter();
    tensor.bytes = match tensor.dtype {
        Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
        Dtype::F16 => values
            .flat_map(|v| f16::from_f32(v).to_le_bytes())
            .collect(),
        Dtype::BF16 => values
            .flat_map(|v| bf16::from_f32(v).to_le_bytes())
            .collect(),
        other => return Err(not_editable(other)),
    };
    Ok(())
}

fn not_editable(dtype: Dtype) -> fiun::FisherError {
    fiun::FisherError::Shape {
        what: "the tensor",
        found: format!("elements of type {dtype:?}"),
        expected: "F32, F16 or BF16".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use fiun::HeadPart;

    use super::*;

    #[test]
    fn every_float_type_is_edited_in_place() {
        let dampening = Dampening::new(2.0, 1.0).unwrap();
        let shape = vec![2];
        let fim = |values: [f32; 2]| FisherTensor::from_values(&[2], &values).unwrap();
        let (forget, own) = (fim([4.0, 1.0]), fim([1.0, 1.0]));
        let tensor = |dtype, bytes: Vec<u8>| Tensor {
            dtype,
            shape: shape.clone(),
            bytes,
        };
        let half: Vec<u8> = [1.0, 2.0]
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect();
        let brain: Vec<u8> = [1.0, 2.0]
            .iter()
            .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
            .collect();
        let single = Tensor::from_f32(&shape, &[1.0, 2.0]);
        for mut tensor in [tensor(Dtype::F16, half), tensor(Dtype::BF16, brain), single] {
            let edit = dampen_tensor(&mut tensor, &forget, &own, dampening).unwrap();
            assert_eq!(tensor.to_f32().unwrap(), [0.25, 2.0], "{:?}", tensor.dtype);
            assert_eq!((edit.selected, edit.changed), (1, 1));
            let suppression = LogitSuppression {
                rows: vec![1],
                by: 1.5,
                forget_before: 1.0,
                part: HeadPart::Bias,
            };
            suppress_tensor(&mut tensor, &suppression).unwrap();
            assert_eq!(tensor.to_f32().unwrap(), [0.25, 0.5], "{:?}", tensor.dtype);
        }
        let mut whole = tensor(Dtype::I64, vec![0; 16]);
        let refused = dampen_tensor(&mut whole, &forget, &own, dampening).unwrap_err();
        assert!(refused.to_string().contains("I64"), "{refused}");
    }
}
