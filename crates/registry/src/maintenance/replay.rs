//! Erasure requests as the log has them: taking every step again, and comparing with the catalog.

use std::collections::BTreeMap;

use crate::erasures::concern::{Concern, concern_of};
use crate::erasures::request::{ErasureRequest, Stamp};
use crate::erasures::step::ErasureStep;
use crate::ids::ErasureId;
use crate::log::entry::OperationRow;

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
        let stamp = Stamp::from_row(row);
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
