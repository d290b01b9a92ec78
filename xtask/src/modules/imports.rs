//! Imports between the files of a crate: circles, and siblings that are imported through the root.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::finding::{Finding, Rule};
use crate::source::{Import, Seen, Source, Target};

/// A file that uses something of another one, as places in [`Source::files`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    from: usize,
    to: usize,
    line: usize,
    name: String,
}

/// Every use of another file's items. A re-export alone is none: it matters where its name is used.
fn uses(source: &Source) -> BTreeSet<Use> {
    let mut found = BTreeSet::new();
    for (place, module) in source.modules.iter().enumerate() {
        let mut add = |path: &[String], all: bool, line: usize| {
            let (at, name) = match source.resolve(place, path) {
                Some(Target::Item(at, name)) => (at, name),
                Some(Target::Module(at)) if all => (at, "*".to_owned()),
                _ => return,
            };
            let to = source.modules[at].file;
            if to != module.file {
                let from = module.file;
                found.insert(Use {
                    from,
                    to,
                    line,
                    name,
                });
            }
        };
        for import in module.imports.iter().filter(|i| i.seen == Seen::Here) {
            add(&import.path, import.all, import.line);
        }
        for mention in &module.mentions {
            add(&mention.path, false, mention.line);
        }
    }
    found
}

/// Files that import each other, in one finding for each knot of them.
pub(super) fn circles(source: &Source) -> Vec<Finding> {
    let uses = uses(source);
    let mut next: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for edge in &uses {
        next.entry(edge.from).or_default().insert(edge.to);
    }
    let reached: Vec<BTreeSet<usize>> = (0..source.files.len())
        .map(|file| reachable(&next, file))
        .collect();
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for file in 0..source.files.len() {
        if done.contains(&file) || !reached[file].contains(&file) {
            continue;
        }
        let together = |other: &usize| reached[*other].contains(&file);
        let knot: BTreeSet<usize> = reached[file].iter().copied().filter(together).collect();
        found.push(circle(source, &uses, &next, &knot));
        done.extend(knot);
    }
    found
}

/// What can be reached from a file in one step or more.
fn reachable(next: &BTreeMap<usize, BTreeSet<usize>>, from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let more = next.get(&file).into_iter().flatten();
        open.extend(more.filter(|file| reached.insert(**file)));
    }
    reached
}

/// The shortest way from a file back to it.
fn shortest(next: &BTreeMap<usize, BTreeSet<usize>>, from: usize) -> Vec<usize> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(file) = open.pop_front() {
        for to in next.get(&file).into_iter().flatten().copied() {
            if to == from {
                let mut way = vec![from];
                let mut at = file;
                while at != from {
                    way.push(at);
                    at = before[&at];
                }
                way.push(from);
                way.reverse();
                return way;
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = before.entry(to) {
                entry.insert(file);
                open.push_back(to);
            }
        }
    }
    Vec::new()
}

fn circle(
    source: &Source,
    uses: &BTreeSet<Use>,
    next: &BTreeMap<usize, BTreeSet<usize>>,
    knot: &BTreeSet<usize>,
) -> Finding {
    let file = |place: usize| &source.files[place].path;
    let folder = file(0).parent().unwrap_or(file(0));
    let name = |place: usize| {
        let path = file(place);
        path.strip_prefix(folder).unwrap_or(path).display()
    };
    let ways = knot.iter().map(|file| shortest(next, *file));
    let way = ways.min_by_key(Vec::len).unwrap_or_default();
    let mut message = String::from("files import each other:");
    for step in way.windows(2) {
        let of: Vec<&Use> = uses
            .iter()
            .filter(|edge| (edge.from, edge.to) == (step[0], step[1]))
            .collect();
        let names: BTreeSet<&str> = of.iter().map(|edge| &edge.name[..]).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let lines = of.first().map_or(1, |edge| edge.line);
        message += &format!(
            "\n{}:{lines} uses {} of {}",
            name(step[0]),
            names.join(", "),
            name(step[1])
        );
    }
    let others: Vec<String> = knot
        .iter()
        .filter(|file| !way.contains(file))
        .map(|file| name(*file).to_string())
        .collect();
    if !others.is_empty() {
        message += &format!("\nand so do, in longer circles: {}", others.join(", "));
    }
    let (first, second) = (
        way.first().copied().unwrap_or_default(),
        way.get(1).copied(),
    );
    let mut edges = uses.iter();
    let line = edges.find(|edge| edge.from == first && Some(edge.to) == second);
    Finding {
        rule: Rule::Circle,
        file: file(first).clone(),
        line: line.map_or(1, |edge| edge.line),
        message,
        help: "move what both need to a file of its own below them, or to the one that is lower"
            .into(),
    }
}

