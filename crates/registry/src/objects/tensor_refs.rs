//! Pointers to the tensors of a model.

use std::fmt;
use std::ops::Range;

use disinherit_formats::{Dtype, byte_length};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;

use crate::digest::Digest;

/// The length of each dimension of a tensor; up to four take no memory of their own.
pub type Shape = SmallVec<[usize; 4]>;

/// A pointer to a stored tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRef {
    /// The element type.
    pub dtype: Dtype,
    /// The length of each dimension.
    pub shape: Shape,
    /// The digest of its bytes.
    pub digest: Digest,
}

impl TensorRef {
    /// A pointer to bytes of a type and shape.
    pub fn new(dtype: Dtype, shape: &[usize], digest: Digest) -> Self {
        Self {
            dtype,
            shape: shape.into(),
            digest,
        }
    }

    /// The bytes that its shape needs; `None` when no tensor can be so large.
    pub fn bytes(&self) -> Option<u64> {
        byte_length(self.dtype, &self.shape)
    }
}

/// Pointers to a model's tensors by their names, in alphabetical order. In JSON an object, like a map from names.
///
/// Requests open thousands of models with a hundred tensors each: here a model's names are one text, so that
/// reading, copying and dropping them takes a handful of allocations.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TensorRefs {
    /// The names, one after the other.
    names: String,
    /// Where each name ends.
    ends: Vec<usize>,
    tensors: Vec<TensorRef>,
}

impl TensorRefs {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The pointer to a tensor.
    pub fn get(&self, name: &str) -> Option<&TensorRef> {
        self.find(name).ok().map(|at| &self.tensors[at])
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.name(at))
    }

    /// All pointers, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &TensorRef> {
        self.tensors.iter()
    }

    /// All names with their pointers, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorRef)> {
        self.names().zip(&self.tensors)
    }

    /// Adds a tensor, or replaces the one of that name.
    pub fn insert(&mut self, name: &str, tensor: TensorRef) {
        match self.find(name) {
            Ok(at) => self.tensors[at] = tensor,
            Err(at) => {
                let start = self.range(at).start;
                self.names.insert_str(start, name);
                self.ends.insert(at, start);
                self.ends[at..]
                    .iter_mut()
                    .for_each(|end| *end += name.len());
                self.tensors.insert(at, tensor);
            }
        }
    }

    /// The places of the tensors that another model has another pointer for, with this model's; nothing where the two
    /// have tensors of other names.
    pub fn differences(&self, other: &Self) -> Option<Vec<(usize, TensorRef)>> {
        if (&self.names, &self.ends) != (&other.names, &other.ends) {
            return None;
        }
        let pairs = self.tensors.iter().zip(&other.tensors).enumerate();
        let apart = pairs.filter(|(_, (own, other))| own != other);
        Some(apart.map(|(at, (own, _))| (at, own.clone())).collect())
    }

    /// The same with other tensors at some places, as [`TensorRefs::differences`] gives them.
    ///
    /// # Panics
    /// When there are not as many tensors.
    #[must_use]
    pub fn with(&self, differences: &[(usize, TensorRef)]) -> Self {
        let mut all = self.clone();
        for (at, tensor) in differences {
            all.tensors[*at] = tensor.clone();
        }
        all
    }

    /// Where a name is, or where it would be.
    fn find(&self, name: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        // Most often names come in their order.
        if high > 0 && self.name(high - 1) < name {
            return Err(high);
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.name(middle).cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    fn name(&self, at: usize) -> &str {
        &self.names[self.range(at)]
    }

    /// The bytes of a name; of one past the last the empty place where it would be.
    fn range(&self, at: usize) -> Range<usize> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends.get(at).copied().unwrap_or(start)
    }
}

impl Extend<(String, TensorRef)> for TensorRefs {
    fn extend<I: IntoIterator<Item = (String, TensorRef)>>(&mut self, tensors: I) {
        for (name, tensor) in tensors {
            self.insert(&name, tensor);
        }
    }
}

impl FromIterator<(String, TensorRef)> for TensorRefs {
    fn from_iter<I: IntoIterator<Item = (String, TensorRef)>>(tensors: I) -> Self {
        let mut all = Self::default();
        all.extend(tensors);
        all
    }
}

impl fmt::Debug for TensorRefs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for TensorRefs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for TensorRefs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = TensorRefs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TensorRefs, A::Error> {
                let mut all = TensorRefs {
                    names: String::with_capacity(LIKELY * NAME),
                    ends: Vec::with_capacity(LIKELY),
                    tensors: Vec::with_capacity(LIKELY),
                };
                let mut name = String::new();
                while map.next_key_seed(Name(&mut name))?.is_some() {
                    all.insert(&name, map.next_value()?);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Tensors that memory is taken for before they are read, and bytes of a name.
const LIKELY: usize = 64;
const NAME: usize = 32;

/// Reads a name into a text that is used again.
struct Name<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tensor(number: usize) -> TensorRef {
        let digest = Digest::from_content(&[number as u8]);
        TensorRef::new(Dtype::F32, &[number, 2], digest)
    }

    proptest! {
        /// Whatever is inserted in whatever order, with names that are parts of others, and as JSON too.
        #[test]
        fn it_is_a_map_from_names(names in proptest::collection::vec("[a-cé\"]{0,3}", 0..20)) {
            let pairs = names.into_iter().enumerate();
            let pairs: Vec<(String, TensorRef)> = pairs.map(|(at, name)| (name, tensor(at))).collect();
            let map: BTreeMap<String, TensorRef> = pairs.iter().cloned().collect();
            let all: TensorRefs = pairs.into_iter().collect();
            prop_assert_eq!(all.len(), map.len());
            let found: Vec<(&str, &TensorRef)> = all.iter().collect();
            let expected: Vec<(&str, &TensorRef)> = map.iter().map(|(name, t)| (&name[..], t)).collect();
            prop_assert_eq!(found, expected);
            for (name, tensor) in &map {
                prop_assert_eq!(all.get(name), Some(tensor));
            }
            prop_assert!(!all.contains("d") && all.get("aaaa").is_none());
            let text = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&map).unwrap());
            prop_assert_eq!(serde_json::from_str::<TensorRefs>(&text).unwrap(), all);
        }
    }

    #[test]
    fn differences_lead_from_one_model_to_another() {
        let table = |names: [&str; 3], last: usize| -> TensorRefs {
            let tensors = [tensor(1), tensor(2), tensor(last)];
            names.map(str::to_owned).into_iter().zip(tensors).collect()
        };
        let (one, other) = (table(["a", "b", "c"], 3), table(["a", "b", "c"], 4));
        let apart = one.differences(&other).unwrap();
        assert_eq!(apart, [(2, tensor(3))]);
        assert_eq!(other.with(&apart), one);
        assert_eq!(one.differences(&one).unwrap(), []);
        assert_eq!(one.differences(&table(["a", "b", "d"], 3)), None);
    }

    #[test]
    fn names_in_another_order_and_twice_are_read() {
        let text = |name: &str, n: usize| {
            format!("\"{name}\":{}", serde_json::to_string(&tensor(n)).unwrap())
        };
        let json = format!("{{{},{},{}}}", text("b", 1), text("a", 2), text("b", 3));
        let all: TensorRefs = serde_json::from_str(&json).unwrap();
        assert_eq!(all.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            (all.get("a"), all.get("b")),
            (Some(&tensor(2)), Some(&tensor(3)))
        );
        assert!(serde_json::from_str::<TensorRefs>("[]").is_err());
    }
}
