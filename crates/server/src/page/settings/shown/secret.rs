//! Secrets, which are shown once.

use maud::{Markup, html};

/// A secret that is shown this once.
pub(super) fn secret(text: &str) -> Markup {
    html! { p { code.secret { (text) } } }
}
