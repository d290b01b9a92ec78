//! How many connections there are, of all and of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::quota::{Address, IpNet, Limits, is_in};

/// Places for connections.
pub(super) struct Places {
    all: Arc<Semaphore>,
    each: usize,
    open: Arc<Mutex<HashMap<Address, usize>>>,
    trusted: Vec<IpNet>,
}

/// A place that is taken until it is dropped.
pub(super) struct Place {
    address: Option<Address>,
    open: Arc<Mutex<HashMap<Address, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        let count = |limit: usize| match limit {
            0 => Semaphore::MAX_PERMITS,
            limit => limit.min(Semaphore::MAX_PERMITS),
        };
        Self {
            all: Arc::new(Semaphore::new(count(limits.connections))),
            each: count(limits.address_connections),
            open: Arc::default(),
            trusted: limits.trusted_proxies.clone(),
        }
    }

    /// A place for a connection, if there is one.
    pub(super) fn take(&self, from: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let address = (!is_in(from, &self.trusted)).then(|| Address::from(from));
        if let Some(address) = address {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(address).or_default();
            if *count >= self.each {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            address,
            open: Arc::clone(&self.open),
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let places = Places::new(&Limits {
            connections: 3,
            address_connections: 2,
            trusted_proxies: vec!["10.0.0.9/32".parse().unwrap()],
            ..Limits::default()
        });
        let take = |address: &str| places.take(address.parse().unwrap());
        let first = [take("10.0.0.1"), take("10.0.0.1")];
        assert!(first.iter().all(Option::is_some));
        assert!(take("10.0.0.1").is_none(), "two of one address");
        let other = take("10.0.0.2");
        assert!(
            other.is_some() && take("10.0.0.3").is_none(),
            "three of all"
        );
        drop((first, other));
        assert!(places.open.lock().unwrap().is_empty());
        let proxy = [(); 3].map(|()| take("10.0.0.9"));
        assert!(proxy.iter().all(Option::is_some), "a proxy has all");
    }
}
