//! The catalog in a database: SQLite, in a file or in memory, or PostgreSQL. One code for both; what
//! differs is how a connection is made and how a writer keeps others out.

mod batch;
mod catalog;
mod erasures;
mod events;
mod json;
mod leases;
mod messages;
mod migrations;
mod patience;
pub(crate) mod pool;
mod query;
mod read;
mod service;
mod webhooks;
mod write;
