//! Numbers of days, as forms have them.

use crate::problem::Problem;

/// For how many days a token holds where nothing is said.
pub(super) const USUAL: u64 = 90;

/// The most days of a setting.
const LONGEST: u64 = 3650;

/// A number of days as it was written; what is usual where nothing was.
pub(super) fn number_of_days(text: &str, usual: u64) -> Result<u64, Problem> {
    let days = match text.trim() {
        "" => Some(usual),
        text => text.parse::<u64>().ok(),
    };
    let wrong = || Problem::bad(format!("`{text}` is no number of days from 1 to {LONGEST}"));
    days.filter(|days| (1..=LONGEST).contains(days))
        .ok_or_else(wrong)
}
