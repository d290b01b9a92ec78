//! Where a registry is: a folder, or an address of shared storage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::path::Path as Place;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::RegistryError;

/// The registry format that this version writes, and the newest that it reads.
pub const FORMAT: u64 = 2;

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

/// A registry's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder, with the registry in it or in its `.disinherit`.
    Folder(PathBuf),
    /// Shared storage, such as `s3://bucket/path`.
    Url(Url),
}

impl Location {
    /// Reads an address: a URL with a scheme that is known, or else a folder.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] for a scheme that is not known.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::Folder(text.into()));
        };
        let url: Url = text
            .parse()
            .map_err(|error| RegistryError::Refused(format!("`{text}` is no address: {error}")))?;
        match scheme {
            "file" => url.to_file_path().map(Self::Folder).map_err(|()| {
                RegistryError::Refused(format!("`{text}` is no folder of this machine"))
            }),
            "s3" | "s3a" => Ok(Self::Url(url)),
            _ => Err(RegistryError::Refused(format!(
                "a registry cannot be at `{text}`: give a folder, file:///... or s3://bucket/path"
            ))),
        }
    }
}

/// The storage behind an address, with its prefix; keys and endpoint are taken from the environment
/// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`).
pub(crate) fn storage(url: &Url) -> Result<Arc<dyn ObjectStore>, RegistryError> {
    let options = std::env::vars()
        .filter(|(name, _)| name.starts_with("AWS_"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value));
    let (storage, prefix) = object_store::parse_url_opts(url, options)?;
    Ok(Arc::new(PrefixStore::new(storage, prefix)))
}

/// The marker of a registry on shared storage, if there is a registry.
pub(crate) async fn read_marker(
    storage: &dyn ObjectStore,
    url: &Url,
) -> Result<Option<Marker>, RegistryError> {
    match storage.get(&Place::from(MARKER)).await {
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        other => Marker::from_bytes(&other?.bytes().await?, url.as_str()).map(Some),
    }
}

/// Writes the marker of a registry on shared storage.
pub(crate) async fn write_marker(
    storage: &dyn ObjectStore,
    marker: &Marker,
) -> Result<(), RegistryError> {
    let options = PutOptions::from(PutMode::Overwrite);
    let bytes = marker.to_bytes()?;
    storage
        .put_opts(&Place::from(MARKER), bytes.into(), options)
        .await?;
    Ok(())
}

/// An address without its password, to be written down.
pub(crate) fn without_password(address: &str) -> Result<String, RegistryError> {
    let mut url: Url = address.parse().map_err(|error| {
        RegistryError::Refused(format!("the catalog's address cannot be read: {error}"))
    })?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(RegistryError::Refused(format!(
            "a catalog cannot be at a `{}:` address: give postgres://user@host/database",
            url.scheme()
        )));
    }
    // Fails for addresses without a host only, which have no password.
    let _ = url.set_password(None);
    Ok(url.into())
}

/// The registry's folder, given it or the folder that it is in.
pub(crate) fn folder_of(folder: &Path) -> PathBuf {
    if folder.join(MARKER).exists() {
        folder.to_owned()
    } else {
        folder.join(FOLDER)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let folder = |text: &str| Location::Folder(text.into());
        assert_eq!(Location::parse("models").unwrap(), folder("models"));
        assert_eq!(Location::parse("file:///a/b").unwrap(), folder("/a/b"));
        assert!(matches!(
            Location::parse("s3://bucket/a").unwrap(),
            Location::Url(_)
        ));
        for bad in ["gs://bucket/a", "http://x/y", "s3://"] {
            let parsed = Location::parse(bad);
            assert!(parsed.is_err() || bad == "s3://", "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_written_down() {
        assert_eq!(
            without_password("postgres://me:secret@host/db").unwrap(),
            "postgres://me@host/db"
        );
        assert!(without_password("mysql://host/db").is_err());
    }
}
