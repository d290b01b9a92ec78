//! Random changes of training images.

use disinherit_data::{DataSet, Samples};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How training images are changed at random: padded with black, cut to their size again at a
/// random place, and mirrored with probability 1/2 (He et al., arXiv:1512.03385, Section 4.2).
///
/// Written down it is `false` for [`Augment::NONE`], `true` for [`Augment::STANDARD`], and otherwise
/// a table in which what is missing is as in [`Augment::STANDARD`]: `{ crop = 1, flip = false }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Augment {
    /// Pixels that are padded on every side, so an image is moved by as many at most.
    pub crop: usize,
    /// Whether images are mirrored, left to right.
    pub flip: bool,
}

impl Augment {
    /// Images stay as they are.
    pub const NONE: Self = Self {
        crop: 0,
        flip: false,
    };
    /// The usual for small colour images: 4 pixels, mirrored.
    pub const STANDARD: Self = Self {
        crop: 4,
        flip: true,
    };

    /// The same images, each changed once as in training, by the seed; nothing where the samples are no
    /// images, or nothing would be changed.
    pub fn view(self, set: &DataSet, seed: u64) -> Option<DataSet> {
        let Samples::Images { shape, pixels } = set.samples() else {
            return None;
        };
        if self == Self::NONE {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut changed = Vec::with_capacity(pixels.len());
        for image in pixels.chunks_exact(shape.len()) {
            let change = self.draw(&mut rng);
            for plane in image.chunks_exact(shape.height * shape.width) {
                let places = (0..shape.height).flat_map(|y| (0..shape.width).map(move |x| (x, y)));
                let from = |(x, y)| change.source(x, y, shape.width, shape.height);
                changed.extend(places.map(|place| from(place).map_or(0, |at| plane[at])));
            }
        }
        let samples = Samples::Images {
            shape: *shape,
            pixels: changed,
        };
        set.with_samples(samples).ok()
    }

    /// The next image's change; all changes take the same draws from the generator.
    pub(crate) fn draw(self, rng: &mut ChaCha8Rng) -> Change {
        let most = i64::try_from(self.crop).unwrap_or(i64::MAX);
        Change {
            mirror: rng.random::<bool>() && self.flip,
            right: rng.random_range(-most..=most),
            down: rng.random_range(-most..=most),
        }
    }
}

/// The written form.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`augment` is true, false or a table such as { crop = 4, flip = false }"
)]
enum Written {
    Switch(bool),
    Each(Fields),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    crop: usize,
    flip: bool,
}

impl Default for Fields {
    fn default() -> Self {
        let Augment { crop, flip } = Augment::STANDARD;
        Self { crop, flip }
    }
}

impl From<Written> for Augment {
    fn from(written: Written) -> Self {
        match written {
            Written::Switch(false) => Self::NONE,
            Written::Switch(true) => Self::STANDARD,
            Written::Each(Fields { crop, flip }) => Self { crop, flip },
        }
    }
}

impl From<Augment> for Written {
    fn from(augment: Augment) -> Self {
        match augment {
            Augment::NONE => Self::Switch(false),
            Augment::STANDARD => Self::Switch(true),
            Augment { crop, flip } => Self::Each(Fields { crop, flip }),
        }
    }
}

/// A mirror and a shift, drawn for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    mirror: bool,
    right: i64,
    down: i64,
}

impl Change {
    /// Where the pixel at (x, y) comes from; `None` outside of the image.
    pub(crate) fn source(self, x: usize, y: usize, width: usize, height: usize) -> Option<usize> {
        let x = if self.mirror { width - 1 - x } else { x };
        let x = moved(x, self.right).filter(|x| *x < width)?;
        let y = moved(y, self.down).filter(|y| *y < height)?;
        Some(y * width + x)
    }
}

fn moved(place: usize, by: i64) -> Option<usize> {
    usize::try_from(i64::try_from(place).ok()?.checked_add(by)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use disinherit_data::ImageShape;

    fn changes(augment: Augment, seed: u64) -> Vec<Change> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..200).map(|_| augment.draw(&mut rng)).collect()
    }

    #[test]
    fn the_seed_decides() {
        let drawn = changes(Augment::STANDARD, 3);
        assert_eq!(drawn, changes(Augment::STANDARD, 3));
        assert_ne!(drawn, changes(Augment::STANDARD, 4));
        // Recorded trainings depend on the order of the draws.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for change in &drawn {
            let expected = Change {
                mirror: rng.random(),
                right: rng.random_range(-4..=4),
                down: rng.random_range(-4..=4),
            };
            assert_eq!(*change, expected);
        }
        let mirrored = drawn.iter().filter(|change| change.mirror).count();
        assert!((60..140).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn nothing_is_done_that_was_not_asked_for() {
        let crops = Augment {
            crop: 1,
            flip: false,
        };
        let drawn = changes(crops, 3);
        assert!(drawn.iter().all(|change| !change.mirror));
        for step in -1..=1 {
            assert!(drawn.iter().any(|change| change.right == step));
            assert!(drawn.iter().any(|change| change.down == step));
        }
        assert!(
            drawn
                .iter()
                .all(|c| c.right.abs() <= 1 && c.down.abs() <= 1)
        );
        let flips = Augment {
            crop: 0,
            flip: true,
        };
        let drawn = changes(flips, 3);
        assert!(drawn.iter().all(|c| c.right == 0 && c.down == 0));
        assert!(drawn.iter().any(|change| change.mirror));
    }

    #[test]
    fn a_view_is_what_training_would_read() {
        let shape = ImageShape {
            channels: 2,
            height: 3,
            width: 3,
        };
        let set = DataSet::new(
            "views",
            Samples::Images {
                shape,
                pixels: (1..=36).collect(),
            },
            vec![0, 0],
            vec!["a".into()],
            vec!["x".into(), "y".into()],
        )
        .unwrap();
        let crops = Augment {
            crop: 1,
            flip: false,
        };
        let view = crops.view(&set, 7).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for image in 0..2 {
            let change = crops.draw(&mut rng);
            let (_, old) = set.image(image).unwrap();
            let (_, new) = view.image(image).unwrap();
            for (at, pixel) in new.iter().enumerate() {
                let (plane, place) = (at / 9, at % 9);
                let from = change.source(place % 3, place / 3, 3, 3);
                let expected = from.map_or(0, |from| old[9 * plane + from]);
                assert_eq!(*pixel, expected);
            }
        }
        assert_eq!(view.ids(), set.ids());
        assert!(Augment::NONE.view(&set, 7).is_none());
    }

    #[test]
    fn pixels_come_from_where_they_should() {
        let places = |change: Change| -> Vec<Option<usize>> {
            let pairs = (0..2).flat_map(|y| (0..3).map(move |x| (x, y)));
            pairs.map(|(x, y)| change.source(x, y, 3, 2)).collect()
        };
        let change = |mirror, right, down| Change {
            mirror,
            right,
            down,
        };
        let some = |places: [usize; 6]| places.map(Some).to_vec();
        assert_eq!(places(change(false, 0, 0)), some([0, 1, 2, 3, 4, 5]));
        assert_eq!(places(change(true, 0, 0)), some([2, 1, 0, 5, 4, 3]));
        let expected = [Some(4), Some(5), None, None, None, None];
        assert_eq!(places(change(false, 1, 1)), expected);
        let expected = [Some(1), Some(0), None, Some(4), Some(3), None];
        assert_eq!(places(change(true, -1, 0)), expected);
        assert!(
            places(change(false, i64::MAX, 0))
                .iter()
                .all(Option::is_none)
        );
    }
}
