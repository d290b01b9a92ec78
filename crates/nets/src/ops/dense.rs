//! Dense connections (Huang et al., arXiv:1608.06993).

#[cfg(feature = "burn")]
use burn::tensor::Tensor;
use disinherit_data::ImageShape;
use fiun::FisherError;

#[cfg(feature = "burn")]
use super::operation::device_layers;
use super::operation::{Following, Op, Operation, Part, cpu_layers, output};
use crate::cpu::layer::{Backward, CpuLayer, Record, forward};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// The input's channels, followed by those that a branch makes of it.
#[derive(Debug)]
pub(crate) struct Dense(Vec<Op>);

/// The channels of a branch after those of its input.
pub(crate) fn dense(branch: Vec<Op>) -> Op {
    Op::new(Dense(branch))
}

impl Operation for Dense {
    fn branches(&self) -> Vec<&[Op]> {
        vec![&self.0]
    }

    fn part(&self) -> Part<'_> {
        Part::Concatenation(&self.0)
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        let made = output(&self.0, input)?;
        Some(ImageShape {
            channels: input.channels + made.channels,
            ..input
        })
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(CpuDense(cpu_layers(&self.0, weights)?))))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DeviceDense(device_layers(&self.0, builder)?)))
    }
}

struct CpuDense(Vec<Box<dyn CpuLayer>>);

impl CpuLayer for CpuDense {
    fn forward(&self, input: Maps, threads: usize) -> Result<Maps, FisherError> {
        let made = forward(&self.0, input.clone(), threads)?;
        Ok(input.joined(&made))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let made = record.layers(&self.0, input.clone())?;
        record.keep(input.with(Vec::new()));
        Ok(input.joined(&made))
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let (mut through, made) = parted(&delta, pass.kept()?.maps.channels);
        let Some(other) = pass.layers(&self.0, made)? else {
            return Ok(None);
        };
        through.add(&other, false);
        Ok(Some(through))
    }
}

/// The reverse of [`Maps::joined`]; the first one gets so many channels.
fn parted(maps: &Maps, channels: usize) -> (Maps, Maps) {
    let part = |range: std::ops::Range<usize>| {
        let rows = maps.values.chunks_exact(maps.channels.max(1));
        let values = rows.flat_map(|row| &row[range.clone()]).copied().collect();
        maps.rows(range.len(), values)
    };
    (part(0..channels), part(channels..maps.channels))
}

#[cfg(feature = "burn")]
struct DeviceDense(Vec<Box<dyn DeviceLayer>>);

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceDense {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let input = input.maps();
        let made = pass.all(&self.0, Flow::Maps(input.clone())).maps();
        Flow::Maps(Tensor::cat(vec![input, made], 1))
    }
}
