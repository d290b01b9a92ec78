//! Policies as they are shown.

use maud::{Markup, html};

/// The policies, with their forms.
pub(in crate::page::settings) fn policies(four_eyes: bool, retention: Option<&str>) -> Markup {
    let (now, other) = match four_eyes {
        true => ("On: who filed a request cannot approve it.", "off"),
        false => ("Off: who filed a request may approve it too.", "on"),
    };
    let days = retention.unwrap_or_default();
    html! {
        section { h2 { "Four eyes" }
            p { (now) }
            form method="post" action="/settings/four-eyes" {
                button type="submit" name="to" value=(other) { "Turn it " (other) }
            }
        }
        section { h2 { "Retention" }
            p { @match retention {
                Some(keep) => { "Versions that were replaced are kept for " strong { (keep) } ", and are due for a purge then." }
                None => "Versions that were replaced are kept until they are purged by name, or with their request.",
            } }
            form method="post" action="/settings/retention" {
                label for="keep" { "Days" }
                input id="keep" name="days" inputmode="numeric" value=(days.strip_suffix('d').unwrap_or_default()) aria-describedby="keep-hint";
                p.hint id="keep-hint" { "No end where it is empty." }
                p { button type="submit" { "Keep them so long" } }
            }
        }
    }
}
