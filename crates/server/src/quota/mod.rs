//! How much one caller gets of the server: calls a minute, wrong tokens, connections, and time to send a call.

mod address;
pub(crate) mod body;
mod lockout;
mod rate;

use std::sync::Arc;
use std::time::Duration;

pub use ipnet::IpNet;

use self::address::of_call;
pub(crate) use self::address::{Address, is_in};
use self::lockout::Lockout;
use self::rate::Rate;
use crate::peer::Peer;
use crate::problem::Problem;

/// How much one caller gets. A number of 0 is no limit.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Calls of one token in a minute.
    pub token_rate: u32,
    /// Calls from one address in a minute, with and without a token.
    pub address_rate: u32,
    /// After how many tokens that do not hold an address is locked out.
    pub lockout_after: u32,
    /// For how long it is, and within what time they are counted.
    pub lockout_time: Duration,
    /// How long a client may take to send the head of a call, or to say nothing between two calls.
    pub head_time: Duration,
    /// How long a client may take to send the body of a call, and to take in a piece of the answer.
    pub body_time: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// Connections from one address at a time; trusted proxies have as many as there are.
    pub address_connections: usize,
    /// Proxies whose `X-Forwarded-For` says where a call comes from.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token_rate: 3000,
            address_rate: 6000,
            lockout_after: 10,
            lockout_time: Duration::from_secs(300),
            head_time: Duration::from_secs(15),
            body_time: Duration::from_secs(60),
            connections: 4096,
            address_connections: 2048,
            trusted_proxies: Vec::new(),
        }
    }
}

/// The limits at work.
pub(crate) struct Limiter {
    tokens: Option<Rate<Arc<str>>>,
    addresses: Option<Rate<Address>>,
    /// Refusals of one address that are put on record: one a second, so that a flood does not fill a disk.
    told: Option<Rate<Address>>,
    lockout: Lockout,
    trusted: Vec<IpNet>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            tokens: Rate::a_minute(limits.token_rate),
            addresses: Rate::a_minute(limits.address_rate),
            told: Rate::a_second(),
            lockout: Lockout::new(limits.lockout_after, limits.lockout_time),
            trusted: limits.trusted_proxies.clone(),
        }
    }

    /// Where a call comes from.
    pub(crate) fn address(&self, peer: Option<&Peer>, headers: &axum::http::HeaderMap) -> Address {
        of_call(peer.map(|peer| peer.address), headers, &self.trusted)
    }

    /// Counts a call from an address.
    pub(crate) fn call_from(&self, address: Address) -> Result<(), Problem> {
        let waits = self.addresses.as_ref().and_then(|rate| rate.take(&address));
        waits.map_or(Ok(()), |wait| {
            Err(too_many("this address makes too many calls", wait))
        })
    }

    /// Counts a call with a token.
    pub(crate) fn call_by(&self, identity: &Arc<str>) -> Result<(), Problem> {
        let waits = self.tokens.as_ref().and_then(|rate| rate.take(identity));
        waits.map_or(Ok(()), |wait| {
            Err(too_many("this token makes too many calls", wait))
        })
    }

    /// Refuses an address that is locked out.
    pub(crate) fn admits(&self, address: Address) -> Result<(), Problem> {
        self.lockout.left(address).map_or(Ok(()), |wait| {
            let detail = "this address has sent too many tokens that do not hold";
            Err(too_many(detail, wait))
        })
    }

    /// Counts a token that does not hold.
    pub(crate) fn failed(&self, address: Address) {
        self.lockout.failed(address);
    }

    /// Whether one more refusal of this address is put on record.
    pub(crate) fn is_told(&self, address: Address) -> bool {
        self.told
            .as_ref()
            .is_none_or(|rate| rate.take(&address).is_none())
    }
}

fn too_many(detail: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    let status = axum::http::StatusCode::TOO_MANY_REQUESTS;
    Problem::new(status, "/problems/too-many", detail)
        .with_hint(format!("try again in {seconds} s"))
        .with_retry_after(seconds)
}
