//! BERT's sum of vectors for tokens, positions and the first segment (arXiv:1810.04805).

use disinherit_data::ImageShape;

use super::initial::{Initial, NARROW};
use super::operation::{Operation, Tensors};
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, MatrixAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// `words[t] + positions[i] + segments[0]` for token `t` at position `i`.
///
/// # Shapes
/// Three tables: `[vocabulary, size]`, `[positions, size]` and `[2, size]`.
#[derive(Debug, Clone)]
pub(crate) struct TokenEmbedding {
    /// The name that the three tables start with.
    pub(crate) name: String,
    /// Different tokens.
    pub(crate) vocabulary: usize,
    /// Different positions.
    pub(crate) positions: usize,
    /// Values of a vector.
    pub(crate) size: usize,
}

impl Operation for TokenEmbedding {
    fn tensors(&self) -> Tensors {
        [
            ("word_embeddings.weight", self.vocabulary),
            ("position_embeddings.weight", self.positions),
            ("token_type_embeddings.weight", 2),
        ]
        .map(|(table, count)| (format!("{}.{table}", self.name), vec![count, self.size]))
        .to_vec()
    }

    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::Normal(NARROW)
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: self.size,
            ..input
        })
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let mut table = |part: &str| builder.matrix(&format!("{}.{part}.weight", self.name));
        Ok(Box::new(DeviceTokenEmbedding {
            words: table("word_embeddings")?,
            positions: table("position_embeddings")?,
            segments: table("token_type_embeddings")?,
        }))
    }
}

#[cfg(feature = "burn")]
struct DeviceTokenEmbedding {
    words: MatrixAt,
    positions: MatrixAt,
    segments: MatrixAt,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceTokenEmbedding {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = pass.embedded(self.words, input);
        let length = x.dims()[1];
        let positions = pass.matrix(self.positions).narrow(0, 0, length);
        let segment = pass.matrix(self.segments).narrow(0, 0, 1);
        Flow::Sequence(x + (positions + segment).unsqueeze::<3>())
    }
}
