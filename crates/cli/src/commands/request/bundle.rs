//! `bundle` and `request bundle`: what an auditor takes along.

use std::path::PathBuf;

use clap::Args;
use disinherit::registry::ErasureId;
use disinherit_audit::{Bundle, BundleOptions};
use disinherit_desk::Desk;
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Write what an auditor takes along: the certificate, the report, the log's entries, the public key, digests, and a
/// README.md that says how all of it is checked offline with sha256sum, openssl, jq and b3sum.
#[derive(Debug, Args)]
#[command(after_help = "\
The same registry gives the same bytes. A request has a bundle from its arrival on, with as much as there is.
`disinherit bundle` and `disinherit request bundle` are one command.

Examples:
  disinherit bundle 3
  disinherit bundle 3 --out to-the-auditor/
  disinherit bundle 3 --whole-chain --out request-3-whole.zip")]
pub(crate) struct BundleArgs {
    /// The request's number.
    request: ErasureId,
    /// Where it goes: an archive where the name ends with `.zip`, otherwise a new folder; `request-N.zip` when not given.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Also the log's entries of others between those of the request, so that the chain can be recomputed without a
    /// gap. They may name other people.
    #[arg(long)]
    whole_chain: bool,
}

pub(crate) fn run(context: &Context, args: &BundleArgs) -> Result<Outcome, CliError> {
    let usual = || PathBuf::from(format!("request-{}.zip", args.request));
    let out = args.out.clone().unwrap_or_else(usual);
    let engine = context.engine(context.registry()?, None);
    let options = BundleOptions {
        whole_chain: args.whole_chain,
    };
    let bundle = Bundle::new(&Desk::new(&engine), args.request, options)?;
    bundle.save(&out)?;
    if context.json {
        let files: Vec<&str> = bundle.names().collect();
        output::json(&json!({"bundle": out, "files": files, "key": bundle.key()}))?;
        return Ok(Outcome::Done);
    }
    outln!("wrote {}: {} files", out.display(), bundle.names().count());
    match bundle.key() {
        Some(key) => {
            outln!("the certificate was signed with the key {key}; README.md says how to check it")
        }
        None => outln!("nothing in it is signed; README.md says how to check it"),
    }
    Ok(Outcome::Done)
}
