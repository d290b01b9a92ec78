//! Pieces of a network on a device, to be run apart from each other.

use burn::tensor::Device;

use super::parameters::{Builder, Parameters};
use super::pass::{DeviceLayer, Flow, Pass};
use crate::array::StateDict;
use crate::error::NetError;
use crate::ops::operation::{Op, device_layers};

/// Programs that share their parameters.
pub(crate) struct DevicePrograms<const N: usize> {
    programs: [Vec<Box<dyn DeviceLayer>>; N],
    parameters: Parameters,
    pub(crate) device: Device,
}

impl<const N: usize> DevicePrograms<N> {
    /// Puts the weights of some programs on a device.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that is missing or misshapen.
    pub(crate) fn new(
        programs: [&[Op]; N],
        state: &StateDict,
        device: Device,
    ) -> Result<Self, NetError> {
        let frozen = |_: &str| true;
        let mut builder = Builder::new(state, &device, &frozen);
        let mut layers = [const { Vec::new() }; N];
        for (layers, ops) in layers.iter_mut().zip(programs) {
            *layers = device_layers(ops, &mut builder)?;
        }
        let (parameters, _) = builder.finish();
        Ok(Self {
            programs: layers,
            parameters,
            device,
        })
    }

    /// A pass of a batch, which knows the padding of its input.
    pub(crate) fn pass(&self, input: &Flow) -> Pass<'_> {
        Pass::new(&self.parameters, input, None)
    }

    /// What one of the programs makes of its input.
    pub(crate) fn run(&self, program: usize, pass: &mut Pass<'_>, input: Flow) -> Flow {
        pass.all(&self.programs[program], input)
    }
}
