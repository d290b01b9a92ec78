//! The graph in other formats: nothing is lost on the way through a reader that is not ours, and text
//! stays text.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use umig::{Model, ModelId, Relation, SampleSet, Training, Umig, formats};

/// Labels that every format has to escape somewhere.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        Just("<&>\"' ]]>".to_owned()),
        Just("line\nbreak\ttab\u{1}".to_owned()),
        Just("\u{fffe}\u{ffff}".to_owned()),
        Just("Füchse 狐".to_owned()),
    ]
}

fn relations() -> impl Strategy<Value = Relation> {
    let share = (1u32..=64).prop_map(|n| f64::from(n) / 64.0);
    prop_oneof![
        share
            .clone()
            .prop_map(|weight| Relation::FederatedAverage { weight }),
        Just(Relation::DistributedAverage),
        Just(Relation::Incremental),
        prop::collection::vec(words(), 0..3).prop_map(|frozen| Relation::Transfer { frozen }),
        Just(Relation::FineTune),
        Just(Relation::Distilled),
        prop::option::of(share).prop_map(|weight| Relation::Merged { weight }),
        Just(Relation::Quantised),
        Just(Relation::Adapter),
        "[a-z<&\"]{1,12}".prop_map(|request| Relation::UnlearnedFrom { request }),
    ]
}

fn trainings() -> impl Strategy<Value = Training> {
    let samples = prop_oneof![
        Just(SampleSet::Unknown),
        Just(SampleSet::All),
        prop::collection::btree_set(words(), 0..3).prop_map(SampleSet::Listed),
    ];
    let parts = (
        words(),
        prop::collection::btree_set(words(), 0..3),
        samples,
        prop::option::of(words()),
        prop::option::of(words()),
    );
    parts.prop_map(|(data, labels, samples, source, split)| Training {
        samples,
        source,
        split,
        ..Training::new(data, labels)
    })
}

/// Graphs of models with all that can be said of them; a parent may come twice.
fn graphs() -> impl Strategy<Value = Umig> {
    let model = (
        prop::collection::vec(words(), 0..3),
        prop::collection::vec(trainings(), 0..2),
        any::<bool>(),
        prop::collection::vec((any::<prop::sample::Index>(), relations()), 0..3),
    );
    prop::collection::vec(model, 1..8).prop_map(|models| {
        let mut graph = Umig::new();
        for (n, (labels, training, superseded, parents)) in models.into_iter().enumerate() {
            let id = |n: usize| ModelId::new(format!("m/é-{n}"), 7).unwrap();
            let mut model = Model::new(id(n), 10 * n as u64).with_labels(labels);
            model.training = training;
            model.superseded = superseded;
            let parents = parents.into_iter().filter(|_| n > 0);
            let parents = parents.map(|(at, how)| (id(at.index(n.max(1))), how));
            graph.add(model, parents.collect::<Vec<_>>()).unwrap();
        }
        graph
    })
}

/// All that a graph says, comparable.
fn said(graph: &Umig) -> (Vec<Model>, Vec<(String, String, Relation)>) {
    let edges = graph
        .edges()
        .map(|(p, c, r)| (p.to_string(), c.to_string(), r.clone()));
    (graph.models().cloned().collect(), edges.collect())
}

/// Nodes and edges of GraphML as the JSON form of the graph, by an XML reader that shares nothing with the writer.
fn json_of_graphml(text: &str) -> Value {
    let document = roxmltree::Document::parse(text).unwrap();
    let data = |node: roxmltree::Node<'_, '_>| -> BTreeMap<String, String> {
        let data = node.children().filter(|child| child.has_tag_name("data"));
        let pair = |child: roxmltree::Node<'_, '_>| {
            let text = child.text().unwrap_or_default().to_owned();
            (child.attribute("key").unwrap().to_owned(), text)
        };
        data.map(pair).collect()
    };
    let parsed = |text: &String| serde_json::from_str::<Value>(text).unwrap();
    let all = |tag: &'static str| document.descendants().filter(move |n| n.has_tag_name(tag));
    let models: Vec<Value> = all("node")
        .map(|node| {
            let said = data(node);
            let id = format!("{}@{}", said["name"], said["version"]);
            assert_eq!(node.attribute("id"), Some(&id[..]));
            let mut model = json!({"id": id});
            for key in ["time", "superseded", "labels", "training"] {
                model[key] = parsed(&said[key]);
            }
            model
        })
        .collect();
    let edges: Vec<Value> = all("edge")
        .map(|edge| {
            let said = data(edge);
            let mut relation = json!({"kind": said["relation"]});
            for key in ["weight", "frozen"] {
                if let Some(value) = said.get(key) {
                    relation[key] = parsed(value);
                }
            }
            if let Some(request) = said.get("request") {
                relation["request"] = request.clone().into();
            }
            let (parent, child) = (edge.attribute("source"), edge.attribute("target"));
            json!({"parent": parent, "child": child, "relation": relation})
        })
        .collect();
    json!({"format": "umig/1", "models": models, "edges": edges})
}

