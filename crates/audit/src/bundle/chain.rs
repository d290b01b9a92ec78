//! The part of the log that concerns a request, entry by entry as it was hashed.

use std::collections::BTreeSet;

use disinherit::registry::{OperationId, OperationRow};

use super::files::Files;
use crate::evidence::Evidence;

/// The digests of the entries, as `b3sum` reads them.
pub(super) const SUMS: &str = "log/B3SUMS";

/// Entries of the log in their order.
pub(super) struct Excerpt<'a> {
    entries: Vec<&'a OperationRow>,
}

impl<'a> Excerpt<'a> {
    /// The entries of a request; with those of others that lie between them where the whole chain is asked for.
    pub(super) fn new(evidence: &'a Evidence, whole: bool) -> Self {
        let history = &evidence.record.history;
        let own: BTreeSet<OperationId> = history.iter().map(|row| row.id).collect();
        let (first, last) = (own.first().copied(), own.last().copied());
        let between = |row: &&OperationRow| Some(row.id) >= first && Some(row.id) <= last;
        let log = evidence.log.iter().filter(between);
        Self {
            entries: log.filter(|row| whole || own.contains(&row.id)).collect(),
        }
    }

    /// Adds each entry as the text that its hash is over, and the hashes as the log has them.
    pub(super) fn add_to(&self, files: &mut Files) {
        let mut sums = String::new();
        for row in &self.entries {
            let name = format!("log/{}.json", row.id);
            sums.push_str(&format!("{}  {name}\n", row.hash));
            files.add(&name, row.hashed_text());
        }
        files.add(SUMS, sums);
    }

    /// Whether an entry is among them.
    pub(super) fn has(&self, number: OperationId) -> bool {
        self.entries.iter().any(|row| row.id == number)
    }

    /// The runs of entries that are left out, each with its first and its last one.
    pub(super) fn gaps(&self) -> Vec<(i64, i64)> {
        let numbers = self.entries.iter().map(|row| row.id.get());
        let pairs = numbers.clone().zip(numbers.skip(1));
        let apart = pairs.filter(|(before, after)| before + 1 < *after);
        apart
            .map(|(before, after)| (before + 1, after - 1))
            .collect()
    }
}
