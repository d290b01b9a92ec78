//! Inputs that are trained themselves.

use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use disinherit_data::ImageShape;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::architecture::description::Architecture;
use crate::architecture::input::Input;
use crate::array::StateDict;
use crate::compute::Compute;
use crate::device::network::DeviceNetwork;
use crate::device::pass::Flow;
use crate::device::transfer::read;
use crate::error::NetError;

/// Images made of numbers, with a head row for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    pub(super) shape: ImageShape,
    pub(super) values: Vec<f32>,
    /// The head row of each image.
    pub rows: Vec<u32>,
}

#[derive(Module, Debug)]
struct Images {
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

/// What error-maximising noise is made from.
pub struct NoiseJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// Its weights.
    pub state: &'a StateDict,
    /// The head rows that it should be wrong about.
    pub rows: &'a [u32],
    /// Images for each row.
    pub count: usize,
    /// Steps of the optimizer.
    pub steps: usize,
    /// Where to compute.
    pub compute: Compute,
    /// Decides where the images start.
    pub seed: u64,
}

/// Images on which a network is as wrong as can be about some head rows: noise that ascends the
/// cross-entropy under a bound on its size. Source: UNSIR, Tarun et al., arXiv:2111.08947, with the
/// settings of the authors' code: Adam with rate 0.1, a penalty of 0.1 times an image's sum of
/// squares, and the mean over the images of both.
///
/// # Errors
/// [`NetError`] when the network reads no images, or the device fails.
pub fn error_maximising_noise(job: &NoiseJob<'_>) -> Result<Noise, NetError> {
    let Input::Images(shape) = job.architecture.input else {
        return Err(NetError::Data(
            "noise is made for images; the network reads text".into(),
        ));
    };
    let device = job.compute.device().autodiff();
    let network = DeviceNetwork::new(job.architecture, job.state, device.clone(), &|_| true)?;
    let rows: Vec<u32> = job
        .rows
        .iter()
        .flat_map(|row| std::iter::repeat_n(*row, job.count))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(job.seed);
    let values: Vec<f32> = (0..rows.len() * shape.len())
        .map(|_| StandardNormal.sample(&mut rng))
        .collect();
    let mut noise = Noise {
        shape,
        values,
        rows,
    };
    let all: Vec<usize> = (0..noise.rows.len()).collect();
    let mut trained = Images {
        images: Param::from_tensor(noise.batch(&all, &device)),
    };
    let targets: Vec<i64> = noise.rows.iter().map(|row| i64::from(*row)).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [all.len()]), &device);
    let criterion = CrossEntropyLossConfig::new().init(&device);
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..job.steps {
        let images = trained.images.val();
        let (_, logits) = network.forward(Flow::Maps(images.clone()), None);
        let size = images.powi_scalar(2).sum() / all.len() as f64;
        let loss = size * 0.1 - criterion.forward(logits, targets.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &trained);
        trained = optimizer.step(0.1, trained, gradients);
    }
    noise.values = read(trained.images.val().inner())?;
    Ok(noise)
}
