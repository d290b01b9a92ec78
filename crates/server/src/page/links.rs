//! Links to what has names of its own.

use disinherit::registry::ErasureId;
use disinherit::umig::ModelId;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is written as a percentage: all but letters, digits and marks that mean nothing in a path or a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'@');

/// A text as one segment of a path, or as a value of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The path of a model's page.
pub(super) fn path_of(model: &ModelId) -> String {
    format!("/models/{}", encoded(&model.to_string()))
}

/// The path of a model's page, where every model has one.
pub(super) fn model_link(id: &ModelId) -> Option<String> {
    Some(path_of(id))
}

/// A model as a link to its page.
pub(super) fn model(id: &ModelId) -> Markup {
    html! { a href=(path_of(id)) { (id) } }
}

/// A request as a link to its page.
pub(super) fn request(id: ErasureId) -> Markup {
    html! { a href={ "/requests/" (id) } { "Request " (id) } }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_one_segment_of_a_path() {
        let id = "org/größe.v2@3".parse().unwrap();
        assert_eq!(path_of(&id), "/models/org%2Fgr%C3%B6%C3%9Fe.v2@3");
        assert_eq!(encoded("a&b=c?d#e"), "a%26b%3Dc%3Fd%23e");
    }
}
