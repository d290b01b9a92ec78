//! One encoded image decoded, and many of them put together.

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};

use crate::error::DataError;
use crate::options::OpenOptions;
use crate::samples::ImageShape;

/// No image of a training set is larger; a file that claims to be is refused before memory is
/// taken for it.
const MAX_SIDE: u32 = 8192;
const MAX_BYTES: u64 = 1 << 28;

/// One decoded image, channel by channel.
pub(crate) struct Picture {
    shape: ImageShape,
    pixels: Vec<u8>,
}

impl Picture {
    /// The memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.pixels.len()
    }
}

pub(crate) fn decode(id: &str, bytes: &[u8], options: &OpenOptions) -> Result<Picture, DataError> {
    let refuse = |reason: String| DataError::Image {
        id: id.to_owned(),
        reason,
    };
    let mut reader = ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| refuse(error.to_string()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut image = reader.decode().map_err(|error| refuse(error.to_string()))?;
    if let Some((height, width)) = options.size {
        image = image.resize_exact(width as u32, height as u32, FilterType::Triangle);
    }
    Ok(planes(&image))
}

/// Pixels regrouped from interleaved to channel by channel.
fn planes(image: &DynamicImage) -> Picture {
    let (channels, interleaved) = if image.color().has_color() {
        (3, image.to_rgb8().into_raw())
    } else {
        (1, image.to_luma8().into_raw())
    };
    let shape = ImageShape {
        channels,
        height: image.height() as usize,
        width: image.width() as usize,
    };
    let area = shape.height * shape.width;
    let mut pixels = vec![0; interleaved.len()];
    for (at, value) in interleaved.into_iter().enumerate() {
        pixels[(at % channels) * area + at / channels] = value;
    }
    Picture { shape, pixels }
}

/// All pictures in one buffer. Grey images among colour ones become colour; sizes must agree.
pub(crate) fn assemble(
    ids: &[String],
    pictures: Vec<Picture>,
) -> Result<(ImageShape, Vec<u8>), DataError> {
    let Some(first) = pictures.first() else {
        return Err(DataError::Inconsistent {
            name: "images".into(),
            reason: "there are none".into(),
        });
    };
    let channels = pictures.iter().map(|p| p.shape.channels).max().unwrap_or(1);
    let shape = ImageShape {
        channels,
        ..first.shape
    };
    let mut pixels = Vec::with_capacity(pictures.len() * shape.len());
    for (picture, id) in pictures.iter().zip(ids) {
        if (picture.shape.height, picture.shape.width) != (shape.height, shape.width) {
            return Err(DataError::Size {
                id: id.clone(),
                found: format!("{}x{}", picture.shape.height, picture.shape.width),
                expected: format!("{}x{}", shape.height, shape.width),
            });
        }
        for _ in 0..channels / picture.shape.channels {
            pixels.extend_from_slice(&picture.pixels);
        }
    }
    Ok((shape, pixels))
}
