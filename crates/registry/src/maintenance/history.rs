//! The log's chain, and the catalog against what the log says that it must hold.

use std::collections::{BTreeMap, BTreeSet};

use umig::ModelId;

use crate::catalog::rows::ModelRow;
use crate::digest::Digest;
use crate::log::chain::check_chain;
use crate::log::entry::OperationRow;

/// Something that is not what it was, and the versions that it concerns.
type Finding = (String, BTreeSet<ModelId>);

/// A version as the log or the catalog has it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    manifest: Digest,
    superseded: bool,
    purged: bool,
}

/// Entries of the log that were altered, and versions that are not in the catalog as the log says.
pub(super) fn contradictions(log: &[OperationRow], rows: &[ModelRow]) -> Vec<Finding> {
    let mut found: Vec<Finding> = check_chain(log)
        .into_iter()
        .map(|what| (what, BTreeSet::new()))
        .collect();
    // Entries from before the log kept what was made say nothing of the catalog.
    let makes = |row: &OperationRow| {
        let command = row.command.as_str();
        !matches!(command, "undo" | "purge") && !command.starts_with("request ")
    };
    let old = log.iter().any(|row| row.stored.made == "{}" && makes(row));
    let mut expected = expected(log);
    for row in rows {
        let id = &row.vertex.id;
        let here = Version {
            manifest: row.manifest,
            superseded: row.vertex.superseded,
            purged: row.purged,
        };
        let what = match expected.remove(id) {
            Some(logged) if logged.manifest != here.manifest => format!(
                "`{id}` has the digest {}, by the log it was published with {}",
                here.manifest, logged.manifest
            ),
            Some(logged) if logged != here => {
                format!("`{id}` is not in the state that the log says")
            }
            None if !old => {
                format!("`{id}` is in the catalog, but no operation of the log made it")
            }
            _ => continue,
        };
        found.push((what, BTreeSet::from([id.clone()])));
    }
    for id in expected.into_keys() {
        let what = format!("`{id}` was published by the log, but the catalog lacks it");
        found.push((what, BTreeSet::from([id])));
    }
    found
}

/// The versions that there must be by the log.
fn expected(log: &[OperationRow]) -> BTreeMap<ModelId, Version> {
    let mut expected = BTreeMap::new();
    for row in log {
        for id in &row.made.removed {
            expected.remove(id);
        }
        for (id, digest) in &row.made.models {
            let version = Version {
                manifest: *digest,
                superseded: false,
                purged: false,
            };
            expected.insert(id.clone(), version);
        }
        for (list, superseded, purged) in [
            (&row.made.restored, false, false),
            (&row.made.superseded, true, false),
            (&row.made.purged, true, true),
        ] {
            for id in list {
                if let Some(version) = expected.get_mut(id) {
                    (version.superseded, version.purged) = (superseded, purged);
                }
            }
        }
    }
    expected
}
