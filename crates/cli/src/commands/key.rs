//! `key`: makes a key to sign certificates or models with.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use disinherit::certificate::{KeyKind, SecretKey};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Make a key to sign certificates or models with: FILE (keep it secret) and FILE.pub (give it away).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit key proof.pem
  disinherit key models.pem --kind p256")]
pub(crate) struct KeyArgs {
    /// The file to write.
    file: PathBuf,
    /// What it signs with.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    kind: Kind,
}

/// What a key signs with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Ed25519.
    #[default]
    Ed25519,
    /// ECDSA over P-256: for exported models too, whose signatures others check.
    P256,
}

impl From<Kind> for KeyKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ed25519 => Self::Ed25519,
            Kind::P256 => Self::P256,
        }
    }
}

pub(super) fn run(context: &Context, args: &KeyArgs) -> Result<Outcome, CliError> {
    let file = &args.file;
    let public = PathBuf::from(format!("{}.pub", file.display()));
    files::refuse_existing(&public, false)?;
    let key = SecretKey::generate(args.kind.into())?;
    write_secret(file, &key.to_pem()?)?;
    files::write(&public, key.public().to_pem()?)?;
    let id = key.public().id();
    if context.json {
        output::json(&json!({"key": file, "public_key": public, "id": id}))?;
        return Ok(Outcome::Done);
    }
    outln!("wrote the key {id}");
    outln!(
        "  {} signs: keep it secret, and keep a copy",
        file.display()
    );
    outln!(
        "  {} checks: give it to those who receive certificates",
        public.display()
    );
    Ok(Outcome::Done)
}

/// Writes a file that only its owner can read, from its first byte on. A file that is there is not
/// replaced.
fn write_secret(file: &Path, text: &str) -> Result<(), CliError> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(file).map_err(CliError::file("make", file))?;
    let written = opened
        .write_all(text.as_bytes())
        .and_then(|()| opened.sync_all());
    written.map_err(|error| {
        // Half a key is of no use.
        let _ = std::fs::remove_file(file);
        CliError::file("write", file)(error)
    })
}
