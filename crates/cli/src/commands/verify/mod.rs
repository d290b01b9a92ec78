//! `verify`: measures what models still recognise, or checks a certificate.

use std::path::PathBuf;

use clap::Args;
use disinherit::evaluation::{CertifiedVerdict, Depth};
use disinherit::registry::Registry;
use disinherit::umig::{Forget, ModelId};
use serde_json::json;

use crate::args::data::DataArgs;
use crate::args::model::{opened, resolve_all};
use crate::args::request::forget;
use crate::args::shard::ShardArgs;
use crate::args::verdict::VerdictArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::table;

mod certificate;
mod verdict;

pub(super) use verdict::{evidence, judge};

use verdict::{cells, compared, in_words, of_samples};

/// Measure whether models still hold the forget data, on training and held-out samples. Exits with 1
/// if one still recognises it, or falls short of what is required.
#[derive(Debug, Args)]
#[command(after_help = "\
The verdict says how far it is forgotten: in the outputs, which no longer name it; in the features too,
as far as a model that never knew it; or so that training samples cannot be told from others either
(indistinguishable). Without `--deep` or `--require` only outputs are looked at.

Examples:
  disinherit verify --data photos/
  disinherit verify --data photos/ --require features
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
    #[command(flatten)]
    verdict: VerdictArgs,
    #[command(flatten)]
    shard: ShardArgs,
    /// Check this certificate instead; with `--registry`, also against the registry.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    certificate: Option<PathBuf>,
    /// The public key of the issuer.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    public_key: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<Outcome, CliError> {
    if let (Some(file), Some(key)) = (&args.certificate, &args.public_key) {
        return certificate::run(context, file, key, &args.verdict);
    }
    let registry = context.registry()?;
    let Asked {
        models: ids,
        retired,
        forget,
    } = asked(&registry, args)?;
    let ids = of_shard(&registry, ids, &args.shard)?;
    let splits = args.data.require("verifying needs data")?;
    let engine = context.engine(registry, Some(&splits));
    let verdicts = judge(&engine, &ids, &forget, &args.verdict)?;
    if context.json {
        let models: Vec<_> = verdicts
            .iter()
            .map(|v| {
                let mut model = json!({
                    "model": v.model,
                    "scores": v.scores,
                    "passed": v.passed,
                    "judgement": v.judgement(),
                    "inside": v.inside,
                });
                if let Some(samples) = &v.samples {
                    model["samples"] = json!(samples);
                }
                model
            })
            .collect();
        output::json(&json!({
            "forget": forget,
            "at_most": args.verdict.at_most,
            "required": args.verdict.required(),
            "evidence": evidence(args.verdict.depth()),
            "models": models,
            "retired": retired,
        }))?;
    } else {
        print(&forget, &verdicts, args.verdict.depth());
        for id in &retired {
            outln!("{id} is retired: no version of it is in use");
        }
    }
    let sound =
        |v: &CertifiedVerdict| v.passed != Some(false) && args.verdict.accepts(v.judgement());
    Ok(Outcome::from_sound(verdicts.iter().all(sound)))
}

/// What is judged.
struct Asked {
    models: Vec<ModelId>,
    /// The models that the request took out of use: nothing is left of them to judge.
    retired: Vec<ModelId>,
    /// What they should have forgotten.
    forget: Forget,
}

fn asked(registry: &Registry, args: &VerifyArgs) -> Result<Asked, CliError> {
    let last = || disinherit::past_request(registry, None);
    let given = args.forget.as_deref().map(forget).transpose()?;
    if !args.models.is_empty() {
        return Ok(Asked {
            models: resolve_all(&registry.graph()?, &args.models)?,
            retired: Vec::new(),
            forget: match given {
                Some(forget) => forget,
                None => last()?.request.forget,
            },
        });
    }
    let past = last()?;
    let retired = past.retired.into_iter();
    let models = past.models.into_iter();
    Ok(Asked {
        models: models.map(|model| model.after).collect(),
        retired: retired.map(|gone| gone.model).collect(),
        forget: given.unwrap_or(past.request.forget),
    })
}

/// The models that fall to a shard: each is run on its own training samples.
fn of_shard(
    registry: &Registry,
    ids: Vec<ModelId>,
    shard: &ShardArgs,
) -> Result<Vec<ModelId>, CliError> {
    if shard.shard()?.is_none() {
        return Ok(ids);
    }
    let models = opened(registry, &registry.graph()?, &ids)?;
    let mine = shard.of_models(models)?.into_iter();
    Ok(mine.map(|model| model.id().clone()).collect())
}

fn print(forget: &Forget, verdicts: &[CertifiedVerdict], depth: Depth) {
    let inside = depth != Depth::OUTPUTS;
    if verdicts.is_empty() {
        return;
    }
    let judged = evidence(depth);
    outln!("accuracy in %, forgetting {forget}; judged by {judged}");
    let rows = verdicts.iter().map(|verdict| {
        let scores = &verdict.scores;
        let mut row = vec![
            verdict.model.to_string(),
            output::percent(scores.forget.train),
            output::percent(scores.forget.heldout),
            output::percent(scores.retain.train),
            output::percent(scores.retain.heldout),
        ];
        if inside {
            row.extend(cells(verdict.inside.as_ref()));
        }
        row.push(in_words(verdict.judgement()).to_owned());
        row
    });
    let mut header = vec![
        "model",
        "forget, train",
        "held out",
        "retain, train",
        "held out",
    ];
    if inside {
        header.extend(["probe", "relearning", "area", "fitted"]);
    }
    header.push("forgotten in");
    table::print(&header, rows.collect(), 1);
    for verdict in verdicts {
        if let Some(inside) = &verdict.inside {
            outln!("{}", verdict.model);
            match &verdict.samples {
                Some(samples) => of_samples(samples)
                    .iter()
                    .for_each(|line| outln!("  {line}")),
                None => outln!("  beside {}", compared(inside.reference.as_ref())),
            }
            for finding in &inside.findings {
                outln!("  {finding}");
            }
            for what in inside.measured.not_measured() {
                outln!("  not measured: {what}");
            }
        }
    }
}
