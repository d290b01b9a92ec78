//! The drawing of a scope: nodes that are links, readable without script.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use umig::{ModelId, Role};

use super::families::Family;
use super::model::ScopeModel;
use super::{MEMBERS, Place, ScopeGraph, View};
use crate::layout::{Grid, Layout};
use crate::shape::{legend, outline, tips};
use crate::text::{at, view_box};

const GRID: Grid = Grid {
    node: (186.0, 48.0),
    gap: (58.0, 14.0),
    margin: 6.0,
};

/// The most nodes above each other. What is more goes into a column beside.
const ROWS: usize = 12;

/// The most characters of a name.
const NAME: usize = 22;

/// Where a node leads to, as a link.
type Link<'a> = &'a dyn Fn(Place<'_>) -> Option<String>;

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A family, by its number.
    Family(usize),
    /// A model, by its place in the list.
    Model(usize),
}

/// A drawing before it has places.
struct Sketch<'a> {
    graph: &'a ScopeGraph,
    nodes: Vec<(Key, usize)>,
    edges: BTreeMap<(Key, Key), &'a str>,
}

impl ScopeGraph {
    /// The drawing, with what its nodes lead to. Nothing where a family or a model is asked for that it does
    /// not have.
    pub fn draw(&self, view: &View, link: Link<'_>) -> Option<Markup> {
        match view {
            View::Whole => Some(self.whole().draw(link)),
            View::Focus(id) => {
                let above = self.above(id)?;
                // Its families are others than those of the whole.
                let models = |place: Place<'_>| match place {
                    Place::Family(..) => None,
                    Place::Model(_) => link(place),
                };
                let drawn = above.whole().draw(&models);
                Some(html! {
                    p { "The ways of inheritance that lead to " strong { (id) } ": " (above.models.len())
                        " models, it among them." }
                    (drawn)
                })
            }
            View::Family { number, from } => self.opened(*number, *from, link),
        }
    }

    fn whole(&self) -> Sketch<'_> {
        let key = |number: usize| match &self.families[number].members[..] {
            [one] => Key::Model(*one),
            _ => Key::Family(number),
        };
        let nodes = self.families.iter().enumerate();
        let edges = nodes.clone().flat_map(|(child, family)| {
            let parents = family.parents.iter();
            parents.map(move |(parent, how)| ((key(*parent), key(child)), how.as_str()))
        });
        Sketch {
            graph: self,
            nodes: nodes.map(|(at, family)| (key(at), family.column)).collect(),
            edges: edges.collect(),
        }
    }

    /// Some members of a family, between the families before and after it.
    fn opened(&self, number: usize, from: usize, link: Link<'_>) -> Option<Markup> {
        let family = self.families.get(number)?;
        let shown = family.members.get(from..).filter(|rest| !rest.is_empty())?;
        let shown = &shown[..shown.len().min(MEMBERS)];
        let after = from + shown.len();
        let drawn = self.around(number, family, shown).draw(link);
        Some(html! {
            p { "A family of " strong { (family.members.len()) " models" } " with one origin. Shown: "
                (from + 1) " to " (after) "." }
            (drawn)
            p.actions {
                @if from > 0 {
                    @if let Some(to) = link(Place::Family(number, from.saturating_sub(MEMBERS))) {
                        a href=(to) { "Members before" }
                    }
                }
                @if after < family.members.len() {
                    @if let Some(to) = link(Place::Family(number, after)) {
                        a href=(to) { "Next members" }
                    }
                }
            }
        })
    }

    fn around<'s>(&'s self, number: usize, family: &'s Family, shown: &[usize]) -> Sketch<'s> {
        let key = |number: usize| match &self.families[number].members[..] {
            [one] => Key::Model(*one),
            _ => Key::Family(number),
        };
        let mut nodes: Vec<(Key, usize)> = Vec::new();
        let mut edges = BTreeMap::new();
        for (parent, how) in &family.parents {
            nodes.push((key(*parent), 0));
            for &member in shown {
                edges.insert((key(*parent), Key::Model(member)), how.as_str());
            }
        }
        nodes.extend(shown.iter().map(|member| (Key::Model(*member), 1)));
        for (child, after) in self.families.iter().enumerate() {
            if let Some(how) = after.parents.get(&number) {
                nodes.push((key(child), 2));
                for &member in shown {
                    edges.insert((Key::Model(member), key(child)), how.as_str());
                }
            }
        }
        Sketch {
            graph: self,
            nodes,
            edges,
        }
    }
}

