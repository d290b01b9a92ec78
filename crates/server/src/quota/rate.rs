//! How many calls in a time.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// From how many keys on those are dropped that have their whole share again.
const MANY: usize = 4096;

/// Shares of a time, one for each key.
pub(super) struct Rate<K: Clone + Hash + Eq> {
    limiter: RateLimiter<K, HashMapStateStore<K>, DefaultClock>,
    clock: DefaultClock,
}

impl<K: Clone + Hash + Eq> Rate<K> {
    /// So many in a minute; they may come at once. Nothing where the number is 0.
    pub(super) fn a_minute(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(|number| Self::new(Quota::per_minute(number)))
    }

    /// One in a second.
    pub(super) fn a_second() -> Option<Self> {
        Quota::with_period(Duration::from_secs(1)).map(Self::new)
    }

    fn new(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::hashmap(quota),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one; how long to wait where none is left.
    pub(super) fn take(&self, key: &K) -> Option<Duration> {
        if self.limiter.len() > MANY {
            self.limiter.retain_recent();
        }
        let refused = self.limiter.check_key(key).err()?;
        Some(refused.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_key_has_its_own_share() {
        let rate = Rate::a_minute(2).unwrap();
        assert_eq!((rate.take(&"a"), rate.take(&"a")), (None, None));
        let wait = rate.take(&"a").unwrap();
        assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30));
        assert_eq!(rate.take(&"b"), None);
        assert!(Rate::<&str>::a_minute(0).is_none());
    }

    #[test]
    fn keys_that_have_their_share_again_take_no_memory() {
        // So many in a minute that a key has its share again at once.
        let rate = Rate::a_minute(u32::MAX).unwrap();
        for key in 0..3 * MANY {
            assert_eq!(rate.take(&key), None);
        }
        assert!(rate.limiter.len() <= MANY + 1, "{}", rate.limiter.len());
    }
}
