//! One picture of a study: the headline and the graph, for a README or a slide.

use std::collections::BTreeMap;

use disinherit_lab::{Compared, Study};
use maud::{Markup, PreEscaped, html};
use umig::{ModelId, Role};

use crate::error::ReportError;
use crate::headline::{Fact, facts};
use crate::layout::{Grid, Layout};
use crate::text::{at, change, plain, view_box, wrap};

const WIDTH: f64 = 1000.0;
/// The room at the left and at the right.
const SIDE: f64 = 32.0;
/// Where the cards begin.
const CARDS: f64 = 104.0;
/// The room between two cards.
const BETWEEN: f64 = 12.0;
/// Characters in a line of a card.
const LINE: usize = 23;
/// From one line of a card to the next.
const STEP: f64 = 17.0;

const GRID: Grid = Grid {
    node: (168.0, 78.0),
    gap: (88.0, 34.0),
    margin: 2.0,
};

/// A study as one self-contained SVG, 1000 pixels wide on its own background: the headline, and who
/// inherited from whom, with the held-out accuracy on the forget set before and after.
///
/// # Errors
/// [`ReportError::Empty`] for a study without models.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let results = include_str!("../tests/data/studies.json");
/// let studies: Vec<disinherit_lab::Study> = serde_json::from_str(results)?;
/// let picture = disinherit_report::picture(&studies[0])?;
/// assert!(picture.starts_with("<svg xmlns="));
/// # Ok(())
/// # }
/// ```
pub fn picture(study: &Study) -> Result<String, ReportError> {
    if study.models.is_empty() {
        return Err(ReportError::Empty);
    }
    let layout = Layout::for_study(study, &GRID);
    let cards = Cards::new(study);
    let room = WIDTH - 2.0 * SIDE;
    let scale = (room / layout.width).min(1.0);
    let left = SIDE + (room - layout.width * scale) / 2.0;
    let top = CARDS + cards.height + 34.0;
    let legend = top + layout.height * scale + 38.0;
    let height = legend + 28.0;
    let title = title(study);
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(view_box(WIDTH, height))
            width=(format!("{WIDTH:.0}")) height=(format!("{height:.0}")) role="img"
            aria-label=(title) {
            style { (PreEscaped(include_str!("picture.css"))) }
            defs {
                marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6"
                    markerHeight="6" orient="auto" { path class="tip" d="M0 0L8 4L0 8z" {} }
            }
            rect x="0.5" y="0.5" width=(at(WIDTH - 1.0)) height=(at(height - 1.0)) rx="14"
                fill="#ffffff" stroke="#d5dae0" {}
            text class="title" x=(at(SIDE)) y="52" { (title) }
            text class="soft" x=(at(SIDE)) y="80" { (subtitle(study)) }
            (cards.draw())
            g transform=(format!("translate({left:.1} {top:.1}) scale({scale:.3})")) {
                (graph(study, &layout))
            }
            (key(legend))
        }
    };
    Ok(picture.into_string())
}

fn title(study: &Study) -> String {
    let models = |role: Role| study.models.iter().filter(move |m| m.role == role);
    let names: Vec<&str> = models(Role::Initial).map(|m| m.id.name()).collect();
    let what = plain(&study.forget.to_string());
    let (initial, them) = match names[..] {
        [] => return format!("Forgetting {what}"),
        [one] => (one.to_owned(), "it"),
        [one, two] => (format!("{one} and {two}"), "them"),
        _ => (format!("{} models", names.len()), "them"),
    };
    match models(Role::Inherited).count() {
        0 => format!("Forgetting {what} in {initial}"),
        1 => format!("Forgetting {what} in {initial} and the model that inherited from {them}"),
        count => {
            format!(
                "Forgetting {what} in {initial} and the {count} models that inherited from {them}"
            )
        }
    }
}

fn subtitle(study: &Study) -> String {
    let made = match &study.recipe {
        Some(recipe) => format!(
            "{}: {} on {}, seed {}",
            study.title, recipe.network.architecture, recipe.data.source, study.seed
        ),
        None => study.title.clone(),
    };
    format!("Held-out accuracy on the forget set, before → after. {made}.")
}

