//! Words and numbers as the page shows them.

use maud::{Markup, html};

/// Text whose `names` between backticks are set as code.
pub(crate) fn marked(text: &str) -> Markup {
    html! {
        @for (place, piece) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

/// The same text where nothing can be set as code.
pub(crate) fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// A coordinate of a drawing.
pub(crate) fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// The size of a drawing, as its view box.
pub(crate) fn view_box(width: f64, height: f64) -> String {
    format!("0 0 {width:.0} {height:.0}")
}

/// An accuracy in percent, or a dash.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.1} %", value * 100.0))
}

/// An accuracy before and after.
pub(crate) fn change(before: Option<f64>, after: Option<f64>) -> String {
    match (before, after) {
        (None, None) => "not evaluated".into(),
        _ => format!("{} → {}", percent(before), percent(after)),
    }
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

/// Lines of at most so many characters, broken between words.
pub(crate) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
