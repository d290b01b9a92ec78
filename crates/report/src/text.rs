//! Words and numbers as the page shows them.

/// Text that is safe between tags and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// An accuracy in percent, or a dash.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.1} %", value * 100.0))
}

/// An accuracy in percent without the sign, or a dash.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.1}", value * 100.0))
}

/// Seconds as a person writes them.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", (s * 1e3).max(1.0)),
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Bytes as a person writes them.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        n if n < 10_000 => format!("{n} B"),
        n if n < 10_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        n => format!("{:.0} MB", n as f64 / 1e6),
    }
}
