//! Values that flags take, read from text.

pub(super) fn numbers<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let parts: Vec<usize> = text
        .split('x')
        .map(|part| part.parse().ok().filter(|n| *n > 0))
        .collect::<Option<_>>()
        .ok_or("expected whole numbers with x between them")?;
    parts
        .try_into()
        .map_err(|_| format!("expected {N} numbers with x between them"))
}

pub(super) fn shape(text: &str) -> Result<[usize; 3], String> {
    numbers(text)
}

pub(super) fn size(text: &str) -> Result<(usize, usize), String> {
    numbers::<2>(text).map(|[height, width]| (height, width))
}

pub(super) fn timestamp(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error| format!("{error}"))?;
    u64::try_from(time.as_millisecond()).map_err(|_| "before 1970".into())
}

pub(super) fn precision(text: &str) -> Result<f64, String> {
    match text {
        "auto" => Ok(0.001),
        number => match number.parse::<f64>() {
            Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
            _ => Err("expected `auto` or a share of at least 0 and below 1".into()),
        },
    }
}

pub(super) fn alpha(text: &str) -> Result<disinherit::Alpha, String> {
    match text {
        "auto" => Ok(disinherit::Alpha::Auto),
        "rule" => Ok(disinherit::Alpha::Rule),
        number => match number.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(disinherit::Alpha::Value(value)),
            _ => Err("expected `auto`, `rule` or a number of at least 0".into()),
        },
    }
}
