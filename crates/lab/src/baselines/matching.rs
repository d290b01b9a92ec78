//! Matching, the engine's method for single samples and sources.

use disinherit::{Matching, MatchingOptions};

use super::describe::{Description, How};
use super::kind::MethodKind;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Matching,
    name: "matching",
    purpose: "bring forgotten samples to the certainty of unseen ones and hold the rest; samples and \
              sources only",
    source: "this project (docs/samples.md)",
    classes_only: false,
    how: How::Graph,
};

pub(super) fn matching(options: &MatchingOptions) -> Matching {
    Matching::new(options.clone())
}
