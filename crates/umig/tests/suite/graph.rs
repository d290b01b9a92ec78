//! The graph against a naive model, and its refusals.

use std::collections::BTreeSet;

use proptest::prelude::*;
use umig::{
    Forget, GraphError, Model, ModelId, Relation, Request, RequestError, Role, SampleSet, Training,
    Umig,
};

fn id(n: usize) -> ModelId {
    ModelId::new(format!("m{n}"), 1).unwrap()
}

/// A random DAG: `edges[child]` holds parents with smaller numbers; `trained[i]` says who saw the
/// class; `old[i]` who is superseded.
fn dags() -> impl Strategy<Value = (Vec<Vec<usize>>, Vec<bool>, Vec<bool>)> {
    (2usize..16).prop_flat_map(|n| {
        let edges = (0..n)
            .map(|child| proptest::collection::btree_set(0..child.max(1), 0..=child.min(3)))
            .collect::<Vec<_>>();
        (
            edges.prop_map(|all| {
                all.into_iter()
                    .enumerate()
                    .map(|(child, set)| set.into_iter().filter(|&p| p < child).collect())
                    .collect()
            }),
            proptest::collection::vec(proptest::bool::weighted(0.3), n),
            proptest::collection::vec(proptest::bool::weighted(0.1), n),
        )
    })
}

fn build(parents: &[Vec<usize>], trained: &[bool], old: &[bool]) -> Umig {
    let mut graph = Umig::new();
    for (n, from) in parents.iter().enumerate() {
        let labels = if trained[n] {
            vec!["cat", "dog"]
        } else {
            vec!["dog"]
        };
        let mut model = Model::new(id(n), n as u64).trained_on(Training::new("photos", labels));
        model.superseded = old[n];
        graph
            .add(model, from.iter().map(|&p| (id(p), Relation::FineTune)))
            .unwrap();
    }
    graph
}

/// Transitive closure by repeated relaxation: `closure[a][b]` says that b descends from a.
fn closure(parents: &[Vec<usize>]) -> Vec<Vec<bool>> {
    let n = parents.len();
    let mut reach = vec![vec![false; n]; n];
    for child in 0..n {
        for &parent in &parents[child] {
            for row in reach.iter_mut().take(n) {
                if row[parent] {
                    row[child] = true;
                }
            }
            reach[parent][child] = true;
        }
    }
    reach
}

