//! Tokens as they are shown.

use disinherit::model::now;
use disinherit::registry::AccessToken;
use disinherit_audit::{day, time};
use maud::{Markup, html};

use super::secret::secret;
use crate::identity::Made;
use crate::page::settings::days::USUAL;
use crate::rights::Role;

/// The tokens, and a form for a new one.
pub(in crate::page::settings) fn tokens(all: &[AccessToken], own: Option<i64>) -> Markup {
    html! {
        section { h2 { "Tokens" }
            p.soft { "A token is who its holder is in the log, and what they may do. Only its hash is kept." }
            (table(all, own))
            (new_form())
        }
    }
}

/// What is said of a token that was just made, with its secret.
pub(in crate::page::settings) fn made_token(made: &Made) -> Markup {
    html! {
        p { strong { "Token " (made.id) " for " (made.token.name) " (" (made.token.role) ")" } }
        (secret(&made.secret))
        p.soft { "Give it to its holder now: it is not shown again. It holds until " (day(made.token.expires)) "." }
    }
}

fn table(tokens: &[AccessToken], own: Option<i64>) -> Markup {
    let now = now();
    html! {
        div.wide tabindex="0" role="group" aria-label="Tokens" { table {
            thead { tr { th { "No." } th { "Name" } th { "Role" } th { "State" } th { "Until" } th { "Last used" } th { "Made by" }
                th { span.unseen { "What can be done" } } } }
            tbody { @for token in tokens { tr {
                td { (token.id) }
                td { (token.name) @if own == Some(token.id) { " " span.soft { "(you)" } } }
                td { (token.role) }
                td { @match (token.revoked, token.holds(now)) {
                    (Some(_), _) => span.soft { "revoked" },
                    (None, true) => span.good { "holds" },
                    (None, false) => span.soft { "expired" },
                } }
                td { (day(token.expires)) }
                td { @match token.used { Some(used) => (time(used)), None => "never" } }
                td { (token.created_by) }
                td { @if token.holds(now) && own != Some(token.id) {
                    form method="post" action={ "/settings/tokens/" (token.id) "/revoke" } {
                        button.danger.small type="submit" aria-label={ "Revoke token " (token.id) " of " (token.name) } { "Revoke" }
                    }
                } }
            } } }
        } }
    }
}

fn new_form() -> Markup {
    html! {
        details { summary { "New token" }
            form method="post" action="/settings/tokens" {
                label for="name" { "Name" }
                input id="name" name="name" required maxlength="100" aria-describedby="name-hint";
                p.hint id="name-hint" { "The log keeps it with everything that its holder does." }
                label for="role" { "Role" }
                select id="role" name="role" aria-describedby="role-hint" { @for role in Role::ALL { option value=(role) { (role) } } }
                p.hint id="role-hint" { "Requesters file, operators carry out, approvers approve, auditors read all, viewers read." }
                label for="days" { "Days" }
                input id="days" name="days" inputmode="numeric" value=(USUAL);
                p { button.main type="submit" { "Make it" } }
            }
        }
    }
}
