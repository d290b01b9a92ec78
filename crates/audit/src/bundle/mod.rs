//! The bundle: everything that an auditor takes along of one request, checked offline with tools of others.

mod archive;
mod chain;
mod checks;
mod files;
mod readme;

use std::path::Path;

use disinherit::certificate::{Envelope, PublicKey, Statement};
use disinherit::registry::{ErasureId, OperationId};
use disinherit_desk::Desk;
use disinherit_report::Inventory;
use serde_json::json;

use self::chain::Excerpt;
use self::files::Files;
use self::readme::Readme;
use crate::error::AuditError;
use crate::evidence::Evidence;
use crate::report::page::report_file;

/// What a bundle has of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BundleOptions {
    /// Whether the log's entries of others are in it that lie between those of the request, so that the chain can be
    /// recomputed without a gap. They may name other people.
    pub whole_chain: bool,
}

/// The files of a bundle. The same registry gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    name: String,
    files: Files,
    key: Option<String>,
}

impl Bundle {
    /// Makes the bundle of a request, as far as the request has come.
    ///
    /// # Errors
    /// [`AuditError`] when there is no such request, or something of it cannot be read.
    pub fn new(desk: &Desk<'_>, id: ErasureId, options: BundleOptions) -> Result<Self, AuditError> {
        let registry = desk.registry();
        let evidence = Evidence::read(desk, id)?;
        let erasure = &evidence.record.erasure;
        let key = public_key(&evidence);
        let mut files = Files::default();
        files.add("report.html", report_file(&evidence));
        files.add_json("request.json", &steps(desk, &evidence)?)?;
        if let Some(plan) = &erasure.plan {
            files.add("scope.json", registry.document(plan.scope)?);
        }
        let verdicts = erasure.verdict.as_ref().and_then(|found| found.verdicts);
        if let Some(verdicts) = verdicts {
            files.add("verdicts.json", registry.document(verdicts)?);
        }
        let mut certified = None;
        if let Some(bytes) = desk.certificate(erasure)? {
            let envelope = Envelope::read(&bytes)?;
            // What the key did not sign is not believed; the checks of the bundle tell.
            let opened = key.as_ref().and_then(|key| envelope.open(key).ok());
            files.add("statement.json", envelope.payload()?);
            files.add("certificate.json", bytes.clone());
            certified = opened.map(|statement| (statement, bytes));
        }
        if let Some(key) = &key {
            files.add(&format!("keys/{}.pem", key.id()), key.to_pem()?);
        }
        if let Some(bill) = bill(desk, &evidence, certified.as_ref())? {
            files.add_json("ml-bom.cdx.json", &bill)?;
        }
        let excerpt = Excerpt::new(&evidence, options.whole_chain);
        excerpt.add_to(&mut files);
        let readme = Readme {
            evidence: &evidence,
            excerpt: &excerpt,
            key: key.as_ref(),
            statement: certified.as_ref().map(|(statement, _)| statement),
            files: &files,
        };
        let readme = readme.text();
        files.add("README.md", readme);
        files.add_sums();
        Ok(Self {
            name: format!("request-{id}"),
            files,
            key: key.map(|key| key.id()),
        })
    }

    /// The names of its files, with slashes between folders, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name)
    }

    /// The id of the public key that it has; nothing where it has none.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// All files in one ZIP archive, in a folder of the request's name.
    ///
    /// # Errors
    /// [`AuditError::Document`] where they do not fit into one.
    pub fn to_zip(&self) -> Result<Vec<u8>, AuditError> {
        archive::zip(&self.name, &self.files)
    }

    /// Writes it, whole or not at all: as an archive where the path ends with `.zip`, otherwise as a folder.
    ///
    /// # Errors
    /// [`AuditError::Exists`] where something is there already, or another where the disk fails.
    pub fn save(&self, path: &Path) -> Result<(), AuditError> {
        if path.symlink_metadata().is_ok() {
            return Err(AuditError::Exists(path.to_owned()));
        }
        match path.extension().is_some_and(|end| end == "zip") {
            true => Ok(disinherit::formats::write_file(path, &self.to_zip()?)?),
            false => archive::folder(path, &self.files),
        }
    }
}

/// The public key of the certificate, where the log has it and it is the one that is named.
fn public_key(evidence: &Evidence) -> Option<PublicKey> {
    let signing = evidence.key.as_ref()?;
    let public = signing.public.clone()?;
    Some(public).filter(|key| key.id() == signing.id)
}

/// The request, and who brought it into which state, when.
fn steps(desk: &Desk<'_>, evidence: &Evidence) -> Result<serde_json::Value, AuditError> {
    let record = &evidence.record;
    let most = u32::try_from(record.history.len()).unwrap_or(u32::MAX);
    let id = record.erasure.id;
    let events = desk
        .registry()
        .erasure_events(OperationId::default(), Some(id), most)?;
    Ok(json!({"request": record.erasure, "steps": events}))
}

/// The bill of materials of what was published last; nothing where nothing was.
fn bill(
    desk: &Desk<'_>,
    evidence: &Evidence,
    certified: Option<&(Statement, Vec<u8>)>,
) -> Result<Option<serde_json::Value>, AuditError> {
    let record = &evidence.record;
    let (Some((_, run)), Some(last)) = (record.published.last(), record.history.last()) else {
        return Ok(None);
    };
    let mut inventory = Inventory::new(desk.registry())?;
    if let Some((statement, bytes)) = certified {
        inventory = inventory.with_certificate(&statement.predicate, "certificate.json", bytes);
    }
    Ok(Some(inventory.of_request(run.id.as_ref(), last.time)?))
}
