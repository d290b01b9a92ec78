//! From stored bytes to the tensors that a network reads.

use std::sync::Arc;

#[cfg(feature = "burn")]
use burn::tensor::{Device, Int, Tensor, TensorData};
use disinherit_data::{DataSet, FeatureTable, ImageShape, Samples};
use rand_chacha::ChaCha8Rng;

use crate::architecture::input::Input;
use crate::augment::{Augment, Change};
use crate::cpu::maps::Maps;
#[cfg(feature = "burn")]
use crate::device::pass::Flow;
use crate::error::NetError;
use crate::preprocessing::Preprocessing;

/// One table of features, as many for a sample as the head reads.
fn check_features(set: &DataSet, tables: &[FeatureTable], inputs: usize) -> Result<(), NetError> {
    let [table] = tables else {
        return Err(NetError::Data(format!(
            "`{}` has the features of several models; choose one",
            set.name()
        )));
    };
    if table.width != inputs {
        return Err(NetError::Data(format!(
            "`{}` has {} features for a sample, the head reads {inputs}: are they those of another \
             layer?",
            set.name(),
            table.width
        )));
    }
    Ok(())
}

/// Samples of another kind than the network reads.
fn mismatch(set: &DataSet, samples: &Samples, expected: Input) -> NetError {
    let held = match samples {
        Samples::Images { .. } => "images",
        Samples::Tokens { .. } => "token sequences",
        Samples::Features(_) => "features",
        Samples::External => "external samples",
    };
    let read = match expected {
        Input::Images(_) => "images",
        Input::Text(_) => "text",
        Input::Features(_) => "features, made where it can be run",
    };
    NetError::Data(format!(
        "`{}` holds {held}, the network reads {read}",
        set.name()
    ))
}

/// Tokens that a network may know: their numbers pass through it in single precision.
const TOKENS: usize = 1 << 24;

/// The samples of a data set, ready to be cut into batches.
pub(crate) struct Inputs<'a> {
    set: &'a DataSet,
    input: Input,
    preprocessing: &'a Preprocessing,
}

impl<'a> Inputs<'a> {
    pub(crate) fn new(
        set: &'a DataSet,
        expected: Input,
        preprocessing: &'a Preprocessing,
    ) -> Result<Self, NetError> {
        match (set.samples(), expected) {
            (Samples::Images { shape, .. }, Input::Images(expected)) => {
                if *shape != expected {
                    return Err(NetError::Data(format!(
                        "the images of `{}` are {shape}, the network reads {expected}",
                        set.name()
                    )));
                }
                preprocessing.check(shape.channels)?;
            }
            (Samples::Tokens { .. }, Input::Text(text)) if text.vocabulary > TOKENS => {
                return Err(NetError::Data(format!(
                    "the network reads {} different tokens, more than the {TOKENS} that can be told apart",
                    text.vocabulary
                )));
            }
            (Samples::Tokens { vocabulary, .. }, Input::Text(text)) => {
                if *vocabulary > text.vocabulary {
                    return Err(NetError::Data(format!(
                        "`{}` has {vocabulary} different tokens, the network reads {}: was it \
                         tokenised in another way?",
                        set.name(),
                        text.vocabulary
                    )));
                }
            }
            (Samples::Features(tables), Input::Features(shape)) => {
                check_features(set, tables, shape.features)?;
            }
            (samples, expected) => return Err(mismatch(set, samples, expected)),
        }
        Ok(Self {
            set,
            input: expected,
            preprocessing,
        })
    }

    /// The samples at these indices; images changed at random where it is said how.
    #[cfg(feature = "burn")]
    pub(crate) fn batch(
        &self,
        indices: &[usize],
        device: &Device,
        augment: Option<(Augment, &mut ChaCha8Rng)>,
    ) -> Flow {
        match self.input {
            Input::Images(shape) => Flow::Maps(self.images(shape, indices, device, augment)),
            Input::Text(text) => Flow::Tokens(self.tokens(text.length, indices, device)),
            Input::Features(shape) => {
                let values: Vec<f32> = self.features(indices).flatten().copied().collect();
                let shape = [indices.len(), shape.features];
                Flow::Vectors(Tensor::from_data(TensorData::new(values, shape), device))
            }
        }
    }

    /// The features at these indices.
    fn features<'s>(&'s self, indices: &'s [usize]) -> impl Iterator<Item = &'s [f32]> {
        let tables = match self.set.samples() {
            Samples::Features(tables) => &tables[..],
            _ => &[],
        };
        indices.iter().filter_map(|index| {
            let table = tables.first()?;
            table.values.chunks_exact(table.width).nth(*index)
        })
    }

    /// `[batch, length]`: cut, and filled up with zeros.
    #[cfg(feature = "burn")]
    fn tokens(&self, length: usize, indices: &[usize], device: &Device) -> Tensor<2, Int> {
        let mut values = vec![0i64; indices.len() * length];
        for (row, &index) in values.chunks_exact_mut(length.max(1)).zip(indices) {
            let tokens = self.set.tokens(index).unwrap_or_default();
            for (place, token) in row.iter_mut().zip(tokens) {
                *place = i64::from(*token);
            }
        }
        Tensor::from_data(TensorData::new(values, [indices.len(), length]), device)
    }

