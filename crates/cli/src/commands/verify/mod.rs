//! `verify`: measures what models still recognise, or checks a certificate.

use std::path::PathBuf;

use clap::Args;
use disinherit::registry::Registry;
use disinherit::umig::{Forget, ModelId};
use disinherit::{CertifiedVerdict, FORGOTTEN};
use serde_json::json;

use crate::args::data::DataArgs;
use crate::args::model::resolve_all;
use crate::args::request::forget;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::table;

mod certificate;
mod verdict;

pub(super) use verdict::{EVIDENCE, judge};

use verdict::in_words;

/// Measure whether models still recognise the forget data, on training and held-out samples. Exits
/// with 1 if one does.
#[derive(Debug, Args)]
#[command(after_help = "\
Only the outputs of the models are looked at: `not recognised` does not say that the inner layers keep
nothing.

Examples:
  disinherit verify --data photos/
  disinherit verify clinic@1 --forget class=rocket --data photos/
  disinherit verify --certificate certificate.json --public-key proof.pem.pub")]
pub(crate) struct VerifyArgs {
    /// Models; those of the last `unlearn` when none is named.
    models: Vec<String>,
    /// What should be forgotten; that of the last `unlearn` when not given.
    #[arg(long, value_name = "WHAT")]
    forget: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// The largest accuracy on forgotten held-out data that passes, 0 to 1.
    #[arg(long, default_value_t = FORGOTTEN, value_name = "X")]
    at_most: f64,
    /// Check this certificate instead; with `--registry`, also against the registry.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    certificate: Option<PathBuf>,
    /// The public key of the issuer.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    public_key: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<Outcome, CliError> {
    if let (Some(file), Some(key)) = (&args.certificate, &args.public_key) {
        return certificate::run(context, file, key);
    }
    let registry = context.registry()?;
    let (ids, forget) = judged(&registry, args)?;
    let splits = args.data.require("verifying needs data")?;
    let verdicts = judge(context, &registry, &ids, &forget, &splits, args.at_most)?;
    if context.json {
        let models: Vec<_> = verdicts
            .iter()
            .map(|v| json!({"model": v.model, "scores": v.scores, "passed": v.passed}))
            .collect();
        output::json(&json!({
            "forget": forget,
            "at_most": args.at_most,
            "evidence": EVIDENCE,
            "models": models,
        }))?;
    } else {
        print(&forget, &verdicts);
    }
    let sound = verdicts.iter().all(|v| v.passed != Some(false));
    Ok(Outcome::from_sound(sound))
}

/// The models that are judged, and what they should have forgotten.
fn judged(registry: &Registry, args: &VerifyArgs) -> Result<(Vec<ModelId>, Forget), CliError> {
    let last = || {
        disinherit::last_request(registry, None)
            .map_err(|error| CliError::from(error).help("name the models and give `--forget`"))
    };
    let forget = match &args.forget {
        Some(text) => forget(text)?,
        None => last()?.0.forget,
    };
    let ids = if args.models.is_empty() {
        let outcomes = last()?.1;
        outcomes.into_iter().map(|model| model.after).collect()
    } else {
        resolve_all(&registry.graph()?, &args.models)?
    };
    Ok((ids, forget))
}

fn print(forget: &Forget, verdicts: &[CertifiedVerdict]) {
    outln!("accuracy in %, forgetting {forget}; judged by outputs only");
    let rows = verdicts.iter().map(|verdict| {
        let scores = &verdict.scores;
        vec![
            verdict.model.to_string(),
            output::percent(scores.forget.train),
            output::percent(scores.forget.heldout),
            output::percent(scores.retain.train),
            output::percent(scores.retain.heldout),
            in_words(verdict.passed).to_owned(),
        ]
    });
    let header = [
        "model",
        "forget, train",
        "held out",
        "retain, train",
        "held out",
        "verdict",
    ];
    table::print(&header, rows.collect(), 1);
}
