//! Fisher information and edits beside independent references.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../examples/dampen_a_head.rs"]
mod dampen_a_head;
mod examples;
mod fisher;
