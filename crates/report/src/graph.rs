//! The inheritance graph, drawn: time from left to right, coloured by role.

use std::collections::BTreeMap;
use std::fmt::Write;

use disinherit::{Scores, Study, StudyModel};
use umig::ModelId;

use crate::text::{escape, percent};

const NODE: (f64, f64) = (132.0, 52.0);
const GAP: (f64, f64) = (84.0, 34.0);
const MARGIN: f64 = 12.0;

/// The study's models as they were before the request, with the edges among them: time from left
/// to right.
pub(crate) fn draw(study: &Study) -> String {
    let places = layout(study);
    let after: BTreeMap<String, Scores> = study
        .compared()
        .into_iter()
        .map(|model| (model.name, model.after))
        .collect();
    let (mut width, mut height) = (0.0f64, 0.0f64);
    for (x, y) in places.values() {
        width = width.max(x + NODE.0 + MARGIN);
        height = height.max(y + NODE.1 + MARGIN);
    }
    let mut out = format!(
        "<p class=\"legend\"><span class=\"initial\">initial</span> <span class=\"inherited\">\
         inherited</span> <span class=\"untouched\">untouched</span></p>\n<div class=\"wide\">\
         <svg class=\"graph\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         role=\"img\" aria-label=\"inheritance graph\">\n<defs><marker id=\"tip\" \
         viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
    );
    for child in &study.models {
        for (parent, relation) in &child.parents {
            if let (Some(from), Some(to)) = (places.get(parent), places.get(&child.id)) {
                let title = format!("{} from {parent}: {relation}", child.id);
                edge(&mut out, *from, *to, &title, relation);
            }
        }
    }
    for model in &study.models {
        if let Some(place) = places.get(&model.id) {
            let after = after.get(model.id.name()).copied().unwrap_or_default();
            node(&mut out, *place, model, &after);
        }
    }
    out.push_str("</svg></div>\n");
    out
}

/// Columns by depth, rows in the order of the recipe.
fn layout(study: &Study) -> BTreeMap<ModelId, (f64, f64)> {
    let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
    let columns: Vec<(usize, usize)> = study
        .models
        .iter()
        .map(|model| {
            let column = model.depth;
            let row = filled.entry(column).or_default();
            *row += 1;
            (column, *row - 1)
        })
        .collect();
    let tallest = filled.values().copied().max().unwrap_or(1) as f64;
    study
        .models
        .iter()
        .zip(columns)
        .map(|(model, (column, row))| {
            let count = filled[&column] as f64;
            let step = NODE.1 + GAP.1;
            // Columns are centred; every second single node is lowered, so that an edge over it
            // does not run through it.
            let nudge = if count == tallest {
                0.0
            } else {
                (column % 2) as f64 * step * 0.45
            };
            let top = MARGIN + (tallest - count) * step / 2.0 + nudge;
            let x = MARGIN + column as f64 * (NODE.0 + GAP.0);
            (model.id.clone(), (x, top + row as f64 * step))
        })
        .collect()
}

fn edge(out: &mut String, from: (f64, f64), to: (f64, f64), title: &str, relation: &str) {
    let (x1, y1) = (from.0 + NODE.0, from.1 + NODE.1 / 2.0);
    let (x2, y2) = (to.0, to.1 + NODE.1 / 2.0);
    let bend = (x2 - x1) / 2.0;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<path class=\"edge {}\" marker-end=\"url(#tip)\" d=\"M{x1:.1} {y1:.1}C{:.1} {y1:.1} \
         {:.1} {y2:.1} {x2:.1} {y2:.1}\"><title>{}</title></path>",
        escape(relation),
        x1 + bend,
        x2 - bend,
        escape(title)
    );
}

fn node(out: &mut String, (x, y): (f64, f64), model: &StudyModel, after: &Scores) {
    let before = &model.before.scores;
    let name = model.id.name();
    let line = format!(
        "{} > {}",
        percent(before.forget.heldout),
        percent(after.forget.heldout)
    );
    let title = format!(
        "{name}: {}. Held out, forgotten class {line}, retained {} > {}",
        model.role,
        percent(before.retain.heldout),
        percent(after.retain.heldout)
    );
    // The bar at the bottom is what is left of the forgotten class.
    let left = after.forget.heldout.unwrap_or(0.0) * (NODE.0 - 16.0);
    let _ = writeln!(
        out,
        "<g class=\"node {role}\"><title>{title}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" \
         width=\"{}\" height=\"{}\" rx=\"8\"/><text x=\"{cx:.1}\" y=\"{:.1}\" class=\"name\">{}\
         </text><text x=\"{cx:.1}\" y=\"{:.1}\">{}</text><rect class=\"left\" x=\"{:.1}\" \
         y=\"{:.1}\" width=\"{left:.1}\" height=\"3\"/></g>",
        NODE.0,
        NODE.1,
        y + 21.0,
        escape(name),
        y + 39.0,
        escape(&line),
        x + 8.0,
        y + NODE.1 - 7.0,
        role = model.role,
        title = escape(&title),
        cx = x + NODE.0 / 2.0,
    );
}
