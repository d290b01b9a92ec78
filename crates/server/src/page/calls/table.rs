//! Tables, and texts of the description in them.

use maud::{Markup, html};
use serde_json::Value;

/// A table that can be moved sideways where it is too wide.
pub(super) fn table(heads: &[&str], rows: &Markup) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label=(heads[0]) { table {
            thead { tr { @for head in heads {
                @if head.is_empty() { th { span.unseen { "Meaning" } } } @else { th { (head) } }
            } } }
            tbody { (rows) }
        } }
    }
}

/// A text of the description; empty where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
