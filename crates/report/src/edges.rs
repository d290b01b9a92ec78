//! The edges of a graph as a Parquet table, for query engines and data frames.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use umig::{Relation, Umig};

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
