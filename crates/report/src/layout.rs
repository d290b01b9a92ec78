//! The places of nodes in a drawing of the graph: time from left to right.

use std::collections::BTreeMap;

use disinherit_lab::Study;
use umig::ModelId;

/// The measures of a drawing, in pixels.
pub(crate) struct Grid {
    /// Width and height of a node.
    pub(crate) node: (f64, f64),
    /// The room between columns and between rows.
    pub(crate) gap: (f64, f64),
    /// The room around the drawing.
    pub(crate) margin: f64,
}

/// Where every node is drawn: a model, or a family of models.
pub(crate) struct Layout<'a, K> {
    grid: &'a Grid,
    /// The upper left corner of every node.
    pub(crate) places: BTreeMap<K, (f64, f64)>,
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

impl<'a, K: Ord> Layout<'a, K> {
    /// Every node in its column; rows in the order in which they are given.
    pub(crate) fn new(nodes: impl IntoIterator<Item = (K, usize)>, grid: &'a Grid) -> Self {
        let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
        let rows: Vec<(K, usize, usize)> = nodes
            .into_iter()
            .map(|(key, column)| {
                let row = filled.entry(column).or_default();
                *row += 1;
                (key, column, *row - 1)
            })
            .collect();
        let tallest = filled.values().copied().max().unwrap_or(1) as f64;
        let step = grid.node.1 + grid.gap.1;
        let place = |(key, column, row): (K, usize, usize)| {
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
            (key, (x, top + row as f64 * step))
        };
        let places: BTreeMap<K, (f64, f64)> = rows.into_iter().map(place).collect();
        let far = |pick: fn(&(f64, f64)) -> f64| places.values().map(pick).fold(0.0, f64::max);
        Self {
            width: far(|place| place.0) + grid.node.0 + grid.margin,
            height: far(|place| place.1) + grid.node.1 + grid.margin,
            grid,
            places,
        }
    }

    /// The line from one node to another, where both are drawn.
    pub(crate) fn path(&self, from: &K, to: &K) -> Option<String> {
        let (from, to) = (self.places.get(from)?, self.places.get(to)?);
        let (width, height) = self.grid.node;
        let (x1, y1) = (from.0 + width, from.1 + height / 2.0);
        let (x2, y2) = (to.0, to.1 + height / 2.0);
        let bend = (x2 - x1) / 2.0;
        let (c1, c2) = (x1 + bend, x2 - bend);
        Some(format!(
            "M{x1:.1} {y1:.1}C{c1:.1} {y1:.1} {c2:.1} {y2:.1} {x2:.1} {y2:.1}"
        ))
    }
}

impl<'a> Layout<'a, ModelId> {
    /// The models of a study, in columns by their depth.
    pub(crate) fn for_study(study: &Study, grid: &'a Grid) -> Self {
        let models = study.models.iter();
        Self::new(models.map(|model| (model.id.clone(), model.depth)), grid)
    }

    /// The edges among the study's models.
    pub(crate) fn edges<'s>(&self, study: &'s Study) -> Vec<Edge<'s>> {
        let mut edges = Vec::new();
        for child in &study.models {
            for (parent, relation) in &child.parents {
                if let Some(path) = self.path(parent, &child.id) {
                    edges.push(Edge {
                        relation,
                        title: format!("{} from {parent}: {relation}", child.id),
                        path,
                    });
                }
            }
        }
        edges
    }
}
