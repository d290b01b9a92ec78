//! Models and requests as bills of materials: CycloneDX 1.7, machine-learning (<https://cyclonedx.org>).

use std::collections::{BTreeMap, BTreeSet};

use disinherit::certificate::{Certificate, CertifiedModel, sha256, timestamp};
use disinherit::evaluation::{CertifiedVerdict, Estimate};
use disinherit::model::kind;
use disinherit::registry::{
    LossCheck, Manifest, ModelOutcome, ModelRow, OperationRecord, OperationRow, Registry,
    UnlearnRecord,
};
use disinherit::umig::{ModelId, Training, Umig};
use serde_json::{Value, json};

use crate::error::ReportError;
use crate::uuid::uuid;

/// What bills of materials are made from.
pub struct Inventory<'a> {
    registry: &'a Registry,
    graph: Umig,
    rows: BTreeMap<ModelId, ModelRow>,
    /// Requests, in the order of the log.
    requests: Vec<(OperationRow, UnlearnRecord)>,
    certificate: Option<(&'a Certificate, Value)>,
}

impl<'a> Inventory<'a> {
    /// Reads what a registry says of its models and requests.
    ///
    /// # Errors
    /// [`ReportError::Engine`].
    pub fn new(registry: &'a Registry) -> Result<Self, ReportError> {
        let rows = registry.models()?.into_iter();
        let mut requests = Vec::new();
        for row in registry.operations()? {
            if let Ok(OperationRecord::Unlearn(request)) = row.record() {
                requests.push((row, *request));
            }
        }
        Ok(Self {
            registry,
            graph: registry.graph()?,
            rows: rows.map(|row| (row.vertex.id.clone(), row)).collect(),
            requests,
            certificate: None,
        })
    }

    /// With a certificate whose signature was checked, the name of its file, and its bytes: what it measured becomes
    /// metrics, and it is named as the attestation of the versions that it is about.
    #[must_use]
    pub fn with_certificate(mut self, read: &'a Certificate, name: &str, bytes: &[u8]) -> Self {
        let reference = json!({
            "type": "attestation",
            "url": escaped(name),
            "comment": format!("certificate of the request {}", read.request),
            "hashes": [{"alg": "SHA-256", "content": sha256(bytes)}],
        });
        self.certificate = Some((read, reference));
        self
    }

    /// The bill of one version, with all that it inherited from and all that inherited from it.
    ///
    /// # Errors
    /// [`ReportError::Engine`] when the registry cannot be read, [`ReportError::Unknown`] when it has no such version.
    pub fn of_model(&self, id: &ModelId, time: u64) -> Result<Value, ReportError> {
        let component = self.component(id)?;
        Ok(bill(time, Some(component), Vec::new(), Vec::new()))
    }

    /// The bill of a request: every version that it made or retired.
    ///
    /// # Errors
    /// [`ReportError::Engine`] when the registry cannot be read, [`ReportError::Unknown`] when it has no such request.
    pub fn of_request(&self, request: &str, time: u64) -> Result<Value, ReportError> {
        let mut found = self
            .requests
            .iter()
            .filter(|(_, r)| r.id.to_string() == request);
        let (row, record) = found.next().ok_or_else(|| unknown("request", request))?;
        let made = record.models.iter().map(|model| &model.after);
        let gone = record.retired.iter().map(|gone| &gone.model);
        let components = made.chain(gone).map(|id| self.component(id));
        let components = components.collect::<Result<Vec<_>, _>>()?;
        Ok(bill(time, None, components, of_request(row, record)))
    }

    /// A version in brief: what others name it by.
    fn named(&self, id: &ModelId) -> Value {
        let mut hashes = Vec::new();
        if let Some(row) = self.rows.get(id) {
            hashes.push(json!({"alg": "BLAKE3", "content": row.manifest.to_string()}));
            if let Ok(manifest) = self.registry.document(row.manifest) {
                hashes.push(json!({"alg": "SHA-256", "content": sha256(&manifest)}));
            }
        }
        json!({
            "type": "machine-learning-model",
            "name": id.name(),
            "version": id.version().to_string(),
            "hashes": hashes,
        })
    }

