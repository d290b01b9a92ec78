//! Deadlines: one month, as the GDPR has it.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The time so many calendar months later, in milliseconds since 1970-01-01 UTC; the last day of the month
/// where it has no such day. Art. 12(3) GDPR gives one month, and two more where a request is complex.
pub fn months_after(time: u64, months: u32) -> u64 {
    let later = || -> Option<u64> {
        let start = Timestamp::from_millisecond(i64::try_from(time).ok()?).ok()?;
        let start = start.to_zoned_datetime(TimeZone::UTC);
        let end = start
            .checked_add(Span::new().try_months(months).ok()?)
            .ok()?;
        u64::try_from(end.timestamp().as_millisecond()).ok()
    };
    // A time that no calendar holds has no later one.
    later().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ms(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    #[test]
    fn a_month_is_a_month_of_the_calendar() {
        for (from, months, to) in [
            ("2026-01-31T12:00:00Z", 1, "2026-02-28T12:00:00Z"),
            ("2024-01-31T12:00:00Z", 1, "2024-02-29T12:00:00Z"),
            ("2026-11-26T08:30:00Z", 1, "2026-12-26T08:30:00Z"),
            ("2026-12-15T00:00:00Z", 2, "2027-02-15T00:00:00Z"),
        ] {
            assert_eq!(months_after(ms(from), months), ms(to), "{from}");
        }
        assert_eq!(months_after(u64::MAX, 1), u64::MAX);
    }
}
