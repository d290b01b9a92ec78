//! The graph in the formats of other tools, one file each: pure functions from a graph to text.
//!
//! [`graphml`] loses nothing and is read by the libraries of graphs; [`from_graphml`] reads it, and what those
//! libraries write. [`dot`] and [`mermaid`] are drawings, which are not read. The JSON form is the graph's own ([`Umig`](crate::Umig) is `Serialize` and `Deserialize`).
//! [`Umig::restricted`](crate::Umig::restricted) leaves out what is not to be written.

mod dot;
mod graphml;
mod graphml_reader;
mod mermaid;

pub use dot::dot;
pub use graphml::graphml;
pub use graphml_reader::from_graphml;
pub use mermaid::mermaid;
