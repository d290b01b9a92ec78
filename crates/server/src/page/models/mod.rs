//! Models: a list that can be searched, and a page for each.

mod list;
mod one;

pub(super) use self::list::show;
pub(super) use self::one::one;

use disinherit::model::kind;
use disinherit::registry::{Digest, Manifest, Registry};

/// The network of a model, in a word; nothing for weights that are only kept.
fn network(manifest: &Manifest) -> Option<String> {
    kind(manifest).map(|kind| kind.to_string())
}

/// The manifest of a version, where it can be read: of a purged one it cannot.
fn manifest(registry: &Registry, digest: Digest) -> Option<Manifest> {
    registry.manifest(digest).ok()
}
