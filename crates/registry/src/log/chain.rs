//! The chain of the log's entries, and what it says of operations that were taken back.

use crate::ids::OperationId;
use crate::log::entry::OperationRow;
use crate::log::record::OperationRecord;

/// Looks for entries that were altered, taken out or put in: each with what is wrong with it.
pub fn check_chain(rows: &[OperationRow]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut number, mut hash) = (OperationId::default(), "");
    for row in rows {
        if row.id != number.next() {
            found.push(format!(
                "the log goes from operation {number} to {}: entries have been taken out",
                row.id
            ));
        } else if row.previous != hash {
            found.push(format!(
                "operation {} does not follow from the one before: that one is not what it was",
                row.id
            ));
        }
        if row.hash != row.expected_hash() {
            found.push(format!(
                "operation {} (`{}`) has been altered: its hash is another",
                row.id, row.command
            ));
        }
        (number, hash) = (row.id, &row.hash);
    }
    found
}

/// The operation that took another one back, if one did.
pub fn undone_by(log: &[OperationRow], number: OperationId) -> Option<OperationId> {
    log.iter()
        .filter(|row| row.command == "undo")
        .find(
            |row| matches!(row.record(), Ok(OperationRecord::Undo(undo)) if undo.undoes == number),
        )
        .map(|row| row.id)
}
