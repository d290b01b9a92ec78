//! The JSON form of a graph, documented in `docs/formats.md`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::GraphError;
use crate::graph::Umig;
use crate::model::{Model, ModelId};
use crate::relation::Relation;

const FORMAT: &str = "umig/1";

#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    models: Vec<Model>,
    edges: Vec<Edge>,
}

#[derive(Serialize, Deserialize)]
struct Edge {
    parent: ModelId,
    child: ModelId,
    relation: Relation,
}

impl Serialize for Umig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let edges = self
            .edges()
            .map(|(parent, child, relation)| Edge {
                parent: parent.clone(),
                child: child.clone(),
                relation: relation.clone(),
            })
            .collect();
        Document {
            format: FORMAT.into(),
            models: self.models().cloned().collect(),
            edges,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Umig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Document::deserialize(deserializer)?;
        Umig::try_from(document).map_err(D::Error::custom)
    }
}

impl TryFrom<Document> for Umig {
    type Error = GraphError;

    fn try_from(document: Document) -> Result<Self, GraphError> {
        if document.format != FORMAT {
            return Err(GraphError::Format(document.format, FORMAT));
        }
        let mut graph = Umig::new();
        for model in document.models {
            graph.add(model, [])?;
        }
        for edge in document.edges {
            graph.add_edge(&edge.parent, &edge.child, edge.relation)?;
        }
        Ok(graph)
    }
}
