//! Retained training samples that are kept apart: neither an edit nor the choice of its strength sees
//! them, and what the edit costs is measured on them.

use disinherit_data::DataSet;

/// How many are kept apart at most, and how many a loss is measured on: the standard error of a loss of
/// a point is then 0.2 points.
pub(crate) const MOST: usize = 2000;

/// Of how many retained samples one is kept apart.
const ONE_IN: usize = 10;

/// Decides which, whatever else is drawn.
pub(crate) const SEED: u64 = 0x6170_6172;

/// The places of those that are kept apart among a model's own training samples, where `forget` says
/// which must go. Of few samples, at least as many are left to the choice.
pub(crate) fn apart(own: &DataSet, forget: &[bool]) -> Vec<usize> {
    let retained = forget.iter().filter(|gone| !**gone).count();
    let count = retained.div_ceil(ONE_IN).min(retained / 2).min(MOST);
    let mut order = own.deal(SEED);
    order.retain(|at| !forget[*at]);
    order.truncate(count);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_data::Samples;

    use super::*;

    fn set(count: usize) -> DataSet {
        DataSet::new(
            "numbers",
            Samples::External,
            (0..count).map(|at| (at % 3) as u32).collect(),
            ["a", "b", "c"].map(String::from).to_vec(),
            (0..count).map(|at| format!("n/{at}")).collect(),
        )
        .unwrap()
    }

    #[test]
    fn a_tenth_of_what_is_retained_is_kept_apart_from_all_labels() {
        let own = set(300);
        let forget: Vec<bool> = own.labels().iter().map(|label| *label == 1).collect();
        let kept = apart(&own, &forget);
        assert_eq!(kept.len(), 20);
        assert!(kept.iter().all(|at| !forget[*at]));
        let of = |label: u32| kept.iter().filter(|at| own.labels()[**at] == label).count();
        assert_eq!((of(0), of(2)), (10, 10));
        assert_eq!(apart(&own, &forget), kept, "the same every time");
        assert_eq!(apart(&set(60_000), &vec![false; 60_000]).len(), MOST);
    }

    #[test]
    fn of_few_at_least_as_many_are_left() {
        for (count, kept) in [(0, 0), (1, 0), (2, 1), (9, 1), (11, 2)] {
            assert_eq!(apart(&set(count), &vec![false; count]).len(), kept);
        }
    }
}
