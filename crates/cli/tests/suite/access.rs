//! Access to the service: limits, configuration, TLS, odd headers, keys of calls, tokens of an issuer, sign-in through it.

mod config;
mod described;
mod grants;
mod headers;
mod issuer;
mod keys;
mod limits;
mod oidc;
mod sign_in;
mod tls;
