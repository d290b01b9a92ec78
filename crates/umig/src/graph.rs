//! The graph itself: building it without cycles, walking it, planning on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, IntoNodeReferences, Reversed};

use crate::error::{GraphError, RequestError};
use crate::model::{Model, ModelId};
use crate::plan::Plan;
use crate::relation::Relation;
use crate::request::{Request, Scope};

/// The Unified Model Inheritance Graph.
#[derive(Debug, Clone, Default)]
pub struct Umig {
    graph: DiGraph<Model, Relation>,
    index: HashMap<ModelId, NodeIndex>,
}

impl Umig {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of models.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Whether there are no models.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a model together with its parents; nothing is added when any of it is refused.
    ///
    /// # Errors
    /// [`GraphError`] when the id is taken, a parent is unknown or younger, or a weight is no
    /// positive number.
    pub fn add(
        &mut self,
        model: Model,
        parents: impl IntoIterator<Item = (ModelId, Relation)>,
    ) -> Result<(), GraphError> {
        if self.index.contains_key(&model.id) {
            return Err(GraphError::Duplicate(model.id));
        }
        let mut edges = Vec::new();
        for (parent, relation) in parents {
            let from = self.node(&parent)?;
            check_time(&self.graph[from], &model)?;
            check_weight(&parent, &model.id, &relation)?;
            edges.push((from, relation));
        }
        let id = model.id.clone();
        let node = self.graph.add_node(model);
        self.index.insert(id, node);
        for (from, relation) in edges {
            self.graph.add_edge(from, node, relation);
        }
        Ok(())
    }

    /// Adds an edge between two models that are there already.
    ///
    /// # Errors
    /// [`GraphError`] when either is unknown, the child is older than the parent, the edge would
    /// close a cycle, or a weight is no positive number.
    pub fn add_edge(
        &mut self,
        parent: &ModelId,
        child: &ModelId,
        relation: Relation,
    ) -> Result<(), GraphError> {
        let (from, to) = (self.node(parent)?, self.node(child)?);
        if from == to || self.reachable(to).contains(&from) {
            return Err(GraphError::Cycle {
                parent: parent.clone(),
                child: child.clone(),
            });
        }
        check_time(&self.graph[from], &self.graph[to])?;
        check_weight(parent, child, &relation)?;
        self.graph.add_edge(from, to, relation);
        Ok(())
    }

    /// The graph of the models to keep, and of the edges among them.
    pub fn restricted(&self, keep: impl Fn(&Model) -> bool) -> Self {
        let graph = self.graph.filter_map(
            |_, model| keep(model).then(|| model.clone()),
            |_, relation| Some(relation.clone()),
        );
        let index = graph
            .node_references()
            .map(|(node, model)| (model.id.clone(), node))
            .collect();
        Self { graph, index }
    }

