//! What enters the block that the penultimate layer closes, for some samples: all that lies behind it
//! follows from that.

use fiun::{Matrix, MatrixRef};

use crate::cpu::maps::Maps;
use crate::error::{NetError, backend};

/// The input of the block that a network's penultimate layer closes, for some samples: of a plain network
/// that of the layer, of a residual or dense one that of its last block. What the layer reads and writes
/// follows from it ([`crate::Penultimate::behind`]).
#[derive(Debug, Clone)]
pub struct Entrances {
    maps: Maps,
    positions: Option<Positions>,
}

/// The positions of a sequence whose others do not matter to the features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// How many the sequence has.
    pub length: usize,
    /// Those that matter, in rising order.
    pub kept: Vec<usize>,
}

impl Entrances {
    /// From values that were kept, or drawn.
    ///
    /// # Shapes
    /// `shape`: height, width, channels; `values`: `[samples, height * width * channels]`, channels last.
    ///
    /// # Errors
    /// [`NetError::Backend`] when they do not fit together.
    pub fn new(shape: [usize; 3], values: Matrix) -> Result<Self, NetError> {
        let [height, width, channels] = shape;
        if values.cols() != height * width * channels {
            return Err(NetError::Backend(format!(
                "a sample has {} values, a map of {height}x{width} positions and {channels} channels has {}",
                values.cols(),
                height * width * channels
            )));
        }
        Ok(Self {
            maps: Maps::new(
                values.rows(),
                [height, width],
                channels,
                values.into_values(),
            ),
            positions: None,
        })
    }

    /// The same, where its positions are some of a sequence's.
    #[must_use]
    pub fn at(self, positions: Option<Positions>) -> Self {
        Self { positions, ..self }
    }

    /// Which positions of a sequence these are; nothing where all of what enters the block is there.
    pub fn positions(&self) -> Option<&Positions> {
        self.positions.as_ref()
    }

    /// Others of the same kind.
    ///
    /// # Shapes
    /// `values`: `[samples, height * width * channels]`, channels last.
    ///
    /// # Errors
    /// As [`Entrances::new`].
    pub fn others(&self, values: Matrix) -> Result<Self, NetError> {
        Ok(Self::new(self.shape(), values)?.at(self.positions.clone()))
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.maps.samples
    }

    /// Height, width and channels; a vector has one position.
    pub fn shape(&self) -> [usize; 3] {
        let [height, width] = self.maps.size;
        [height, width, self.maps.channels]
    }

    /// The values, `[samples, height * width * channels]`, channels last.
    ///
    /// # Errors
    /// [`NetError::Backend`] when there is another number of them.
    pub fn values(&self) -> Result<MatrixRef<'_>, NetError> {
        let width = self.maps.per_sample();
        MatrixRef::new(self.samples(), width, &self.maps.values).map_err(backend)
    }

    pub(crate) fn select(&self, places: &[usize]) -> Maps {
        self.maps.select(places)
    }

    pub(crate) fn together(parts: Vec<Maps>) -> Self {
        let mut parts = parts.into_iter();
        let mut maps = parts.next().unwrap_or_default();
        parts.for_each(|part| maps.append(part));
        Self {
            maps,
            positions: None,
        }
    }
}
