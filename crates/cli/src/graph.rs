//! The inheritance graph in the terminal: rails as in `git log --graph`.

use disinherit::umig::{Model, ModelId, Umig};

/// Roots first, every model on a line of its own, with rails from parents to children.
pub(crate) fn rails(
    graph: &Umig,
    keep: &dyn Fn(&Model) -> bool,
    note: &dyn Fn(&Model) -> String,
) -> String {
    let kept = |id: &ModelId| graph.get(id).is_some_and(keep);
    let order: Vec<&ModelId> = graph.ordered().into_iter().filter(|id| kept(id)).collect();
    let mut out = String::new();
    // Each rail leads down to a child that is still to come.
    let mut lanes: Vec<&ModelId> = Vec::new();
    for id in order {
        let first = lanes
            .iter()
            .position(|lane| *lane == id)
            .unwrap_or_else(|| {
                lanes.push(id);
                lanes.len() - 1
            });
        let marks: String = lanes
            .iter()
            .enumerate()
            .map(|(at, _)| if at == first { "* " } else { "| " })
            .collect();
        let parents: Vec<String> = graph
            .parents(id)
            .into_iter()
            .filter(|(parent, _)| kept(parent))
            .map(|(parent, relation)| format!("{parent} ({relation})"))
            .collect();
        let mut line = format!("{marks} {id}");
        if let Some(model) = graph.get(id) {
            line.push_str(&note(model));
        }
        if !parents.is_empty() {
            line.push_str(&format!("  <- {}", parents.join(", ")));
        }
        out.push_str(line.trim_end());
        out.push('\n');
        let children: Vec<&ModelId> = graph
            .children(id)
            .into_iter()
            .map(|(child, _)| child)
            .filter(|c| kept(c))
            .collect();
        branch(&mut out, &mut lanes, first, &children);
    }
    out
}

/// The rows between a model and the next: its rail goes on to its first new child, further new
/// children get rails of their own, children that are awaited already are joined.
fn branch<'a>(out: &mut String, lanes: &mut Vec<&'a ModelId>, at: usize, children: &[&'a ModelId]) {
    let mut fresh: Vec<&ModelId> = Vec::new();
    let mut joined: Vec<usize> = Vec::new();
    for child in children {
        match lanes.iter().position(|lane| lane == child) {
            Some(lane) => joined.push(lane),
            None if !fresh.contains(child) => fresh.push(child),
            None => {}
        }
    }
    for lane in joined {
        let (left, right) = (at.min(lane), at.max(lane));
        let row: String = (0..lanes.len())
            .map(|i| match i {
                i if i == left => "|-",
                i if i == right => "' ",
                i if left < i && i < right => "--",
                _ => "| ",
            })
            .collect();
        if left != right {
            out.push_str(
                row.replace("' ", if at < lane { "| " } else { "' " })
                    .trim_end(),
            );
            out.push('\n');
        }
    }
    match fresh.split_first() {
        None => {
            lanes.remove(at);
        }
        Some((first, more)) => {
            lanes[at] = first;
            for child in more {
                lanes.insert(at + 1, child);
                let row: String = (0..lanes.len())
                    .map(|i| {
                        if i == at {
                            "|\\"
                        } else if i == at + 1 {
                            "  "
                        } else {
                            "| "
                        }
                    })
                    .collect();
                out.push_str(row.trim_end());
                out.push('\n');
            }
        }
    }
}
