//! `certify`: signs what a request did.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use disinherit::certificate::{self, InToto, SecretKey};
use disinherit::evaluation::{CertifiedVerdict, Judgement};
use disinherit::model::now;
use serde_json::json;

use super::verify;
use crate::args::data::DataArgs;
use crate::args::verdict::VerdictArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Certify what a request did, signed; `verify --certificate` checks it without the registry. Exits
/// with 1 if a model falls short of what is required; the certificate says so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit certify --key proof.pem --data photos/
  disinherit certify --key proof.pem --data photos/ --require features
  disinherit certify 13 --key proof.pem --out request-13.json --in-toto")]
pub(crate) struct CertifyArgs {
    /// The request's id, or the number of its operation; the last one when not given.
    request: Option<String>,
    /// The key to sign with (`disinherit key FILE` makes one).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the certificate goes.
    #[arg(long, default_value = "certificate.json", value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Also write what it says in the words of in-toto, for other tools: FILE with `.test-result.json` and
    /// `.summary.json` at the end.
    #[arg(long)]
    in_toto: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    verdict: VerdictArgs,
}

pub(super) fn run(context: &Context, args: &CertifyArgs) -> Result<Outcome, CliError> {
    let beside =
        ["test-result", "summary"].map(|what| args.out.with_extension(format!("{what}.json")));
    for file in [&args.out]
        .into_iter()
        .chain(beside.iter().filter(|_| args.in_toto))
    {
        files::refuse_existing(file, args.force)?;
    }
    let key = SecretKey::from_pem(&files::read_text(&args.key)?)?;
    let registry = Arc::new(context.registry()?);
    let request = args.request.as_deref();
    let past = disinherit::past_request(&registry, request)?;
    let verdicts = match args.data.open()? {
        None => Vec::new(),
        Some(splits) => {
            let ids: Vec<_> = past
                .models
                .iter()
                .map(|model| model.after.clone())
                .collect();
            let engine = context.engine(Arc::clone(&registry), Some(&splits));
            verify::judge(&engine, &ids, &past.request.forget, &args.verdict)?
        }
    };
    let said = Said::new(&verdicts, past.models.len(), &args.verdict);
    let envelope = certificate::certify(&registry, request, verdicts, &key, now())?;
    let text = format!("{}\n", envelope.to_json()?);
    let also = match args.in_toto {
        true => Some(InToto::new(&envelope, text.as_bytes(), &key)?),
        false => None,
    };
    files::write(&args.out, text)?;
    if let Some(also) = also {
        for (file, envelope) in beside.iter().zip([also.test_result, also.summary]) {
            files::write(file, format!("{}\n", envelope.to_json()?))?;
        }
    }
    let id = key.public().id();
    if context.json {
        output::json(&json!({
            "certificate": args.out,
            "in_toto": if args.in_toto { &beside[..] } else { &[] },
            "key": id,
            "judged": said.judged,
            "not_forgotten": said.failed,
            "judgement": said.least,
            "required": args.verdict.required(),
            "evidence": verify::evidence(args.verdict.depth()),
        }))?;
    } else {
        outln!("wrote {}, signed with the key {id}", args.out.display());
        for file in beside.iter().filter(|_| args.in_toto) {
            outln!("wrote {}, the same for other tools", file.display());
        }
        said.print(&args.verdict);
    }
    Ok(Outcome::from_sound(said.reached))
}

/// What a certificate says of all models.
struct Said {
    /// Models that were judged.
    judged: usize,
    /// Those that still recognise the forget data.
    failed: usize,
    /// The least that was reached.
    least: Option<Judgement>,
    /// Whether all reach what is required.
    reached: bool,
}

impl Said {
    fn new(verdicts: &[CertifiedVerdict], touched: usize, asked: &VerdictArgs) -> Self {
        let each = || verdicts.iter().map(CertifiedVerdict::judgement);
        let enough = verdicts.len() == touched && each().all(|word| asked.accepts(word));
        Self {
            judged: verdicts.len(),
            failed: verdicts.iter().filter(|v| v.passed == Some(false)).count(),
            least: each().reduce(Judgement::at_most),
            reached: enough || asked.required().is_none(),
        }
    }

    fn print(&self, asked: &VerdictArgs) {
        let (judged, failed) = (self.judged, self.failed);
        match (judged, failed) {
            (0, _) => {
                outln!("it has no verdicts: give data (`--data PATH`) to have the models judged");
            }
            (_, 0) => outln!(
                "it says that none of {judged} models recognises the forget data by its outputs"
            ),
            _ => outln!("it says that {failed} of {judged} models STILL RECOGNISE the forget data"),
        }
        if let Some(least) = self.least.filter(|word| word.reaches(Judgement::Features)) {
            outln!("it judges each of them at least: {least}");
        }
        if let Some(required) = asked.required().filter(|_| !self.reached) {
            outln!("it falls SHORT of what is required: {required}");
        }
    }
}