    /// Marks a version as replaced by a later one.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn supersede(&mut self, id: &ModelId) -> Result<(), GraphError> {
        let node = self.node(id)?;
        self.graph[node].superseded = true;
        Ok(())
    }

    /// A model by id.
    pub fn get(&self, id: &ModelId) -> Option<&Model> {
        self.index.get(id).map(|&node| &self.graph[node])
    }

    /// The current (newest not superseded) version of a name, or the version that `text` names
    /// exactly (`name@3`).
    pub fn resolve(&self, text: &str) -> Option<&Model> {
        if let Ok(id) = text.parse::<ModelId>() {
            return self.get(&id);
        }
        self.models()
            .filter(|model| model.id.name() == text)
            .max_by_key(|model| (!model.superseded, model.id.version()))
    }

    /// All models, in the order in which they were added.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.graph.node_weights()
    }

    /// All edges as (parent, child, relation).
    pub fn edges(&self) -> impl Iterator<Item = (&ModelId, &ModelId, &Relation)> {
        self.graph.edge_references().map(|edge| {
            (
                &self.graph[edge.source()].id,
                &self.graph[edge.target()].id,
                edge.weight(),
            )
        })
    }

    /// The parents of a model with their relations, in the order in which they were added.
    pub fn parents(&self, id: &ModelId) -> Vec<(&ModelId, &Relation)> {
        self.neighbours(id, Direction::Incoming)
    }

    /// The children of a model with their relations, in the order in which they were added.
    pub fn children(&self, id: &ModelId) -> Vec<(&ModelId, &Relation)> {
        self.neighbours(id, Direction::Outgoing)
    }

    /// Every model that inherited from `id`, directly or not; `id` itself is not among them.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn descendants(&self, id: &ModelId) -> Result<BTreeSet<ModelId>, GraphError> {
        let start = self.node(id)?;
        Ok(self.ids(self.reachable(start), start))
    }

    /// Every model that `id` inherited from, directly or not; `id` itself is not among them.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn ancestors(&self, id: &ModelId) -> Result<BTreeSet<ModelId>, GraphError> {
        let start = self.node(id)?;
        Ok(self.ids(self.reachable_against(start), start))
    }

    /// The paths of inheritance from one model to another, at most `limit` of them (there can be
    /// exponentially many), each from the ancestor to the descendant.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn paths(
        &self,
        from: &ModelId,
        to: &ModelId,
        limit: usize,
    ) -> Result<Vec<Vec<ModelId>>, GraphError> {
        let (start, goal) = (self.node(from)?, self.node(to)?);
        let useful = self.reachable_against(goal);
        let mut paths = Vec::new();
        let mut open = vec![vec![start]];
        while let Some(path) = open.pop() {
            if paths.len() == limit {
                break;
            }
            let Some(&last) = path.last() else { continue };
            if last == goal {
                paths.push(path.iter().map(|&n| self.graph[n].id.clone()).collect());
                continue;
            }
            let mut next: Vec<NodeIndex> = self.graph.neighbors(last).collect();
            next.sort_unstable();
            next.dedup();
            for node in next.into_iter().filter(|node| useful.contains(node)) {
                let mut longer = path.clone();
                longer.push(node);
                open.push(longer);
            }
        }
        Ok(paths)
    }

    /// For every model, the length of the longest chain of inheritance that leads to it (0 for a
    /// model without parents).
    pub fn depths(&self) -> BTreeMap<ModelId, usize> {
        self.topological()
            .into_iter()
            .fold(
                HashMap::new(),
                |mut depth: HashMap<NodeIndex, usize>, node| {
                    let deepest = self
                        .graph
                        .neighbors_directed(node, Direction::Incoming)
                        .map(|parent| depth[&parent] + 1)
                        .max();
                    depth.insert(node, deepest.unwrap_or(0));
                    depth
                },
            )
            .into_iter()
            .map(|(node, depth)| (self.graph[node].id.clone(), depth))
            .collect()
    }

    /// The ids of all models, parents before children; ties in the order of addition.
    pub fn ordered(&self) -> Vec<&ModelId> {
        self.topological()
            .into_iter()
            .map(|node| &self.graph[node].id)
            .collect()
    }

    /// Whom a request touches.
    ///
    /// # Errors
    /// [`RequestError`] when the request is empty, names unknown or superseded models, no model was
    /// trained on the forget data, or a list of samples cannot be read.
    pub fn scope(&self, request: &Request) -> Result<Scope, RequestError> {
        if request.forget.is_empty() {
            return Err(RequestError::Empty);
        }
        let initial = self.initial(request)?;
        let mut reached_by: BTreeMap<ModelId, BTreeSet<ModelId>> = BTreeMap::new();
        for (source, &start) in &initial {
            for node in self.reachable(start) {
                let model = &self.graph[node];
                if !model.superseded {
                    reached_by
                        .entry(model.id.clone())
                        .or_default()
                        .insert(source.clone());
                }
            }
        }
        let initial: BTreeSet<ModelId> = initial.into_keys().collect();
        let inherited = reached_by
            .keys()
            .filter(|id| !initial.contains(*id))
            .cloned()
            .collect();
        Ok(Scope {
            initial,
            inherited,
            reached_by,
        })
    }

    /// The work that answers a request.
    ///
    /// # Errors
    /// As [`Umig::scope`].
    pub fn plan(&self, request: &Request) -> Result<Plan, RequestError> {
        Ok(Plan::new(request.clone(), self.scope(request)?))
    }

    fn initial(&self, request: &Request) -> Result<BTreeMap<ModelId, NodeIndex>, RequestError> {
        if request.from.is_empty() {
            return self.initial_by_provenance(request);
        }
        let mut initial = BTreeMap::new();
        for id in &request.from {
            let node = self
                .node(id)
                .map_err(|_| RequestError::Unknown(id.clone(), self.nearest(id)))?;
            let model = &self.graph[node];
            if model.superseded {
                return Err(RequestError::Superseded(id.clone()));
            }
            if !model.training.is_empty() && !request.concerns(model)? {
                let data: Vec<String> = model.training.iter().map(ToString::to_string).collect();
                return Err(RequestError::NotTrained {
                    model: id.clone(),
                    what: request.forget.to_string(),
                    data: data.join("; "),
                });
            }
            initial.insert(id.clone(), node);
        }
        Ok(initial)
    }

    fn initial_by_provenance(
        &self,
        request: &Request,
    ) -> Result<BTreeMap<ModelId, NodeIndex>, RequestError> {
        let mut initial = BTreeMap::new();
        for node in self.graph.node_indices() {
            let model = &self.graph[node];
            if !model.superseded && request.concerns(model)? {
                initial.insert(model.id.clone(), node);
            }
        }
        if initial.is_empty() {
            return Err(RequestError::NoModelTrained {
                what: request.forget.to_string(),
                known: self.known_labels(),
            });
        }
        Ok(initial)
    }

    fn known_labels(&self) -> String {
        let labels: BTreeSet<&str> = self
            .models()
            .filter(|model| !model.superseded)
            .flat_map(|model| &model.training)
            .flat_map(|training| training.labels.iter().map(String::as_str))
            .collect();
        match labels.len() {
            0 => String::new(),
            1..=20 => {
                let list: Vec<&str> = labels.into_iter().collect();
                format!(" (current models were trained on: {})", list.join(", "))
            }
            more => format!(" (current models were trained on {more} labels)"),
        }
    }

    fn node(&self, id: &ModelId) -> Result<NodeIndex, GraphError> {
        self.index
            .get(id)
            .copied()
            .ok_or_else(|| GraphError::Unknown(id.clone(), self.nearest(id)))
    }

    /// Another version of the same name, as the likeliest slip.
    fn nearest(&self, id: &ModelId) -> Option<ModelId> {
        self.resolve(id.name()).map(|model| model.id.clone())
    }

    fn neighbours(&self, id: &ModelId, direction: Direction) -> Vec<(&ModelId, &Relation)> {
        let Some(&node) = self.index.get(id) else {
            return Vec::new();
        };
        let mut edges: Vec<_> = self.graph.edges_directed(node, direction).collect();
        edges.sort_by_key(|edge| edge.id());
        edges
            .into_iter()
            .map(|edge| {
                let other = match direction {
                    Direction::Incoming => edge.source(),
                    Direction::Outgoing => edge.target(),
                };
                (&self.graph[other].id, edge.weight())
            })
            .collect()
    }

    fn reachable(&self, start: NodeIndex) -> BTreeSet<NodeIndex> {
        let mut walk = Dfs::new(&self.graph, start);
        let mut found = BTreeSet::new();
        while let Some(node) = walk.next(&self.graph) {
            found.insert(node);
        }
        found
    }

    fn reachable_against(&self, start: NodeIndex) -> BTreeSet<NodeIndex> {
        let reversed = Reversed(&self.graph);
        let mut walk = Dfs::new(reversed, start);
        let mut found = BTreeSet::new();
        while let Some(node) = walk.next(reversed) {
            found.insert(node);
        }
        found
    }

    fn ids(&self, nodes: BTreeSet<NodeIndex>, without: NodeIndex) -> BTreeSet<ModelId> {
        nodes
            .into_iter()
            .filter(|&node| node != without)
            .map(|node| self.graph[node].id.clone())
            .collect()
    }

    /// Parents before children, the first added first (Kahn's algorithm).
    fn topological(&self) -> Vec<NodeIndex> {
        let mut open: Vec<usize> = vec![0; self.len()];
        for edge in self.graph.edge_references() {
            open[edge.target().index()] += 1;
        }
        let mut ready: BTreeSet<NodeIndex> = self
            .graph
            .node_indices()
            .filter(|node| open[node.index()] == 0)
            .collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(node) = ready.pop_first() {
            order.push(node);
            for child in self.graph.neighbors(node) {
                open[child.index()] -= 1;
                if open[child.index()] == 0 {
                    ready.insert(child);
                }
            }
        }
        order
    }
}

fn check_time(parent: &Model, child: &Model) -> Result<(), GraphError> {
    if child.time < parent.time {
        return Err(GraphError::OlderThanParent {
            parent: parent.id.clone(),
            parent_time: parent.time,
            child: child.id.clone(),
            child_time: child.time,
        });
    }
    Ok(())
}

fn check_weight(parent: &ModelId, child: &ModelId, relation: &Relation) -> Result<(), GraphError> {
    match relation.weight() {
        Some(weight) if !(weight.is_finite() && weight > 0.0) => Err(GraphError::Weight {
            parent: parent.clone(),
            child: child.clone(),
            weight: weight.to_string(),
        }),
        _ => Ok(()),
    }
}