/// The headline's facts beside each other.
struct Cards {
    facts: Vec<(Fact, Vec<String>)>,
    height: f64,
}

impl Cards {
    fn new(study: &Study) -> Self {
        let facts: Vec<(Fact, Vec<String>)> = facts(study)
            .into_iter()
            .map(|fact| {
                let lines = wrap(&fact.words, LINE);
                (fact, lines)
            })
            .collect();
        let most = facts.iter().map(|(_, lines)| lines.len()).max();
        Self {
            height: 58.0 + most.unwrap_or_default() as f64 * STEP,
            facts,
        }
    }

    fn draw(&self) -> Markup {
        let count = self.facts.len() as f64;
        let width = (WIDTH - 2.0 * SIDE - (count - 1.0) * BETWEEN) / count;
        html! {
            @for (place, (fact, lines)) in self.facts.iter().enumerate() {
                @let x = SIDE + place as f64 * (width + BETWEEN);
                rect class="card" x=(at(x)) y=(at(CARDS)) width=(at(width)) height=(at(self.height)) {}
                rect class=(fact.tone.name()) x=(at(x)) y=(at(CARDS)) width="4"
                    height=(at(self.height)) {}
                text class=(if fact.value.len() > 13 { "value long" } else { "value" }) x=(at(x + 16.0)) y=(at(CARDS + 36.0)) { (fact.value) }
                @for (row, line) in lines.iter().enumerate() {
                    text class="words" x=(at(x + 16.0))
                        y=(at(CARDS + 60.0 + row as f64 * STEP)) { (line) }
                }
            }
        }
    }
}

fn graph(study: &Study, layout: &Layout<'_, ModelId>) -> Markup {
    let models: BTreeMap<String, Compared> = study
        .compared()
        .into_iter()
        .map(|model| (model.name.clone(), model))
        .collect();
    html! {
        @for edge in layout.edges(study) {
            path class="edge" marker-end="url(#tip)" d=(edge.path) { title { (edge.title) } }
        }
        @for model in &study.models {
            @if let (Some(place), Some(compared)) =
                (layout.places.get(&model.id), models.get(model.id.name()))
            {
                (node(*place, compared))
            }
        }
    }
}

/// A model with two bars over each other: what it knew, and what is left.
fn node((x, y): (f64, f64), model: &Compared) -> Markup {
    let (before, after) = (model.before.forget.heldout, model.after.forget.heldout);
    let (width, height) = GRID.node;
    let whole = width - 32.0;
    let (middle, bar) = (at(x + width / 2.0), at(y + height - 17.0));
    html! {
        g class=(model.role.to_string()) {
            rect class="box" x=(at(x)) y=(at(y)) width=(at(width)) height=(at(height)) rx="10" {}
            text class="name" x=(middle) y=(at(y + 26.0)) { (model.name) }
            text class="line" x=(middle) y=(at(y + 49.0)) {
                (change(before, after))
            }
            @for (class, share) in [("track", before), ("bad", after)] {
                @if let Some(share) = share {
                    rect class=(class) x=(at(x + 16.0)) y=(bar) width=(at(share * whole))
                        height="6" rx="3" {}
                }
            }
        }
    }
}

/// What the colours mean.
fn key(y: f64) -> Markup {
    let entries = [
        ("initial", "trained on the forget set", SIDE),
        ("inherited", "inherited from such a model", SIDE + 230.0),
        ("untouched", "untouched, byte for byte", SIDE + 474.0),
    ];
    html! {
        @for (class, words, x) in entries {
            g class=(class) {
                rect class="box" x=(at(x + 1.0)) y=(at(y - 13.0)) width="16" height="16" rx="4" {}
                text class="soft" x=(at(x + 26.0)) y=(at(y)) { (words) }
            }
        }
        rect class="track" x=(at(SIDE + 734.0)) y=(at(y - 9.0)) width="22" height="6" rx="3" {}
        text class="soft" x=(at(SIDE + 764.0)) y=(at(y)) { "before" }
        rect class="bad" x=(at(SIDE + 834.0)) y=(at(y - 9.0)) width="22" height="6" rx="3" {}
        text class="soft" x=(at(SIDE + 864.0)) y=(at(y)) { "after" }
    }
}
