//! The mean over square windows side by side.

#[cfg(feature = "burn")]
use burn::tensor::module::avg_pool2d;
#[cfg(feature = "burn")]
use burn::tensor::ops::AvgPoolOptions;
use disinherit_data::ImageShape;
use fiun::FisherError;

use super::operation::{Following, Operation, windows};
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// What fills no window is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AvgPool {
    /// The side of a window, and the step between windows.
    pub(crate) side: usize,
}

impl Operation for AvgPool {
    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        let window = [self.side, self.side, 0];
        Some(ImageShape {
            height: windows(input.height, window)?,
            width: windows(input.width, window)?,
            ..input
        })
    }

    fn cpu(
        &self,
        _weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(*self)))
    }

    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

impl CpuLayer for AvgPool {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(mean(&input, self.side))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let out = mean(&input, self.side);
        record.keep(input.with(Vec::new()));
        Ok(out)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        Ok(Some(mean_backward(&delta, &input, self.side)))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for AvgPool {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        let side = [self.side, self.side];
        Flow::Maps(avg_pool2d(
            input.maps(),
            AvgPoolOptions::new(side).with_stride(side),
        ))
    }
}

/// The mean over square windows that lie side by side; what fills no window is left out.
fn mean(input: &Maps, side: usize) -> Maps {
    let size = input.size.map(|length| length / side);
    let mut out = Maps::zeros(input.samples, size, input.channels);
    visit(input, side, |from, to, share| {
        for c in 0..input.channels {
            out.values[to + c] += share * input.values[from + c];
        }
    });
    out
}

/// Every gradient is shared out over its window.
fn mean_backward(delta: &Maps, input: &Maps, side: usize) -> Maps {
    let mut out = Maps::zeros(delta.samples, input.size, input.channels);
    visit(input, side, |from, to, share| {
        for c in 0..delta.channels {
            out.values[from + c] += share * delta.values[to + c];
        }
    });
    out
}

fn visit(input: &Maps, side: usize, mut pair: impl FnMut(usize, usize, f32)) {
    let [height, width] = input.size;
    let [rows, cols] = [height / side, width / side];
    let share = 1.0 / (side * side) as f32;
    for sample in 0..input.samples {
        for y in 0..rows * side {
            for x in 0..cols * side {
                let from = ((sample * height + y) * width + x) * input.channels;
                let to = ((sample * rows + y / side) * cols + x / side) * input.channels;
                pair(from, to, share);
            }
        }
    }
}
