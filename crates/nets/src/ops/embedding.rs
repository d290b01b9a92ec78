//! Vectors for tokens.

use disinherit_data::ImageShape;
use fiun::FisherError;

use super::initial::Initial;
use super::operation::{Following, Operation, Tensors};
use crate::cpu::layer::{Backward, CpuLayer, Record, Tapped};
use crate::cpu::maps::Maps;
use crate::cpu::table::Table;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, MatrixAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// Row `t` of a table for token `t`.
///
/// # Shapes
/// `weight`: `[count, size]`.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    /// The layer's name.
    pub(crate) name: String,
    /// Different tokens.
    pub(crate) count: usize,
    /// Values of a vector.
    pub(crate) size: usize,
}

impl Operation for Embedding {
    fn tensors(&self) -> Tensors {
        vec![(format!("{}.weight", self.name), vec![self.count, self.size])]
    }

    /// Narrower than PyTorch's 1: the mean over a text must not drown in its rare words.
    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::Normal(0.1)
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: self.size,
            ..input
        })
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(CpuEmbedding {
            name: self.name.clone(),
            table: Table {
                values: weights.tensor(&self.name, "weight")?.to_vec(),
                width: self.size,
            },
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let table = builder.matrix(&format!("{}.weight", self.name))?;
        Ok(Box::new(DeviceEmbedding(table)))
    }
}

struct CpuEmbedding {
    name: String,
    table: Table,
}

impl CpuLayer for CpuEmbedding {
    fn forward(&self, tokens: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(self.table.rows(&tokens))
    }

    fn record(&self, tokens: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let rows = self.table.rows(&tokens);
        record.keep(tokens);
        Ok(rows)
    }

    /// Tokens have no gradient: the pass ends here.
    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let tokens = pass.kept()?.maps;
        let squares = |groups| self.table.squares(groups, &tokens, &delta.values);
        let gradients = || Ok(vec![self.table.gradient(&tokens, &delta.values)]);
        pass.show(Tapped {
            name: &self.name,
            squares: &squares,
            gradients: &gradients,
        })?;
        Ok(None)
    }
}

#[cfg(feature = "burn")]
struct DeviceEmbedding(MatrixAt);

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceEmbedding {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        Flow::Sequence(pass.embedded(self.0, input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::checks::Case;
    use crate::ops::operation::Op;

    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        let layer = Embedding {
            name: "embedding".into(),
            count: 5,
            size: 3,
        };
        let tokens = [3.0, 1.0, 3.0, 0.0, 2.0, 2.0, 2.0, 2.0, 1.0, 0.0, 0.0, 0.0];
        let tokens = Maps::new(3, [4, 1], 1, tokens.to_vec());
        Case::new(vec![Op::new(layer)], tokens).check(false);
    }
}
