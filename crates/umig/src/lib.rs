//! The Unified Model Inheritance Graph (UMIG): which model inherited from which, what each was
//! trained on, and what an erasure request therefore touches.
//!
//! A [`Umig`] is a directed acyclic graph, ordered in time. A vertex is one immutable model version
//! ([`Model`]); an edge says that the child's parameters started from the parent's ([`Relation`]).
//! A [`Request`] names what must be forgotten; [`Umig::plan`] answers with the initial models, the
//! inherited models, who reaches whom, and stages of tasks that have no order among themselves.
//!
//! The crate is pure: no files, no tensors. Source: Liu et al., arXiv:2408.08493, Sections 3 and 4.
//!
//! ```
//! use umig::{Forget, Model, ModelId, Relation, Request, Training, Umig};
//!
//! let id = |text: &str| text.parse::<ModelId>();
//! let mut graph = Umig::new();
//! graph.add(Model::new(id("base@1")?, 1).trained_on(Training::new("photos", ["cat", "dog"])), [])?;
//! graph.add(Model::new(id("clinic@1")?, 2), [(id("base@1")?, Relation::FineTune)])?;
//! let plan = graph.plan(&Request::new(Forget::classes(["cat"])))?;
//! assert_eq!(plan.scope.initial.len(), 1);
//! assert_eq!(plan.scope.inherited.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assembled;
pub mod dispatch;
mod error;
pub mod formats;
mod graph;
mod json;
mod model;
mod plan;
mod relation;
mod request;
mod samples;
mod shard;

pub use error::{GraphError, RequestError};
pub use graph::Umig;
pub use model::{IdError, Model, ModelId, Training};
pub use plan::{Plan, Reads, Stage, Task};
pub use relation::Relation;
pub use request::{Forget, Request, Role, Scope};
pub use samples::{KeptSamples, SampleError, SampleIndex, SampleSet};
pub use shard::{Part, Shard, ShardError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