proptest! {
    #[test]
    fn walks_agree_with_the_closure((parents, trained, old) in dags()) {
        let graph = build(&parents, &trained, &old);
        let reach = closure(&parents);
        let depths = graph.depths();
        for a in 0..parents.len() {
            let down: BTreeSet<ModelId> =
                (0..parents.len()).filter(|&b| reach[a][b]).map(id).collect();
            let up: BTreeSet<ModelId> =
                (0..parents.len()).filter(|&b| reach[b][a]).map(id).collect();
            prop_assert_eq!(graph.descendants(&id(a)).unwrap(), down);
            prop_assert_eq!(graph.ancestors(&id(a)).unwrap(), up);
            let naive = parents[a].iter().map(|&p| depths[&id(p)] + 1).max().unwrap_or(0);
            prop_assert_eq!(depths[&id(a)], naive);
            for b in 0..parents.len() {
                let paths = graph.paths(&id(a), &id(b), 10_000).unwrap();
                prop_assert_eq!(!paths.is_empty(), a == b || reach[a][b]);
                let distinct: BTreeSet<_> = paths.iter().collect();
                prop_assert_eq!(distinct.len(), paths.len());
                for path in &paths {
                    for step in path.windows(2) {
                        prop_assert!(graph.parents(&step[1]).iter().any(|(p, _)| **p == step[0]));
                    }
                }
            }
        }
    }

    #[test]
    fn the_scope_is_the_initial_models_and_their_descendants((parents, trained, old) in dags()) {
        let graph = build(&parents, &trained, &old);
        let reach = closure(&parents);
        let initial: Vec<usize> =
            (0..parents.len()).filter(|&n| trained[n] && !old[n]).collect();
        let request = Request::new(Forget::classes(["cat"]));
        match graph.plan(&request) {
            Err(RequestError::NoModelTrained { .. }) => prop_assert!(initial.is_empty()),
            Err(other) => prop_assert!(false, "{other}"),
            Ok(plan) => {
                for n in 0..parents.len() {
                    let reaching: BTreeSet<ModelId> = initial
                        .iter()
                        .filter(|&&u| u == n || reach[u][n])
                        .map(|&u| id(u))
                        .collect();
                    let expected = if old[n] || reaching.is_empty() {
                        Role::Untouched
                    } else if trained[n] {
                        Role::Initial
                    } else {
                        Role::Inherited
                    };
                    prop_assert_eq!(plan.scope.role(&id(n)), expected);
                    if expected != Role::Untouched {
                        prop_assert_eq!(&plan.scope.reached_by[&id(n)], &reaching);
                    }
                }
                prop_assert_eq!(plan.stages.len(), 2);
                prop_assert_eq!(plan.stages[0].tasks.len(), plan.scope.initial.len());
                prop_assert_eq!(plan.stages[1].tasks.len(), plan.scope.touched().count());
            }
        }
    }

    #[test]
    fn json_keeps_everything((parents, trained, old) in dags()) {
        let graph = build(&parents, &trained, &old);
        let text = serde_json::to_string(&graph).unwrap();
        let again: Umig = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(text, serde_json::to_string(&again).unwrap());
    }

    #[test]
    fn edges_against_inheritance_are_cycles((parents, trained, old) in dags()) {
        let mut graph = build(&parents, &trained, &old);
        let reach = closure(&parents);
        for a in 0..parents.len() {
            for b in a..parents.len() {
                if a == b || reach[a][b] {
                    let refused = graph.add_edge(&id(b), &id(a), Relation::FineTune);
                    let is_cycle = matches!(refused, Err(GraphError::Cycle { .. }));
                    prop_assert!(is_cycle);
                }
            }
        }
    }
}

#[test]
fn refusals_name_the_thing() {
    let mut graph = Umig::new();
    graph.add(Model::new(id(0), 10), []).unwrap();
    let older = graph.add(Model::new(id(1), 9), [(id(0), Relation::FineTune)]);
    assert_eq!(
        older.unwrap_err().to_string(),
        "`m1@1` (time 9) is older than its parent `m0@1` (time 10)"
    );
    assert_eq!(graph.len(), 1, "a refused model leaves nothing behind");
    let taken = graph.add(Model::new(id(0), 11), []).unwrap_err();
    assert_eq!(taken, GraphError::Duplicate(id(0)));
    let unknown = graph
        .add(
            Model::new(id(2), 11),
            [("m0@7".parse().unwrap(), Relation::FineTune)],
        )
        .unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "unknown model `m0@7`; did you mean `m0@1`?"
    );
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = graph.add(
            Model::new(id(3), 11),
            [(id(0), Relation::FederatedAverage { weight })],
        );
        assert!(matches!(refused, Err(GraphError::Weight { .. })));
    }
}

#[test]
fn bad_ids_are_refused() {
    for text in [
        "",
        "a",
        "@1",
        "a@0",
        "a@x",
        "../a@1",
        "a b@1",
        ".hidden@1",
        "a/../b@1",
    ] {
        assert!(text.parse::<ModelId>().is_err(), "{text}");
    }
    assert_eq!("org/model-1.5@12".parse::<ModelId>().unwrap().version(), 12);
}

#[test]
fn a_cycle_in_json_is_refused() {
    let text = r#"{"format":"umig/1",
        "models":[{"id":"a@1","time":1},{"id":"b@1","time":1}],
        "edges":[{"parent":"a@1","child":"b@1","relation":{"kind":"fine_tune"}},
                 {"parent":"b@1","child":"a@1","relation":{"kind":"fine_tune"}}]}"#;
    let message = serde_json::from_str::<Umig>(text).unwrap_err().to_string();
    assert!(message.contains("a cycle"), "{message}");
    let newer = r#"{"format":"umig/2","models":[],"edges":[]}"#;
    assert!(
        serde_json::from_str::<Umig>(newer)
            .unwrap_err()
            .to_string()
            .contains("umig/2")
    );
}