proptest! {
    #[test]
    fn json_and_graphml_lose_nothing(graph in graphs()) {
        let text = serde_json::to_string(&graph).unwrap();
        let back: Umig = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(said(&back), said(&graph));
        let back: Umig = serde_json::from_value(json_of_graphml(&formats::graphml(&graph).unwrap())).unwrap();
        prop_assert_eq!(said(&back), said(&graph));
    }

    #[test]
    fn graphml_is_read_again(graph in graphs()) {
        let back = formats::from_graphml(&formats::graphml(&graph).unwrap()).unwrap();
        prop_assert_eq!(said(&back), said(&graph));
    }

    /// A table of edges has the edges, and no more of the models than their ids.
    #[test]
    fn edges_alone_are_a_graph(graph in graphs()) {
        let edges = || graph.edges().map(|(p, c, r)| (p.clone(), c.clone(), r.clone()));
        let back = Umig::from_edges(edges()).unwrap();
        prop_assert_eq!(said(&back).1, said(&graph).1);
        let ends: BTreeSet<ModelId> = edges().flat_map(|(p, c, _)| [p, c]).collect();
        prop_assert_eq!(back.models().map(|m| m.id.clone()).collect::<BTreeSet<_>>(), ends);
        for (parent, child, _) in back.edges() {
            prop_assert!(back.get(parent).unwrap().time < back.get(child).unwrap().time);
        }
    }

    /// Whatever is cut off or replaced, it is read or refused, and what is read is a graph.
    #[test]
    fn torn_graphml_is_read_or_refused(graph in graphs(), at in any::<prop::sample::Index>(), what in "[<>&\"/;a]{0,3}") {
        let text = formats::graphml(&graph).unwrap();
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let place = *at.get(&places);
        let end = text[place..].char_indices().nth(what.len()).map_or(text.len(), |(n, _)| place + n);
        let torn = format!("{}{what}{}", &text[..place], &text[end..]);
        if let Ok(graph) = formats::from_graphml(&torn) {
            prop_assert_eq!(graph.ordered().len(), graph.len());
        }
        if place < text.trim_end().len() {
            prop_assert!(formats::from_graphml(&text[..place]).is_err());
        }
    }

    /// Every model and every edge is in a drawing, once, and in the order of the graph.
    #[test]
    fn drawings_have_it_all(graph in graphs()) {
        let (dot, mermaid) = (formats::dot(&graph), formats::mermaid(&graph));
        let ids: Vec<String> = graph.models().map(|model| model.id.to_string()).collect();
        let nodes = |text: &str, ends: &str| {
            text.lines().filter(|line| line.ends_with(ends) && !line.contains("->")).count()
        };
        prop_assert_eq!(nodes(&dot, "\";") + nodes(&dot, "[style=dashed];"), ids.len());
        prop_assert_eq!(nodes(&mermaid, "\"]"), ids.len());
        let (_, edges) = said(&graph);
        let drawn: Vec<&str> = dot.lines().filter(|line| line.contains("->")).collect();
        prop_assert_eq!(drawn.len(), edges.len());
        let arrows: Vec<&str> = mermaid.lines().filter(|line| line.contains("-->")).collect();
        prop_assert_eq!(arrows.len(), edges.len());
        for (((parent, child, how), line), arrow) in edges.iter().zip(drawn).zip(arrows) {
            prop_assert_eq!(line.trim(), format!("\"{parent}\" -> \"{child}\" [label=\"{how}\"];"));
            let key = |id: &String| ids.iter().position(|other| other == id).unwrap();
            prop_assert_eq!(arrow.trim(), format!("n{} -->|{how}| n{}", key(parent), key(child)));
        }
    }

    #[test]
    fn what_is_kept_keeps_its_edges(graph in graphs()) {
        let current = graph.restricted(|model| !model.superseded);
        let kept: BTreeSet<String> = graph
            .models()
            .filter(|model| !model.superseded)
            .map(|model| model.id.to_string())
            .collect();
        let (models, edges) = said(&graph);
        let models: Vec<Model> = models.into_iter().filter(|m| !m.superseded).collect();
        let edges: Vec<_> = edges
            .into_iter()
            .filter(|(p, c, _)| kept.contains(p) && kept.contains(c))
            .collect();
        prop_assert_eq!(said(&current), (models, edges));
        for id in &kept {
            prop_assert!(current.get(&id.parse().unwrap()).is_some());
        }
    }
}

