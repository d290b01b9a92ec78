//! The desk for erasure requests as a service: HTTP with an OpenAPI description, and a page.
//!
//! [`serve`] answers until it is told to stop. What may be called by whom is one table, [`ENDPOINTS`]; what
//! is not in it is denied.

mod act;
mod api;
mod app;
mod audit;
mod error;
mod guard;
mod identity;
mod jobs;
mod keys;
mod listen;
mod metrics;
mod page;
mod peer;
mod problem;
mod query;
mod quota;
mod reply;
mod rights;
mod router;
mod serve;
mod when;

pub use app::Settings;
pub use error::ServeError;
pub use identity::{Made, OidcSettings, make_token};
pub use listen::tls::TlsFiles;
pub use quota::{IpNet, Limits};
pub use rights::{ENDPOINTS, Endpoint, Right, Role};
pub use router::description;
pub use serve::serve;
