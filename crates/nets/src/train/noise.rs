//! Inputs that are trained themselves.

use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use disinherit_data::ImageShape;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::architecture::Architecture;
use crate::array::StateDict;
use crate::device::Compute;
use crate::device_network::{DeviceNetwork, Flow, read};
use crate::error::NetError;
use crate::shape::Input;

/// Images made of numbers, with a head row for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    pub(super) shape: ImageShape,
    pub(super) values: Vec<f32>,
    /// The head row of each image.
    pub rows: Vec<u32>,
}

#[derive(Module, Debug)]
struct Trained {
    images: Param<Tensor<4>>,
}

impl Noise {
    pub(super) fn batch(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        let size = self.shape.len();
        let mut values = Vec::with_capacity(indices.len() * size);
        for &index in indices {
            values.extend_from_slice(&self.values[index * size..(index + 1) * size]);
        }
        Tensor::from_data(TensorData::new(values, self.dims(indices.len())), device)
    }

    fn dims(&self, count: usize) -> [usize; 4] {
        [
            count,
            self.shape.channels,
            self.shape.height,
            self.shape.width,
        ]
    }
}

/// Images on which a network is as wrong as can be about some head rows, `count` for each: noise
/// that ascends the cross-entropy under a bound on its size (UNSIR, Tarun et al., arXiv:2111.08947,
/// Section IV-B: Adam with rate 0.1, penalty 0.1 on the mean square).
///
/// # Errors
/// [`NetError`] when the network reads no images, or the device fails.
pub fn error_maximising_noise(
    architecture: &Architecture,
    state: &StateDict,
    rows: &[u32],
    count: usize,
    steps: usize,
    compute: Compute,
    seed: u64,
) -> Result<Noise, NetError> {
    let Input::Images(shape) = architecture.input else {
        return Err(NetError::Data(
            "noise is made for images; the network reads text".into(),
        ));
    };
    let device = compute.device().autodiff();
    let network = DeviceNetwork::on(architecture, state, device.clone(), &|_| true)?;
    let rows: Vec<u32> = rows
        .iter()
        .flat_map(|row| std::iter::repeat_n(*row, count))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..rows.len() * shape.len())
        .map(|_| StandardNormal.sample(&mut rng))
        .collect();
    let mut noise = Noise {
        shape,
        values,
        rows,
    };
    let all: Vec<usize> = (0..noise.rows.len()).collect();
    let mut trained = Trained {
        images: Param::from_tensor(noise.batch(&all, &device)),
    };
    let targets: Vec<i64> = noise.rows.iter().map(|row| i64::from(*row)).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [all.len()]), &device);
    let criterion = CrossEntropyLossConfig::new().init(&device);
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..steps {
        let images = trained.images.val();
        let (_, logits) = network.forward(Flow::Maps(images.clone()), None);
        let size = images.powi_scalar(2).mean();
        let loss = size * 0.1 - criterion.forward(logits, targets.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &trained);
        trained = optimizer.step(0.1, trained, gradients);
    }
    noise.values = read(trained.images.val().inner())?;
    Ok(noise)
}
