//! Checking erasure requests: against the log, which alone decides what they are, and their objects.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::erasures::concern::{Concern, concern_of};
use crate::erasures::request::{ErasureRequest, Stamp};
use crate::erasures::step::ErasureStep;
use crate::error::RegistryError;
use crate::ids::ErasureId;
use crate::log::entry::OperationRow;
use crate::maintenance::fsck::Check;

/// Steps that the log should not have, and requests that are not in the catalog as the log says.
pub(super) fn contradictions(log: &[OperationRow], known: &[ErasureRequest]) -> Vec<String> {
    let (expected, mut found) = replay(log);
    let known: BTreeMap<ErasureId, &ErasureRequest> =
        known.iter().map(|erasure| (erasure.id, erasure)).collect();
    for (id, erasure) in &expected {
        match known.get(id) {
            None => found.push(format!(
                "request {id} is in the log, but the catalog lacks it"
            )),
            Some(known) if *known != erasure => {
                found.push(format!("request {id} is not what the log says that it is"));
            }
            Some(_) => {}
        }
    }
    for id in known.keys().filter(|id| !expected.contains_key(id)) {
        found.push(format!(
            "request {id} is in the catalog, but no operation of the log filed it"
        ));
    }
    found
}

/// What the requests are by the log, and what the log has that cannot be.
fn replay(log: &[OperationRow]) -> (BTreeMap<ErasureId, ErasureRequest>, Vec<String>) {
    let mut erasures: BTreeMap<ErasureId, ErasureRequest> = BTreeMap::new();
    let mut found = Vec::new();
    for row in log {
        // What cannot be read is told where the chain is checked, or is of a later version.
        let Ok(record) = row.record() else { continue };
        let Some((id, concern)) = concern_of(&record) else {
            continue;
        };
        let stamp = Stamp::of(row);
        let taken = match (concern, erasures.get_mut(&id)) {
            (Concern::Step(ErasureStep::New(filing)), None) => {
                ErasureRequest::new(id, filing, stamp).map(|erasure| {
                    erasures.insert(id, erasure);
                })
            }
            (_, Some(erasure)) => erasure.apply(concern, stamp),
            (_, None) => {
                found.push(format!(
                    "operation {} is a step of request {id}, which was not filed before",
                    row.id
                ));
                continue;
            }
        };
        if let Err(refusal) = taken {
            found.push(format!(
                "operation {} is no step that request {id} could take: {refusal}",
                row.id
            ));
        }
    }
    (erasures, found)
}

impl Check<'_> {
    /// Reads every object that erasure requests speak of, and every block of their lists of samples.
    pub(super) fn erasures(&mut self, erasures: &[ErasureRequest]) -> Result<(), RegistryError> {
        let mut objects: BTreeMap<Digest, BTreeSet<_>> = BTreeMap::new();
        let mut lists = Vec::new();
        for erasure in erasures {
            lists.extend(erasure.list()?);
            let spoken_of = erasure.objects.iter().copied();
            objects.extend(spoken_of.map(|digest| (digest, BTreeSet::new())));
        }
        objects.extend(lists.iter().map(|list| (*list, BTreeSet::new())));
        self.objects(&objects, &mut |_, _| {})?;
        let mut blocks = BTreeMap::new();
        for list in lists {
            if !self.is_whole(list) {
                continue;
            }
            match self.registry.sample_list(list) {
                Ok(index) => {
                    let digests = index.blocks.iter().map(|block| block.digest);
                    blocks.extend(digests.map(|digest| (digest, BTreeSet::new())));
                }
                Err(error) => self.found(error.to_string(), BTreeSet::new()),
            }
        }
        self.objects(&blocks, &mut |_, _| {})
    }
}
