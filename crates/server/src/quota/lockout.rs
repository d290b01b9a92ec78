//! Addresses that send tokens that do not hold, one after the other.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::address::Address;

/// From how many addresses on those are dropped whose time is over.
const MANY: usize = 4096;

/// What an address has done.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    /// When the counting began, or the last failure where it is locked out.
    since: Instant,
}

/// Counts failures, and says who is locked out.
#[derive(Debug)]
pub(super) struct Lockout {
    /// After how many; 0 is never.
    after: u32,
    time: Duration,
    failures: Mutex<HashMap<Address, Failures>>,
}

impl Lockout {
    pub(super) fn new(after: u32, time: Duration) -> Self {
        Self {
            after,
            time,
            failures: Mutex::default(),
        }
    }

    /// Counts a failure.
    pub(super) fn failed(&self, address: Address) {
        if self.after == 0 {
            return;
        }
        let now = Instant::now();
        let over = |failures: &Failures| now.duration_since(failures.since) >= self.time;
        let mut known = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MANY {
            known.retain(|_, failures| !over(failures));
        }
        let new = Failures {
            count: 0,
            since: now,
        };
        let failures = known.entry(address).or_insert(new);
        if over(failures) {
            *failures = new;
        }
        failures.count += 1;
        if failures.count == self.after {
            failures.since = now;
            tracing::warn!(%address, "locked out: too many tokens that do not hold");
        }
    }

    /// For how long an address is still locked out, if it is.
    pub(super) fn left(&self, address: Address) -> Option<Duration> {
        let known = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = known.get(&address)?;
        let left = self.time.checked_sub(failures.since.elapsed())?;
        (self.after > 0 && failures.count >= self.after).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_locked_out_for_a_while() {
        let lockout = Lockout::new(3, Duration::from_millis(200));
        let one = Address::from("10.0.0.1".parse::<std::net::IpAddr>().unwrap());
        let other = Address::from("10.0.0.2".parse::<std::net::IpAddr>().unwrap());
        for _ in 0..2 {
            lockout.failed(one);
        }
        assert_eq!(lockout.left(one), None);
        lockout.failed(one);
        assert!(lockout.left(one).is_some());
        assert_eq!(lockout.left(other), None);
        std::thread::sleep(Duration::from_millis(250));
        assert_eq!(lockout.left(one), None);
        lockout.failed(one);
        assert_eq!(lockout.left(one), None, "counted anew");
    }
}
