//! What the plots share: figures, axes, places on them.

use std::fmt::Write;

use crate::text::escape;

pub(crate) const HEIGHT: f64 = 180.0;
pub(crate) const TOP: f64 = 12.0;
pub(crate) const LEFT: f64 = 44.0;

/// A figure with its caption, the axis and the grid of percentages.
pub(crate) fn open_percent(title: &str, class: &str, width: f64) -> String {
    let mut out = open(title, class, width, TOP + HEIGHT + 24.0);
    for step in 0..=4 {
        let y = TOP + HEIGHT * f64::from(step) / 4.0;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{width:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            100 - step * 25
        );
    }
    out
}

/// A figure with its caption.
pub(crate) fn open(title: &str, class: &str, width: f64, height: f64) -> String {
    format!(
        "<figure><figcaption>{title}</figcaption><svg class=\"plot {class}\" viewBox=\"0 0 \
         {width:.0} {height:.0}\" width=\"{width:.0}\" role=\"img\" aria-label=\"{title}\">\n",
        title = escape(title)
    )
}

pub(crate) const CLOSE: &str = "</svg></figure>\n";

/// Rows with a name at the left, for plots whose values lie along them.
pub(crate) struct Rows {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) step: f64,
}

impl Rows {
    pub(crate) fn middle(&self, row: usize) -> f64 {
        TOP + (row as f64 + 0.5) * self.step
    }

    pub(crate) fn height(&self, rows: usize) -> f64 {
        TOP + rows as f64 * self.step + 26.0
    }

    /// The place of a share, 0 to 1.
    pub(crate) fn x(&self, share: f64) -> f64 {
        self.left + share.clamp(0.0, 1.0) * (self.right - self.left)
    }

    pub(crate) fn name(&self, out: &mut String, row: usize, name: &str) {
        let _ = writeln!(
            out,
            "<text class=\"row\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            self.left - 8.0,
            self.middle(row) + 4.0,
            escape(name)
        );
    }

    /// A line across all rows with a number below.
    pub(crate) fn mark(&self, out: &mut String, rows: usize, share: f64, text: &str) {
        let (x, bottom) = (self.x(share), TOP + rows as f64 * self.step);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 16.0,
            escape(text)
        );
    }
}
