//! Tensors as they are stored: type, shape, bytes.

use half::{bf16, f16};
pub use safetensors::Dtype;

/// A tensor in the byte order and layout of safetensors (little-endian, row-major).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The element type.
    pub dtype: Dtype,
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// A single-precision tensor.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        Self {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    /// The values in single precision; `None` for types that are no floating-point numbers of 16,
    /// 32 or 64 bits.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        widened(self.dtype, &self.bytes)
    }
}

/// Numbers in single precision; `None` for types that are no floating-point numbers of 16, 32 or 64 bits.
pub fn widened(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
        bytes.chunks_exact(N).map(|chunk| {
            let mut word = [0; N];
            word.copy_from_slice(chunk);
            word
        })
    }
    Some(match dtype {
        Dtype::F32 => words(bytes).map(f32::from_le_bytes).collect(),
        Dtype::F16 => words(bytes)
            .map(|w| f16::from_le_bytes(w).to_f32())
            .collect(),
        Dtype::BF16 => words(bytes)
            .map(|w| bf16::from_le_bytes(w).to_f32())
            .collect(),
        Dtype::F64 => words(bytes).map(|w| f64::from_le_bytes(w) as f32).collect(),
        _ => return None,
    })
}

/// The bytes that a shape needs; `None` when no tensor can be so large.
pub fn byte_length(dtype: Dtype, shape: &[usize]) -> Option<u64> {
    let bits = shape
        .iter()
        .try_fold(dtype.bitsize() as u64, |product, length| {
            product.checked_mul(*length as u64)
        })?;
    Some(bits.div_ceil(8))
}

/// A shape in words: `[64, 3, 3, 3]`. Reasons that registries keep have it, so it stays as it is.
pub fn shape_text(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", sides.join(", "))
}
