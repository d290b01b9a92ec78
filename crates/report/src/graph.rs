//! The inheritance graph on the page, coloured by role.

use std::collections::BTreeMap;

use disinherit::evaluation::Scores;
use disinherit_lab::{Study, StudyModel};
use maud::{Markup, html};
use umig::Role;

use crate::layout::{Grid, Layout};
use crate::shape::{legend, outline, tips};
use crate::text::{at, change, view_box};

const GRID: Grid = Grid {
    node: (150.0, 56.0),
    gap: (110.0, 34.0),
    margin: 12.0,
};

/// The study's models, with the edges among them and the held-out accuracy on the forget set
/// before and after.
pub(crate) fn draw(study: &Study) -> Markup {
    let layout = Layout::for_study(study, &GRID);
    let after: BTreeMap<String, Scores> = study
        .compared()
        .into_iter()
        .map(|model| (model.name, model.after))
        .collect();
    html! {
        p {
            "Held-out accuracy on the forget set, before → after. The bar is what is left of it."
        }
        (legend(&[Role::Initial, Role::Inherited, Role::Untouched], study.models.iter().any(|model| model.retired)))
        div class="wide" {
            svg class="graph" viewBox=(view_box(layout.width, layout.height))
                width=(format!("{:.0}", layout.width)) role="img" aria-label="inheritance graph" {
                (tips())
                @for edge in layout.edges(study) {
                    path class={ "edge " (edge.relation) } marker-end="url(#tip)" d=(edge.path) {
                        title { (edge.title) }
                    }
                }
                @for model in &study.models {
                    @if let Some(place) = layout.places.get(&model.id) {
                        (node(*place, model, after.get(model.id.name())))
                    }
                }
            }
        }
    }
}

fn node((x, y): (f64, f64), model: &StudyModel, after: Option<&Scores>) -> Markup {
    let before = &model.before.scores;
    let after = after.copied().unwrap_or_default();
    let name = model.id.name();
    let line = match model.retired {
        true => "retired".to_owned(),
        false => change(before.forget.heldout, after.forget.heldout),
    };
    let title = format!(
        "{name}: {}. Held out, forget set {line}, retain set {}",
        model.role,
        change(before.retain.heldout, after.retain.heldout)
    );
    let (width, height) = GRID.node;
    let left = match model.retired {
        true => 0.0,
        false => after.forget.heldout.unwrap_or(0.0) * (width - 16.0),
    };
    html! {
        g class={ "node " (model.role.to_string()) @if model.retired { " retired" } } {
            title { (title) }
            (outline(Some(model.role), (x, y), GRID.node))
            text x=(at(x + width / 2.0)) y=(at(y + 22.0)) class="name" { (name) }
            text x=(at(x + width / 2.0)) y=(at(y + 41.0)) { (line) }
            rect class="left" x=(at(x + 8.0)) y=(at(y + height - 7.0)) width=(at(left))
                height="3" {}
        }
    }
}
