//! The graph of a request's scope: whom it touches, and from whom they inherited. Large scopes are folded
//! into families, and each can be opened.

mod draw;
mod families;
mod model;

use std::collections::HashMap;

use umig::ModelId;

use self::families::{Family, families};
pub use self::model::ScopeModel;

/// The most nodes of a drawing.
const MOST: usize = 60;

/// The most members of a family that a drawing shows at a time.
const MEMBERS: usize = 24;

/// What a drawing shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum View {
    /// All of it, folded where it is large.
    #[default]
    Whole,
    /// Some members of a family, with those that they inherited from and that inherited from them.
    Family {
        /// The family's number.
        number: usize,
        /// Members that are passed over.
        from: usize,
    },
    /// The ways of inheritance that lead to one model.
    Focus(ModelId),
}

/// What a node of a drawing leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A family, opened, with so many members passed over.
    Family(usize, usize),
    /// A model.
    Model(&'a ModelId),
}

/// A scope as a graph.
#[derive(Debug)]
pub struct ScopeGraph {
    models: Vec<ScopeModel>,
    families: Vec<Family>,
}

impl ScopeGraph {
    /// The graph of these models. The same models give the same families, with the same numbers.
    pub fn new(models: Vec<ScopeModel>) -> Self {
        let families = families(&models, MOST);
        Self { models, families }
    }

    /// Whether it is too large to show every model.
    pub fn is_folded(&self) -> bool {
        self.families.len() < self.models.len()
    }

    /// The part of the graph from which a model inherited, with that model; nothing where it is not in it.
    fn above(&self, id: &ModelId) -> Option<Self> {
        let places: HashMap<&ModelId, usize> = self
            .models
            .iter()
            .enumerate()
            .map(|(place, model)| (&model.id, place))
            .collect();
        let index = |id: &ModelId| places.get(id).copied();
        let mut kept = vec![false; self.models.len()];
        let mut open = vec![index(id)?];
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut kept[at], true) {
                let parents = self.models[at].parents.iter();
                open.extend(parents.filter_map(|(parent, _)| index(parent)));
            }
        }
        let kept = self.models.iter().zip(kept).filter(|(_, kept)| *kept);
        Some(Self::new(kept.map(|(model, _)| model.clone()).collect()))
    }
}
