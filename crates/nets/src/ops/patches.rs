//! From maps to a sequence of positions, as the vision transformer reads it (arXiv:2010.11929).

#[cfg(feature = "burn")]
use burn::tensor::Tensor;
use disinherit_data::ImageShape;
use fiun::FisherError;

use super::initial::{Initial, NARROW};
use super::operation::{Following, Operation, Tensors};
use crate::cpu::layer::{Backward, CpuLayer, Gradient, Record, Tapped};
use crate::cpu::maps::Maps;
use crate::cpu::table::{squared_sums, summed};
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, CubeAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// A learnt vector before the first position, and learnt vectors added to each.
///
/// # Shapes
/// `token`: `[1, 1, size]`; `position`: `[1, count + 1, size]`.
#[derive(Debug, Clone)]
pub(crate) struct Patches {
    /// The tensor of the first vector.
    pub(crate) token: String,
    /// The tensor of the added vectors.
    pub(crate) position: String,
    /// Positions of the maps.
    pub(crate) count: usize,
    /// Channels of the maps.
    pub(crate) size: usize,
}

impl Operation for Patches {
    fn tensors(&self) -> Tensors {
        vec![
            (self.token.clone(), vec![1, 1, self.size]),
            (self.position.clone(), vec![1, self.count + 1, self.size]),
        ]
    }

    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::Normal(NARROW)
    }

    fn output(&self, _input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: self.size,
            height: self.count + 1,
            width: 1,
        })
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(CpuPatches {
            names: [self.token.clone(), self.position.clone()],
            token: weights.named(&self.token)?.to_vec(),
            position: weights.named(&self.position)?.to_vec(),
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DevicePatches {
            token: builder.cube(&self.token)?,
            position: builder.cube(&self.position)?,
        }))
    }
}

struct CpuPatches {
    /// The tensors of the first vector and of what is added.
    names: [String; 2],
    token: Vec<f32>,
    position: Vec<f32>,
}

impl CpuPatches {
    fn sequences(&self, maps: &Maps) -> Maps {
        let each = maps.per_sample().max(1);
        let mut values = Vec::with_capacity(maps.values.len() + maps.samples * self.token.len());
        for sample in maps.values.chunks_exact(each) {
            let vectors = self.token.iter().chain(sample);
            values.extend(
                vectors
                    .zip(&self.position)
                    .map(|(value, more)| value + more),
            );
        }
        Maps::new(
            maps.samples,
            [maps.positions() + 1, 1],
            maps.channels,
            values,
        )
    }
}

impl CpuLayer for CpuPatches {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(self.sequences(&input))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.keep(input.with(Vec::new()));
        Ok(self.sequences(&input))
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        let [token, position] = &self.names;
        let (samples, each) = (delta.samples, delta.per_sample());
        let size = self.token.len();
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for sample in delta.values.chunks_exact(each.max(1)) {
            let (token, patches) = sample.split_at(size);
            first.extend_from_slice(token);
            rest.extend_from_slice(patches);
        }
        for (name, width, delta) in [(token, size, &first), (position, each, &delta.values)] {
            let squares = |groups| Ok(vec![("", squared_sums(groups, samples, delta))]);
            let gradients = || Ok(vec![Gradient::new("", summed(width, delta))]);
            let shown = Tapped {
                name,
                squares: &squares,
                gradients: &gradients,
            };
            if !pass.show(shown)? {
                return Ok(None);
            }
        }
        Ok(Some(input.with(rest)))
    }
}

#[cfg(feature = "burn")]
struct DevicePatches {
    token: CubeAt,
    position: CubeAt,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DevicePatches {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let [batch, _, values] = x.dims();
        let token = pass.cube(self.token).expand([batch, 1, values]);
        Flow::Sequence(Tensor::cat(vec![token, x], 1) + pass.cube(self.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::checks::{Case, wave};
    use crate::ops::operation::Op;

    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        let layer = Patches {
            token: "class_token".into(),
            position: "encoder.pos_embedding".into(),
            count: 6,
            size: 3,
        };
        let input = Maps::new(3, [2, 3], 3, wave(54, 5));
        let case = Case::new(vec![Op::new(layer)], input);
        assert_eq!(case.output(1).size, [7, 1]);
        case.check(true);
        case.check_nothing();
    }
}
