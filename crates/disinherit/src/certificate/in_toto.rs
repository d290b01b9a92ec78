//! What a certificate says, in the words of in-toto's own predicates, for tools that know those and not ours: the
//! results of the tests that were made of each version, and a summary of what holds for all of them.
//!
//! Specifications: <https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md> and `svr.md`
//! beside it.

use disinherit_registry::LossCheck;
use serde_json::{Value, json};

use super::document::{sha256, timestamp};
use super::envelope::Envelope;
use super::key::SecretKey;
use super::statement::{Certificate, CertifiedModel, STATEMENT, Statement};
use crate::error::EngineError;
use crate::evaluation::Judgement;

const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
const SUMMARY: &str = "https://in-toto.io/attestation/svr/v0.2";

/// How a test went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Went {
    Passed,
    /// It was not made, or falls short of something that was not asked for.
    Warned,
    Failed,
}

/// What is tested of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Outputs,
    Features,
    Indistinguishable,
    RetainedAccuracy,
}

impl Test {
    const ALL: [Self; 4] = [
        Self::Outputs,
        Self::Features,
        Self::Indistinguishable,
        Self::RetainedAccuracy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Outputs => "outputs",
            Self::Features => "features",
            Self::Indistinguishable => "indistinguishable",
            Self::RetainedAccuracy => "retained accuracy",
        }
    }

    /// The property that holds where all versions pass.
    fn property(self) -> &'static str {
        match self {
            Self::Outputs => "DISINHERIT_FORGOTTEN_OUTPUTS",
            Self::Features => "DISINHERIT_FORGOTTEN_FEATURES",
            Self::Indistinguishable => "DISINHERIT_FORGOTTEN_INDISTINGUISHABLE",
            Self::RetainedAccuracy => "DISINHERIT_RETAINED_ACCURACY",
        }
    }
}

/// A certificate as in-toto's test result and summary, signed, over the same subjects. The first points at the
/// certificate by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InToto {
    /// `https://in-toto.io/attestation/test-result/v0.1`.
    pub test_result: Envelope,
    /// `https://in-toto.io/attestation/svr/v0.2`.
    pub summary: Envelope,
}

impl InToto {
    /// Says what a certificate says, which is stored as `file`.
    ///
    /// # Errors
    /// [`EngineError::Certificate`] when the certificate was not signed with this key, or cannot be used.
    pub fn new(envelope: &Envelope, file: &[u8], key: &SecretKey) -> Result<Self, EngineError> {
        let statement = envelope.open(&key.public())?;
        let tests = tests(&statement.predicate);
        let of = |kind: &str, predicate: Value| {
            let statement = json!({
                "_type": STATEMENT,
                "subject": statement.subject,
                "predicateType": kind,
                "predicate": predicate,
            });
            Envelope::sign(&statement, key)
        };
        Ok(Self {
            test_result: of(TEST_RESULT, test_result(&statement, &tests, file))?,
            summary: of(SUMMARY, summary(&statement.predicate, &tests))?,
        })
    }
}

/// A test of a version, and how it went.
type Tested<'a> = (&'a CertifiedModel, Test, Went);

fn tests(certificate: &Certificate) -> Vec<Tested<'_>> {
    let of = |model| of_model(certificate, model);
    certificate.models.iter().flat_map(of).collect()
}

fn of_model<'a>(certificate: &Certificate, model: &'a CertifiedModel) -> Vec<Tested<'a>> {
    let mut tests = Vec::new();
    let verdict = certificate.verdicts.iter().find(|v| v.model == model.after);
    let judgement = verdict.map_or(Judgement::NotMeasured, |verdict| verdict.judgement());
    let reached = |word| match judgement.reaches(word) {
        true => Went::Passed,
        false => Went::Warned,
    };
    let outputs = match judgement {
        Judgement::Recognised => Went::Failed,
        _ => reached(Judgement::Outputs),
    };
    tests.push((model, Test::Outputs, outputs));
    if let Some(verdict) = verdict.filter(|verdict| verdict.inside.is_some()) {
        // Of single samples and sources, nothing is looked for in the features.
        if verdict.samples.is_none() {
            tests.push((model, Test::Features, reached(Judgement::Features)));
        }
        let went = reached(Judgement::Indistinguishable);
        tests.push((model, Test::Indistinguishable, went));
    }
    let loss = model.loss.as_ref().and_then(LossCheck::measured);
    let within = certificate.loss_bound.zip(loss);
    let within = within.map(|(bound, loss)| loss.excess(bound.target) <= 0.0);
    let went = match within {
        Some(true) => Went::Passed,
        // More was lost, which the user accepted, or it was not measured.
        Some(false) | None => Went::Warned,
    };
    tests.push((model, Test::RetainedAccuracy, went));
    tests
}

