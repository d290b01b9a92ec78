//! Webhooks: who is told when requests change their state, and what is still to be told.

use serde::Serialize;

use crate::erasures::state::ErasureState;
use crate::ids::{ErasureId, OperationId};

/// Who is told when requests change their state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// Its number; 0 for one that is about to be kept.
    pub id: i64,
    /// Where messages go.
    pub url: String,
    /// What messages are signed with, as its holder has it.
    #[serde(skip)]
    pub secret: String,
    /// The states that are told; all when there are none.
    pub states: Vec<ErasureState>,
    /// How often a message is tried before it is given up.
    pub attempts: u32,
    /// The pause after the first attempt that failed, in milliseconds.
    pub pause: u64,
    /// Who made it.
    pub created_by: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub created: u64,
    /// Since when its messages wait because it was paused, in milliseconds since 1970-01-01 UTC, if it was.
    pub paused: Option<u64>,
    /// What has become of its messages.
    #[serde(flatten)]
    pub tally: WebhookTally,
}

/// What has become of the messages of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WebhookTally {
    /// How many messages are still to be delivered.
    pub waiting: u64,
    /// How many were.
    pub delivered: u64,
    /// When the last one was, in milliseconds since 1970-01-01 UTC, if one was.
    pub last: Option<u64>,
    /// How many were given up.
    pub given_up: u64,
    /// Why the last attempt failed that did; empty where none has.
    pub said: String,
}

/// A message that is to be delivered: a request changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The webhook.
    pub webhook: i64,
    /// The operation.
    pub operation: OperationId,
    /// The hash of the operation in the log, which no other one has.
    pub hash: String,
    /// The request.
    pub request: ErasureId,
    /// The step in a word.
    pub step: String,
    /// What the request was before; nothing for one that is new.
    pub before: Option<ErasureState>,
    /// What it is.
    pub state: ErasureState,
    /// When it became so, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// How often it was tried.
    pub attempt: u32,
}

/// How an attempt to deliver a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// It arrived.
    Arrived,
    /// It did not, and is tried again at this time, in milliseconds since 1970-01-01 UTC.
    Again {
        /// When.
        due: u64,
        /// Why it did not.
        said: String,
    },
    /// It did not, and is not tried again.
    GivenUp {
        /// Why it did not.
        said: String,
    },
}

/// Which messages of webhooks, and how many; the newest come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessagePage {
    /// Only messages of this webhook; of all when not given.
    pub webhook: Option<i64>,
    /// Only messages that tell of operations before this one.
    pub before: Option<OperationId>,
    /// How many messages at most.
    pub limit: u32,
}

/// A message of a webhook, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookMessage {
    /// The webhook.
    pub webhook: i64,
    /// The operation that it tells of.
    pub operation: OperationId,
    /// The request.
    pub request: ErasureId,
    /// What the request became.
    pub state: ErasureState,
    /// How often it was tried.
    pub attempts: u32,
    /// What has become of it.
    #[serde(flatten)]
    pub fate: MessageFate,
}

/// What has become of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum MessageFate {
    /// It is still to be delivered.
    Waiting {
        /// From when on, in milliseconds since 1970-01-01 UTC; 0 for at once.
        due: u64,
    },
    /// It arrived.
    Arrived {
        /// When, in milliseconds since 1970-01-01 UTC.
        time: u64,
    },
    /// It was given up.
    GivenUp {
        /// When, in milliseconds since 1970-01-01 UTC.
        time: u64,
        /// Why the last attempt failed.
        said: String,
    },
}
