//! GraphML in: what [`graphml`](super::graphml()) writes, and graphs that other libraries wrote.

use std::collections::BTreeMap;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use serde::de::DeserializeOwned;

use crate::assembled::assembled;
use crate::error::GraphError;
use crate::graph::Umig;
use crate::model::{Model, ModelId};
use crate::relation::Relation;

/// A graph from GraphML. Nodes are ids (`name@version`) or names, whose first version they are then. All attributes
/// are optional: an edge without `relation` is `fine_tune`, and nodes without `time` have their place among parents
/// before children instead. Attributes of other names are passed over.
///
/// # Errors
/// [`GraphError::NotReadable`] for what is no GraphML, an undirected graph, and attributes that mean nothing here;
/// otherwise as [`Umig::add_edge`].
pub fn from_graphml(text: &str) -> Result<Umig, GraphError> {
    let found = Found::read(text)?;
    let models = found.nodes.iter().map(|(id, said)| model(id, said));
    let models = models.collect::<Result<_, _>>()?;
    let edges = found.edges.iter().map(|(parent, child, said)| {
        let relation = relation(said)?;
        Ok((model_id(parent)?, model_id(child)?, relation))
    });
    assembled(models, edges.collect::<Result<_, GraphError>>()?)
}

fn refuse(reason: impl ToString) -> GraphError {
    GraphError::NotReadable(reason.to_string())
}

/// Attributes by name.
type Data = BTreeMap<String, String>;

fn model_id(text: &str) -> Result<ModelId, GraphError> {
    let id = match text.contains('@') {
        true => text.parse(),
        false => ModelId::new(text, 1),
    };
    id.map_err(refuse)
}

/// A model with what is said of it, and its time where that is said.
fn model(id: &str, said: &Data) -> Result<(Option<u64>, Model), GraphError> {
    let time = json_of(said, "time")?;
    let mut model = Model::new(model_id(id)?, time.unwrap_or_default());
    model.labels = json_of(said, "labels")?.unwrap_or_default();
    model.training = json_of(said, "training")?.unwrap_or_default();
    let superseded = said.get("superseded").map(|text| text.to_lowercase());
    model.superseded = match superseded.as_deref().map(str::trim) {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(refuse(format!(
                "`superseded` is true or false, not `{other}`"
            )));
        }
    };
    Ok((time, model))
}

fn relation(said: &Data) -> Result<Relation, GraphError> {
    let kind = said.get("relation").map_or("fine_tune", String::as_str);
    let frozen = json_of(said, "frozen")?.unwrap_or_default();
    let request = said.get("request").cloned();
    Relation::from_parts(kind, json_of(said, "weight")?, frozen, request)
}

fn json_of<T: DeserializeOwned>(said: &Data, name: &str) -> Result<Option<T>, GraphError> {
    let read = |text: &String| {
        serde_json::from_str(text)
            .map_err(|error| refuse(format!("`{name}` cannot be read: {error}")))
    };
    said.get(name).map(read).transpose()
}

/// What a document says.
#[derive(Default)]
struct Found {
    nodes: Vec<(String, Data)>,
    edges: Vec<(String, String, Data)>,
    /// The declared attributes by their keys.
    keys: BTreeMap<String, Key>,
    /// The elements around this place, outermost first.
    open: Vec<Element>,
    /// The text of the value that is being read.
    text: String,
    /// Whether there was an element at all.
    any: bool,
}

/// A declared attribute.
struct Key {
    name: String,
    /// Of what it is one: `node`, `edge` or `all`, among others.
    of: String,
    default: Option<String>,
}

/// An element that is open.
enum Element {
    Node(usize),
    Edge(usize),
    Key(String),
    /// A value, by its key.
    Data(String),
    Default,
    /// Anything else; no text in it is a value.
    Other,
}

