//! Keeping writers and removers of objects apart: by a lock in a folder, by leases elsewhere.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;

use crate::catalog::contract::Catalog;
use crate::error::RegistryError;
use crate::objects::blobs::Blobs;
use crate::place::leases::{Leases, Removing};
use crate::place::lock::Lock;

/// What keeps writers and removers of a registry's objects apart.
pub(crate) enum Apart {
    /// A lock on a file of the registry's folder.
    Lock(Lock),
    /// Leases in the catalog.
    Leases(Leases),
}

/// No process begins to write until this is dropped.
pub(crate) enum Alone {
    /// No process writes at all.
    Locked(#[allow(dead_code, reason = "held, not read")] File),
    /// Somebody who began before may.
    Leased(Removing),
}

impl Apart {
    /// What keeps writers and removers of a registry apart, which may be in a folder; `address` is what errors are
    /// told with.
    pub(crate) fn new(
        folder: Option<&Path>,
        catalog: &Arc<dyn Catalog>,
        runtime: &Arc<Runtime>,
        address: &str,
        blobs: &Blobs,
    ) -> Self {
        match folder {
            Some(folder) => Self::Lock(Lock::new(folder)),
            None => Self::Leases(Leases::new(
                Arc::clone(catalog),
                Arc::clone(runtime),
                address.into(),
                blobs.since(),
            )),
        }
    }

    /// Says that this process writes, until the registry is closed. Waits for one that removes objects.
    pub(crate) fn share(&self) -> Result<(), RegistryError> {
        match self {
            Self::Lock(lock) => lock.share(),
            Self::Leases(leases) => leases.share(),
        }
    }

    /// Refuses to publish what may have been removed meanwhile.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        match self {
            Self::Lock(_) => Ok(()),
            Self::Leases(leases) => leases.check(),
        }
    }

    /// Keeps everybody from beginning to write.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] when another process removes objects, or in a folder writes some.
    pub(crate) fn alone(&self) -> Result<Alone, RegistryError> {
        match self {
            Self::Lock(lock) => lock.alone().map(Alone::Locked),
            Self::Leases(leases) => leases.alone().map(Alone::Leased),
        }
    }

    /// Objects that nothing refers to and that were written before this belong to no process, if none begins to
    /// write meanwhile.
    pub(crate) fn abandoned_before(&self) -> Result<SystemTime, RegistryError> {
        match self {
            Self::Lock(_) => Ok(any_time()),
            Self::Leases(leases) => leases.oldest_writer(),
        }
    }

    /// Ends what this process said of itself.
    pub(crate) fn end(&self) {
        if let Self::Leases(leases) = self {
            leases.end();
        }
    }
}

impl Alone {
    /// Objects that nothing refers to and that were written before this belong to no process.
    pub(crate) fn before(&self) -> SystemTime {
        match self {
            Self::Locked(_) => any_time(),
            Self::Leased(removing) => removing.before,
        }
    }

    /// Refuses to go on when this process was not heard of for too long.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        match self {
            Self::Locked(_) => Ok(()),
            Self::Leased(removing) => removing.check(),
        }
    }
}

/// After everything that was written, whatever the clocks say.
fn any_time() -> SystemTime {
    SystemTime::now() + Duration::from_secs(365 * 24 * 3600)
}
