//! How a model is drawn by its part in a request: by shape and line as well as by colour.

use maud::{Markup, html};
use umig::Role;

use crate::text::at;

/// The style of graphs, plots and judgements, for the page that they are in: it has the variables `--ground`,
/// `--ink`, `--soft`, `--line`, `--panel`, `--good` and `--bad`.
pub const DRAWING_STYLE: &str = include_str!("drawing.css");

/// The parts in the order of a legend, each with what it means.
const PARTS: [(Role, &str); 3] = [
    (Role::Initial, "initial: trained on the forget set"),
    (Role::Inherited, "inherited from an initial model"),
    (Role::Untouched, "untouched"),
];

/// What a model that is retired means.
const RETIRED: &str = "retired: trained on nothing but the forget set";

/// The width of the bar at the side of an initial model.
const BAR: f64 = 6.0;

/// The outline of a model: corners that are sharp where it is initial, round where it inherited, rounder
/// where it is untouched; and a bar at the side of an initial one.
pub(crate) fn outline(
    role: Option<Role>,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
) -> Markup {
    let corner = match role {
        Some(Role::Initial) => "0",
        Some(Role::Inherited) | None => "9",
        Some(Role::Untouched) => "18",
    };
    html! {
        rect x=(at(x)) y=(at(y)) width=(at(width)) height=(at(height)) rx=(corner) {}
        @if role == Some(Role::Initial) {
            rect class="bar" x=(at(x)) y=(at(y)) width=(at(BAR)) height=(at(height)) {}
        }
    }
}

/// The tips of edges.
pub(crate) fn tips() -> Markup {
    html! {
        defs {
            marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
                orient="auto" { path d="M0 0L8 4L0 8z" {} }
        }
    }
}

/// What shapes and colours mean, where there are such models.
pub(crate) fn legend(roles: &[Role], retired: bool) -> Markup {
    let sample = |class: &str, role: Role| {
        html! {
            svg class="sample graph" viewBox="-1 -1 26 18" width="26" height="18" aria-hidden="true" {
                g class={ "node " (class) } { (outline(Some(role), (0.0, 0.0), (24.0, 16.0))) }
            }
        }
    };
    html! {
        @if !roles.is_empty() { p class="legend graph-legend" {
            @for (role, words) in PARTS.into_iter().filter(|(role, _)| roles.contains(role)) {
                span { (sample(&role.to_string(), role)) (words) }
            }
            @if retired { span { (sample("inherited retired", Role::Inherited)) (RETIRED) } }
        } }
    }
}
