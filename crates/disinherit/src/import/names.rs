//! Which model here is meant where another one names its base model.

use std::collections::BTreeMap;

use umig::Umig;

use super::find::{FoundModel, last_part};

/// The names of the models of a tree and of the registry.
pub(super) struct Names<'a> {
    graph: &'a Umig,
    /// Each model of the tree with its repository on the Hub, where that is known.
    by_name: BTreeMap<String, Option<String>>,
    by_repository: BTreeMap<String, String>,
}

impl<'a> Names<'a> {
    pub(super) fn new(graph: &'a Umig) -> Self {
        Self {
            graph,
            by_name: BTreeMap::new(),
            by_repository: BTreeMap::new(),
        }
    }

    /// Takes in a model of the tree.
    pub(super) fn insert(&mut self, model: &FoundModel) {
        let (name, repository) = (model.name.clone(), model.repository.clone());
        if let Some(repository) = repository.clone() {
            self.by_repository.insert(repository, name.clone());
        }
        self.by_name.insert(name, repository);
    }

    /// The model that `child` names as its base: by its repository, by its whole name, or by the last part of
    /// `OWNER/NAME` or of a path. A model of another owner's repository is not meant.
    pub(super) fn resolve<'n>(&'n self, base: &'n str, child: &str) -> Option<&'n str> {
        let by_repository = self.by_repository.get(base).map(String::as_str);
        [by_repository, Some(base), Some(last_part(base))]
            .into_iter()
            .flatten()
            .find(|name| *name != child && self.is_known(name, base))
    }

    fn is_known(&self, name: &str, base: &str) -> bool {
        match self.by_name.get(name) {
            Some(Some(repository)) => repository == base || base.matches('/').count() != 1,
            Some(None) => true,
            None => self.graph.resolve(name).is_some(),
        }
    }
}