impl<'a> Sketch<'a> {
    fn draw(&self, link: Link<'_>) -> Markup {
        let columns = self.columns();
        let layout = Layout::new(columns, &GRID);
        let roles: BTreeSet<Role> = self.models().filter_map(|model| model.role).collect();
        let roles: Vec<Role> = roles.into_iter().collect();
        let retired = self.models().any(|model| model.retired);
        html! {
            (legend(&roles, retired))
            div.wide tabindex="0" role="group" aria-label="Inheritance graph" {
                svg.graph viewBox=(view_box(layout.width, layout.height)) width=(format!("{:.0}", layout.width))
                    height=(format!("{:.0}", layout.height)) {
                    (tips())
                    @for ((from, to), relation) in &self.edges {
                        @if let Some(path) = layout.path(from, to) {
                            path class={ "edge " (relation) } marker-end="url(#tip)" d=(path) {}
                        }
                    }
                    @for (key, _) in &self.nodes {
                        @if let Some(place) = layout.places.get(key) { (self.node(*key, *place, link)) }
                    }
                }
            }
        }
    }

    /// Every node in its column, with columns that are too long beside each other.
    fn columns(&self) -> Vec<(Key, usize)> {
        let mut long: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, column) in &self.nodes {
            *long.entry(*column).or_default() += 1;
        }
        let mut starts = BTreeMap::new();
        let mut next = 0;
        for (column, count) in long {
            starts.insert(column, next);
            next += count.div_ceil(ROWS);
        }
        let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
        let place = |(key, column): &(Key, usize)| {
            let row = rows.entry(*column).or_default();
            *row += 1;
            let start = starts.get(column).copied().unwrap_or_default();
            (*key, start + (*row - 1) / ROWS)
        };
        self.nodes.iter().map(place).collect()
    }

    /// A model of each node.
    fn models(&self) -> impl Iterator<Item = &'a ScopeModel> {
        self.nodes.iter().map(|(key, _)| self.model(*key))
    }

    fn model(&self, key: Key) -> &'a ScopeModel {
        match key {
            Key::Model(place) => &self.graph.models[place],
            // A family has members.
            Key::Family(number) => &self.graph.models[self.graph.families[number].members[0]],
        }
    }

    fn count(&self, key: Key) -> usize {
        match key {
            Key::Model(_) => 1,
            Key::Family(number) => self.graph.families[number].members.len(),
        }
    }

    fn node(&self, key: Key, (x, y): (f64, f64), link: Link<'_>) -> Markup {
        let (model, count) = (self.model(key), self.count(key));
        let (width, height) = GRID.node;
        let (name, title, to) = match key {
            Key::Model(_) => (
                short(&model.id),
                model.id.to_string(),
                link(Place::Model(&model.id)),
            ),
            Key::Family(number) => (
                format!("{count} models"),
                format!("{count} models, {} among them", model.id),
                link(Place::Family(number, 0)),
            ),
        };
        let words = self.words(model);
        let box_ = html! {
            title { (title) @if !words.is_empty() { ": " (words) } }
            @if count > 1 {
                (outline(model.role, (x + 5.0, y + 5.0), GRID.node))
            }
            (outline(model.role, (x, y), GRID.node))
            text.name x=(at(x + width / 2.0)) y=(at(y + if words.is_empty() { 29.0 } else { 20.0 })) { (name) }
            text.words x=(at(x + width / 2.0)) y=(at(y + height - 11.0)) { (words) }
        };
        html! {
            @let part = model.role.map_or_else(|| "plain".to_owned(), |role| role.to_string());
            g class={ "node " (part) @if model.retired { " retired" } } {
                @if let Some(to) = to { a href=(to) { (box_) } } @else { (box_) }
            }
        }
    }

    /// A model's part, and how it inherited.
    fn words(&self, model: &ScopeModel) -> String {
        let how = model.parents.first();
        let how = how.map(|(_, relation)| relation.replace('_', " "));
        let part = model.role.map(|role| role.to_string());
        let words = match model.role {
            Some(Role::Initial | Role::Untouched) => [part, None],
            Some(Role::Inherited) | None => [part, how],
        };
        let retired = model.retired.then(|| "retired".to_owned());
        let words = words.into_iter().flatten().chain(retired);
        words.collect::<Vec<_>>().join(", ")
    }
}

