//! What networks read.

use std::fmt;

use disinherit_data::{DataSet, ImageShape, Samples};
use serde::{Deserialize, Serialize};

/// What a network reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// Images of one shape.
    Images(ImageShape),
    /// Token sequences.
    Text(TextShape),
    /// The inputs of a head, made elsewhere.
    Features(FeatureShape),
}

/// The inputs of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureShape {
    /// Values of a sample.
    pub features: usize,
}

/// Token sequences of one length: longer ones are cut, shorter ones filled up with token 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextShape {
    /// Different tokens, 0 included.
    pub vocabulary: usize,
    /// Tokens of a sequence.
    pub length: usize,
}

impl Input {
    /// What the samples of a data set are, as a network would read them; text is cut at `length`.
    pub fn for_set(set: &DataSet, length: usize) -> Self {
        match set.samples() {
            Samples::Images { shape, .. } => Self::Images(*shape),
            Samples::Tokens { vocabulary, .. } => Self::Text(TextShape {
                vocabulary: *vocabulary,
                length,
            }),
            Samples::Features(tables) => Self::Features(FeatureShape {
                features: tables.first().map_or(0, |table| table.width),
            }),
            Samples::External => Self::Features(FeatureShape { features: 0 }),
        }
    }

    /// The channels of images; 1 for text.
    pub fn channels(&self) -> usize {
        match self {
            Self::Images(shape) => shape.channels,
            Self::Text(_) | Self::Features(_) => 1,
        }
    }

    /// As maps: a sequence is one column.
    pub(crate) fn maps(&self) -> ImageShape {
        match self {
            Self::Images(shape) => *shape,
            Self::Text(text) => ImageShape {
                channels: 1,
                height: text.length,
                width: 1,
            },
            Self::Features(shape) => ImageShape {
                channels: shape.features,
                height: 1,
                width: 1,
            },
        }
    }
}

impl From<ImageShape> for Input {
    fn from(shape: ImageShape) -> Self {
        Self::Images(shape)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Images(shape) => write!(f, "{shape}"),
            Self::Features(shape) => write!(f, "{} features", shape.features),
            Self::Text(text) => write!(f, "{} of {} tokens", text.length, text.vocabulary),
        }
    }
}
