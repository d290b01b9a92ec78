//! What the plots share: figures, axes, rows and places on them.

use disinherit_lab::{MethodKind, MethodResult};
use maud::{Markup, html};

use crate::text::{at, view_box};

/// The height of a plot with an upright axis.
pub(super) const HEIGHT: f64 = 180.0;
/// The room above.
pub(super) const TOP: f64 = 12.0;
/// The room for an upright axis.
pub(super) const LEFT: f64 = 44.0;
/// The width of a plot with rows.
pub(super) const WIDTH: f64 = 540.0;

/// The rows of a plot of methods.
pub(super) const METHODS: Rows = Rows {
    left: 130.0,
    right: 515.0,
    step: 20.0,
};

/// A figure with its caption.
pub(super) fn figure(title: &str, class: &str, size: (f64, f64), content: Markup) -> Markup {
    html! {
        figure {
            figcaption { (title) }
            svg class={ "plot " (class) } viewBox=(view_box(size.0, size.1))
                width=(format!("{:.0}", size.0)) role="img" aria-label=(title) { (content) }
        }
    }
}

/// The upright axis of percentages, with its grid.
pub(super) fn percentages(width: f64) -> Markup {
    html! {
        @for step in 0..=4u32 {
            @let y = TOP + HEIGHT * f64::from(step) / 4.0;
            line class="grid" x1=(at(LEFT)) x2=(at(width)) y1=(at(y)) y2=(at(y)) {}
            text class="axis" x=(at(LEFT - 6.0)) y=(at(y + 4.0)) { (100 - step * 25) }
        }
    }
}

/// The colour of a method.
pub(super) fn colour(result: &MethodResult) -> &'static str {
    match result.variant.method {
        MethodKind::Fiun => "after",
        MethodKind::Retrain => "retrained",
        _ => "baseline",
    }
}

/// Rows with a name at the left, for plots whose values lie along them.
pub(super) struct Rows {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) step: f64,
}

impl Rows {
    /// The middle of a row.
    pub(super) fn middle(&self, row: usize) -> f64 {
        TOP + (row as f64 + 0.5) * self.step
    }

    /// The size of a plot with so many rows.
    pub(super) fn size(&self, rows: usize) -> (f64, f64) {
        (WIDTH, TOP + rows as f64 * self.step + 26.0)
    }

    /// The place of a share, 0 to 1.
    pub(super) fn x(&self, share: f64) -> f64 {
        self.left + share.clamp(0.0, 1.0) * (self.right - self.left)
    }

    /// The name of a row.
    pub(super) fn name(&self, row: usize, name: &str) -> Markup {
        html! {
            text class="row" x=(at(self.left - 8.0)) y=(at(self.middle(row) + 4.0)) { (name) }
        }
    }

    /// A bar from the left to a share.
    pub(super) fn bar(&self, row: usize, share: f64, class: &str, title: &str) -> Markup {
        let width = (self.x(share) - self.left).max(1.0);
        html! {
            rect class=(class) x=(at(self.left)) y=(at(self.middle(row) - 6.0)) width=(at(width))
                height="12" { title { (title) } }
        }
    }

    /// A line across all rows with a number below.
    pub(super) fn mark(&self, rows: usize, share: f64, text: &str) -> Markup {
        let (x, bottom) = (at(self.x(share)), TOP + rows as f64 * self.step);
        html! {
            line class="grid" x1=(x) x2=(x) y1=(at(TOP)) y2=(at(bottom)) {}
            text class="tick" x=(x) y=(at(bottom + 16.0)) { (text) }
        }
    }
}
