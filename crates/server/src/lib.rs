//! The desk for erasure requests as a service: HTTP with an OpenAPI description, and a page.
//!
//! [`serve`] answers until it is told to stop, and [`work`] takes jobs beside it. What may be called by whom is one table, [`ENDPOINTS`]; what
//! is not in it is denied.

mod act;
mod api;
mod app;
mod audit;
mod cookies;
mod described;
mod destination;
mod equipment;
mod error;
mod events;
mod guard;
mod identity;
mod jobs;
mod keys;
mod limits;
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
mod signals;
mod webhooks;
mod when;

pub use app::{Executor, Settings};
pub use described::description;
pub use equipment::Equipment;
pub use error::ServeError;
pub use identity::{ClientSecret, Made, OidcSettings, SignInSettings, make_token};
pub use jobs::program::WorkerProgram;
pub use jobs::work::work;
pub use listen::tls::TlsFiles;
pub use quota::{IpNet, Limits};
pub use rights::{ENDPOINTS, Endpoint, Right, Role};
pub use serve::serve;
pub use webhooks::known::{pause_webhook, test_webhook, webhook_messages};
pub use webhooks::make::{NewWebhook, make_webhook};
