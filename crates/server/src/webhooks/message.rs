//! What a message says: that a request changed its state, and nothing of what was said about it.

use disinherit::registry::Delivery;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

/// How much of the operation's hash is in a message's id.
const HASH: usize = 32;

/// A message, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The same for every attempt: receivers know by it what they have seen.
    pub(super) id: String,
    pub(super) body: String,
}

#[derive(Serialize)]
struct Body<T> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    data: T,
}

impl Message {
    /// That a request changed its state.
    pub(super) fn for_delivery(delivery: &Delivery) -> Self {
        let hash: String = delivery.hash.chars().take(HASH).collect();
        let data = json!({
            "request": delivery.request.get(),
            "state": delivery.state.name(),
            "before": delivery.before.map(|state| state.name()),
            "step": delivery.step,
            "operation": delivery.operation.get(),
        });
        Self {
            id: format!("msg_{hash}"),
            body: body(format!("request.{}", delivery.state), delivery.time, data),
        }
    }

    /// That a webhook is tried.
    pub(super) fn test(id: String, webhook: i64, time: u64) -> Self {
        let data = json!({ "webhook": webhook });
        Self {
            id,
            body: body("webhook.test".into(), time, data),
        }
    }
}

fn body(kind: String, time: u64, data: serde_json::Value) -> String {
    let time = i64::try_from(time).ok();
    let timestamp = time.and_then(|time| Timestamp::from_millisecond(time).ok());
    let body = Body {
        kind,
        timestamp: timestamp.unwrap_or_default().to_string(),
        data,
    };
    // Nothing in it is unknown to JSON.
    serde_json::to_string(&body).unwrap_or_default()
}
