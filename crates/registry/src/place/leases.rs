//! Keeping writers and removers of objects apart on shared storage, where no lock on a file does.
//!
//! A process that writes objects, which nothing refers to until it publishes, says so in the catalog, and again
//! every minute. What was written since it began may be about to be published; what was written before, it
//! writes again instead of relying on it. So a process that removes objects may take those that nothing refers to
//! and that were written before the oldest writer began. While objects are removed, no process begins to write.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::catalog::contract::Catalog;
use crate::catalog::rows::Lease;
use crate::error::RegistryError;
use crate::time::now;

/// How long a process may not be heard of before it counts as gone.
const GONE: Duration = Duration::from_secs(300);

/// How often it is heard of.
const BEAT: Duration = Duration::from_secs(60);

/// How often a writer looks whether objects are still being removed, and for how long.
const LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(900);

/// By how much the clocks of machines and storage may differ.
const SKEW: Duration = Duration::from_secs(900);

/// The leases of one open registry.
pub(crate) struct Leases {
    catalog: Arc<dyn Catalog>,
    runtime: Arc<Runtime>,
    /// What errors are told with.
    place: PathBuf,
    /// When this process began to write, for what stores objects.
    since: Arc<AtomicU64>,
    writing: Mutex<Option<Held>>,
}

/// A lease, made longer until this goes.
struct Held {
    lease: Lease,
    lost: Arc<AtomicBool>,
    beat: JoinHandle<()>,
    catalog: Arc<dyn Catalog>,
    runtime: Arc<Runtime>,
}

/// Objects may be removed, those that were written before a time, until this goes.
pub(crate) struct Removing {
    held: Held,
    /// Objects that nothing refers to and that were written before this belong to no process.
    pub(crate) before: SystemTime,
}

impl Leases {
    pub(crate) fn new(
        catalog: Arc<dyn Catalog>,
        runtime: Arc<Runtime>,
        place: PathBuf,
        since: Arc<AtomicU64>,
    ) -> Self {
        Self {
            catalog,
            runtime,
            place,
            since,
            writing: Mutex::new(None),
        }
    }

    /// Says that this process writes, from now until the registry is closed. Waits while objects are removed.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] when that takes too long, [`RegistryError::Conflict`] when this process was not heard
    /// of for so long that what it wrote may be gone.
    pub(crate) fn share(&self) -> Result<(), RegistryError> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = writing.as_ref() {
            return held.check();
        }
        let lease = Lease::new(false)?;
        let start = Instant::now();
        while self
            .runtime
            .block_on(self.catalog.begin_lease(&lease))?
            .is_some()
        {
            if start.elapsed() > PATIENCE {
                return Err(RegistryError::Busy(self.place.clone()));
            }
            self.runtime.block_on(sleep(LOOK));
        }
        self.since.store(lease.since, Ordering::SeqCst);
        *writing = Some(self.held(lease));
        Ok(())
    }

    /// Refuses to publish what may have been removed meanwhile.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match writing.as_ref() {
            None => Ok(()),
            Some(held) => held.renew(),
        }
    }

    /// Keeps everybody from beginning to write, until what is returned goes.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] when somebody else removes objects.
    pub(crate) fn alone(&self) -> Result<Removing, RegistryError> {
        // What this registry wrote itself has been published, or never will be.
        drop(
            self.writing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let lease = Lease::new(true)?;
        if self
            .runtime
            .block_on(self.catalog.begin_lease(&lease))?
            .is_some()
        {
            return Err(RegistryError::Busy(self.place.clone()));
        }
        let held = self.held(lease);
        let before = self.oldest_writer()?;
        Ok(Removing { held, before })
    }

    /// Objects that nothing refers to and that were written before this belong to no process, if none begins to
    /// write meanwhile.
    pub(crate) fn oldest_writer(&self) -> Result<SystemTime, RegistryError> {
        let leases = self.runtime.block_on(self.catalog.leases())?;
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let own = writing.as_ref().map(|held| &held.lease.holder);
        let others = |lease: &&Lease| !lease.removes && Some(&lease.holder) != own;
        let writers = leases.iter().filter(others);
        let oldest = writers.map(|lease| lease.since).min();
        let Some(oldest) = oldest else {
            // Where no process writes, nothing is about to be published, whatever the clocks say.
            return Ok(SystemTime::now() + SKEW);
        };
        // A time that makes no sense removes nothing.
        let oldest = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(oldest));
        let before = oldest.and_then(|oldest| oldest.checked_sub(SKEW));
        Ok(before.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    fn held(&self, lease: Lease) -> Held {
        let lost = Arc::new(AtomicBool::new(false));
        let (catalog, holder) = (Arc::clone(&self.catalog), lease.holder.clone());
        let seen = Arc::clone(&lost);
        let beat = self.runtime.spawn(async move {
            loop {
                sleep(BEAT).await;
                // A database that is away is asked again at the next beat.
                if let Ok(false) = catalog.prolong_lease(&holder, later()).await {
                    seen.store(true, Ordering::SeqCst);
                    return;
                }
            }
        });
        Held {
            lease,
            lost,
            beat,
            catalog: Arc::clone(&self.catalog),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// Ends the lease of this process; nothing is written afterwards.
    pub(crate) fn end(&self) {
        drop(
            self.writing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

impl Removing {
    /// Refuses to go on when this process was not heard of for too long.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`].
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        self.held.renew()
    }
}

impl Held {
    fn check(&self) -> Result<(), RegistryError> {
        match self.lost.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(RegistryError::Conflict(
                "this process was not heard of for so long that what it wrote may have been cleared away".into(),
            )),
        }
    }

    fn renew(&self) -> Result<(), RegistryError> {
        let holder = &self.lease.holder;
        if !self
            .runtime
            .block_on(self.catalog.prolong_lease(holder, later()))?
        {
            self.lost.store(true, Ordering::SeqCst);
        }
        self.check()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beat.abort();
        // One that cannot be ended runs out by itself.
        let _ = self
            .runtime
            .block_on(self.catalog.end_lease(&self.lease.holder));
    }
}

impl Lease {
    fn new(removes: bool) -> Result<Self, RegistryError> {
        use rand::TryRng;
        let mut name = [0_u8; 16];
        let drawn = rand::rngs::SysRng.try_fill_bytes(&mut name);
        drawn.map_err(|error| RegistryError::Document {
            what: "lease".into(),
            reason: format!("no name can be drawn for it: {error}"),
        })?;
        Ok(Self {
            holder: name.map(|byte| format!("{byte:02x}")).concat(),
            removes,
            since: now(),
            until: later(),
        })
    }
}

/// When a lease that is made longer now runs out.
fn later() -> u64 {
    now() + GONE.as_millis() as u64
}
