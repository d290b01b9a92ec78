//! What an auditor wants to see of a request besides its record: the data that its models learnt, their cards,
//! the purge, the signature, the whole log's chain.

use disinherit::registry::{
    CardRow, ErasureId, ErasureStep, LossCheck, OperationRecord, OperationRow, PurgeRecord,
    Registry, check_chain,
};
use disinherit::umig::{ModelId, Role, SampleSet, Training};
use disinherit_desk::Desk;

use super::record::Record;
use crate::problem::Problem;

/// The most initial models whose data and cards are listed.
const LISTED: usize = 100;

/// A request with all that proves something.
pub(super) struct Evidence {
    pub(super) record: Record,
    /// The data that initial models were trained on.
    pub(super) data: Vec<(ModelId, String)>,
    /// The FIM cards of initial models that are there.
    pub(super) cards: Vec<(ModelId, CardRow)>,
    /// What was deleted, by which entry of the log.
    pub(super) purge: Option<(OperationRow, PurgeRecord)>,
    /// The id of the key that signed the certificate.
    pub(super) key: Option<String>,
    /// The last entry of the log.
    pub(super) last: Option<OperationRow>,
    /// What is wrong with the log.
    pub(super) altered: Vec<String>,
}

impl Evidence {
    pub(super) fn read(
        desk: &Desk<'_>,
        registry: &Registry,
        id: ErasureId,
    ) -> Result<Self, Problem> {
        let record = Record::read(desk, registry, id)?;
        let mut log = registry.operations()?;
        let altered = check_chain(&log);
        let (mut purge, mut key) = (None, None);
        for row in &record.history {
            match row.record()? {
                OperationRecord::Purge(deleted) => purge = Some((row.clone(), deleted)),
                OperationRecord::Erasure(step) => {
                    if let ErasureStep::Certify { key: id, .. } = step.step {
                        key = Some(id);
                    }
                }
                _ => {}
            }
        }
        let (mut data, mut cards) = (Vec::new(), Vec::new());
        let scoped = record.scope.iter().flat_map(|(scope, _)| &scope.models);
        let initial = scoped.filter(|model| model.role == Role::Initial);
        for model in initial.take(LISTED) {
            let row = registry.model(&model.model)?;
            let trainings = row.iter().flat_map(|row| &row.vertex.training);
            data.extend(trainings.map(|training| (model.model.clone(), in_words(training))));
            let own = registry.cards(model.digest)?.into_iter();
            cards.extend(own.map(|card| (model.model.clone(), card)));
        }
        Ok(Self {
            record,
            data,
            cards,
            purge,
            key,
            last: log.pop(),
            altered,
        })
    }

    /// The largest loss of retained accuracy that was measured, in points, and for how many models there is one.
    pub(super) fn loss(&self) -> Option<(f64, usize)> {
        let losses = self.record.outcomes.iter();
        let losses =
            losses.filter_map(|outcome| outcome.loss.as_ref().and_then(LossCheck::measured));
        let losses: Vec<f64> = losses.map(|loss| 100.0 * loss.loss()).collect();
        let largest = losses.iter().copied().reduce(f64::max)?;
        Some((largest, losses.len()))
    }
}

/// What a model was trained on.
pub(in crate::page) fn in_words(training: &Training) -> String {
    let samples = match &training.samples {
        SampleSet::All => "all samples".to_owned(),
        SampleSet::Unknown => "samples not recorded".to_owned(),
        other => match other.count() {
            Some(count) => format!("{count} samples"),
            None => "samples not recorded".to_owned(),
        },
    };
    let digest = training.digest.as_ref();
    let digest = digest.map_or(String::new(), |digest| format!(", digest {digest}"));
    format!("{training}, {samples}{digest}")
}
