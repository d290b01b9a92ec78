//! The files of a bundle, by their names.

use std::collections::BTreeMap;

use disinherit::certificate::sha256;
use serde::Serialize;

use crate::error::AuditError;

/// The digests of all files but itself, as `sha256sum` reads them.
pub(super) const SUMS: &str = "SHA256SUMS";

/// Files by their names, with slashes between folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    pub(super) fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.insert(name.to_owned(), bytes.into());
    }

    pub(super) fn add_json(
        &mut self,
        name: &str,
        document: &impl Serialize,
    ) -> Result<(), AuditError> {
        let mut text = serde_json::to_vec_pretty(document)?;
        text.push(b'\n');
        self.add(name, text);
        Ok(())
    }

    /// Adds the digests of all files that are there.
    pub(super) fn add_sums(&mut self) {
        let line = |(name, bytes): (&str, &[u8])| format!("{}  {name}\n", sha256(bytes));
        let text: String = self.iter().map(line).collect();
        self.add(SUMS, text);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, bytes)| (name.as_str(), &bytes[..]))
    }
}
