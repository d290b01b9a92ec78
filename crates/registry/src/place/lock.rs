//! Keeping writers and removers of objects apart.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::RegistryError;

/// A lock file in a registry's folder. Processes that write objects hold it together; a process that
/// removes objects holds it alone, since an object that nothing refers to may be one that is about to
/// be published.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// Held while it is open.
    shared: Mutex<Option<File>>,
}

impl Lock {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("lock"),
            shared: Mutex::new(None),
        }
    }

    fn file(&self) -> Result<File, RegistryError> {
        let options = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path);
        options.map_err(RegistryError::io("open", &self.path))
    }

    /// Takes it together with other writers, for as long as the registry is open. Waits for a
    /// process that holds it alone, which is never for long.
    pub(crate) fn share(&self) -> Result<(), RegistryError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_none() {
            let file = self.file()?;
            file.lock_shared()
                .map_err(RegistryError::io("lock", &self.path))?;
            *shared = Some(file);
        }
        Ok(())
    }

    /// Takes it alone, until what is returned goes.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] when another process writes.
    pub(crate) fn alone(&self) -> Result<File, RegistryError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // What this registry wrote itself has been published, or never will be.
        drop(shared.take());
        let file = self.file()?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(RegistryError::Busy(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(RegistryError::io("lock", &self.path)(error)),
        }
    }
}
