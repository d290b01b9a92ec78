//! Times as people read them.

use jiff::Timestamp;

/// A time, in milliseconds since 1970-01-01 UTC, to the minute.
pub fn time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds)
        .ok()
        .and_then(|time| Timestamp::from_millisecond(time).ok());
    time.map_or_else(
        || "-".into(),
        |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// The day of a time, in milliseconds since 1970-01-01 UTC.
pub fn day(milliseconds: u64) -> String {
    time(milliseconds).chars().take(10).collect()
}
