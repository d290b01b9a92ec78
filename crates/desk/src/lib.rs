//! The desk for erasure requests: from a request's arrival to its certificate and the purge.
//!
//! ```text
//! received -> planned -> approved -> running -> verified -> certified -> purged -> closed
//! ```
//!
//! A request is a record of the registry ([`ErasureRequest`](disinherit::registry::ErasureRequest)), and
//! every step of it an operation of the log. The [`Desk`] takes the steps that need the engine: planning,
//! running, verifying, certifying, purging. The others are
//! [`Registry::step_erasure`](disinherit::registry::Registry::step_erasure)'s. Which step is legal when is
//! decided in the registry, in the transaction that takes it.
//!
//! What takes long may wait as a job of the catalog. A [`Worker`] takes jobs, one after the other, and works
//! on them at its [`Workplace`], by itself or with a [`Cluster`].

mod certify;
mod desk;
mod error;
mod file;
mod hold;
mod jobs;
mod plan;
mod purge;
mod run;
mod scope;
mod verify;

pub use desk::Desk;
pub use error::{DeskError, Hint};
pub use file::{Filed, LAST_EXTENSION};
pub use jobs::gone::release_job;
pub use jobs::one::JobEnd;
pub use jobs::worker::{JobNews, Until, Worker, worker_name};
pub use jobs::workplace::{Cluster, Watch, Workplace};
pub use plan::Terms;
pub use scope::{ErasureScope, ScopeReason, ScopedModel, Unreached};
pub use verify::Bar;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
