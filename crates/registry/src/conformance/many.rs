//! More rows than one statement takes. Each counts: the last one can be what is refused.

use crate::catalog::publication::Publication;
use crate::catalog::rows::{Draft, NewModel};
use crate::conformance::samples::{id, new_model, publication};
use crate::registry::Registry;

/// How many models there are in the family.
const MANY: usize = 2300;

/// A large family that is published, refused, superseded.
pub(super) fn models(registry: &Registry) {
    let before = registry.models().unwrap().len();
    let parent = new_model(registry, "parent@1", 5.0, &[]);
    let family = [vec![parent], children(registry, 0..MANY)].concat();
    registry.publish(&publication(family, &[], "many")).unwrap();
    let rows = registry.models().unwrap();
    let order: Vec<String> = (0..MANY).map(name).collect();
    let stored = rows[before + 1..]
        .iter()
        .map(|row| row.vertex.id.to_string());
    assert!(
        stored.eq(order.iter().cloned()),
        "not in the order of their publication"
    );
    let graph = registry.graph().unwrap();
    assert_eq!(graph.descendants(&id("parent@1")).unwrap().len(), MANY);

    let superseded: Vec<&str> = order.iter().map(String::as_str).collect();
    refusals(registry, &superseded);
    assert_eq!(
        registry.models().unwrap(),
        rows,
        "what is refused changes nothing"
    );
    registry
        .publish(&publication(Vec::new(), &superseded, "all"))
        .unwrap();
    let graph = registry.graph().unwrap();
    assert!(
        superseded
            .iter()
            .all(|name| graph.get(&id(name)).unwrap().superseded)
    );
}

/// Publications whose last row is refused.
fn refusals(registry: &Registry, names: &[&str]) {
    let refused = |publication: Publication, words: &str| {
        let said = registry.publish(&publication).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    };
    let gone = [names, &["nowhere@1"]].concat();
    refused(
        publication(Vec::new(), &gone, "too many"),
        "`nowhere@1` is no longer",
    );
    let orphan = new_model(registry, "orphan@1", 5.0, &["nowhere@1"]);
    let orphan = publication(vec![orphan], &[], "orphan");
    refused(orphan, "`nowhere@1`, a parent of `orphan@1`, is gone");
    let again = children(registry, MANY - 1..2 * MANY);
    let last = format!("`{}` exists already", name(MANY - 1));
    refused(publication(again, &[], "again"), &last);
    let twice = [
        children(registry, MANY..MANY + 1),
        children(registry, MANY..MANY + 1),
    ]
    .concat();
    refused(publication(twice, &[], "twice"), "named twice");
}

/// Some models are found by their names, or by ids, without the others.
pub(super) fn names(registry: &Registry) {
    let chain = ["chain@1", "chain@2", "chain@3", "chain@4"];
    let models = chain.map(|name| new_model(registry, name, 6.0, &[]));
    let superseded = ["chain@1", "chain@4"];
    let chained = publication(models.to_vec(), &[], "chain");
    registry.publish(&chained).unwrap();
    registry
        .publish(&publication(Vec::new(), &superseded, "chain"))
        .unwrap();
    let all = registry.graph().unwrap();
    let found = |names: &[&str]| -> Vec<String> {
        let part = registry.excerpt(names.iter().copied()).unwrap();
        for name in names {
            assert_eq!(part.resolve(name), all.resolve(name), "{name}");
        }
        part.models().map(|model| model.id.to_string()).collect()
    };
    assert_eq!(found(&["chain"]), ["chain@3", "chain@4"]);
    assert_eq!(
        found(&["chain@1", "chain"]),
        ["chain@1", "chain@3", "chain@4"]
    );
    assert_eq!(
        found(&["chain@5", "chai", "no name", "..", "", "@"]),
        [""; 0]
    );
    let names: Vec<String> = (0..MANY).map(name).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(found(&ids).len(), MANY);
    let names: Vec<&str> = ids.iter().map(|id| &id[..id.len() - 2]).collect();
    assert_eq!(found(&names).len(), MANY);
}

/// As many drafts, each a row of its own.
pub(super) fn drafts(registry: &Registry) {
    let draft = |number: usize| Draft {
        task: format!("{number:05}"),
        value: number.to_string(),
        blobs: Vec::new(),
    };
    let drafts: Vec<Draft> = (0..MANY).map(draft).collect();
    registry.keep_drafts("many", &drafts).unwrap();
    assert_eq!(registry.drafts("many").unwrap(), drafts);
}

fn name(number: usize) -> String {
    format!("many{number}@1")
}

/// Models that inherit from the parent of the family, with the same weights.
fn children(registry: &Registry, numbers: std::ops::Range<usize>) -> Vec<NewModel> {
    let child = new_model(registry, "many@1", 5.0, &["parent@1"]);
    numbers
        .map(|number| {
            let mut child = child.clone();
            child.row.vertex.id = id(&name(number));
            child
        })
        .collect()
}