/// Files that import through the crate's root what a sibling defines.
pub(super) fn through_root(source: &Source) -> Vec<Finding> {
    let mut found: BTreeMap<(usize, usize, String), Finding> = BTreeMap::new();
    let root = &source.modules[0];
    for (place, module) in source.modules.iter().enumerate() {
        if module.file == root.file {
            continue;
        }
        let imports = module
            .imports
            .iter()
            .map(|import| (&import.path, import.line));
        let mentions = module.mentions.iter();
        let mentions = mentions.map(|mention| (&mention.path, mention.line));
        for (path, line) in imports.chain(mentions) {
            let Some((0, [name, ..])) = source.start(place, path) else {
                continue;
            };
            let from_root = ["crate", "super"].contains(&&path[0][..]);
            if !from_root || root.defined.contains_key(name) || means_module(source, place, path) {
                continue;
            }
            let Some(Target::Item(at, item)) = source.resolve(place, path) else {
                continue;
            };
            let owner = &source.modules[at];
            if owner.file == root.file || !is_reexport(root, name) {
                continue;
            }
            let file = source.files[module.file].path.clone();
            let finding = Finding {
                rule: Rule::Root,
                file,
                line,
                message: format!("`{name}` comes through the crate's root"),
                help: format!("use `crate::{}::{item}`", owner.path.join("::")),
            };
            found
                .entry((module.file, line, name.clone()))
                .or_insert(finding);
        }
    }
    found.into_values().collect()
}

/// Whether the root imports the name, alone or with a `*`.
fn is_reexport(root: &crate::source::Module, name: &str) -> bool {
    let is = |import: &Import| import.all || import.name.as_deref() == Some(name);
    root.imports.iter().any(is)
}

/// Whether a path goes through a module of the root, or names one that the file then goes through.
fn means_module(source: &Source, place: usize, path: &[String]) -> bool {
    let Some((_, [name, more @ ..])) = source.start(place, path) else {
        return false;
    };
    if !source.modules[0].children.contains_key(name) {
        return false;
    }
    let mut mentions = source.modules[place].mentions.iter();
    !more.is_empty() || mentions.any(|m| m.path.len() > 1 && &m.path[0] == name)
}

