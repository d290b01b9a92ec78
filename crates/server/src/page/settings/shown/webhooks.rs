//! Webhooks and their messages as they are shown.

use disinherit::registry::{ErasureState, MessageFate, Webhook, WebhookMessage};
use disinherit_audit::time;
use maud::{Markup, html};

use super::secret::secret;
use crate::page::links;
use crate::webhooks::make::NewWebhook;

/// What is said of a webhook that was just made, with its secret.
pub(in crate::page::settings) fn made_webhook(made: &Webhook) -> Markup {
    html! {
        p { strong { "Webhook " (made.id) " to " (made.url) } }
        (secret(&made.secret))
        p.soft { "Messages are signed with it. Give it to their receiver now: it is not shown again." }
    }
}

/// What is said of a webhook that a message has arrived at.
pub(in crate::page::settings) fn tried_webhook(webhook: &Webhook) -> Markup {
    html! { p { "The message has arrived at " (webhook.url) "." } }
}

/// The webhooks with their last messages, and a form for a new one.
pub(in crate::page::settings) fn webhooks(all: &[Webhook], messages: &[WebhookMessage]) -> Markup {
    html! {
        section { h2 { "Webhooks" }
            p.soft { "Other services that are told when requests change their state. Messages are signed, and name no person." }
            @if !all.is_empty() { (table(all)) }
            @if !messages.is_empty() { (last(messages)) }
            (new_form())
        }
    }
}

fn table(all: &[Webhook]) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Webhooks" { table {
            thead { tr { th { "No." } th { "To" } th { "Tells" } th { "State" } th { "Waiting" } th { "Arrived" } th { "Given up" }
                th { "Last arrived" } th { "Last failure" } th { span.unseen { "What can be done" } } } }
            tbody { @for webhook in all { tr {
                td { (webhook.id) }
                td { (webhook.url) }
                td { (told_states(webhook)) }
                td { @match webhook.paused {
                    Some(since) => { "paused since " (time(since)) }
                    None => span.good { "active" },
                } }
                td { (webhook.tally.waiting) }
                td { (webhook.tally.delivered) }
                td { (webhook.tally.given_up) }
                td { @match webhook.tally.last { Some(last) => (time(last)), None => "never" } }
                td { (webhook.tally.said) }
                td { (buttons(webhook)) }
            } } }
        } }
    }
}

fn buttons(webhook: &Webhook) -> Markup {
    let (pause, label) = match webhook.paused {
        Some(_) => ("resume", "Resume"),
        None => ("pause", "Pause"),
    };
    html! {
        div.actions {
            (button(webhook, "test", "Try", "small"))
            (button(webhook, pause, label, "small"))
            (button(webhook, "remove", "Remove", "danger small"))
        }
    }
}

fn button(webhook: &Webhook, step: &str, label: &str, class: &str) -> Markup {
    html! {
        form method="post" action={ "/settings/webhooks/" (webhook.id) "/" (step) } {
            button class=(class) type="submit" aria-label={ (label) " webhook " (webhook.id) } { (label) }
        }
    }
}

fn told_states(webhook: &Webhook) -> String {
    let names: Vec<&str> = webhook.states.iter().map(|state| state.name()).collect();
    match names.is_empty() {
        true => "all states".to_owned(),
        false => names.join(", "),
    }
}

fn last(messages: &[WebhookMessage]) -> Markup {
    html! {
        h3 { "Last messages" }
        div.wide tabindex="0" role="group" aria-label="Last messages" { table {
            thead { tr { th { "Webhook" } th { "Request" } th { "Tells" } th { "Attempts" } th { "State" } } }
            tbody { @for message in messages { tr {
                td { (message.webhook) }
                td { (links::request(message.request)) }
                td { (message.state) }
                td { (message.attempts) }
                td { (fate(&message.fate)) }
            } } }
        } }
    }
}

fn fate(fate: &MessageFate) -> Markup {
    html! {
        @match fate {
            MessageFate::Waiting { due: 0 } => "waits",
            MessageFate::Waiting { due } => { "waits until " (time(*due)) }
            MessageFate::Arrived { time: at } => { span.good { "arrived" } " " (time(*at)) }
            MessageFate::GivenUp { time: at, said } => { span.late { "given up" } " " (time(*at)) ": " (said) }
        }
    }
}

fn new_form() -> Markup {
    html! {
        details { summary { "New webhook" }
            form method="post" action="/settings/webhooks" {
                label for="url" { "Address" }
                input id="url" name="url" type="url" required maxlength="2000" aria-describedby="url-hint";
                p.hint id="url-hint" { "https, or http on this machine." }
                fieldset { legend { "States that are told; all where none is chosen" }
                    @for state in ErasureState::ALL {
                        label.choice { input type="checkbox" name="states" value=(state); (state) }
                    }
                }
                label for="attempts" { "Attempts" }
                input id="attempts" name="attempts" inputmode="numeric" value=(NewWebhook::ATTEMPTS) aria-describedby="attempts-hint";
                p.hint id="attempts-hint" { "How often a message is tried before it is given up." }
                label.choice { input type="checkbox" name="allow_http" value="on"; "Send unencrypted to another machine, in a network that is trusted" }
                p { button.main type="submit" { "Add it" } }
            }
        }
    }
}
