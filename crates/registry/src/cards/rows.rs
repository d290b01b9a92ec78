//! The Fisher information of one tensor, some rows at a time.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use disinherit_formats::{Checkpoint, Dtype, TensorSource, widened};
use fiun::FisherTensor;

use crate::cards::file::{INNER, SCALE};
use crate::error::RegistryError;

/// Values that are read at a time.
const VALUES: usize = 1 << 20;

/// The Fisher information of one tensor below the head, read some rows at a time: of one that is in a file no more is
/// in memory.
pub struct FisherRows {
    source: Source,
}

enum Source {
    Whole(FisherTensor),
    File(Arc<Checkpoint>, Layer),
}

/// Where a layer's values are in a file.
pub(crate) struct Layer {
    name: String,
    dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Whether rows have scales: in the first format they had none.
    scaled: bool,
}

impl Layer {
    /// A layer of a card's file.
    pub(crate) fn find(file: &Checkpoint, name: &str) -> Result<Self, RegistryError> {
        let refuse = |reason: String| Err(RegistryError::Card(reason));
        let tensors = file.tensors();
        let name = format!("{INNER}{name}");
        let Some((dtype, shape)) = tensors.get(&name) else {
            return refuse(format!("it has no tensor `{name}`"));
        };
        let scale = tensors.get(&format!("{name}.{SCALE}"));
        if let Some((dtype, scales)) = scale
            && (*dtype != Dtype::F64 || scales.iter().product::<usize>() != rows(shape))
        {
            return refuse(format!(
                "its tensor `{name}.{SCALE}` is {dtype:?} {scales:?}, expected F64 [{}]",
                rows(shape)
            ));
        }
        Ok(Self {
            dtype: *dtype,
            shape: shape.clone(),
            scaled: scale.is_some(),
            name,
        })
    }
}

fn rows(shape: &[usize]) -> usize {
    shape.first().copied().unwrap_or(0)
}

impl From<FisherTensor> for FisherRows {
    fn from(whole: FisherTensor) -> Self {
        Self {
            source: Source::Whole(whole),
        }
    }
}

impl FisherRows {
    /// A layer of a card's file.
    pub(crate) fn in_file(file: Arc<Checkpoint>, name: &str) -> Result<Self, RegistryError> {
        let layer = Layer::find(&file, name)?;
        Ok(Self {
            source: Source::File(file, layer),
        })
    }

    /// The layer that a file of the registry holds.
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self, RegistryError> {
        Self::in_file(Arc::new(Checkpoint::open(path)?), name)
    }

    /// The shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        match &self.source {
            Source::Whole(whole) => whole.shape(),
            Source::File(_, layer) => &layer.shape,
        }
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        rows(self.shape())
    }

    /// The rows in parts that are small enough to be held, in order.
    pub fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let count = self.count();
        let cols: usize = self.shape().iter().skip(1).product();
        let step = (VALUES / cols.max(1)).max(1);
        (0..count)
            .step_by(step)
            .map(move |first| first..count.min(first + step))
    }

    /// Some rows.
    ///
    /// # Errors
    /// [`RegistryError`] when they cannot be read, or are no Fisher information.
    pub fn rows(&self, range: Range<usize>) -> Result<FisherTensor, RegistryError> {
        let refuse = |error: fiun::FisherError| RegistryError::Card(error.to_string());
        let (file, layer) = match &self.source {
            Source::Whole(whole) => return Ok(whole.part(range)),
            Source::File(file, layer) => (file, layer),
        };
        let mut shape = layer.shape.clone();
        let cols: usize = shape.iter().skip(1).product();
        if let Some(first) = shape.first_mut() {
            *first = range.len();
        }
        let size = cols * layer.dtype.bitsize() / 8;
        // A single number has no rows.
        let values = match layer.shape.is_empty() {
            true => 0..size,
            false => range.start * size..range.end * size,
        };
        let values = file.part(&layer.name, values)?;
        let values = widened(layer.dtype, &values).ok_or_else(|| {
            RegistryError::Card(format!("its tensor `{}` holds no floats", layer.name))
        })?;
        if !layer.scaled {
            return FisherTensor::from_values(&shape, &values).map_err(refuse);
        }
        let scales = file.part(
            &format!("{}.{SCALE}", layer.name),
            range.start * 8..range.end * 8,
        )?;
        let scales = scales.chunks_exact(8).map(|chunk| {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            f64::from_le_bytes(word)
        });
        FisherTensor::from_parts(shape, values, scales.collect()).map_err(refuse)
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`FisherRows::rows`].
    pub fn whole(self) -> Result<FisherTensor, RegistryError> {
        match self.source {
            Source::Whole(whole) => Ok(whole),
            Source::File(..) => self.rows(0..self.count()),
        }
    }

    /// The sum of all entries, as [`FisherTensor::sum`] has it.
    ///
    /// # Errors
    /// As [`FisherRows::rows`].
    pub fn sum(&self) -> Result<f64, RegistryError> {
        let mut sum = 0.0;
        for part in self.parts() {
            sum = self.rows(part)?.row_sums().fold(sum, |sum, row| sum + row);
        }
        Ok(sum)
    }
}