    fn component(&self, id: &ModelId) -> Result<Value, ReportError> {
        let row = self.rows.get(id).ok_or_else(|| unknown("model", id))?;
        let manifest = match row.purged {
            true => None,
            false => Some(self.registry.manifest(row.manifest)?),
        };
        let mut component = self.named(id);
        component["bom-ref"] = id.to_string().into();
        component["pedigree"] = self.pedigree(id)?;
        component["modelCard"] = self.model_card(row, manifest.as_ref());
        component["properties"] = self.facts(row).into();
        if let Some((_, reference)) = self.certified(id).and(self.certificate.as_ref()) {
            component["externalReferences"] = json!([reference]);
        }
        Ok(component)
    }

    /// Versions of other names above and below, and the other versions of the name.
    fn pedigree(&self, id: &ModelId) -> Result<Value, ReportError> {
        let of_others = |ids: BTreeSet<ModelId>| -> Vec<Value> {
            let others = ids.iter().filter(|other| other.name() != id.name());
            others.map(|other| self.named(other)).collect()
        };
        let versions = self.rows.keys();
        let versions = versions.filter(|other| other.name() == id.name() && *other != id);
        Ok(json!({
            "ancestors": of_others(self.graph.ancestors(id)?),
            "descendants": of_others(self.graph.descendants(id)?),
            "variants": versions.map(|other| self.named(other)).collect::<Vec<_>>(),
        }))
    }

    fn model_card(&self, row: &ModelRow, manifest: Option<&Manifest>) -> Value {
        let labels = row.vertex.labels.iter();
        let mut parameters = json!({
            "approach": {"type": "supervised"},
            "task": "classification",
            "datasets": row.vertex.training.iter().map(data_set).collect::<Vec<_>>(),
            "outputs": labels.map(|label| json!({"format": label})).collect::<Vec<_>>(),
        });
        if let Some(kind) = manifest.and_then(kind) {
            parameters["modelArchitecture"] = kind.to_string().into();
        }
        let id = &row.vertex.id;
        let verdict = self.verdict(id);
        let mut metrics: Vec<Value> = Vec::new();
        if let Some((_, _, outcome)) = self.made_by(id) {
            metrics.extend(of_loss(outcome.loss.as_ref()));
        }
        metrics.extend(verdict.into_iter().flat_map(of_verdict));
        let mut card = json!({
            "modelParameters": parameters,
            "quantitativeAnalysis": {"performanceMetrics": metrics},
        });
        let inside = verdict.and_then(|verdict| verdict.inside.as_ref());
        let findings = inside.map(|inside| &inside.findings).into_iter().flatten();
        let findings: Vec<String> = findings.map(ToString::to_string).collect();
        if !findings.is_empty() {
            card["considerations"] = json!({"technicalLimitations": findings});
        }
        card
    }

    /// The request that made a version, and what it did.
    fn made_by(&self, id: &ModelId) -> Option<(&OperationRow, &UnlearnRecord, &ModelOutcome)> {
        self.requests.iter().rev().find_map(|(row, request)| {
            let outcome = request.models.iter().find(|model| model.after == *id)?;
            Some((row, request, outcome))
        })
    }

    fn certified(&self, id: &ModelId) -> Option<&CertifiedModel> {
        let (certificate, _) = self.certificate.as_ref()?;
        let row = self.rows.get(id)?;
        let same =
            |model: &&CertifiedModel| model.after == *id && model.digest_after == row.manifest;
        certificate.models.iter().find(same)
    }

    fn verdict(&self, id: &ModelId) -> Option<&CertifiedVerdict> {
        self.certified(id)?;
        let (certificate, _) = self.certificate.as_ref()?;
        certificate
            .verdicts
            .iter()
            .find(|verdict| verdict.model == *id)
    }

    /// The facts of erasure.
    fn facts(&self, row: &ModelRow) -> Vec<Value> {
        let id = &row.vertex.id;
        let mut facts = vec![fact("state", row.state().name())];
        if let Some((operation, request, outcome)) = self.made_by(id) {
            facts.extend(of_request(operation, request));
            facts.extend([
                fact("replaces", &outcome.before),
                fact("replaces.digest", outcome.digest_before),
                fact("role", outcome.role),
                fact("changed-parameters", outcome.selection().changed),
            ]);
        }
        for (_, request) in &self.requests {
            for gone in request.retired.iter().filter(|gone| gone.model == *id) {
                facts.extend([fact("retired-by", &request.id), fact("role", gone.role)]);
            }
            for after in request.models.iter().filter(|model| model.before == *id) {
                facts.push(fact("replaced-by", &after.after));
            }
        }
        facts.extend(self.verdict(id).map(|v| fact("judgement", v.judgement())));
        facts
    }
}