#[test]
fn what_xml_cannot_hold_is_refused() {
    let id = |n: u32| ModelId::new("m", n).unwrap();
    let mut graph = Umig::new();
    graph.add(Model::new(id(1), 0), []).unwrap();
    let request = "bell\u{7}".to_owned();
    graph
        .add(
            Model::new(id(2), 1),
            [(id(1), Relation::UnlearnedFrom { request })],
        )
        .unwrap();
    let refused = formats::graphml(&graph).unwrap_err().to_string();
    assert!(refused.contains("bell"), "{refused}");
}

#[test]
fn graphml_of_others_is_read() {
    let text = r#"<?xml version="1.0"?>
<!-- as NetworkX and yEd write it -->
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:y="http://www.yworks.com/xml/graphml">
  <key id="d0" for="edge" attr.name="relation" attr.type="string"/>
  <key id="d1" for="edge" attr.name="weight" attr.type="double"/>
  <key id="d2" for="node" attr.name="labels" attr.type="string"><default>["cat"]</default></key>
  <key id="d3" for="node" yfiles.type="nodegraphics"/>
  <graph edgedefault="directed">
    <edge source="base" target="child@3"><data key="d0">merged</data><data key="d1">0.5</data></edge>
    <node id="child@3"><data key="d2"><![CDATA[["dog & ]]>&#x43;o"]</data></node>
    <node id="base"><data key="d3"><y:ShapeNode><y:NodeLabel>drawn</y:NodeLabel></y:ShapeNode></data></node>
    <edge source="child@3" target="last"/>
    <node id="last"/>
  </graph>
</graphml>"#;
    let graph = formats::from_graphml(text).unwrap();
    let (models, edges) = said(&graph);
    let told: Vec<(String, u64, &[String])> = models
        .iter()
        .map(|model| (model.id.to_string(), model.time, &model.labels[..]))
        .collect();
    let labels = |name: &str| [name.to_owned()];
    let expected = [
        ("child@3".to_owned(), 1, &labels("dog & Co")[..]),
        ("base@1".to_owned(), 0, &labels("cat")[..]),
        ("last@1".to_owned(), 2, &labels("cat")[..]),
    ];
    assert_eq!(told, expected);
    let half = Relation::Merged { weight: Some(0.5) };
    assert_eq!(edges[0], ("base@1".into(), "child@3".into(), half));
    assert_eq!(edges[1].2, Relation::FineTune);
    for (from, to, words) in [
        ("directed", "undirected", "no direction"),
        ("merged", "married", "`married` is no relation"),
        ("0.5", "-0.5", "positive"),
        ("\"base\" target", "\"bose\" target", "unknown model"),
        ("\"last\"/>\n    <node", "\"base\"/>\n    <node", "cycle"),
        ("&#x43;", "&who;", "&who;"),
        ("</graph>", "", "graph"),
        ("graphml>", "html>", "graph"),
        ("id=\"last\"", "", "no `id`"),
        ("[\"cat\"]", "cat", "`labels` cannot be read"),
    ] {
        assert!(text.contains(from), "{from}");
        let refused = formats::from_graphml(&text.replace(from, to)).unwrap_err();
        assert!(refused.to_string().contains(words), "{words}: {refused}");
    }
    for text in ["", "graphml", "<html/>", "{}"] {
        assert!(formats::from_graphml(text).is_err(), "{text}");
    }
    assert!(formats::from_graphml("<graphml/>").unwrap().is_empty());
}
