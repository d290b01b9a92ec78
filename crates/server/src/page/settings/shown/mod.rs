//! The settings as they are shown.

mod policies;
mod secret;
mod tokens;
mod webhooks;

pub(super) use self::policies::policies;
pub(super) use self::tokens::{made_token, tokens};
pub(super) use self::webhooks::{made_webhook, tried_webhook, webhooks};