fn bill(time: u64, component: Option<Value>, components: Vec<Value>, facts: Vec<Value>) -> Value {
    let tool = json!({
        "type": "application",
        "name": "disinherit",
        "version": env!("CARGO_PKG_VERSION"),
    });
    let mut metadata = json!({"timestamp": timestamp(time), "tools": {"components": [tool]}});
    if let Some(component) = component {
        metadata["component"] = component;
    }
    if !facts.is_empty() {
        metadata["properties"] = facts.into();
    }
    let content = json!({"metadata": metadata, "components": components});
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": format!("urn:uuid:{}", uuid(&sha256(content.to_string().as_bytes()))),
        "version": 1,
        "metadata": content["metadata"],
        "components": content["components"],
    })
}

/// A file's name as a relative reference (RFC 3986).
fn escaped(name: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| match keeps(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}

fn unknown(what: &str, name: impl std::fmt::Display) -> ReportError {
    ReportError::Unknown(format!("{what} `{name}`"))
}

fn fact(name: &str, value: impl ToString) -> Value {
    json!({"name": format!("disinherit:{name}"), "value": value.to_string()})
}

fn of_request(row: &OperationRow, request: &UnlearnRecord) -> Vec<Value> {
    vec![
        fact("request", &request.id),
        fact("forget", &request.request.forget),
        fact("method", &request.method),
        fact("operation", row.id),
        fact("operation.hash", &row.hash),
        fact("operation.time", timestamp(row.time)),
        fact("operation.actor", &row.actor),
    ]
}

fn data_set(training: &Training) -> Value {
    let mut facts = vec![fact("labels", training.labels.len())];
    let said = [
        ("digest", &training.digest),
        ("split", &training.split),
        ("source", &training.source),
    ];
    for (name, value) in said {
        facts.extend(value.as_ref().map(|value| fact(name, value)));
    }
    facts.extend(training.samples.count().map(|count| fact("samples", count)));
    json!({"type": "dataset", "name": training.data, "contents": {"properties": facts}})
}

fn metric(what: &str, slice: &str, value: f64) -> Value {
    json!({"type": what, "slice": slice, "value": value.to_string()})
}

/// Accuracy on retained data before and after, on the samples that the cost was measured on.
fn of_loss(loss: Option<&LossCheck>) -> Vec<Value> {
    let Some(loss) = loss.and_then(LossCheck::measured) else {
        return Vec::new();
    };
    let slice = format!("{} retained samples", loss.samples);
    vec![
        metric("accuracy before", &slice, loss.before()),
        metric("accuracy", &slice, loss.after()),
    ]
}

/// What a certificate says of a version.
fn of_verdict(verdict: &CertifiedVerdict) -> Vec<Value> {
    let (forget, retain) = (&verdict.scores.forget, &verdict.scores.retain);
    let shares = [
        ("forgotten data, training", forget.train),
        ("forgotten data, held out", forget.heldout),
        ("retained data, training", retain.train),
        ("retained data, held out", retain.heldout),
    ];
    let mut metrics: Vec<Value> = shares
        .into_iter()
        .filter_map(|(slice, share)| Some(metric("accuracy", slice, share?)))
        .collect();
    let Some(inside) = &verdict.inside else {
        return metrics;
    };
    let (found, beside) = (&inside.measured, inside.reference.as_ref());
    let measured: [(&str, Option<Estimate>, _); 3] = [
        (
            "balanced accuracy of a probe",
            found.probe,
            beside.and_then(|b| b.probe),
        ),
        ("membership area", found.area, beside.and_then(|b| b.area)),
        (
            "membership area, fitted attack",
            found.fitted,
            beside.and_then(|b| b.fitted),
        ),
    ];
    for (what, estimate, reference) in measured {
        let Some(estimate) = estimate else { continue };
        metrics.push(metric(what, "forgotten data", estimate.mean));
        if let Some(reference) = reference {
            let mut beside = metric(
                what,
                "forgotten data, models that never knew it",
                reference.mean,
            );
            beside["confidenceInterval"] = json!({
                "lowerBound": reference.low().to_string(),
                "upperBound": reference.high().to_string(),
            });
            metrics.push(beside);
        }
    }
    metrics
}
