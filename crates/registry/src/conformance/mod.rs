//! What every registry must show, whatever its objects and its catalog are kept in: one suite that
//! the tests of each backend run.
//!
//! Everything here panics, with the reason, where a backend does not behave.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod erasures;
mod history;
mod leases;
mod many;
mod packs;
mod publishing;
mod samples;
mod service;
mod webhooks;

pub use samples::{Held, card, id, manifest, new_model, publication, tensors};
pub use service::silence;

use crate::registry::Registry;

/// Runs the whole suite on an empty registry.
///
/// # Panics
/// Where the registry does not behave, with what is wrong.
pub fn run(registry: &Registry) {
    assert!(registry.graph().unwrap().is_empty());
    publishing::models(registry);
    publishing::content(registry);
    publishing::conflicts(registry);
    publishing::cards(registry);
    publishing::drafts(registry);
    publishing::settings(registry);
    history::undo(registry);
    history::purge(registry);
    history::log(registry);
    history::pages(registry);
    erasures::life(registry);
    erasures::lists(registry);
    erasures::crowds(registry);
    leases::run(registry);
    service::tokens(registry);
    service::jobs(registry);
    service::answers(registry);
    webhooks::messages(registry);
    webhooks::cancelled(registry);
    many::models(registry);
    many::names(registry);
    many::drafts(registry);
    packs::life(registry);
}
