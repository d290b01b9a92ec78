//! Graphs put together from models and edges in any order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::GraphError;
use crate::graph::Umig;
use crate::model::{Model, ModelId};
use crate::relation::Relation;

/// Parent, child, and how the child inherited.
type Edge = (ModelId, ModelId, Relation);

impl Umig {
    /// The graph of these edges and of the models at their ends, whose ids are all that is known: each model's time is
    /// its place among parents before children.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], or [`GraphError::Weight`].
    pub fn from_edges(edges: impl IntoIterator<Item = Edge>) -> Result<Self, GraphError> {
        let edges: Vec<Edge> = edges.into_iter().collect();
        let mut known = BTreeSet::new();
        let ends = edges.iter().flat_map(|(parent, child, _)| [parent, child]);
        let models = ends
            .filter(|id| known.insert(*id))
            .map(|id| (None, Model::new(id.clone(), 0)))
            .collect();
        assembled(models, edges)
    }
}

/// A graph of these models and edges. A model whose time is not known has the place among parents before children
/// instead.
pub(crate) fn assembled(
    models: Vec<(Option<u64>, Model)>,
    edges: Vec<Edge>,
) -> Result<Umig, GraphError> {
    let places = places(models.iter().map(|(_, model)| &model.id), &edges);
    let mut graph = Umig::new();
    for (time, mut model) in models {
        let place = || places.get(&model.id).copied().unwrap_or(places.len()) as u64;
        model.time = time.unwrap_or_else(place);
        graph.add(model, [])?;
    }
    for (parent, child, relation) in edges {
        graph.add_edge(&parent, &child, relation)?;
    }
    Ok(graph)
}

/// Each model's place among parents before children; none for models in a cycle and those below.
fn places<'a>(
    models: impl Iterator<Item = &'a ModelId>,
    edges: &'a [Edge],
) -> BTreeMap<ModelId, usize> {
    let mut waiting: BTreeMap<&ModelId, usize> = BTreeMap::new();
    let mut children: BTreeMap<&ModelId, Vec<&ModelId>> = BTreeMap::new();
    for (parent, child, _) in edges {
        *waiting.entry(child).or_default() += 1;
        children.entry(parent).or_default().push(child);
    }
    let mut open: VecDeque<&ModelId> = models.filter(|id| !waiting.contains_key(id)).collect();
    let mut places = BTreeMap::new();
    while let Some(id) = open.pop_front() {
        places.insert(id.clone(), places.len());
        for child in children.get(id).into_iter().flatten() {
            if let Some(left) = waiting.get_mut(child) {
                *left -= 1;
                if *left == 0 {
                    open.push_back(child);
                }
            }
        }
    }
    places
}
