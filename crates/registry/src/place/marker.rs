//! What a registry says of itself, in `registry.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object_store::path::Path as Place;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::RegistryError;
use crate::place::storage::{Patience, Storage};

/// The registry format that this version writes, and the newest that it reads.
pub const FORMAT: u64 = 4;

pub(crate) const FOLDER: &str = ".disinherit";
pub(crate) const MARKER: &str = "registry.json";

/// What a registry says of itself, in `registry.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) format: u64,
    pub(crate) tool: String,
    /// The address of the catalog, without a password, where it is not a file in the registry's
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) catalog: Option<String>,
}

impl Marker {
    pub(crate) fn new(catalog: Option<String>) -> Self {
        Self {
            format: FORMAT,
            tool: format!("disinherit {}", env!("CARGO_PKG_VERSION")),
            catalog,
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RegistryError> {
        serde_json::to_vec_pretty(self).map_err(unreadable)
    }

    /// Reads it, and refuses what a newer version wrote.
    pub(crate) fn from_bytes(bytes: &[u8], registry: &str) -> Result<Self, RegistryError> {
        let marker: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        if marker.format > FORMAT {
            return Err(RegistryError::Newer {
                path: registry.into(),
                found: marker.format,
                known: FORMAT,
            });
        }
        Ok(marker)
    }
}

fn unreadable(error: serde_json::Error) -> RegistryError {
    RegistryError::Document {
        what: MARKER.into(),
        reason: error.to_string(),
    }
}

/// The marker of a registry at an address of shared storage, if there is a registry. An address that leads nowhere
/// is told within seconds; a server that answers, if only that it is busy, is waited for.
pub(crate) async fn find_marker(
    url: &Url,
    settings: &BTreeMap<String, String>,
) -> Result<Option<Marker>, RegistryError> {
    let first = Storage::open(url, settings, Patience::Short)?;
    match read_marker(&first).await {
        Err(RegistryError::Objects(object_store::Error::Generic { .. })) => {
            read_marker(&Storage::open(url, settings, Patience::Long)?).await
        }
        told => told,
    }
}

/// The marker of a registry on shared storage, if there is a registry.
async fn read_marker(storage: &Storage) -> Result<Option<Marker>, RegistryError> {
    let read = async {
        let result = storage.objects.get(&Place::from(MARKER)).await?;
        result.bytes().await
    };
    match read.await {
        Ok(bytes) => Marker::from_bytes(&bytes, &storage.site.location).map(Some),
        Err(error @ object_store::Error::NotFound { .. }) => {
            // Some servers say the same of an object and of a bucket that is not there.
            storage.check_bucket(error).await?;
            Ok(None)
        }
        Err(error) => Err(storage.site.explain(error)),
    }
}

/// Writes the marker of a registry on shared storage.
pub(crate) async fn write_marker(storage: &Storage, marker: &Marker) -> Result<(), RegistryError> {
    let options = PutOptions::from(PutMode::Overwrite);
    let bytes = marker.to_bytes()?;
    let place = Place::from(MARKER);
    let put = storage.objects.put_opts(&place, bytes.into(), options);
    put.await.map_err(|error| storage.site.explain(error))?;
    Ok(())
}

/// The registry's folder, given it or the folder that it is in.
pub(crate) fn folder_of(folder: &Path) -> PathBuf {
    if folder.join(MARKER).exists() {
        folder.to_owned()
    } else {
        folder.join(FOLDER)
    }
}
