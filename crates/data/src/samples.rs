//! The inputs of a data set: images, tokens, features, or external samples.

use std::fmt;

/// Channels, height and width of every image of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageShape {
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
}

impl ImageShape {
    /// Bytes per image, one for each channel of each pixel.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// The inputs of a data set.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// Images of one shape, one after the other, each channel by channel, row by row.
    Images {
        /// The shape of each.
        shape: ImageShape,
        /// All pixels, 0 to 255.
        pixels: Vec<u8>,
    },
    /// Token sequences.
    Tokens {
        /// Different tokens: all are below this.
        vocabulary: usize,
        /// One for each sample.
        sequences: Vec<Vec<u32>>,
    },
    /// What networks make of samples that are not here: the inputs of their heads, a table for each
    /// network that makes others.
    Features(Vec<FeatureTable>),
    /// External samples: neither they nor anything made of them is here. What runs networks on them
    /// knows them by their ids.
    External,
}

/// The features of all samples, from one network.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureTable {
    /// The models whose features they are, by name; nothing where it was not said.
    pub models: Vec<String>,
    /// Values of a sample.
    pub width: usize,
    /// `[samples, width]`.
    pub values: Vec<f32>,
    /// What the head made of them when they were captured, `[samples, outputs]`; empty where it was
    /// not kept.
    pub logits: Vec<f32>,
}

impl FeatureTable {
    pub(crate) fn select(&self, indices: &[usize], count: usize) -> Self {
        let rows = |values: &[f32]| {
            let width = values.len() / count.max(1);
            indices
                .iter()
                .flat_map(|index| &values[index * width..(index + 1) * width])
                .copied()
                .collect()
        };
        Self {
            models: self.models.clone(),
            width: self.width,
            values: rows(&self.values),
            logits: rows(&self.logits),
        }
    }

    fn check(&self, count: usize) -> Result<(), String> {
        if self.width == 0 || Some(self.values.len()) != count.checked_mul(self.width) {
            return Err(format!(
                "{} features for {count} samples of {} each",
                self.values.len(),
                self.width
            ));
        }
        if !self.logits.len().is_multiple_of(count.max(1)) {
            return Err(format!("{} logits for {count} samples", self.logits.len()));
        }
        match self.values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(format!(
                "feature {} of sample {} is {}",
                at % self.width,
                at / self.width,
                self.values[at]
            )),
            None => Ok(()),
        }
    }
}

impl Samples {
    /// Checks that there are `count` samples and that each is whole.
    pub(crate) fn check(&self, count: usize) -> Result<(), String> {
        match self {
            Self::Images { shape, .. } if shape.is_empty() => {
                Err(format!("its images are {shape}"))
            }
            Self::Images { shape, pixels }
                if Some(pixels.len()) != count.checked_mul(shape.len()) =>
            {
                Err(format!(
                    "{} bytes of pixels for {count} images of {shape}",
                    pixels.len()
                ))
            }
            Self::Tokens { sequences, .. } if sequences.len() != count => Err(format!(
                "{} token sequences for {count} labels",
                sequences.len()
            )),
            Self::Tokens {
                vocabulary,
                sequences,
            } if sequences
                .iter()
                .flatten()
                .any(|t| *t as usize >= *vocabulary) =>
            {
                Err(format!("a token is not below {vocabulary}"))
            }
            Self::Features(tables) => tables.iter().try_for_each(|table| table.check(count)),
            _ => Ok(()),
        }
    }
}
