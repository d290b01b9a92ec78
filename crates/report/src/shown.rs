//! The method that a page shows in detail.

use disinherit_lab::{Compared, MethodKind, MethodResult, Study, Variant};

/// Matching where samples were matched, else plain FIUn, or, where a baseline answered the request, that
/// baseline.
pub(crate) fn shown(study: &Study) -> Option<&MethodResult> {
    let first = || study.results.iter().find(|r| r.failed.is_none());
    let matching = study.result(MethodKind::Matching.into());
    matching
        .or_else(|| study.result(Variant::default()))
        .or_else(first)
}

/// Every model before, after that method, and retrained.
pub(crate) fn compared(study: &Study) -> Vec<Compared> {
    let shown = shown(study);
    let mut list = study.compared();
    for (compared, model) in list.iter_mut().zip(&study.models) {
        if let Some(after) = shown.and_then(|result| result.model(&model.id)) {
            compared.after = after.verdicts.scores;
            compared.parameters_changed = after.outcome.selection().changed;
            if let Some(digest) = after.outcome.digest_after {
                compared.digest_after = digest;
            }
        }
    }
    list
}
