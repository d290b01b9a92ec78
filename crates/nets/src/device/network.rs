//! An architecture and its weights together on a device of burn's.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor};
use rand_chacha::ChaCha8Rng;

use super::parameters::{Builder, Directory, Parameters};
use super::pass::{DeviceLayer, Flow, Pass};
use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::error::NetError;
use crate::ops::operation::device_layers;

/// A network that can be run and trained.
pub(crate) struct DeviceNetwork {
    body: Vec<Box<dyn DeviceLayer>>,
    head: Box<dyn DeviceLayer>,
    directory: Directory,
    pub(crate) parameters: Parameters,
    pub(crate) device: Device,
}

impl DeviceNetwork {
    /// Puts weights on a device; tensors that `frozen` names take no part in training.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that is missing, misshapen or not finite.
    pub(crate) fn new(
        architecture: &Architecture,
        state: &StateDict,
        device: Device,
        frozen: &dyn Fn(&str) -> bool,
    ) -> Result<Self, NetError> {
        architecture.check(state)?;
        let mut builder = Builder::new(state, &device, frozen);
        let mut body = device_layers(&architecture.program()?, &mut builder)?;
        let head = body
            .pop()
            .ok_or_else(|| NetError::Backend("a network without a head".into()))?;
        let (parameters, directory) = builder.finish();
        Ok(Self {
            body,
            head,
            directory,
            parameters,
            device,
        })
    }

    /// Features and logits of a batch: the input and the output of the head, `[batch, values]` each.
    /// With `dropout`, the dropout layers are active.
    pub(crate) fn forward(
        &self,
        input: Flow,
        dropout: Option<&mut ChaCha8Rng>,
    ) -> (Tensor<2>, Tensor<2>) {
        let mut pass = Pass::new(&self.parameters, &input, dropout);
        let features = pass.all(&self.body, input).vectors();
        let logits = self.head.run(&mut pass, Flow::Vectors(features.clone()));
        (features, logits.vectors())
    }

    /// The weights, back on the host.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the device cannot be read.
    pub(crate) fn state(&self) -> Result<StateDict, NetError> {
        self.directory.state(&self.parameters)
    }

    /// The gradient of every trained tensor, by full name, in PyTorch's layout.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the device cannot be read.
    pub(crate) fn gradients(&self, gradients: &Gradients) -> Result<StateDict, NetError> {
        self.directory.gradients(&self.parameters, gradients)
    }

    /// Brings every value that a mask does not keep back to what it was; tensors without a mask
    /// stay as they are.
    pub(crate) fn hold(&mut self, before: &Parameters, masks: &BTreeMap<String, Tensor<1>>) {
        self.directory.hold(&mut self.parameters, before, masks);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::architecture::initial::initial_state;
    use crate::architecture::input::{Input, TextShape};
    use crate::architecture::kind::Kind;
    use crate::compute::Compute;

    #[test]
    fn what_goes_in_comes_out_name_by_name() {
        for kind in [
            Kind::SmallCnn,
            Kind::AlexNet32,
            Kind::ResNet18,
            Kind::ResNet18_32,
            Kind::ResNet20,
            Kind::ResNet8,
            Kind::DenseNet161,
            Kind::Lstm,
            Kind::GatedCnn,
            Kind::BertTiny,
        ] {
            let input = if kind.reads_text() {
                Input::Text(TextShape {
                    vocabulary: 30,
                    length: 8,
                })
            } else {
                Input::Images(disinherit_data::ImageShape {
                    channels: 3,
                    height: 32,
                    width: 32,
                })
            };
            let architecture = Architecture::new(kind, input, 4);
            let state = initial_state(&architecture, 1).unwrap();
            let device = Compute::Flex.device();
            let network = DeviceNetwork::new(&architecture, &state, device, &|_| false).unwrap();
            assert_eq!(network.state().unwrap(), state, "{kind}");
        }
    }
}
