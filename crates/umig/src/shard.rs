//! Plans in parts: which of several machines executes which tasks.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::ModelId;
use crate::plan::{Plan, Task};

/// One of the equal parts that work is split into: `3/40` is the third of forty.
///
/// ```
/// use umig::Shard;
///
/// let third: Shard = "3/40".parse()?;
/// assert_eq!((third.number(), third.of()), (3, 40));
/// assert!("0/4".parse::<Shard>().is_err());
/// # Ok::<(), umig::ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    of: u32,
    number: u32,
}

/// A shard that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no shard: the third of forty is written 3/40, and they are counted from 1")]
pub struct ShardError(String);

impl Shard {
    /// The shard with this number, from 1 to `of`.
    ///
    /// # Errors
    /// [`ShardError`] for a number outside of that.
    pub fn new(number: u32, of: u32) -> Result<Self, ShardError> {
        match (1..=of).contains(&number) {
            true => Ok(Self { of, number }),
            false => Err(ShardError(format!("{number}/{of}"))),
        }
    }

    /// All shards of work that is split into so many.
    pub fn all(of: u32) -> impl Iterator<Item = Self> {
        (1..=of).map(move |number| Self { of, number })
    }

    /// Its number, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// The items that fall to this shard, in their order. Every item falls to one shard; the split depends on
    /// the costs and their order alone, and the sums differ by no more than the dearest item (the greedy rule
    /// of Graham, 1969: the dearest item that is left goes to the shard that has the least).
    pub fn share<T>(self, items: Vec<T>, cost: impl Fn(&T) -> u64) -> Vec<T> {
        let costs: Vec<u64> = items.iter().map(cost).collect();
        let places = split(&costs, self.of).swap_remove(self.number as usize - 1);
        let mut places = places.into_iter().peekable();
        let mine = |at: usize| places.next_if_eq(&at).is_some();
        let mine: Vec<bool> = (0..items.len()).map(mine).collect();
        let items = items.into_iter().zip(mine);
        items
            .filter(|(_, mine)| *mine)
            .map(|(item, _)| item)
            .collect()
    }
}

/// Places in `costs` for each of some shards.
fn split(costs: &[u64], of: u32) -> Vec<Vec<usize>> {
    let mut dearest: Vec<usize> = (0..costs.len()).collect();
    dearest.sort_by_key(|&at| (std::cmp::Reverse(costs[at]), at));
    let mut parts = vec![Vec::new(); of as usize];
    // The least loaded first; of equally loaded ones that with the fewest items.
    let mut loads: std::collections::BTreeSet<(u64, usize, usize)> =
        (0..of as usize).map(|part| (0, 0, part)).collect();
    for at in dearest {
        if let Some((load, count, part)) = loads.pop_first() {
            parts[part].push(at);
            loads.insert((load.saturating_add(costs[at]), count + 1, part));
        }
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let wrong = || ShardError(text.to_owned());
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let read = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        Self::new(read(number)?, read(of)?).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, ShardError> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// The tasks of a plan that fall to one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The shard.
    pub shard: Shard,
    /// The models whose tasks fall to it, in the plan's order.
    pub models: Vec<ModelId>,
    /// What they cost in all, in the unit that the plan was split by.
    pub cost: u64,
}

impl Plan {
    /// The plan in so many parts of comparable cost; `cost` says what all tasks of a model cost. The tasks of
    /// one model stay together, and every model is in one part. The same plan and costs are always split in
    /// the same way.
    pub fn parts(&self, of: u32, cost: &dyn Fn(&ModelId) -> u64) -> Vec<Part> {
        let mut order: BTreeMap<&ModelId, usize> = BTreeMap::new();
        for model in self.tasks().map(Task::model) {
            let next = order.len();
            order.entry(model).or_insert(next);
        }
        let mut models: Vec<&ModelId> = order.keys().copied().collect();
        models.sort_by_key(|model| order[model]);
        let costs: Vec<u64> = models.iter().map(|model| cost(model)).collect();
        let parts = split(&costs, of).into_iter();
        parts
            .zip(Shard::all(of))
            .map(|(places, shard)| Part {
                shard,
                cost: places
                    .iter()
                    .map(|&at| costs[at])
                    .fold(0, u64::saturating_add),
                models: places.into_iter().map(|at| models[at].clone()).collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_are_written_as_fractions() {
        let shard: Shard = " 3/ 40".parse().unwrap();
        assert_eq!(shard.to_string(), "3/40");
        assert_eq!(serde_json::to_string(&shard).unwrap(), "\"3/40\"");
        for wrong in ["", "3", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/2/3"] {
            let said = wrong.parse::<Shard>().unwrap_err().to_string();
            assert!(said.contains(wrong) && said.contains("3/40"), "{said}");
            assert!(serde_json::from_value::<Shard>(wrong.into()).is_err());
        }
    }

    #[test]
    fn equal_items_are_dealt_out_evenly() {
        let shard = Shard::new(2, 3).unwrap();
        let seven: Vec<usize> = (0..7).collect();
        assert_eq!(shard.share(seven.clone(), |_| 1), [1, 4]);
        assert_eq!(shard.share(seven, |_| 0), [1, 4]);
        assert_eq!(shard.share(Vec::<u8>::new(), |_| 1), [0_u8; 0]);
    }

    proptest! {
        #[test]
        fn every_item_falls_to_one_shard_and_the_load_is_even(
            costs in prop::collection::vec(0_u64..1000, 0..60),
            of in 1_u32..9,
        ) {
            let places: Vec<usize> = (0..costs.len()).collect();
            let share = |shard: Shard| shard.share(places.clone(), |&at| costs[at]);
            let parts: Vec<Vec<usize>> = Shard::all(of).map(share).collect();
            let mut all: Vec<usize> = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..costs.len()).collect::<Vec<_>>());
            let loads = parts.iter().map(|part| part.iter().map(|&at| costs[at]).sum::<u64>());
            let (least, most) = (loads.clone().min().unwrap(), loads.max().unwrap());
            prop_assert!(most - least <= costs.iter().copied().max().unwrap_or(0));
        }
    }
}
