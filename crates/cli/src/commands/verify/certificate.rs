//! `verify --certificate`: checks a certificate by its signature, and against a registry.

use std::path::Path;

use disinherit::certificate::{self, Certificate, Envelope, PublicKey, Statement};
use disinherit::evaluation::Judgement;
use serde_json::json;

use super::verdict::{compared, in_words};
use crate::args::verdict::VerdictArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, complain, outln};

pub(super) fn run(
    context: &Context,
    file: &Path,
    key: &Path,
    asked: &VerdictArgs,
) -> Result<Outcome, CliError> {
    let key = PublicKey::from_pem(&files::read_text(key)?)?;
    let envelope = Envelope::read(&files::read_bytes(file)?)?;
    let statement = match envelope.open(&key) {
        Ok(statement) => statement,
        // The file could be read, but this key did not sign what it says.
        Err(error) => {
            complain(format_args!("{}\n", CliError::from(error)));
            return Ok(Outcome::Found);
        }
    };
    let problems = match context.named_registry()? {
        Some(registry) => Some(certificate::compare(&statement, &registry)?),
        None => None,
    };
    let sound = problems.as_ref().is_none_or(Vec::is_empty) && reached(&statement, asked);
    if context.json {
        output::json(&json!({
            "key": key.id(),
            "statement": statement,
            "compared": problems.is_some(),
            "problems": problems.unwrap_or_default(),
        }))?;
    } else {
        print(&statement, &key, problems.as_deref());
    }
    Ok(Outcome::from_sound(sound))
}

/// Whether every certified version reaches what is asked for, by what the certificate says.
fn reached(statement: &Statement, asked: &VerdictArgs) -> bool {
    let certificate = &statement.predicate;
    certificate.models.iter().all(|model| {
        let verdict = certificate.verdicts.iter().find(|v| v.model == model.after);
        asked.accepts(verdict.map_or(Judgement::NotMeasured, |verdict| verdict.judgement()))
    })
}

/// A judgement in a sentence about what was forgotten.
fn worded(judgement: Judgement) -> String {
    match judgement {
        Judgement::Outputs | Judgement::Features => format!("forgotten in {}", in_words(judgement)),
        other => in_words(other).to_owned(),
    }
}

fn print(statement: &Statement, key: &PublicKey, problems: Option<&[String]>) {
    let certificate = &statement.predicate;
    outln!("signed with the key {}, and not altered since", key.id());
    outln!(
        "  request   {}, forget {}",
        certificate.request,
        certificate.asked.forget
    );
    outln!(
        "  answered  {} by {}",
        output::time(certificate.time),
        certificate.actor
    );
    outln!("  method    {}", certificate.method);
    outln!(
        "  issued    {} by {}",
        output::time(certificate.issued),
        certificate.tool
    );
    outln!(
        "  log       operation {}, {}",
        certificate.log.operation,
        certificate.log.hash.chars().take(16).collect::<String>()
    );
    print_models(certificate);
    for remark in &certificate.warnings {
        outln!("  warning   {remark}");
    }
    match problems {
        None => outln!("not compared with a registry; give `--registry` to do so"),
        Some([]) => outln!("the registry has it all as certified"),
        Some(problems) => problems
            .iter()
            .for_each(|problem| outln!("PROBLEM: {problem}")),
    }
}

/// What became of every version, and what that may have cost.
fn print_models(certificate: &Certificate) {
    for model in &certificate.models {
        let verdict = certificate.verdicts.iter().find(|v| v.model == model.after);
        let judged = verdict.map_or("not judged".into(), |verdict| worded(verdict.judgement()));
        outln!(
            "  {} -> {} ({judged}), digest {}",
            model.before,
            model.after,
            model.digest_after
        );
        if let Some(loss) = &model.loss {
            outln!("    lost      {}", output::loss(loss));
        }
        if let Some(inside) = verdict.and_then(|verdict| verdict.inside.as_ref()) {
            outln!("    beside {}", compared(inside.reference.as_ref()));
        }
    }
    for gone in &certificate.retired {
        let (id, digest) = (&gone.model, gone.digest);
        outln!("  {id} is retired, nothing replaces it, digest {digest}");
    }
    if let Some(bound) = certificate.loss_bound {
        outln!(
            "  loss      of retained accuracy, at most {:.1} points{}",
            100.0 * bound.limit(),
            if bound.accepted.is_some() {
                " (accepted)"
            } else {
                ""
            }
        );
    }
}