impl Found {
    fn read(text: &str) -> Result<Self, GraphError> {
        let mut found = Self::default();
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event().map_err(refuse)? {
                Event::Start(element) => found.begin(&element)?,
                Event::Empty(element) => {
                    found.begin(&element)?;
                    found.end();
                }
                Event::End(_) => found.end(),
                Event::Text(text) => found.say(&text.xml10_content().map_err(refuse)?),
                Event::CData(text) => found.say(&text.xml10_content().map_err(refuse)?),
                Event::GeneralRef(name) => found.say(&character(&name)?),
                Event::Eof => break,
                _ => {}
            }
        }
        if !found.any || !found.open.is_empty() {
            return Err(refuse("it ends before its last element does"));
        }
        found.fill_in();
        Ok(found)
    }

    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), GraphError> {
        let name = element.local_name();
        let opened = match (name.as_ref(), self.open.last()) {
            (b"graphml", None) => Element::Other,
            (_, None) => return Err(refuse("its first element is not `graphml`")),
            // Drawings are kept in values, by elements of their own.
            (_, Some(Element::Data(_) | Element::Default)) => Element::Other,
            (b"graph", _) => {
                directed(attribute(element, "edgedefault")?.as_deref() != Some("undirected"))?;
                Element::Other
            }
            (b"key", _) => self.declare(element)?,
            (b"default", _) => Element::Default,
            (b"node", _) => {
                self.nodes.push((needed(element, "id")?, Data::new()));
                Element::Node(self.nodes.len() - 1)
            }
            (b"edge", _) => {
                directed(attribute(element, "directed")?.as_deref() != Some("false"))?;
                let (from, to) = (needed(element, "source")?, needed(element, "target")?);
                self.edges.push((from, to, Data::new()));
                Element::Edge(self.edges.len() - 1)
            }
            (b"data", _) => Element::Data(needed(element, "key")?),
            _ => Element::Other,
        };
        self.any = true;
        self.open.push(opened);
        Ok(())
    }

    fn declare(&mut self, element: &BytesStart<'_>) -> Result<Element, GraphError> {
        let id = needed(element, "id")?;
        let key = Key {
            name: attribute(element, "attr.name")?.unwrap_or_else(|| id.clone()),
            of: attribute(element, "for")?.unwrap_or_else(|| "all".into()),
            default: None,
        };
        self.keys.insert(id.clone(), key);
        Ok(Element::Key(id))
    }

    fn say(&mut self, text: &str) {
        if let Some(Element::Data(_) | Element::Default) = self.open.last() {
            self.text.push_str(text);
        }
    }

    fn end(&mut self) {
        match (self.open.pop(), self.open.last()) {
            (Some(Element::Data(key)), around) => {
                let text = std::mem::take(&mut self.text);
                let name = self.keys.get(&key).map_or(key, |key| key.name.clone());
                match around {
                    Some(Element::Node(at)) => self.nodes[*at].1.insert(name, text),
                    Some(Element::Edge(at)) => self.edges[*at].2.insert(name, text),
                    _ => None,
                };
            }
            (Some(Element::Default), around) => {
                let text = std::mem::take(&mut self.text);
                if let Some(Element::Key(id)) = around
                    && let Some(key) = self.keys.get_mut(id)
                {
                    key.default = Some(text);
                }
            }
            _ => {}
        }
    }

    /// Gives nodes and edges the defaults of attributes that they do not have.
    fn fill_in(&mut self) {
        for key in self.keys.values() {
            let Some(default) = &key.default else {
                continue;
            };
            let nodes = self.nodes.iter_mut().map(|(_, said)| said);
            let nodes = nodes.filter(|_| key.of != "edge");
            let edges = self.edges.iter_mut().map(|(_, _, said)| said);
            for said in nodes.chain(edges.filter(|_| key.of != "node")) {
                said.entry(key.name.clone())
                    .or_insert_with(|| default.clone());
            }
        }
    }
}

fn directed(is: bool) -> Result<(), GraphError> {
    match is {
        true => Ok(()),
        false => Err(refuse(
            "its edges have no direction, and inheritance has one: from parent to child",
        )),
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, GraphError> {
    let found = element.try_get_attribute(name).map_err(refuse)?;
    let value = found.map(|found| found.normalized_value(XmlVersion::Implicit1_0));
    Ok(value.transpose().map_err(refuse)?.map(Into::into))
}

fn needed(element: &BytesStart<'_>, name: &str) -> Result<String, GraphError> {
    attribute(element, name)?.ok_or_else(|| refuse(format!("an element has no `{name}`")))
}

/// What a reference in a text means: a character's number, or one of XML's own five names.
fn character(reference: &BytesRef<'_>) -> Result<String, GraphError> {
    if let Some(character) = reference.resolve_char_ref().map_err(refuse)? {
        return Ok(character.into());
    }
    let name = reference.decode().map_err(refuse)?;
    let known = resolve_predefined_entity(&name);
    known
        .map(str::to_owned)
        .ok_or_else(|| refuse(format!("it does not say what `&{name};` means")))
}
