//! Values that flags take, read from text.

use disinherit::{Alpha, EditDepth};
use disinherit_lab::FEWEST_SHADOWS;
use jiff::{SignedDuration, Span, SpanRelativeTo};

fn numbers<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let parts: Vec<usize> = text
        .split('x')
        .map(|part| part.parse().ok().filter(|n| *n > 0))
        .collect::<Option<_>>()
        .ok_or("expected whole numbers with x between them")?;
    parts
        .try_into()
        .map_err(|_| format!("expected {N} numbers with x between them"))
}

/// Channels, height and width.
pub(crate) fn shape(text: &str) -> Result<[usize; 3], String> {
    numbers(text)
}

/// Height and width.
pub(crate) fn size(text: &str) -> Result<(usize, usize), String> {
    numbers::<2>(text).map(|[height, width]| (height, width))
}

/// A time (RFC 3339), in milliseconds since 1970-01-01 UTC.
pub(crate) fn timestamp(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error| format!("{error}"))?;
    u64::try_from(time.as_millisecond()).map_err(|_| "before 1970".into())
}

/// A length of time, such as `30d`, in milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no length of time; a number with a unit: 90d, 12h, 30min, 10s");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let length: SignedDuration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    u64::try_from(length.as_millis()).map_err(|_| wrong())
}

/// A time, or how much later than another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    /// A time, in milliseconds since 1970-01-01 UTC.
    At(u64),
    /// So many milliseconds later.
    After(u64),
}

impl Later {
    /// The time, where it is told from another one.
    pub(crate) fn from(self, time: u64) -> u64 {
        match self {
            Self::At(time) => time,
            Self::After(length) => time.saturating_add(length),
        }
    }
}

/// A time (RFC 3339), or a length of time such as `14d`.
pub(crate) fn later(text: &str) -> Result<Later, String> {
    match timestamp(text) {
        Ok(time) => Ok(Later::At(time)),
        Err(_) => duration(text).map(Later::After),
    }
}

/// The largest share of selection decisions that may stay open.
pub(crate) fn precision(text: &str) -> Result<f64, String> {
    match text {
        "auto" => Ok(0.001),
        number => match number.parse::<f64>() {
            Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
            _ => Err("expected `auto` or a share of at least 0 and below 1".into()),
        },
    }
}

/// How many shadow networks are grown.
pub(crate) fn shadows(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count >= FEWEST_SHADOWS => Ok(count),
        _ => Err(format!(
            "expected a whole number from {FEWEST_SHADOWS}: fewer networks say nothing of how they spread"
        )),
    }
}

/// A share of accuracy.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share of accuracy between 0 and 1: 0.01 is a point".into()),
    }
}

/// The selection threshold, or how it is chosen.
pub(crate) fn alpha(text: &str) -> Result<Alpha, String> {
    match text {
        "auto" => Ok(Alpha::Auto),
        "rule" => Ok(Alpha::Rule),
        number => match number.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(Alpha::Value(value)),
            _ => Err("expected `auto`, `rule` or a number of at least 0".into()),
        },
    }
}

/// How deep an edit goes.
pub(crate) fn depth(text: &str) -> Result<EditDepth, String> {
    match text {
        "auto" => Ok(EditDepth::Auto),
        "outputs" => Ok(EditDepth::Outputs),
        "features" => Ok(EditDepth::Features),
        _ => Err("expected `auto`, `outputs` or `features`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused_with_an_example() {
        assert_eq!(shape("3x32x32"), Ok([3, 32, 32]));
        assert!(shape("3x32").is_err() && shape("3x0x32").is_err());
        assert_eq!(size("8x9"), Ok((8, 9)));
        assert_eq!(duration("30d"), Ok(30 * 24 * 3_600_000));
        assert_eq!(duration("10s"), Ok(10_000));
        for wrong in ["soon", "30", "-1d", ""] {
            assert!(
                duration(wrong).is_err_and(|text| text.contains("90d")),
                "{wrong}"
            );
        }
        assert_eq!(timestamp("1970-01-01T00:00:01Z"), Ok(1000));
        assert!(timestamp("yesterday").is_err());
        assert_eq!(later("1970-01-01T00:00:01Z").map(|l| l.from(5)), Ok(1000));
        assert_eq!(later("10s").map(|l| l.from(5)), Ok(10_005));
        assert!(later("soon").is_err_and(|text| text.contains("90d")));
        assert_eq!(precision("auto"), Ok(0.001));
        assert!(precision("1").is_err());
        assert_eq!(depth("features"), Ok(EditDepth::Features));
        assert!(depth("deep").is_err());
        assert!(alpha("soft").is_err() && alpha("-1").is_err());
        assert_eq!(shadows("2"), Ok(2));
        assert!(shadows("1").is_err() && shadows("some").is_err());
        assert_eq!(share("0.05"), Ok(0.05));
        assert!(share("5").is_err_and(|text| text.contains("0.01")));
    }
}