#[test]
fn sources_and_samples_find_their_models() {
    let mut graph = Umig::new();
    let mut training = Training::new("photos", ["cat"]);
    training.source = Some("anna".into());
    training.samples = SampleSet::Listed(["p1".to_owned(), "p2".to_owned()].into());
    graph
        .add(Model::new(id(0), 1).trained_on(training.clone()), [])
        .unwrap();
    training.source = Some("ben".into());
    training.samples = SampleSet::Listed(["p3".to_owned()].into());
    graph
        .add(Model::new(id(1), 1).trained_on(training), [])
        .unwrap();
    graph
        .add(Model::new(id(2), 2), [(id(0), Relation::FineTune)])
        .unwrap();

    let by_source = graph
        .scope(&Request::new(Forget::Source("anna".into())))
        .unwrap();
    let by_sample = graph
        .scope(&Request::new(Forget::Samples(["p2".to_owned()].into())))
        .unwrap();
    assert_eq!(by_source, by_sample);
    assert_eq!(by_source.initial, [id(0)].into());
    assert_eq!(by_source.inherited, [id(2)].into());
    assert_eq!(by_source.role(&id(1)), Role::Untouched);
}

#[test]
fn initial_models_can_be_named_by_hand() {
    let parents = vec![vec![], vec![0], vec![1], vec![]];
    let graph = build(&parents, &[false, true, true, false], &[false; 4]);
    let request = Request::new(Forget::classes(["cat"]));
    let by_hand = graph.scope(&request.clone().from_models([id(1)])).unwrap();
    assert_eq!(by_hand.initial, [id(1)].into());
    assert_eq!(by_hand.inherited, [id(2)].into());
    let wrong = graph
        .scope(&request.clone().from_models([id(3)]))
        .unwrap_err();
    assert!(matches!(wrong, RequestError::NotTrained { .. }), "{wrong}");
    let untrained = graph
        .scope(&Request::new(Forget::classes(["bird"])))
        .unwrap_err();
    assert_eq!(
        untrained.to_string(),
        "no model was trained on class `bird` (current models were trained on: cat, dog); \
         name the initial models by hand if their provenance is unknown"
    );
    assert_eq!(
        graph.scope(&Request::new(Forget::classes([""; 0]))),
        Err(RequestError::Empty)
    );
}

#[test]
fn a_model_that_has_nothing_else_is_emptied() {
    let named = |name: &str| Model::new(id(0), 0).with_labels([name, "dog"]);
    let listed = |ids: &[&str], source: &str| {
        let mut training = Training::new("photos", ["cat", "dog"]);
        training.samples = SampleSet::Listed(ids.iter().map(|id| (*id).to_owned()).collect());
        training.source = Some(source.to_owned());
        training
    };
    let source = Request::new(Forget::Source("eve".into()));
    let only = named("cat").trained_on(listed(&["a", "b"], "eve"));
    let both = only.clone().trained_on(listed(&["c"], "bob"));
    let empties = |request: &Request, model: &Model| request.empties(model).unwrap();
    assert!(empties(&source, &only) && !empties(&source, &both));
    // What is not on record cannot be told to be all.
    assert!(!empties(&source, &named("cat")));
    let samples = |ids: &[&str]| {
        Request::new(Forget::Samples(
            ids.iter().map(|id| (*id).to_owned()).collect(),
        ))
    };
    assert!(empties(&samples(&["a", "b", "x"]), &only) && !empties(&samples(&["a"]), &only));
    let unlisted = named("cat").trained_on(Training::new("photos", ["cat"]));
    assert!(!empties(&samples(&["a"]), &unlisted));
    let cat = Request::new(Forget::classes(["cat"]));
    assert!(empties(&cat, &unlisted) && !empties(&cat, &only));
    // A head without another output has nothing to say, whatever it was trained on.
    let both_named = Request::new(Forget::classes(["cat", "dog"]));
    assert!(empties(&both_named, &named("cat")) && !empties(&cat, &named("cat")));
}
