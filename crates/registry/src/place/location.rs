//! Addresses of registries and catalogs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use crate::error::RegistryError;

/// A registry's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder, with the registry in it or in its `.disinherit`.
    Folder(PathBuf),
    /// Shared storage, such as `s3://bucket/path`.
    Storage {
        /// Its address.
        url: Url,
        /// The storage's settings (`aws_region`, `aws_endpoint`, keys), by name.
        settings: BTreeMap<String, String>,
    },
}

impl Location {
    /// Reads an address: a URL with a scheme that is known, or else a folder.
    ///
    /// # Errors
    /// [`RegistryError::Address`] for a scheme that is not known, or an address that names no bucket.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::Folder(text.into()));
        };
        let refuse = |reason: String| RegistryError::Address {
            address: text.to_owned(),
            what: "registry",
            reason,
        };
        let url: Url = text
            .parse()
            .map_err(|error: url::ParseError| refuse(error.to_string()))?;
        match scheme {
            "file" => url
                .to_file_path()
                .map(Self::Folder)
                .map_err(|()| refuse("it is no folder of this machine".into())),
            "s3" | "s3a" if url.host_str().is_none_or(str::is_empty) => {
                Err(refuse("it names no bucket".into()))
            }
            "s3" | "s3a" => Ok(Self::Storage {
                url,
                settings: BTreeMap::new(),
            }),
            _ => Err(refuse(format!("registries cannot be at `{scheme}://`"))),
        }
    }

    /// The same place with settings of the storage, by their names in the environment
    /// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`). Names that do
    /// not start with `AWS_` are left out, so that a whole environment can be given. A folder has no
    /// settings.
    #[must_use]
    pub fn with_settings(mut self, list: impl IntoIterator<Item = (String, String)>) -> Self {
        if let Self::Storage { settings, .. } = &mut self {
            let list = list
                .into_iter()
                .filter(|(name, _)| name.starts_with("AWS_"));
            settings.extend(list.map(|(name, value)| (name.to_ascii_lowercase(), value)));
        }
        self
    }
}

/// The address of a catalog without its password, to be written down.
pub(crate) fn without_password(address: &str) -> Result<String, RegistryError> {
    let refuse = |address: &str, reason: String| RegistryError::Address {
        address: address.to_owned(),
        what: "catalog",
        reason,
    };
    // Text that is no URL may still have a password in it.
    let mut url: Url = address
        .parse()
        .map_err(|error: url::ParseError| refuse("...", error.to_string()))?;
    // Fails for addresses without a host only, which have no password.
    let _ = url.set_password(None);
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        let reason = format!("catalogs cannot be at `{}:`", url.scheme());
        return Err(refuse(url.as_str(), reason));
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::Hint;

    #[test]
    fn addresses_are_told_apart() {
        let folder = |text: &str| Location::Folder(text.into());
        assert_eq!(Location::parse("models").unwrap(), folder("models"));
        assert_eq!(Location::parse("file:///a/b").unwrap(), folder("/a/b"));
        assert!(matches!(
            Location::parse("s3://bucket/a").unwrap(),
            Location::Storage { .. }
        ));
        for bad in ["gs://bucket/a", "http://x/y", "s3://", "s3:///a"] {
            let refused = Location::parse(bad).unwrap_err();
            assert_eq!(refused.hint(), Some(Hint::GiveLocation), "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_written_down() {
        assert_eq!(
            without_password("postgres://me:secret@host/db").unwrap(),
            "postgres://me@host/db"
        );
        for bad in ["mysql://me:secret@host/db", "models"] {
            let refused = without_password(bad).unwrap_err();
            assert_eq!(refused.hint(), Some(Hint::GiveCatalog));
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }

    #[test]
    fn only_the_settings_of_the_storage_are_kept() {
        let settings = [("AWS_REGION", "eu"), ("HOME", "/root")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let place = Location::parse("s3://bucket/a").unwrap();
        let Location::Storage { settings, .. } = place.with_settings(settings) else {
            panic!("another place");
        };
        assert_eq!(
            settings,
            [("aws_region".to_owned(), "eu".to_owned())].into()
        );
    }
}
