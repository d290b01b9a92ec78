//! Whom a request touches, as a graph that can be looked into.

use disinherit_report::{Place, ScopeGraph, View};
use maud::{Markup, html};
use serde::Deserialize;

use super::links::{encoded, path_of};
use crate::problem::Problem;

/// What of a graph is asked for.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct ViewQuery {
    /// A family, by its number.
    family: Option<usize>,
    /// Members of it that are passed over.
    from: usize,
    /// A model.
    focus: String,
}

impl ViewQuery {
    pub(super) fn view(&self) -> Result<View, Problem> {
        Ok(match (self.family, self.focus.as_str()) {
            (Some(number), _) => View::Family {
                number,
                from: self.from,
            },
            (None, "") => View::Whole,
            (None, id) => View::Focus(id.parse().map_err(|e| Problem::bad(format!("{e}")))?),
        })
    }
}

/// A graph on the page at this path, whose parts can be looked at.
pub(super) fn drawn(graph: &ScopeGraph, view: &View, path: &str) -> Result<Markup, Problem> {
    let link = |place: Place<'_>| {
        Some(match (place, view) {
            (Place::Family(number, from), _) => {
                format!("{path}?family={number}&from={from}#graph")
            }
            (Place::Model(id), View::Focus(_)) => path_of(id),
            (Place::Model(id), _) => {
                format!("{path}?focus={}#graph", encoded(&id.to_string()))
            }
        })
    };
    let missing = || Problem::missing("the graph of this request has no such part");
    let drawn = graph.draw(view, &link).ok_or_else(missing)?;
    Ok(html! {
        div id="graph" {
            @match view {
                View::Whole => {
                    @if graph.is_folded() {
                        p.soft { "Models of one origin are drawn as one. Choose one to open it, or a model to see how it inherited." }
                    } @else {
                        p.soft { "Choose a model to see how it inherited." }
                    }
                }
                View::Focus(id) => p { a href={ (path) "#graph" } { "The whole graph" } " or " a href=(path_of(id)) { "this model" } },
                View::Family { .. } => p { a href={ (path) "#graph" } { "The whole graph" } },
            }
            (drawn)
        }
    })
}
