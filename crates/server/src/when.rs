//! Times as people read and write them.

use disinherit::model::now;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// A day, in milliseconds.
pub(crate) const DAY: u64 = 24 * 3_600_000;

/// The end of a day that a form gives.
pub(crate) fn end_of(date: &str) -> Result<u64, String> {
    let wrong = || format!("`{date}` is no date, such as 2026-11-30");
    let day: Date = date.parse().map_err(|_| wrong())?;
    let start = TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight()));
    let start = start.map_err(|_| wrong())?.as_millisecond();
    let start = u64::try_from(start).map_err(|_| wrong())?;
    Ok(start + DAY - 1)
}

/// How far a deadline is, in words.
pub(crate) fn left(deadline: u64) -> String {
    let days = |count: u64| match count {
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    };
    match deadline.checked_sub(now()) {
        Some(left) if left >= DAY => format!("in {}", days(left / DAY)),
        Some(_) => "today".into(),
        None => format!("overdue by {}", days((now() - deadline) / DAY)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_audit::{day, time};

    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        let end = end_of("2026-11-30").unwrap();
        assert_eq!(time(end), "2026-11-30 23:59 UTC");
        assert_eq!(day(end), "2026-11-30");
        assert!(end_of("tomorrow").is_err());
        assert_eq!(left(now() + 3 * DAY + 1000), "in 3 days");
        assert!(left(now() - DAY).starts_with("overdue"));
    }
}