/// A name that fits into a node: its beginning and its end.
fn short(id: &ModelId) -> String {
    let whole: Vec<char> = id.to_string().chars().collect();
    if whole.len() <= NAME {
        return whole.into_iter().collect();
    }
    let end = NAME / 2 - 1;
    let begin = whole[..NAME - end - 1].iter();
    let last = whole[whole.len() - end..].iter();
    begin.chain(&['…']).chain(last).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scope(width: usize) -> ScopeGraph {
        let id = |name: String| name.parse::<ModelId>().unwrap();
        let model = |name: String, role, parents: Vec<ModelId>| ScopeModel {
            id: id(name),
            role: Some(role),
            retired: false,
            parents: parents
                .into_iter()
                .map(|parent| (parent, "fine_tune".into()))
                .collect(),
        };
        let mut models = vec![model("base@1".into(), Role::Initial, Vec::new())];
        for at in 0..width {
            let parents = vec![id("base@1".into())];
            models.push(model(format!("tuned-{at}@1"), Role::Inherited, parents));
        }
        ScopeGraph::new(models)
    }

    fn link(place: Place<'_>) -> Option<String> {
        Some(match place {
            Place::Family(number, from) => format!("?family={number}&from={from}"),
            Place::Model(id) => format!("?focus={id}"),
        })
    }

    #[test]
    fn ten_thousand_models_are_a_family_that_can_be_opened() {
        let graph = scope(10_000);
        assert!(graph.is_folded());
        let whole = graph.draw(&View::Whole, &link).unwrap().into_string();
        assert!(whole.contains("10000 models") && whole.contains("?family=1&amp;from=0"));
        assert!(whole.len() < 4000, "{}", whole.len());
        let family = |from| View::Family { number: 1, from };
        let opened = graph.draw(&family(0), &link).unwrap().into_string();
        assert!(opened.contains("tuned-0@1") && opened.contains("from=24"));
        assert!(!opened.contains("tuned-24@1"), "{opened}");
        assert!(graph.draw(&family(10_000), &link).is_none());
        let focus = View::Focus("tuned-7@1".parse().unwrap());
        let focus = graph.draw(&focus, &link).unwrap().into_string();
        assert!(focus.contains("tuned-7@1") && focus.contains("base@1"));
        assert!(!focus.contains("tuned-8@1"));
        let nowhere = View::Focus("gone@1".parse().unwrap());
        assert!(graph.draw(&nowhere, &link).is_none());
    }

    #[test]
    fn parts_are_told_by_shape_and_word() {
        let drawn = scope(2).draw(&View::Whole, &link).unwrap().into_string();
        assert!(drawn.contains("class=\"bar\""), "{drawn}");
        assert!(drawn.contains(">inherited, fine tune<"), "{drawn}");
        assert!(drawn.contains(">initial<"), "{drawn}");
    }

    #[test]
    fn long_names_keep_their_version() {
        let long = format!("{}@12", "a".repeat(100)).parse().unwrap();
        let name = short(&long);
        assert_eq!(name.chars().count(), NAME);
        assert!(name.ends_with("@12"), "{name}");
    }
}
