//! The edges of a graph as a Parquet table, for query engines and data frames; and a graph from such a table.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use umig::{ModelId, Relation, Umig};

use crate::error::ReportError;

/// The edges as a Parquet file: `parent`, `child` and `relation`, and where the relation has them `weight`,
/// `frozen` and `request`. Models without edges are in no row.
///
/// # Errors
/// [`ReportError::Table`].
pub fn edges_table(graph: &Umig) -> Result<Vec<u8>, ReportError> {
    let edges: Vec<_> = graph.edges().collect();
    let texts = |values: Vec<Option<String>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let mut frozen = ListBuilder::new(StringBuilder::new());
    for (_, _, relation) in &edges {
        match relation {
            Relation::Transfer { frozen: names } => frozen.append_value(names.iter().map(Some)),
            _ => frozen.append_null(),
        }
    }
    let request = |relation: &Relation| match relation {
        Relation::UnlearnedFrom { request } => Some(request.clone()),
        _ => None,
    };
    let weights = edges.iter().map(|(_, _, relation)| relation.weight());
    let of = |text: &dyn Fn(&(_, _, _)) -> Option<String>| texts(edges.iter().map(text).collect());
    let batch = RecordBatch::try_from_iter_with_nullable([
        (
            "parent",
            of(&|(parent, _, _)| Some(parent.to_string())),
            false,
        ),
        ("child", of(&|(_, child, _)| Some(child.to_string())), false),
        (
            "relation",
            of(&|(_, _, how)| Some(how.name().to_owned())),
            false,
        ),
        (
            "weight",
            Arc::new(weights.collect::<Float64Array>()) as ArrayRef,
            true,
        ),
        ("frozen", Arc::new(frozen.finish()) as ArrayRef, true),
        ("request", of(&|(_, _, how)| request(how)), true),
    ])
    .map_err(|error| ReportError::Table(error.to_string()))?;
    let write = || {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    write().map_err(|error: parquet::errors::ParquetError| ReportError::Table(error.to_string()))
}

/// The graph of a table as [`edges_table`] and other tools write it. Columns may stand in any order; `parent` and
/// `child` are ids (`name@version`) or names, whose first version they are then, and an edge without a `relation` is
/// `fine_tune`. The ids are all that is known of the models.
///
/// # Errors
/// [`ReportError::NoEdges`] for what is no such table, and [`ReportError::Engine`] for a graph that is refused.
pub fn graph_of_edges(table: Vec<u8>) -> Result<Umig, ReportError> {
    let refuse = |error: parquet::errors::ParquetError| ReportError::NoEdges(error.to_string());
    let reader = SerializedFileReader::new(Bytes::from(table)).map_err(refuse)?;
    let rows = reader.get_row_iter(None).map_err(refuse)?;
    let edges = rows.map(|row| edge(&row.map_err(refuse)?));
    Ok(Umig::from_edges(edges.collect::<Result<Vec<_>, _>>()?)?)
}

fn edge(row: &Row) -> Result<(ModelId, ModelId, Relation), ReportError> {
    let (mut texts, mut weight, mut frozen) = ([None, None, None, None], None, Vec::new());
    for (name, value) in row.get_column_iter() {
        let place = ["parent", "child", "relation", "request"].iter();
        match (place.clone().position(|known| known == name), value) {
            (_, Field::Null) => {}
            (Some(place), Field::Str(text)) => texts[place] = Some(text.clone()),
            (None, Field::Double(value)) if name == "weight" => weight = Some(*value),
            (None, Field::Float(value)) if name == "weight" => weight = Some(f64::from(*value)),
            (None, Field::ListInternal(list)) if name == "frozen" => {
                let names = list.elements().iter().map(|name| match name {
                    Field::Str(text) => Ok(text.clone()),
                    other => Err(unfit("frozen", other)),
                });
                frozen = names.collect::<Result<_, _>>()?;
            }
            (None, _) if !["weight", "frozen"].contains(&name.as_str()) => {}
            (_, other) => return Err(unfit(name, other)),
        }
    }
    let [parent, child, kind, request] = texts;
    let kind = kind.as_deref().unwrap_or("fine_tune");
    let relation = Relation::from_parts(kind, weight, frozen, request)?;
    Ok((id("parent", parent)?, id("child", child)?, relation))
}

fn unfit(column: &str, value: &Field) -> ReportError {
    ReportError::NoEdges(format!("the column `{column}` holds {value}"))
}

fn id(column: &str, text: Option<String>) -> Result<ModelId, ReportError> {
    let text = text.ok_or_else(|| {
        ReportError::NoEdges(format!("a row has no text in the column `{column}`"))
    })?;
    let id = match text.contains('@') {
        true => text.parse(),
        false => ModelId::new(text, 1),
    };
    id.map_err(|error| ReportError::NoEdges(error.to_string()))
}
