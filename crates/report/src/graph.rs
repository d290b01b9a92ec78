//! The inheritance graph, drawn: time from left to right, coloured by role.

use std::collections::BTreeMap;
use std::fmt::Write;

use disinherit::{Study, StudyModel};
use umig::{ModelId, Relation, Umig};

use crate::ReportError;
use crate::text::{escape, percent};

const NODE: (f64, f64) = (132.0, 52.0);
const GAP: (f64, f64) = (84.0, 34.0);
const MARGIN: f64 = 12.0;

/// The study's models as they were before the request, with the edges among them.
pub(crate) fn draw(study: &Study, graph: &Umig) -> Result<String, ReportError> {
    let ids = originals(study, graph)?;
    let places = layout(graph, &ids);
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
    for (child, _) in &ids {
        for (parent, relation) in graph.parents(child) {
            if let (Some(from), Some(to)) = (places.get(parent), places.get(child)) {
                edge(
                    &mut out,
                    *from,
                    *to,
                    &format!("{child} from {parent}: {relation}"),
                    relation,
                );
            }
        }
    }
    for (id, model) in &ids {
        if let Some(place) = places.get(id) {
            node(&mut out, *place, model);
        }
    }
    out.push_str("</svg></div>\n");
    Ok(out)
}

fn originals<'a>(
    study: &'a Study,
    graph: &Umig,
) -> Result<Vec<(ModelId, &'a StudyModel)>, ReportError> {
    study
        .models
        .iter()
        .map(|model| {
            let id = ModelId::new(&model.name, 1)
                .ok()
                .filter(|id| graph.get(id).is_some());
            id.map(|id| (id, model))
                .ok_or_else(|| ReportError::UnknownModel(model.name.clone()))
        })
        .collect()
}

/// Columns by depth, rows in the order of the recipe.
fn layout(graph: &Umig, ids: &[(ModelId, &StudyModel)]) -> BTreeMap<ModelId, (f64, f64)> {
    let depths = graph.depths();
    let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
    let columns: Vec<(usize, usize)> = ids
        .iter()
        .map(|(id, _)| {
            let column = depths.get(id).copied().unwrap_or_default();
            let row = filled.entry(column).or_default();
            *row += 1;
            (column, *row - 1)
        })
        .collect();
    let tallest = filled.values().copied().max().unwrap_or(1) as f64;
    ids.iter()
        .zip(columns)
        .map(|((id, _), (column, row))| {
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
            (id.clone(), (x, top + row as f64 * step))
        })
        .collect()
}

fn edge(out: &mut String, from: (f64, f64), to: (f64, f64), title: &str, relation: &Relation) {
    let (x1, y1) = (from.0 + NODE.0, from.1 + NODE.1 / 2.0);
    let (x2, y2) = (to.0, to.1 + NODE.1 / 2.0);
    let bend = (x2 - x1) / 2.0;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<path class=\"edge {}\" marker-end=\"url(#tip)\" d=\"M{x1:.1} {y1:.1}C{:.1} {y1:.1} \
         {:.1} {y2:.1} {x2:.1} {y2:.1}\"><title>{}</title></path>",
        relation.name(),
        x1 + bend,
        x2 - bend,
        escape(title)
    );
}

fn node(out: &mut String, (x, y): (f64, f64), model: &StudyModel) {
    let line = format!(
        "{} > {}",
        percent(model.before.forget.heldout),
        percent(model.after.forget.heldout)
    );
    let title = format!(
        "{}: {}. Held out, forgotten class {line}, retained {} > {}",
        model.name,
        model.role,
        percent(model.before.retain.heldout),
        percent(model.after.retain.heldout)
    );
    let _ = writeln!(
        out,
        "<g class=\"node {role}\"><title>{title}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" \
         width=\"{}\" height=\"{}\" rx=\"8\"/><text x=\"{cx:.1}\" y=\"{:.1}\" class=\"name\">{}\
         </text><text x=\"{cx:.1}\" y=\"{:.1}\">{}</text></g>",
        NODE.0,
        NODE.1,
        y + 21.0,
        escape(&model.name),
        y + 39.0,
        escape(&line),
        role = model.role,
        title = escape(&title),
        cx = x + NODE.0 / 2.0,
    );
}
