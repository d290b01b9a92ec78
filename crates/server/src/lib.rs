//! The desk for erasure requests as a service: HTTP with an OpenAPI description, and a page.
//!
//! [`serve`] answers until it is told to stop. What may be called by whom is one table, [`ENDPOINTS`]; what
//! is not in it is denied.

mod act;
mod api;
mod app;
mod error;
mod guard;
mod jobs;
mod keys;
mod metrics;
mod page;
mod problem;
mod query;
mod reply;
mod rights;
mod router;
mod serve;
mod tokens;
mod when;

pub use app::Settings;
pub use error::ServeError;
pub use rights::{ENDPOINTS, Endpoint, Right, Role};
pub use router::description;
pub use serve::serve;
pub use tokens::{Made, make_token};
