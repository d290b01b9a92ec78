//! Untouched roots: models of the graph that never saw the forget data. What such a model says of
//! forgotten samples is what a model says that does not know them: a reference where nothing was
//! retrained.

use std::collections::BTreeSet;

use disinherit_registry::{Registry, RegistryError};
use umig::{Forget, Model, ModelId, Training, Umig};

use crate::error::EngineError;
use crate::format::have_same_graph;
use crate::model::LoadedModel;
use crate::provenance::is_made_of_parents;
use crate::runner::Runner;

/// Retained labels that a root and a model have in common, at least: one alone cannot be mistaken for
/// another.
const COMMON_LABELS: usize = 2;

/// The untouched root that a model is compared with, opened; nothing where the graph has none.
/// `touched` are the versions that the request touches. Where `runner` runs the networks, a root is a
/// model with tensors of the same names and shapes which that runs too.
///
/// # Errors
/// What the registry says.
pub(crate) fn open_untouched_root(
    registry: &Registry,
    graph: &Umig,
    touched: &BTreeSet<ModelId>,
    model: &LoadedModel,
    forget: &Forget,
    runner: Option<&dyn Runner>,
) -> Result<Option<LoadedModel>, EngineError> {
    let alike = |root: &LoadedModel| -> Result<bool, EngineError> {
        let same_tensors = has_same_tensors(model, root);
        Ok(match runner {
            Some(runner) => same_tensors && runner.inner_tensors(root).is_ok(),
            None if same_tensors && have_same_graph(model, root)? => true,
            None => has_same_body(model, root),
        })
    };
    let same_network = |id: &ModelId| match LoadedModel::open(registry, graph, id) {
        Ok(root) => alike(&root),
        Err(
            EngineError::NotRunnable { .. }
            | EngineError::Runner { .. }
            | EngineError::Registry(RegistryError::Purged(_)),
        ) => Ok(false),
        Err(error) => Err(error),
    };
    let root = untouched_root(graph, touched, &model.vertex, forget, same_network)?;
    root.map(|id| LoadedModel::open(registry, graph, &id))
        .transpose()
}

/// Whether two models are the same network but for the rows of their heads. Of heads alone that
/// cannot be told: what is below them is not on record.
fn has_same_body(a: &LoadedModel, b: &LoadedModel) -> bool {
    if a.is_head_only() {
        return false;
    }
    let [a_body, b_body] =
        [&a.architecture, &b.architecture].map(|of| (of.kind, of.input, of.head().to_owned()));
    a_body == b_body
}

/// Whether two models have tensors of the same names and shapes, the head's among others.
fn has_same_tensors(a: &LoadedModel, b: &LoadedModel) -> bool {
    let [a_shapes, b_shapes] = [a, b].map(|model| {
        let tensors = model.manifest.tensors.iter();
        tensors
            .map(|(name, tensor)| (name, &tensor.shape))
            .collect::<Vec<_>>()
    });
    let head = a.head_tensors();
    let inner = a_shapes
        .iter()
        .any(|(name, _)| !head.iter().any(|own| own == name));
    inner && a_shapes == b_shapes && a.manifest.head == b.manifest.head
}