/// A crate of made-up files.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn made_up(files: &[(&str, &str)]) -> Source {
    let text = |path: &std::path::Path| {
        let found = files
            .iter()
            .find(|(name, _)| path == std::path::Path::new(name));
        found.map(|(_, text)| (*text).to_owned())
    };
    crate::source::read_crate(std::path::Path::new(files[0].0), &text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knots(files: &[(&str, &str)]) -> Vec<String> {
        let found = circles(&made_up(files)).into_iter();
        found.map(|finding| finding.message).collect()
    }

    fn roots(files: &[(&str, &str)]) -> Vec<(String, usize, String)> {
        let found = through_root(&made_up(files)).into_iter();
        found
            .map(|f| (f.file.display().to_string(), f.line, f.help))
            .collect()
    }

    #[test]
    fn a_circle_is_told_with_its_lines() {
        let told = knots(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "use crate::b::B;\npub struct A;\n"),
            ("b.rs", "\nuse super::c::C;\npub struct B;\n"),
            ("c.rs", "pub struct C;\nfn f() { crate::a::A; }\n"),
        ]);
        let known = "files import each other:\na.rs:1 uses B of b.rs\nb.rs:2 uses C of c.rs\n\
                     c.rs:2 uses A of a.rs";
        assert_eq!(told, [known]);
    }

    #[test]
    fn a_line_of_files_is_no_circle() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;\n"),
            ("a.rs", "use crate::b::B;\npub struct A;\n"),
            (
                "b.rs",
                "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }\n\
                 #[cfg(test)]\nuse crate::a::A;\n",
            ),
        ];
        assert_eq!(knots(&files), Vec::<String>::new());
        assert_eq!(roots(&files), []);
    }

    #[test]
    fn parent_and_child_are_a_circle_where_both_use_what_the_other_defines() {
        let child = ("a/child.rs", "use super::Shape;\npub struct Child;\n");
        let uses = "mod child;\nuse child::Child;\npub struct Shape;\n";
        let told = knots(&[("lib.rs", "mod a;\n"), ("a/mod.rs", uses), child]);
        assert_eq!(told.len(), 1, "{told:?}");
        // Passing it on is no use of it; using what is passed on is.
        let passes = "mod child;\npub use child::Child;\npub struct Shape;\n";
        let told = knots(&[("lib.rs", "mod a;\n"), ("a/mod.rs", passes), child]);
        assert_eq!(told, Vec::<String>::new());
        let both = format!("{passes}fn f(child: &Child) {{}}\n");
        let told = knots(&[("lib.rs", "mod a;\n"), ("a/mod.rs", &both), child]);
        assert_eq!(told.len(), 1, "{told:?}");
        let within = format!("{passes}fn f() {{ format!(\"{{}}\", Child::new()); }}\n");
        let told = knots(&[("lib.rs", "mod a;\n"), ("a/mod.rs", &within), child]);
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn a_reexport_leads_to_the_file_that_defines_the_thing() {
        // `two` uses `one` by the name that their parent gives it; the parent defines nothing.
        let told = knots(&[
            ("lib.rs", "mod a;\n"),
            (
                "a/mod.rs",
                "mod one;\nmod two;\npub use one::*;\npub use two::Two as Second;\n",
            ),
            ("a/one.rs", "pub struct One;\n"),
            ("a/two.rs", "use super::One;\npub struct Two;\n"),
        ]);
        assert_eq!(told, Vec::<String>::new());
        let told = knots(&[
            ("lib.rs", "mod a;\n"),
            (
                "a/mod.rs",
                "mod one;\nmod two;\npub use one::*;\npub use two::Two as Second;\n",
            ),
            (
                "a/one.rs",
                "use crate::a::Second;\npub struct One(Second);\n",
            ),
            ("a/two.rs", "use super::One;\npub struct Two;\n"),
        ]);
        let known = "files import each other:\na/one.rs:1 uses Two of a/two.rs\na/two.rs:1 uses One of \
                     a/one.rs";
        assert_eq!(told, [known]);
    }

    #[test]
    fn an_import_through_the_root_is_told_with_the_better_one() {
        let told = roots(&[
            (
                "lib.rs",
                "mod a;\nmod b;\npub use a::{A, grow};\npub fn now() {}\npub mod grow {}\n",
            ),
            ("a.rs", "pub struct A;\npub fn grow() {}\n"),
            (
                "b.rs",
                "use crate::{A, now};\nuse super::a;\nfn f() { crate::A; a::grow(); }\nuse std::fmt;\n",
            ),
        ]);
        let known = [1, 3].map(|line| ("b.rs".to_owned(), line, "use `crate::a::A`".to_owned()));
        assert_eq!(told, known);
    }
}
