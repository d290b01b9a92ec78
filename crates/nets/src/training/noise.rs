//! Images made of numbers, and what they are made from.

use disinherit_data::ImageShape;

use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::compute::Compute;

/// Images made of numbers, with a head row for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    pub(super) shape: ImageShape,
    /// `[images, channels, height, width]`.
    pub(super) values: Vec<f32>,
    /// The head row of each image.
    pub rows: Vec<u32>,
}

impl Noise {
    /// The values of some images.
    pub(super) fn select(&self, indices: &[usize]) -> Vec<f32> {
        let size = self.shape.len();
        let images = indices.iter();
        images
            .flat_map(|&index| &self.values[index * size..(index + 1) * size])
            .copied()
            .collect()
    }

    /// The dimensions of so many images.
    pub(super) fn dims(&self, count: usize) -> [usize; 4] {
        [
            count,
            self.shape.channels,
            self.shape.height,
            self.shape.width,
        ]
    }
}

/// The weight of an image's sum of squares, and the rate of the optimizer: those of the authors' code.
pub(super) const PENALTY: f32 = 0.1;
pub(super) const RATE: f64 = 0.1;

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