    /// `[batch, channels, height, width]`.
    #[cfg(feature = "burn")]
    fn images(
        &self,
        shape: ImageShape,
        indices: &[usize],
        device: &Device,
        mut augment: Option<(Augment, &mut ChaCha8Rng)>,
    ) -> Tensor<4> {
        let mut values = Vec::with_capacity(indices.len() * shape.len());
        for &index in indices {
            let Some((_, pixels)) = self.set.image(index) else {
                continue;
            };
            let change = augment.as_mut().map(|(how, rng)| how.draw(rng));
            self.append(shape, pixels, change, &mut values);
        }
        let ImageShape {
            channels,
            height,
            width,
        } = shape;
        let data = TensorData::new(values, [indices.len(), channels, height, width]);
        Tensor::from_data(data, device)
    }

    /// The samples at these indices, images with channels last, filled up to `count` with zeros.
    pub(crate) fn maps(&self, indices: &[usize], count: usize) -> Maps {
        self.filled(indices, count, |_| None)
    }

    /// The samples at these indices; images changed at random where it is said how.
    pub(crate) fn changed_maps(
        &self,
        indices: &[usize],
        mut augment: Option<(Augment, &mut ChaCha8Rng)>,
    ) -> Maps {
        self.filled(indices, indices.len(), |_| {
            augment.as_mut().map(|(how, rng)| how.draw(rng))
        })
    }

    /// `change` is asked once for every image, in their order.
    fn filled(
        &self,
        indices: &[usize],
        count: usize,
        mut change: impl FnMut(usize) -> Option<Change>,
    ) -> Maps {
        if let Input::Text(text) = self.input {
            return self.sequences(text.length, indices, count);
        }
        let shape = self.input.maps();
        let ImageShape {
            channels,
            height,
            width,
        } = shape;
        let mut maps = Maps::zeros(count.max(indices.len()), [height, width], channels);
        if let Input::Features(_) = self.input {
            let rows = maps.values.chunks_exact_mut(channels.max(1));
            for (row, features) in rows.zip(self.features(indices)) {
                row.copy_from_slice(features);
            }
            return maps;
        }
        let images = maps.values.chunks_exact_mut(shape.len().max(1));
        for (image, &index) in images.zip(indices) {
            let Some((_, pixels)) = self.set.image(index) else {
                continue;
            };
            let change = change(index);
            for (channel, plane) in pixels.chunks_exact(height * width).enumerate() {
                let (scale, offset) = self.preprocessing.scale(channel);
                let places = image[channel..].iter_mut().step_by(channels);
                match change {
                    None => {
                        for (place, pixel) in places.zip(plane) {
                            *place = f32::from(*pixel) * scale + offset;
                        }
                    }
                    Some(change) => {
                        let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
                        for (place, (x, y)) in places.zip(all) {
                            let from = change.source(x, y, width, height);
                            let pixel = from.map_or(0.0, |at| f32::from(plane[at]));
                            *place = pixel * scale + offset;
                        }
                    }
                }
            }
        }
        maps
    }

    /// The tokens at these indices, cut, and filled up with padding; so are samples that are missing.
    fn sequences(&self, length: usize, indices: &[usize], count: usize) -> Maps {
        let mut maps = Maps::zeros(count.max(indices.len()), [length, 1], 1);
        let rows = maps.values.chunks_exact_mut(length.max(1));
        for (row, &index) in rows.zip(indices) {
            let tokens = self.set.tokens(index).unwrap_or_default();
            for (place, token) in row.iter_mut().zip(tokens) {
                *place = *token as f32;
            }
        }
        let seen = |token: &f32| if *token == 0.0 { 0.0 } else { 1.0 };
        maps.mask = Some(Arc::new(maps.values.iter().map(seen).collect()));
        maps
    }

    #[cfg(feature = "onnx")]
    pub(crate) fn append_plain(&self, shape: ImageShape, pixels: &[u8], values: &mut Vec<f32>) {
        self.append(shape, pixels, None, values);
    }

    #[cfg(any(feature = "burn", feature = "onnx"))]
    fn append(
        &self,
        shape: ImageShape,
        pixels: &[u8],
        change: Option<Change>,
        values: &mut Vec<f32>,
    ) {
        let (height, width) = (shape.height, shape.width);
        for (channel, plane) in pixels.chunks_exact(height * width).enumerate() {
            let (scale, offset) = self.preprocessing.scale(channel);
            match change {
                None => values.extend(plane.iter().map(|p| f32::from(*p) * scale + offset)),
                Some(change) => {
                    for y in 0..height {
                        for x in 0..width {
                            let pixel = change.source(x, y, width, height);
                            let pixel = pixel.map_or(0.0, |at| f32::from(plane[at]));
                            values.push(pixel * scale + offset);
                        }
                    }
                }
            }
        }
    }
}
