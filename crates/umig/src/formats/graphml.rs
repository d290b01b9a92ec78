//! GraphML, without loss: what is not a number or a word is JSON in a text.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde::Serialize;

use crate::error::GraphError;
use crate::graph::Umig;
use crate::model::Model;
use crate::relation::Relation;

type Out = Writer<Vec<u8>>;

/// The attributes: of what, with their names and types.
const KEYS: [(&str, &str, &str); 10] = [
    ("node", "name", "string"),
    ("node", "version", "int"),
    ("node", "time", "long"),
    ("node", "superseded", "boolean"),
    ("node", "labels", "string"),
    ("node", "training", "string"),
    ("edge", "relation", "string"),
    ("edge", "weight", "double"),
    ("edge", "frozen", "string"),
    ("edge", "request", "string"),
];

/// The graph as GraphML (<http://graphml.graphdrawing.org/specification.html>). Nodes are named by their
/// ids. `labels`, `training` and `frozen` are JSON, as in the JSON form of the graph.
///
/// # Errors
/// [`GraphError::NotWritable`] when a request's name holds characters that XML has no way to write, or
/// samples were taken out of a list that is kept outside of the graph.
pub fn graphml(graph: &Umig) -> Result<String, GraphError> {
    let nodes = graph
        .models()
        .map(|model| Ok((model.id.to_string(), of_model(model)?)))
        .collect::<Result<Vec<_>, GraphError>>()?;
    let edges = graph
        .edges()
        .map(|(parent, child, relation)| {
            Ok((parent.to_string(), child.to_string(), of_edge(relation)?))
        })
        .collect::<Result<Vec<_>, GraphError>>()?;
    let refuse = |error: io::Error| GraphError::NotWritable(error.to_string());
    let mut out = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut out, &nodes, &edges).map_err(refuse)?;
    String::from_utf8(out.into_inner()).map_err(|error| GraphError::NotWritable(error.to_string()))
}

/// Attributes by name.
type Data = Vec<(&'static str, String)>;

fn write(
    out: &mut Out,
    nodes: &[(String, Data)],
    edges: &[(String, String, Data)],
) -> io::Result<()> {
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let space = ("xmlns", "http://graphml.graphdrawing.org/xmlns");
    out.create_element("graphml")
        .with_attribute(space)
        .write_inner_content(|out| {
            for (of, name, kind) in KEYS {
                let named = [("id", name), ("for", of), ("attr.name", name)];
                out.create_element("key")
                    .with_attributes(named)
                    .with_attribute(("attr.type", kind))
                    .write_empty()?;
            }
            let graph = [("id", "umig"), ("edgedefault", "directed")];
            out.create_element("graph")
                .with_attributes(graph)
                .write_inner_content(|out| {
                    for (id, data) in nodes {
                        out.create_element("node")
                            .with_attribute(("id", id.as_str()))
                            .write_inner_content(|out| write_data(out, data))?;
                    }
                    for (parent, child, data) in edges {
                        let ends = [("source", parent.as_str()), ("target", child.as_str())];
                        out.create_element("edge")
                            .with_attributes(ends)
                            .write_inner_content(|out| write_data(out, data))?;
                    }
                    Ok(())
                })?;
            Ok(())
        })?;
    out.write_event(Event::Text(BytesText::new("\n")))
}

fn write_data(out: &mut Out, data: &Data) -> io::Result<()> {
    for (key, value) in data {
        out.create_element("data")
            .with_attribute(("key", *key))
            .write_text_content(BytesText::new(value))?;
    }
    Ok(())
}

fn of_model(model: &Model) -> Result<Data, GraphError> {
    Ok(vec![
        ("name", model.id.name().to_owned()),
        ("version", model.id.version().to_string()),
        ("time", model.time.to_string()),
        ("superseded", model.superseded.to_string()),
        ("labels", json(&model.labels)?),
        ("training", json(&model.training)?),
    ])
}

fn of_edge(relation: &Relation) -> Result<Data, GraphError> {
    let mut data = vec![("relation", relation.name().to_owned())];
    data.extend(
        relation
            .weight()
            .map(|weight| ("weight", weight.to_string())),
    );
    match relation {
        Relation::Transfer { frozen } => data.push(("frozen", json(frozen)?)),
        Relation::UnlearnedFrom { request } => {
            if let Some(bad) = request.chars().find(|&c| c.is_control() || !is_xml(c)) {
                return Err(GraphError::NotWritable(format!(
                    "XML cannot hold the character {bad:?} of the request `{request}`"
                )));
            }
            data.push(("request", request.clone()));
        }
        _ => {}
    }
    Ok(data)
}

/// JSON escapes control characters; the two that XML lacks besides them are escaped here.
fn json(value: &impl Serialize) -> Result<String, GraphError> {
    let text = serde_json::to_string(value).map_err(|e| GraphError::NotWritable(e.to_string()))?;
    Ok(text
        .replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff"))
}

fn is_xml(c: char) -> bool {
    !matches!(c, '\u{fffe}' | '\u{ffff}')
}
