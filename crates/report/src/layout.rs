//! The places of models in a drawing of the graph: time from left to right.

use std::collections::BTreeMap;

use disinherit_lab::{Study, StudyModel};
use umig::ModelId;

/// The measures of a drawing, in pixels.
pub(crate) struct Grid {
    /// Width and height of a model.
    pub(crate) node: (f64, f64),
    /// The room between columns and between rows.
    pub(crate) gap: (f64, f64),
    /// The room around the drawing.
    pub(crate) margin: f64,
}

/// Where every model is drawn.
pub(crate) struct Layout<'a> {
    grid: &'a Grid,
    /// The upper left corner of every model.
    pub(crate) places: BTreeMap<ModelId, (f64, f64)>,
    /// The width of the drawing.
    pub(crate) width: f64,
    /// The height of the drawing.
    pub(crate) height: f64,
}

/// A line from a parent to a child.
pub(crate) struct Edge<'a> {
    /// The relation's name.
    pub(crate) relation: &'a str,
    /// The edge in words.
    pub(crate) title: String,
    /// The line, as the data of an SVG path.
    pub(crate) path: String,
}

impl<'a> Layout<'a> {
    /// Columns by depth, rows in the order of the study.
    pub(crate) fn new(models: &[StudyModel], grid: &'a Grid) -> Self {
        let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
        let rows: Vec<usize> = models
            .iter()
            .map(|model| {
                let row = filled.entry(model.depth).or_default();
                *row += 1;
                *row - 1
            })
            .collect();
        let tallest = filled.values().copied().max().unwrap_or(1) as f64;
        let step = grid.node.1 + grid.gap.1;
        let place = |(model, row): (&StudyModel, usize)| {
            let column = model.depth;
            let count = filled.get(&column).copied().unwrap_or(1) as f64;
            // Columns are centred; every second single node is lowered, so that an edge over it
            // does not run through it.
            let nudge = if count == tallest {
                0.0
            } else {
                (column % 2) as f64 * step * 0.45
            };
            let top = grid.margin + (tallest - count) * step / 2.0 + nudge;
            let x = grid.margin + column as f64 * (grid.node.0 + grid.gap.0);
            (model.id.clone(), (x, top + row as f64 * step))
        };
        let places: BTreeMap<ModelId, (f64, f64)> = models.iter().zip(rows).map(place).collect();
        let far = |pick: fn(&(f64, f64)) -> f64| places.values().map(pick).fold(0.0, f64::max);
        Self {
            width: far(|place| place.0) + grid.node.0 + grid.margin,
            height: far(|place| place.1) + grid.node.1 + grid.margin,
            grid,
            places,
        }
    }

    /// The edges among the study's models.
    pub(crate) fn edges<'s>(&self, study: &'s Study) -> Vec<Edge<'s>> {
        let mut edges = Vec::new();
        for child in &study.models {
            for (parent, relation) in &child.parents {
                if let (Some(from), Some(to)) =
                    (self.places.get(parent), self.places.get(&child.id))
                {
                    edges.push(Edge {
                        relation,
                        title: format!("{} from {parent}: {relation}", child.id),
                        path: self.path(*from, *to),
                    });
                }
            }
        }
        edges
    }

    fn path(&self, from: (f64, f64), to: (f64, f64)) -> String {
        let (width, height) = self.grid.node;
        let (x1, y1) = (from.0 + width, from.1 + height / 2.0);
        let (x2, y2) = (to.0, to.1 + height / 2.0);
        let bend = (x2 - x1) / 2.0;
        let (c1, c2) = (x1 + bend, x2 - bend);
        format!("M{x1:.1} {y1:.1}C{c1:.1} {y1:.1} {c2:.1} {y2:.1} {x2:.1} {y2:.1}")
    }
}