fn test_result(statement: &Statement, tests: &[Tested<'_>], file: &[u8]) -> Value {
    let names = |wanted: Went| -> Vec<String> {
        let found = tests.iter().filter(|(_, _, went)| *went == wanted);
        found
            .map(|(model, test, _)| format!("{}: {}", model.after, test.name()))
            .collect()
    };
    let worst = tests.iter().map(|(_, _, went)| *went).max();
    json!({
        "result": match worst {
            Some(Went::Failed) => "FAILED",
            Some(Went::Warned) | None => "WARNED",
            Some(Went::Passed) => "PASSED",
        },
        "configuration": [{
            "name": statement.predicate.request,
            "digest": {"sha256": sha256(file)},
            "mediaType": "application/vnd.dsse.envelope.v1+json",
            "annotations": {"predicateType": statement.predicate_type},
        }],
        "passedTests": names(Went::Passed),
        "warnedTests": names(Went::Warned),
        "failedTests": names(Went::Failed),
    })
}

/// What holds for every version.
fn summary(certificate: &Certificate, tests: &[Tested<'_>]) -> Value {
    let versions = certificate.models.len();
    let holds = |test: &Test| {
        let passed = |(_, other, went): &&Tested<'_>| other == test && *went == Went::Passed;
        versions > 0 && tests.iter().filter(passed).count() == versions
    };
    let properties: Vec<&str> = Test::ALL
        .into_iter()
        .filter(holds)
        .map(Test::property)
        .collect();
    json!({
        "verifier": {
            "id": "urn:disinherit:certify:1",
            "policies": [],
            "version": {"disinherit": env!("CARGO_PKG_VERSION")},
        },
        "timeCreated": timestamp(certificate.issued),
        "properties": properties,
    })
}

#[cfg(test)]
mod unit {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::certificate::statement::tests::statement;
    use crate::evaluation::{Accuracy, CertifiedVerdict, SampleVerdict, Scores, Weakest};

    fn certificate(verdict: impl Fn(umig::ModelId) -> CertifiedVerdict) -> Certificate {
        let id: umig::ModelId = "clinic@2".parse().unwrap();
        let digest = disinherit_registry::Digest::from_content(b"");
        Certificate {
            models: vec![CertifiedModel {
                before: "clinic@1".parse().unwrap(),
                after: id.clone(),
                digest_before: digest,
                digest_after: digest,
                role: umig::Role::Initial,
                parameters: Value::Null,
                changed: 1,
                loss: None,
            }],
            verdicts: vec![verdict(id)],
            ..statement().predicate
        }
    }

    fn went(certificate: &Certificate) -> Vec<(&'static str, Went)> {
        let tests = tests(certificate).into_iter();
        tests.map(|(_, test, went)| (test.name(), went)).collect()
    }

    fn scores(forget: f64) -> Scores {
        Scores {
            forget: Accuracy {
                train: Some(forget),
                heldout: Some(forget),
            },
            retain: Accuracy::default(),
        }
    }

    #[test]
    fn a_summary_claims_no_more_than_every_verdict() {
        let forgotten = certificate(|id| CertifiedVerdict::new(id, scores(0.0), 0.01));
        let outputs = [
            ("outputs", Went::Passed),
            ("retained accuracy", Went::Warned),
        ];
        assert_eq!(went(&forgotten), outputs);
        let said = summary(&forgotten, &tests(&forgotten));
        assert_eq!(said["properties"], json!(["DISINHERIT_FORGOTTEN_OUTPUTS"]));
        let mut other = certificate(|id| CertifiedVerdict::new(id, scores(0.5), 0.01));
        assert_eq!(went(&other)[0], ("outputs", Went::Failed));
        other.models.extend(forgotten.models);
        let said = summary(&other, &tests(&other));
        assert_eq!(said["properties"], json!([]));
        other.models.clear();
        assert_eq!(summary(&other, &tests(&other))["properties"], json!([]));
    }

    #[test]
    fn of_samples_nothing_is_said_about_features() {
        let found = SampleVerdict {
            forgotten: 100,
            unseen: 100,
            accuracy: [0.9, 0.9],
            loss: [0.3, 0.3],
            area: 0.5,
            interval: [0.45, 0.55],
            weakest: Weakest {
                id: "photo-7".into(),
                share: 0.9,
                above_retrained: None,
            },
        };
        let matched =
            certificate(|id| CertifiedVerdict::of_samples(id, scores(0.9), found.clone()));
        let expected = [
            ("outputs", Went::Passed),
            ("indistinguishable", Went::Passed),
            ("retained accuracy", Went::Warned),
        ];
        assert_eq!(went(&matched), expected);
    }
}
