//! Access to the service: limits, configuration, TLS, tokens of an issuer.
#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(all(unix, feature = "server"))]

#[path = "../common/mod.rs"]
mod common;
mod config;
mod described;
mod issuer;
mod limits;
mod oidc;
mod tls;
