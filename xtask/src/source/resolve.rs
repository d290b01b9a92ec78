//! Where a path leads: through modules and re-exports to the module that defines a thing.

use super::{Module, Source};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A module, as a place in [`Source::modules`].
    Module(usize),
    /// Something that is defined in this module, by its name there.
    Item(usize, String),
}

/// No path of a real crate goes through so many re-exports.
const DEEPEST: usize = 24;

impl Source {
    /// What a path in a module names; nothing where it leads out of the crate or to a local name. Where
    /// a module and an item have the same name, the last name is the item.
    pub(crate) fn resolve(&self, from: usize, path: &[String]) -> Option<Target> {
        self.follow(from, path, true, DEEPEST)
    }

    /// The module where a path starts and what is left of it: `crate`, `self` and `super` are taken off.
    pub(crate) fn start<'a>(
        &self,
        from: usize,
        path: &'a [String],
    ) -> Option<(usize, &'a [String])> {
        let (mut at, mut rest) = (from, path);
        match rest.first()?.as_str() {
            "crate" => (at, rest) = (0, &rest[1..]),
            "self" => rest = &rest[1..],
            "Self" => return None,
            _ => {}
        }
        while let [first, more @ ..] = rest
            && first == "super"
        {
            (at, rest) = (self.modules[at].parent?, more);
        }
        Some((at, rest))
    }

    fn follow(&self, from: usize, path: &[String], items: bool, depth: usize) -> Option<Target> {
        let depth = depth.checked_sub(1)?;
        let (mut at, mut rest) = self.start(from, path)?;
        // Only a path that says that it is inside the crate surely is.
        let mut inside = rest.len() < path.len();
        while let [name, more @ ..] = rest {
            let module = &self.modules[at];
            let other = module.defined.contains_key(name) || imported(module, name).is_some();
            let item_first = items && more.is_empty() && other;
            if let Some(child) = module.children.get(name).filter(|_| !item_first) {
                (at, rest, inside) = (*child, more, true);
                continue;
            }
            if module.defined.contains_key(name) {
                return Some(Target::Item(at, name.clone()));
            }
            if let Some(path) = imported(module, name) {
                match self.follow(at, path, items && more.is_empty(), depth)? {
                    Target::Module(module) => (at, rest, inside) = (module, more, true),
                    item => return Some(item),
                }
                continue;
            }
            let found = self.through_globs(at, rest, depth);
            // What a macro made has no name that can be read.
            return found.or_else(|| inside.then(|| Target::Item(at, name.clone())));
        }
        Some(Target::Module(at))
    }

    /// What a path names by one of the `*` that a module imports.
    fn through_globs(&self, at: usize, path: &[String], depth: usize) -> Option<Target> {
        let mut all = self.modules[at].imports.iter().filter(|import| import.all);
        all.find_map(
            |import| match self.follow(at, &import.path, false, depth)? {
                Target::Module(module) if module != at => self.follow(module, path, true, depth),
                _ => None,
            },
        )
    }
}

/// The path of a name that a module imports.
fn imported<'a>(module: &'a Module, name: &str) -> Option<&'a [String]> {
    let mut imports = module.imports.iter();
    let import = imports.find(|import| import.name.as_deref() == Some(name))?;
    // `use serde;` leads to itself, out of the crate.
    (import.path.len() > 1 || import.path.first().is_some_and(|first| first != name))
        .then_some(&import.path[..])
}
