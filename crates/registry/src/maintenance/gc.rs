//! Clearing away what was never published, and what a kill left.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::registry::Registry;
use crate::time::now;

/// How long finished tasks of a request that was stopped are kept.
const DRAFTS: Duration = Duration::from_secs(7 * 24 * 3600);

/// What was cleared away, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// Objects that nothing speaks of.
    pub objects: usize,
    /// Their bytes, and those of the copies.
    pub bytes: u64,
    /// Copies of objects that lie in a pack as well: processes that did the same work at the same time leave them.
    pub copies: usize,
    /// Files that a write left that was cut short.
    pub files: usize,
    /// Finished tasks of requests that were never published.
    pub drafts: u64,
    /// Objects on shared storage that nothing speaks of and that stay: another process is at work, and may be
    /// about to publish them.
    pub young: usize,
}

impl Registry {
    /// Removes objects that no version, card or unfinished request speaks of, second copies of others, and files that
    /// are left of writes that were cut short. Unfinished requests are kept for a week, or dropped at
    /// once with `drafts`.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] when somebody writes; [`RegistryError::Missing`] or [`RegistryError::Damaged`]
    /// when a manifest or card cannot be read, since then it is unknown what is needed: nothing is
    /// removed.
    pub fn collect_garbage(&self, dry_run: bool, drafts: bool) -> Result<Garbage, RegistryError> {
        let alone = match dry_run {
            true => None,
            false => Some(self.alone()?),
        };
        let mut garbage = Garbage::default();
        if !dry_run {
            let age = if drafts { 0 } else { DRAFTS.as_millis() as u64 };
            let before = now().saturating_sub(age) + u64::from(drafts);
            garbage.drafts = self.wait(self.catalog().drop_drafts(before))?;
        }
        let before = match &alone {
            Some(alone) => alone.before(),
            None => self.abandoned_before()?,
        };
        let (objects, young) = self.unneeded(before)?;
        garbage.objects = objects.len();
        garbage.bytes = objects.iter().map(|(_, size)| size).sum();
        garbage.young = young;
        let files = self.leftovers()?;
        garbage.files = files.len();
        if !dry_run {
            if let Some(alone) = &alone {
                alone.check()?;
            }
            let digests = objects.into_iter().map(|(digest, _)| digest);
            self.wait(self.blobs().remove(digests))?;
        }
        let copies = self.wait(self.blobs().copies(before))?;
        let (count, bytes) = match dry_run {
            true => copies.count(),
            false => self.wait(self.blobs().remove_copies(copies))?,
        };
        garbage.copies = count;
        garbage.bytes += bytes;
        if !dry_run {
            for file in files {
                std::fs::remove_file(&file).map_err(RegistryError::io("remove", &file))?;
            }
        }
        drop(alone);
        Ok(garbage)
    }

    /// Objects that nothing speaks of and that were written before some time, with their sizes, and how many more
    /// there are that are younger.
    pub(super) fn unneeded(
        &self,
        before: SystemTime,
    ) -> Result<(Vec<(Digest, u64)>, usize), RegistryError> {
        // The list first: what is published after it is not in it.
        let stored = self.wait(self.blobs().list())?;
        let needed = self.needed()?;
        let (mut objects, mut young) = (Vec::new(), 0);
        for object in stored {
            if needed.contains(&object.digest) {
                continue;
            }
            if object.written < before {
                objects.push((object.digest, object.size));
            } else {
                young += 1;
            }
        }
        Ok((objects, young))
    }

    fn leftovers(&self) -> Result<Vec<PathBuf>, RegistryError> {
        let mut files = self.blobs().leftovers()?;
        let folder = self.path();
        for folder in folder
            .iter()
            .flat_map(|f| [f.to_path_buf(), f.join("cache")])
        {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            // As `tempfile` names what is being written.
            let cut = entries.flatten().filter(|entry| {
                let name = entry.file_name();
                name.to_string_lossy().starts_with(".tmp") && entry.path().is_file()
            });
            files.extend(cut.map(|entry| entry.path()));
        }
        Ok(files)
    }
}
