//! Training data and held-out data of one source.

use crate::error::DataError;
use crate::set::DataSet;

/// The share held out, and the seed, where a source has no test split of its own. Fixed, so that a
/// sample's side never depends on who asks.
const HELD_OUT: f64 = 0.2;
const SPLIT_SEED: u64 = 0x0d15_1e41;

/// Whether a held-out sample serves as an unseen one that methods may aim by. Verdicts on forgotten
/// samples are taken on the other half, so that nothing is judged on what it was chosen on. The id alone
/// decides: the first bit of its BLAKE3 hash.
pub fn is_for_aiming(id: &str) -> bool {
    blake3::hash(id.as_bytes()).as_bytes()[0] & 1 == 1
}

/// Training data and held-out data of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Splits {
    /// For training.
    pub train: DataSet,
    /// Never for training.
    pub heldout: DataSet,
}

impl Splits {
    /// The fixed, stratified division of a source without held-out data of its own.
    pub(crate) fn divided(all: DataSet) -> Self {
        let (train, heldout) = all.split(HELD_OUT, SPLIT_SEED);
        Self { train, heldout }
    }

    /// The two parts of a source that is divided already.
    pub(crate) fn paired(name: &str, train: DataSet, heldout: DataSet) -> Result<Self, DataError> {
        let refuse = |reason: String| {
            Err(DataError::Inconsistent {
                name: name.to_owned(),
                reason,
            })
        };
        if train.label_names() != heldout.label_names() {
            return refuse("training and held-out data have different label names".into());
        }
        if train.image_shape() != heldout.image_shape() {
            return refuse("training and held-out images have different sizes".into());
        }
        Ok(Self { train, heldout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_ids_are_for_aiming() {
        let ids = (0..1000).map(|at| format!("digits/{at:04}"));
        let aimed = ids.filter(|id| is_for_aiming(id)).count();
        assert!((450..550).contains(&aimed), "{aimed}");
        assert_eq!(
            is_for_aiming("a"),
            blake3::hash(b"a").as_bytes()[0] % 2 == 1
        );
    }
}
