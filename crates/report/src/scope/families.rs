//! Families: models that have the same part in a request and the same origin. A drawing has room for some
//! sixty nodes, and a scope may have ten thousand models.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use umig::{ModelId, Role};

use super::model::ScopeModel;

/// The most columns where families are taken by their distance from the roots alone.
const COLUMNS: usize = 12;

/// Models that are drawn as one node; or one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    /// Their places in the list, in its order.
    pub(super) members: Vec<usize>,
    /// How far from the roots it is drawn.
    pub(super) column: usize,
    /// The families that some member inherited from, with a relation by which one did.
    pub(super) parents: BTreeMap<usize, String>,
}

/// What the members of a family have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Likeness {
    role: Option<Role>,
    retired: bool,
    /// The families that they inherited from, and how; or the distance from the roots alone.
    origin: Result<BTreeSet<(usize, String)>, usize>,
}

/// The families of some models: each alone where there are no more than `most`.
pub(super) fn families(models: &[ScopeModel], most: usize) -> Vec<Family> {
    let lines = Lines::new(models);
    if models.len() <= most {
        return lines.alone();
    }
    let alike = lines.alike();
    if alike.len() <= most {
        return alike;
    }
    lines.distant()
}

/// Who inherited from whom, by places in the list.
struct Lines<'a> {
    models: &'a [ScopeModel],
    parents: Vec<Vec<(usize, &'a str)>>,
    /// Parents before children.
    order: Vec<usize>,
    /// The longest way from a root.
    depths: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(models: &'a [ScopeModel]) -> Self {
        let places: HashMap<&ModelId, usize> = models
            .iter()
            .enumerate()
            .map(|(place, model)| (&model.id, place))
            .collect();
        let parents_of = |model: &'a ScopeModel| {
            let known = model.parents.iter();
            known
                .filter_map(|(parent, relation)| Some((*places.get(parent)?, relation.as_str())))
                .collect::<Vec<_>>()
        };
        let parents: Vec<Vec<(usize, &str)>> = models.iter().map(parents_of).collect();
        let mut children = vec![Vec::new(); models.len()];
        for (child, parents) in parents.iter().enumerate() {
            for (parent, _) in parents {
                children[*parent].push(child);
            }
        }
        let mut missing: Vec<usize> = parents.iter().map(Vec::len).collect();
        let mut order: Vec<usize> = (0..models.len())
            .filter(|place| missing[*place] == 0)
            .collect();
        let mut depths = vec![0; models.len()];
        let mut next = 0;
        while let Some(&place) = order.get(next) {
            next += 1;
            for &child in &children[place] {
                depths[child] = depths[child].max(depths[place] + 1);
                missing[child] -= 1;
                if missing[child] == 0 {
                    order.push(child);
                }
            }
        }
        Self {
            models,
            parents,
            order,
            depths,
        }
    }

    /// Every model by itself.
    fn alone(&self) -> Vec<Family> {
        let one = |place: usize| {
            let parents = self.parents[place].iter();
            Family {
                members: vec![place],
                column: self.depths[place],
                parents: parents.map(|(at, how)| (*at, (*how).to_owned())).collect(),
            }
        };
        (0..self.models.len()).map(one).collect()
    }

    /// Those that inherited in the same way from the same families, and have the same part.
    fn alike(&self) -> Vec<Family> {
        let mut of = vec![0; self.models.len()];
        let mut known: HashMap<Likeness, usize> = HashMap::new();
        let mut found: Vec<Family> = Vec::new();
        for &place in &self.order {
            let origin = self.parents[place].iter();
            let origin: BTreeSet<(usize, String)> = origin
                .map(|(parent, how)| (of[*parent], (*how).to_owned()))
                .collect();
            let column = origin.iter().map(|(family, _)| found[*family].column + 1);
            let column = column.max().unwrap_or(0);
            let parents = origin.iter().cloned().collect();
            let number = *known
                .entry(self.likeness(place, Ok(origin)))
                .or_insert(found.len());
            if number == found.len() {
                found.push(Family {
                    members: Vec::new(),
                    column,
                    parents,
                });
            }
            found[number].members.push(place);
            of[place] = number;
        }
        found
    }

    /// Those that are about as far from the roots, and have the same part.
    fn distant(&self) -> Vec<Family> {
        let deepest = self.depths.iter().max().copied().unwrap_or_default();
        let column = |place: usize| self.depths[place] * COLUMNS.min(deepest + 1) / (deepest + 1);
        let mut groups: BTreeMap<(usize, Likeness), Vec<usize>> = BTreeMap::new();
        for place in 0..self.models.len() {
            let likeness = self.likeness(place, Err(column(place)));
            groups
                .entry((column(place), likeness))
                .or_default()
                .push(place);
        }
        let mut of = vec![0; self.models.len()];
        for (number, members) in groups.values().enumerate() {
            for &place in members {
                of[place] = number;
            }
        }
        let parents = |number: usize, members: &[usize]| {
            let lines = members.iter().flat_map(|place| &self.parents[*place]);
            let lines = lines.map(|(parent, how)| (of[*parent], (*how).to_owned()));
            lines.filter(|(parent, _)| *parent != number).collect()
        };
        let found = groups.into_iter().enumerate();
        found
            .map(|(number, ((column, _), members))| Family {
                parents: parents(number, &members),
                column,
                members,
            })
            .collect()
    }

    fn likeness(&self, place: usize, origin: Result<BTreeSet<(usize, String)>, usize>) -> Likeness {
        let model = &self.models[place];
        Likeness {
            role: model.role,
            retired: model.retired,
            origin,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn model(name: &str, role: Role, parents: &[&str]) -> ScopeModel {
        let parents = parents.iter();
        ScopeModel {
            id: name.parse().unwrap(),
            role: Some(role),
            retired: false,
            parents: parents
                .map(|parent| (parent.parse().unwrap(), "fine_tune".to_owned()))
                .collect(),
        }
    }

    /// A base, models that were tuned from it, and one each that was tuned from those.
    fn tree(width: usize) -> Vec<ScopeModel> {
        let mut models = vec![model("base@1", Role::Initial, &[])];
        for at in 0..width {
            models.push(model(&format!("mid-{at}@1"), Role::Inherited, &["base@1"]));
            let mid = format!("mid-{at}@1");
            models.push(model(&format!("leaf-{at}@1"), Role::Inherited, &[&mid]));
        }
        models
    }

    #[test]
    fn few_models_are_drawn_each() {
        let found = families(&tree(3), 60);
        assert_eq!(found.len(), 7);
        assert_eq!(found[2].column, 2);
        assert_eq!(found[2].parents, BTreeMap::from([(1, "fine_tune".into())]));
    }

    #[test]
    fn many_models_of_one_origin_are_a_family() {
        let found = families(&tree(5000), 60);
        let sizes: Vec<usize> = found.iter().map(|family| family.members.len()).collect();
        assert_eq!(sizes, [1, 5000, 5000]);
        assert_eq!(found[2].parents, BTreeMap::from([(1, "fine_tune".into())]));
        let mut apart = tree(100);
        apart[2].retired = true;
        assert_eq!(families(&apart, 60).len(), 4);
    }

    /// A chain in which no two models have the same origin.
    #[test]
    fn models_of_many_origins_are_families_by_distance() {
        let mut models = vec![model("m-0@1", Role::Initial, &[])];
        for at in 1..10_000 {
            let parent = format!("m-{}@1", at - 1);
            models.push(model(&format!("m-{at}@1"), Role::Inherited, &[&parent]));
        }
        let found = families(&models, 60);
        assert!(found.len() <= 60, "{}", found.len());
        let members: usize = found.iter().map(|family| family.members.len()).sum();
        assert_eq!(members, 10_000);
        assert!(found.iter().all(|family| family.column < COLUMNS));
        // Most have one before them, and none has itself.
        let with = found.iter().filter(|family| !family.parents.is_empty());
        assert_eq!(with.count(), found.len() - 1);
        let own = |(at, family): (usize, &Family)| family.parents.contains_key(&at);
        assert!(!found.iter().enumerate().any(own));
    }
}
