//! Shared storage, and what its errors mean.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
#[cfg(feature = "s3")]
use std::time::Duration;

use futures::StreamExt;
use object_store::ObjectStore;
use url::Url;

use crate::error::RegistryError;

/// How long a storage may be away in the middle of work. Requests are not signed anew meanwhile.
#[cfg(feature = "s3")]
const AWAY: Duration = Duration::from_secs(180);

/// Objects on shared storage, under a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) site: Site,
}

/// What errors of a storage are told with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    /// The address of the registry.
    pub(crate) location: String,
    bucket: String,
    endpoint: Option<String>,
}

/// How long a storage is asked that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For the first question: a wrong address is told within seconds.
    Short,
    /// For work: a server may be away for minutes.
    Long,
}

impl Storage {
    /// The storage behind an address, with its prefix.
    ///
    /// # Errors
    /// [`RegistryError::Unsupported`] in a build without such storage, [`RegistryError::Objects`]
    /// when the settings make no sense.
    #[cfg(feature = "s3")]
    pub(crate) fn open(
        url: &Url,
        settings: &BTreeMap<String, String>,
        patience: Patience,
    ) -> Result<Self, RegistryError> {
        use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
        use object_store::prefix::PrefixStore;
        use object_store::{BackoffConfig, ObjectStoreScheme, RetryConfig};

        let (_, prefix) = ObjectStoreScheme::parse(url).map_err(object_store::Error::from)?;
        let mut builder = AmazonS3Builder::new().with_url(url.as_str());
        for (name, value) in settings {
            if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        builder = builder.with_retry(match patience {
            Patience::Short => RetryConfig {
                max_retries: 2,
                retry_timeout: Duration::from_secs(10),
                ..RetryConfig::default()
            },
            // Pauses are drawn between the first one and this multiple of the one before: by the default of 2
            // they do not grow, and ten of them are over within two seconds.
            Patience::Long => RetryConfig {
                backoff: BackoffConfig {
                    base: 4.0,
                    max_backoff: Duration::from_secs(5),
                    ..BackoffConfig::default()
                },
                max_retries: 1000,
                retry_timeout: AWAY,
            },
        });
        let endpoint = ["aws_endpoint", "aws_endpoint_url", "aws_endpoint_url_s3"];
        let site = Site {
            location: url.to_string(),
            bucket: url.host_str().unwrap_or_default().to_owned(),
            endpoint: endpoint
                .iter()
                .find_map(|name| settings.get(*name))
                .cloned(),
        };
        let built = builder.build().map_err(|error| site.explain(error))?;
        Ok(Self {
            objects: Arc::new(PrefixStore::new(built, prefix)),
            site,
        })
    }

    /// This build has no support for shared storage.
    ///
    /// # Errors
    /// [`RegistryError::Unsupported`].
    #[cfg(not(feature = "s3"))]
    pub(crate) fn open(
        _: &Url,
        _: &BTreeMap<String, String>,
        _: Patience,
    ) -> Result<Self, RegistryError> {
        Err(RegistryError::Unsupported {
            scheme: "s3",
            feature: "s3",
        })
    }

    /// Whether the bucket is there, after an object was not found.
    ///
    /// # Errors
    /// [`RegistryError::NoBucket`], or why the bucket cannot be looked into.
    pub(crate) async fn check_bucket(
        &self,
        missing: object_store::Error,
    ) -> Result<(), RegistryError> {
        if let known @ RegistryError::NoBucket { .. } = self.site.explain(missing) {
            return Err(known);
        }
        let first = self.objects.list(None).next().await;
        match first {
            Some(Err(error)) => Err(self.site.explain(error)),
            _ => Ok(()),
        }
    }
}

impl Site {
    /// What an error of the storage means.
    pub(crate) fn explain(&self, error: object_store::Error) -> RegistryError {
        let text = error.to_string();
        if self.location.is_empty() {
            return error.into();
        }
        if text.contains("NoSuchBucket") {
            return RegistryError::NoBucket {
                bucket: self.bucket.clone(),
                endpoint: self.endpoint.clone(),
            };
        }
        // Where no keys are given, the machine is asked for some at this address.
        if text.contains("169.254.169.254") {
            return RegistryError::Denied {
                location: self.location.clone(),
                reason: "no credentials were given, and this machine has none of its own".into(),
            };
        }
        let denied = matches!(
            error,
            object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
        );
        if denied || text.contains("AccessDenied") {
            return RegistryError::Denied {
                location: self.location.clone(),
                reason: said(&text).unwrap_or_else(|| "it gives no reason".into()),
            };
        }
        match unreachable(&error) {
            Some(reason) => RegistryError::Unreachable {
                location: self.location.clone(),
                endpoint: self.endpoint.clone(),
                reason,
            },
            None => error.into(),
        }
    }
}

/// The code and the message of a server's answer, which is XML.
fn said(text: &str) -> Option<String> {
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        let (inside, _) = rest.split_once(&format!("</{tag}>"))?;
        Some(inside.to_owned())
    };
    match (between("Code"), between("Message")) {
        (Some(code), Some(message)) => Some(format!("{message} ({code})")),
        (code, message) => code.or(message),
    }
}

/// Why a server cannot be reached, if that is what the error says: the innermost reason.
#[cfg(feature = "s3")]
fn unreachable(error: &object_store::Error) -> Option<String> {
    use object_store::client::{HttpError, HttpErrorKind};

    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    let mut reason = None;
    let mut reached = true;
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            reached = !matches!(http.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout);
        }
        reason = Some(error.to_string());
        source = error.source();
    }
    reason.filter(|_| !reached)
}

#[cfg(not(feature = "s3"))]
fn unreachable(_: &(dyn Error + 'static)) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_servers_are_told_in_words() {
        let answer = "<?xml?><Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message>";
        let words = said(answer);
        assert_eq!(words.as_deref(), Some("no such key (InvalidAccessKeyId)"));
        assert_eq!(said("<Code>SlowDown</Code>").as_deref(), Some("SlowDown"));
        assert_eq!(said("nothing"), None);
    }
}
