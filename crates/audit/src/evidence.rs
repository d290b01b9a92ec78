//! What an auditor wants to see of a request besides its record: the data that its models learnt, their cards,
//! the purge, the signature, the whole log's chain.

use std::collections::BTreeMap;

use disinherit::certificate::PublicKey;
use disinherit::registry::{
    CardRow, Digest, ErasureId, ErasureStep, LossCheck, OperationRecord, OperationRow, PurgeRecord,
    Registry, check_chain,
};
use disinherit::umig::{ModelId, Role, SampleSet, Training};
use disinherit_desk::Desk;

use crate::error::AuditError;
use crate::record::Record;

/// What models were trained on, in words.
type Trained = Vec<(ModelId, String)>;

/// The FIM cards of models.
type Carded = Vec<(ModelId, CardRow)>;

/// A request with all that proves something.
pub struct Evidence {
    /// The request itself.
    pub record: Record,
    /// The data that initial models were trained on, in words.
    pub data: Trained,
    /// The FIM cards of initial models that are there.
    pub cards: Carded,
    /// What was deleted, by which entry of the log.
    pub purge: Option<(OperationRow, PurgeRecord)>,
    /// The key that signed the certificate.
    pub key: Option<SigningKey>,
    /// What is wrong with the log; nothing where its chain is whole.
    pub altered: Vec<String>,
    /// The whole log.
    pub(crate) log: Vec<OperationRow>,
}

/// The key that signed a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id.
    pub id: String,
    /// The public key, where the log has it.
    pub public: Option<PublicKey>,
}

impl Evidence {
    /// Reads all that proves something of a request.
    ///
    /// # Errors
    /// [`AuditError`] when there is no such request, or something of it cannot be read.
    pub fn read(desk: &Desk<'_>, id: ErasureId) -> Result<Self, AuditError> {
        let registry = desk.registry();
        let record = Record::read(desk, id)?;
        let log = registry.operations()?;
        let altered = check_chain(&log);
        let (mut purge, mut key) = (None, None);
        for row in &record.history {
            match row.record()? {
                OperationRecord::Purge(deleted) => purge = Some((row.clone(), deleted)),
                OperationRecord::Erasure(step) => {
                    if let ErasureStep::Certify {
                        key: id,
                        public_key,
                        ..
                    } = step.step
                    {
                        // One that cannot be read was altered, which the chain tells.
                        let public = public_key.and_then(|text| PublicKey::from_pem(&text).ok());
                        key = Some(SigningKey { id, public });
                    }
                }
                _ => {}
            }
        }
        // What was signed for a run that was undone is no certificate of the request any more.
        key = key.filter(|_| record.erasure.certificate.is_some());
        let (data, cards) = learnt(registry, &record)?;
        Ok(Self {
            record,
            data,
            cards,
            purge,
            key,
            altered,
            log,
        })
    }

    /// The last entry of the log.
    pub fn last(&self) -> Option<&OperationRow> {
        self.log.last()
    }

    /// The largest loss of retained accuracy that was measured, in points, and for how many models there is one.
    pub fn loss(&self) -> Option<(f64, usize)> {
        let losses = self.record.outcomes.iter();
        let losses =
            losses.filter_map(|outcome| outcome.loss.as_ref().and_then(LossCheck::measured));
        let losses: Vec<f64> = losses.map(|loss| 100.0 * loss.loss()).collect();
        let largest = losses.iter().copied().reduce(f64::max)?;
        Some((largest, losses.len()))
    }
}

/// What the initial models of a request were trained on, and their FIM cards.
fn learnt(registry: &Registry, record: &Record) -> Result<(Trained, Carded), AuditError> {
    let scoped = record.scope.iter().flat_map(|(scope, _)| &scope.models);
    let initial = scoped.filter(|model| model.role == Role::Initial);
    let initial: BTreeMap<&ModelId, Digest> =
        initial.map(|model| (&model.model, model.digest)).collect();
    let (mut data, mut cards) = (Vec::new(), Vec::new());
    if initial.is_empty() {
        return Ok((data, cards));
    }
    let mut by_model: BTreeMap<Digest, Vec<CardRow>> = BTreeMap::new();
    for card in registry.all_cards()? {
        by_model.entry(card.model).or_default().push(card);
    }
    let rows = registry.models()?.into_iter();
    let rows: BTreeMap<ModelId, Vec<Training>> = rows
        .filter(|row| initial.contains_key(&row.vertex.id))
        .map(|row| (row.vertex.id, row.vertex.training))
        .collect();
    for (id, digest) in initial {
        let trainings = rows.get(id).into_iter().flatten();
        data.extend(trainings.map(|training| (id.clone(), training_in_words(training))));
        let own = by_model.get(&digest).into_iter().flatten();
        cards.extend(own.map(|card| (id.clone(), card.clone())));
    }
    Ok((data, cards))
}

/// What a model was trained on, in words.
pub fn training_in_words(training: &Training) -> String {
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
