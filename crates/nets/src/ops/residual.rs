//! The sum of two branches (He et al., arXiv:1512.03385).

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

/// `main(x) + shortcut(x)`; an empty shortcut is the identity.
#[derive(Debug)]
pub(crate) struct Residual {
    main: Vec<Op>,
    shortcut: Vec<Op>,
}

/// The sum of a branch and a shortcut around it.
pub(crate) fn residual(main: Vec<Op>, shortcut: Vec<Op>) -> Op {
    Op::new(Residual { main, shortcut })
}

impl Operation for Residual {
    fn branches(&self) -> Vec<&[Op]> {
        vec![&self.main, &self.shortcut]
    }

    fn part(&self) -> Part<'_> {
        Part::Sum([&self.main, &self.shortcut])
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        output(&self.main, input)
    }

    /// A positive part that follows is made part of it.
    fn cpu(
        &self,
        weights: &Weights<'_>,
        following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(CpuResidual {
            main: cpu_layers(&self.main, weights)?,
            shortcut: cpu_layers(&self.shortcut, weights)?,
            relu: following.relu(weights)?,
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DeviceResidual {
            main: device_layers(&self.main, builder)?,
            shortcut: device_layers(&self.shortcut, builder)?,
        }))
    }
}

struct CpuResidual {
    main: Vec<Box<dyn CpuLayer>>,
    shortcut: Vec<Box<dyn CpuLayer>>,
    /// Whether only the positive part of the sum is kept.
    relu: bool,
}

impl CpuLayer for CpuResidual {
    fn forward(&self, input: Maps, threads: usize) -> Result<Maps, FisherError> {
        let mut sum = forward(&self.main, input.clone(), threads)?;
        let other = forward(&self.shortcut, input, threads)?;
        sum.add(&other, self.relu);
        Ok(sum)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let mut sum = record.layers(&self.main, input.clone())?;
        let other = record.layers(&self.shortcut, input)?;
        sum.add(&other, false);
        Ok(sum)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let Some(other) = pass.layers(&self.shortcut, delta.clone())? else {
            return Ok(None);
        };
        let Some(mut sum) = pass.layers(&self.main, delta)? else {
            return Ok(None);
        };
        sum.add(&other, false);
        Ok(Some(sum))
    }
}

#[cfg(feature = "burn")]
struct DeviceResidual {
    main: Vec<Box<dyn DeviceLayer>>,
    shortcut: Vec<Box<dyn DeviceLayer>>,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceResidual {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let first = pass.all(&self.main, input.clone());
        match (first, pass.all(&self.shortcut, input)) {
            (Flow::Sequence(a), Flow::Sequence(b)) => Flow::Sequence(a + b),
            (a, b) => Flow::Maps(a.maps() + b.maps()),
        }
    }
}
