//! Noise that ascends the loss, on a device of burn's.

use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Int, Tensor, TensorData};

use crate::device::network::DeviceNetwork;
use crate::device::pass::Flow;
use crate::device::transfer::read;
use crate::error::NetError;
use crate::training::noise::{Noise, NoiseJob, PENALTY, RATE};

#[derive(Module, Debug)]
struct Images {
    images: Param<Tensor<4>>,
}

/// The images after all steps.
pub(in crate::training) fn ascend(job: &NoiseJob<'_>, noise: &Noise) -> Result<Vec<f32>, NetError> {
    let device = job.compute.device().autodiff();
    let network = DeviceNetwork::new(job.architecture, job.state, device.clone(), &|_| true)?;
    let count = noise.rows.len();
    let start = TensorData::new(noise.values.clone(), noise.dims(count));
    let mut trained = Images {
        images: Param::from_tensor(Tensor::from_data(start, &device)),
    };
    let targets: Vec<i64> = noise.rows.iter().map(|row| i64::from(*row)).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [count]), &device);
    let criterion = CrossEntropyLossConfig::new().init(&device);
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..job.steps {
        let images = trained.images.val();
        let (_, logits) = network.forward(Flow::Maps(images.clone()), None);
        let size = images.powi_scalar(2).sum() / count as f64;
        let loss = size * f64::from(PENALTY) - criterion.forward(logits, targets.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &trained);
        trained = optimizer.step(RATE, trained, gradients);
    }
    read(trained.images.val().inner())
}
