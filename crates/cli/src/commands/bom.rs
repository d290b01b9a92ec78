//! `bom`: bills of materials, for tools that keep inventories.

use std::path::{Path, PathBuf};

use clap::Args;
use disinherit::certificate::{Envelope, PublicKey, Statement};
use disinherit::model::now;
use disinherit_report::Inventory;
use serde_json::json;

use crate::args::model::resolve;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, out, outln};

/// Write the bill of materials of a model, or of a request, as CycloneDX 1.7 (JSON): digests, pedigree, data,
/// measurements and the facts of erasure.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit bom clinic --out clinic.cdx.json
  disinherit bom --request 13 --certificate certificate.json --public-key proof.pem.pub")]
pub(crate) struct BomArgs {
    /// `name` (the current version) or `name@version`.
    #[arg(required_unless_present = "request")]
    model: Option<String>,
    /// Every version that this request made or retired instead: its id, or the number of its operation.
    #[arg(long, conflicts_with = "model")]
    request: Option<String>,
    /// A certificate: what it measured becomes metrics, and it is named as attestation.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    certificate: Option<PathBuf>,
    /// The public key of its issuer.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    public_key: Option<PathBuf>,
    /// The file to write; without it, the bill goes to the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "out")]
    force: bool,
}

pub(super) fn run(context: &Context, args: &BomArgs) -> Result<Outcome, CliError> {
    if let Some(file) = &args.out {
        files::refuse_existing(file, args.force)?;
    }
    let read = match (&args.certificate, &args.public_key) {
        (Some(file), Some(key)) => Some(Read::new(file, key)?),
        _ => None,
    };
    let registry = context.registry()?;
    let mut inventory = Inventory::new(&registry)?;
    if let Some(Read {
        statement,
        name,
        bytes,
    }) = &read
    {
        inventory = inventory.with_certificate(&statement.predicate, name, bytes);
    }
    let bill = match &args.model {
        Some(model) => inventory.of_model(&resolve(&registry.graph()?, model)?, now())?,
        None => {
            let past = disinherit::past_request(&registry, args.request.as_deref())?;
            inventory.of_request(past.id.as_ref(), now())?
        }
    };
    let text = format!("{bill:#}\n");
    match &args.out {
        None => out!("{text}"),
        Some(file) => {
            files::write(file, text)?;
            let number = &bill["serialNumber"];
            if context.json {
                output::json(&json!({"file": file, "serial_number": number}))?;
            } else {
                outln!("wrote {}", file.display());
            }
        }
    }
    Ok(Outcome::Done)
}

/// A certificate that its issuer signed.
struct Read {
    statement: Statement,
    name: String,
    bytes: Vec<u8>,
}

impl Read {
    fn new(file: &Path, key: &Path) -> Result<Self, CliError> {
        let bytes = files::read_bytes(file)?;
        let key = PublicKey::from_pem(&files::read_text(key)?)?;
        let name = file.file_name().unwrap_or(file.as_os_str());
        Ok(Self {
            statement: Envelope::read(&bytes)?.open(&key)?,
            name: name.to_string_lossy().into_owned(),
            bytes,
        })
    }
}
