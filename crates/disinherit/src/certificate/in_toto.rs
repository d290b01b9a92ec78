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
    /// It was not made, or falls short of what nobody asked for.
    Warned,
    Failed,
}

/// The tests of a version, each with the name by which a summary states it.
const TESTS: [(&str, &str); 4] = [
    ("outputs", "DISINHERIT_FORGOTTEN_OUTPUTS"),
    ("features", "DISINHERIT_FORGOTTEN_FEATURES"),
    (
        "indistinguishable",
        "DISINHERIT_FORGOTTEN_INDISTINGUISHABLE",
    ),
    ("retained accuracy", "DISINHERIT_RETAINED_ACCURACY"),
];

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

/// A test: the version, the test by its place in [`TESTS`], and how it went.
type Test<'a> = (&'a CertifiedModel, usize, Went);

fn tests(certificate: &Certificate) -> Vec<Test<'_>> {
    let mut tests = Vec::new();
    for model in &certificate.models {
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
        tests.push((model, 0, outputs));
        if verdict.is_some_and(|verdict| verdict.inside.is_some()) {
            tests.push((model, 1, reached(Judgement::Features)));
            tests.push((model, 2, reached(Judgement::Indistinguishable)));
        }
        let loss = model.loss.as_ref().and_then(LossCheck::measured);
        let within = certificate.loss_bound.zip(loss);
        let within = within.map(|(bound, loss)| loss.excess(bound.target) <= 0.0);
        tests.push((
            model,
            3,
            match within {
                Some(true) => Went::Passed,
                // More was lost, which the user accepted, or it was not measured.
                Some(false) | None => Went::Warned,
            },
        ));
    }
    tests
}

fn test_result(statement: &Statement, tests: &[Test<'_>], file: &[u8]) -> Value {
    let names = |wanted: Went| -> Vec<String> {
        let found = tests.iter().filter(|(_, _, went)| *went == wanted);
        found
            .map(|(model, test, _)| format!("{}: {}", model.after, TESTS[*test].0))
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
            "mediaType": "application/vnd.in-toto+dsse",
            "annotations": {"predicateType": statement.predicate_type},
        }],
        "passedTests": names(Went::Passed),
        "warnedTests": names(Went::Warned),
        "failedTests": names(Went::Failed),
    })
}

/// What holds for every version.
fn summary(certificate: &Certificate, tests: &[Test<'_>]) -> Value {
    let versions = certificate.models.len();
    let holds = |place: &usize| {
        let passed = |test: &&Test<'_>| test.1 == *place && test.2 == Went::Passed;
        versions > 0 && tests.iter().filter(passed).count() == versions
    };
    let properties: Vec<&str> = (0..TESTS.len())
        .filter(holds)
        .map(|at| TESTS[at].1)
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
