//! Models that were taken out of use without a successor.

use std::collections::BTreeMap;

use umig::ModelId;

use crate::ids::RequestId;
use crate::log::entry::OperationRow;
use crate::log::record::OperationRecord;

/// The versions that are retired, by the log, each with the request that did it; those that were brought
/// back are not among them.
pub(crate) fn retired_versions(log: &[OperationRow]) -> BTreeMap<ModelId, RequestId> {
    let mut retired = BTreeMap::new();
    for row in log {
        for id in &row.made.restored {
            retired.remove(id);
        }
        // Records are long: only those are read that can name one.
        if row.command != "unlearn" || row.made.superseded.len() == row.made.models.len() {
            continue;
        }
        if let Ok(OperationRecord::Unlearn(record)) = row.record() {
            let models = record.retired.into_iter();
            retired.extend(models.map(|gone| (gone.model, record.id.clone())));
        }
    }
    retired
}
