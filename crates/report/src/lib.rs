#![doc = include_str!("../README.md")]

mod csv;
mod cyclonedx;
#[cfg(feature = "parquet")]
mod edges;
mod error;
mod graph;
mod headline;
mod judged;
mod layout;
mod limits;
mod methods;
mod models;
mod openlineage;
mod page;
mod picture;
mod plot;
mod recorded;
mod repeat;
mod samples;
mod scope;
mod shadows;
mod shape;
mod text;
mod uuid;
mod verdicts;

pub use crate::csv::csv;
pub use crate::cyclonedx::Inventory;
#[cfg(feature = "parquet")]
pub use crate::edges::{edges_table, graph_of_edges};
pub use crate::error::ReportError;
pub use crate::limits::honest;
pub use crate::openlineage::lineage_events;
pub use crate::page::page;
pub use crate::picture::picture;
pub use crate::recorded::{Recorded, judgement, plots};
pub use crate::scope::{Place, ScopeGraph, ScopeModel, View};
pub use crate::shadows::{ShadowTable, shadow_table};
pub use crate::shape::DRAWING_STYLE;