/// The untouched root that a model is compared with: a current model that the request does not
/// touch, that was not trained on forget data (nor was any of its ancestors), and that learnt at
/// least two retained labels that the model has too. A model whose training is not on record is none.
/// Ancestors of the model come first, then those with the most labels in common, then the order of
/// ids.
///
/// `touched` are the versions that the request touches; `same_network` says whether a candidate is
/// the same network as the model, but for the rows of its head.
///
/// # Errors
/// What `same_network` fails with, or [`EngineError::Samples`] when a list of samples cannot be read.
pub(crate) fn untouched_root(
    graph: &Umig,
    touched: &BTreeSet<ModelId>,
    model: &Model,
    forget: &Forget,
    mut same_network: impl FnMut(&ModelId) -> Result<bool, EngineError>,
) -> Result<Option<ModelId>, EngineError> {
    let ancestors = graph.ancestors(&model.id)?;
    let mut candidates = Vec::new();
    for candidate in graph.models() {
        let id = &candidate.id;
        // Most candidates of a large request are touched themselves: seen before their ancestors are.
        if candidate.superseded || *id == model.id || touched.contains(id) {
            continue;
        }
        let mut line = graph.ancestors(id)?;
        line.insert(id.clone());
        if !line.is_disjoint(touched) || !all_unseeing(graph, &line, forget)? {
            continue;
        }
        let common = common_labels(graph, &line, candidate, model, forget);
        if common >= COMMON_LABELS {
            candidates.push((!ancestors.contains(id), usize::MAX - common, id));
        }
    }
    candidates.sort();
    for (_, _, id) in candidates {
        if same_network(id)? {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

/// Whether it is on record of all of some versions that they were not trained on forget data.
fn all_unseeing(
    graph: &Umig,
    line: &BTreeSet<ModelId>,
    forget: &Forget,
) -> Result<bool, EngineError> {
    for id in line {
        if !never_saw(graph, id, forget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether it is on record that a version was itself not trained on forget data.
fn never_saw(graph: &Umig, id: &ModelId, forget: &Forget) -> Result<bool, EngineError> {
    let Some(vertex) = graph.get(id) else {
        return Ok(false);
    };
    if vertex.training.is_empty() {
        return Ok(is_made_of_parents(graph, id));
    }
    let known = |training: &Training| match forget {
        Forget::Classes(_) => !training.labels.is_empty(),
        Forget::Source(_) => training.source.is_some(),
        // Unlisted samples concern every request for samples.
        Forget::Samples(_) => true,
    };
    for training in &vertex.training {
        if !known(training) || forget.concerns(training)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many retained labels both heads have and the candidate, or an ancestor, was trained on.
fn common_labels(
    graph: &Umig,
    line: &BTreeSet<ModelId>,
    candidate: &Model,
    model: &Model,
    forget: &Forget,
) -> usize {
    let learnt: BTreeSet<&String> = line
        .iter()
        .filter_map(|id| graph.get(id))
        .flat_map(|vertex| &vertex.training)
        .flat_map(|training| &training.labels)
        .collect();
    let forgotten = |label: &String| match forget {
        Forget::Classes(classes) => classes.contains(label),
        Forget::Source(_) | Forget::Samples(_) => false,
    };
    candidate
        .labels
        .iter()
        .filter(|label| model.labels.contains(label) && learnt.contains(label))
        .filter(|label| !forgotten(label))
        .count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use umig::Relation;

    use super::*;

    /// A version named so, of labels `0` to `3`, trained on some of them.
    fn model(id: &str, learnt: &[&str]) -> Model {
        let model = Model::new(id.parse().unwrap(), 0).with_labels(["0", "1", "2", "3"]);
        match learnt {
            [] => model,
            labels => model.trained_on(Training::new("digits", labels.iter().copied())),
        }
    }

    fn graph(models: &[(Model, &[(&str, Relation)])]) -> Umig {
        let mut graph = Umig::new();
        for (model, parents) in models {
            let parents = parents
                .iter()
                .map(|(id, relation)| (id.parse().unwrap(), relation.clone()));
            graph.add(model.clone(), parents).unwrap();
        }
        graph
    }

    /// The root of `r@1` for forgetting class 3, where `r@1` is touched.
    fn root(graph: &Umig) -> Option<String> {
        root_for(graph, &Forget::classes(["3"]), |_| Ok(true))
    }

    fn root_for(
        graph: &Umig,
        forget: &Forget,
        same: impl FnMut(&ModelId) -> Result<bool, EngineError>,
    ) -> Option<String> {
        let id: ModelId = "r@1".parse().unwrap();
        let touched = graph.descendants(&id).unwrap();
        let touched = touched.into_iter().chain([id.clone()]).collect();
        let model = graph.get(&id).unwrap();
        let root = untouched_root(graph, &touched, model, forget, same).unwrap();
        root.map(|id| id.to_string())
    }

    #[test]
    fn an_ancestor_that_never_saw_the_class_is_preferred() {
        let average = Relation::FederatedAverage { weight: 0.5 };
        let graph = graph(&[
            (model("a@1", &["0", "1", "2"]), &[]),
            (model("d@1", &["0", "1"]), &[]),
            (model("s@1", &["0", "1", "2"]), &[]),
            (
                model("r@1", &["0", "3"]),
                &[("d@1", average.clone()), ("s@1", average)],
            ),
        ]);
        // `a` comes first by its id, `d` among the ancestors, but `s` has more labels than `d`.
        assert_eq!(root(&graph).as_deref(), Some("s@1"));
        let forget = Forget::classes(["3"]);
        let other = root_for(&graph, &forget, |id| Ok(id.name() != "s"));
        assert_eq!(other.as_deref(), Some("d@1"));
        let third = root_for(&graph, &forget, |id| Ok(id.name() == "a"));
        assert_eq!(third.as_deref(), Some("a@1"));
        assert_eq!(root_for(&graph, &forget, |_| Ok(false)), None);
    }

    #[test]
    fn what_saw_the_class_or_came_from_it_is_no_root() {
        let tuned = || Relation::FineTune;
        let request = || Relation::UnlearnedFrom {
            request: "request-1".into(),
        };
        let mut graph = graph(&[
            (model("b@1", &["0", "1", "3"]), &[]),
            // Retained training alone, but on top of a model that knew the class.
            (model("c@1", &["0", "1"]), &[("b@1", tuned())]),
            (model("r@1", &["0", "1", "3"]), &[]),
            (model("t@1", &["0", "1"]), &[("r@1", tuned())]),
            (model("r@2", &["0", "1"]), &[("r@1", request())]),
        ]);
        assert_eq!(root(&graph), None);
        // A root of one label tells nothing apart.
        let one = model("e@1", &["0", "7"]);
        graph.add(one, []).unwrap();
        assert_eq!(root(&graph), None);
        graph.add(model("f@1", &["0", "1"]), []).unwrap();
        assert_eq!(root(&graph).as_deref(), Some("f@1"));
        graph.supersede(&"f@1".parse().unwrap()).unwrap();
        assert_eq!(root(&graph), None);
    }

    #[test]
    fn what_is_not_on_record_is_no_root() {
        let average = || Relation::FederatedAverage { weight: 0.5 };
        let blank = || model("u@1", &[]);
        let graph_with = |more: &[(Model, &[(&str, Relation)])]| {
            let touched = (model("r@1", &["0", "3"]), &[][..]);
            let models: Vec<_> = [touched].into_iter().chain(more.iter().cloned()).collect();
            graph(&models)
        };
        assert_eq!(root(&graph_with(&[(blank(), &[])])), None);
        let known = model("a@1", &["0", "1"]);
        // Fine-tuned on unknown data.
        let tuned = graph_with(&[
            (known.clone(), &[]),
            (blank(), &[("a@1", Relation::FineTune)]),
        ]);
        let only_u =
            |graph: &Umig| root_for(graph, &Forget::classes(["3"]), |id| Ok(id.name() == "u"));
        assert_eq!(only_u(&tuned), None);
        // An average of models that are on record is on record itself.
        let averaged = graph_with(&[(known, &[]), (blank(), &[("a@1", average())])]);
        assert_eq!(only_u(&averaged).as_deref(), Some("u@1"));
        // Samples that were not listed may be any; a source that was not named may be any.
        let plain = graph_with(&[(model("a@1", &["0", "1"]), &[])]);
        let sample = Forget::Samples(["x".to_owned()].into());
        assert_eq!(root_for(&plain, &sample, |_| Ok(true)), None);
        let source = Forget::Source("clinic".into());
        assert_eq!(root_for(&plain, &source, |_| Ok(true)), None);
    }
}
