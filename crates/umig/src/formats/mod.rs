//! The graph in the formats of other tools, one file each: pure functions from a graph to text.
//!
//! [`graphml`] loses nothing and is read back by the libraries of graphs; [`dot`] and [`mermaid`] are
//! drawings. The JSON form is the graph's own ([`Umig`](crate::Umig) is `Serialize` and `Deserialize`).
//! [`Umig::restricted`](crate::Umig::restricted) leaves out what is not to be written.

mod dot;
mod graphml;
mod mermaid;

pub use dot::dot;
pub use graphml::graphml;
pub use mermaid::mermaid;
