//! Commands about proof: key, certify, and what `verify` does with a certificate.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use disinherit::{Envelope, PublicKey, SecretKey, Statement, certify as certificate_of};
use disinherit_formats::write_file;
use disinherit_registry::RegistryError;
use serde_json::json;

use super::{Context, models, read_data, request};
use crate::args::CertifyArgs;
use crate::error::CliError;
use crate::output;

fn read(file: &Path) -> Result<String, CliError> {
    Ok(std::fs::read_to_string(file).map_err(RegistryError::io("read", file))?)
}

pub(super) fn key(context: &Context, file: &Path) -> Result<(), CliError> {
    let public = PathBuf::from(format!("{}.pub", file.display()));
    models::free(&public, false)?;
    let key = SecretKey::generate()?;
    write_secret(file, &key.to_pem()?)?;
    write_file(&public, key.public().to_pem()?.as_bytes())?;
    let id = key.public().id();
    if context.json {
        return output::json(&json!({"key": file, "public_key": public, "id": id}));
    }
    println!("wrote the key {id}");
    println!(
        "  {} signs: keep it secret, and keep a copy",
        file.display()
    );
    println!(
        "  {} checks: give it to whoever gets certificates",
        public.display()
    );
    Ok(())
}

/// Writes a file that only its owner can read, from its first byte on. A file that is there is not
/// replaced.
fn write_secret(file: &Path, text: &str) -> Result<(), CliError> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options
        .open(file)
        .map_err(RegistryError::io("make", file))?;
    let written = opened
        .write_all(text.as_bytes())
        .and_then(|()| opened.sync_all());
    if let Err(error) = written {
        // Half a key is of no use to anybody.
        let _ = std::fs::remove_file(file);
        return Err(RegistryError::io("write", file)(error).into());
    }
    Ok(())
}

pub(super) fn certify(context: &Context, args: &CertifyArgs) -> Result<(), CliError> {
    models::free(&args.out, args.force)?;
    let key = SecretKey::from_pem(&read(&args.key)?)?;
    let registry = context.registry()?;
    let (asked, outcomes) = disinherit::last_request(&registry, args.request.as_deref())?;
    let verdicts = match read_data(&args.data)? {
        None => Vec::new(),
        Some(splits) => {
            let ids: Vec<_> = outcomes.into_iter().map(|model| model.after).collect();
            let forget = &asked.forget;
            request::verdicts(context, &registry, &ids, forget, &splits, args.at_most)?
        }
    };
    let judged = verdicts.len();
    let failed = verdicts.iter().filter(|v| v.passed == Some(false)).count();
    let now = disinherit::now();
    let envelope = certificate_of(&registry, args.request.as_deref(), verdicts, &key, now)?;
    write_file(&args.out, format!("{}\n", envelope.to_json()?).as_bytes())?;
    if context.json {
        return output::json(&json!({
            "certificate": args.out,
            "key": key.public().id(),
            "judged": judged,
            "not_forgotten": failed,
        }));
    }
    println!(
        "wrote {}, signed with the key {}",
        args.out.display(),
        key.public().id()
    );
    match (judged, failed) {
        (0, _) => {
            println!("it has no verdicts: give data (`--data PATH`) to have the models judged")
        }
        (_, 0) => println!("all {judged} models have forgotten, and it says so"),
        _ => println!("{failed} of {judged} models have NOT forgotten, and it says so"),
    }
    Ok(())
}

/// Checks a certificate by its signature, and against the registry where one is named.
pub(super) fn verify(
    context: &Context,
    file: &Path,
    public_key: Option<&Path>,
) -> Result<ExitCode, CliError> {
    let key = public_key.ok_or_else(|| {
        CliError::new("a certificate is checked with a public key").help("give `--public-key FILE`")
    })?;
    let key = PublicKey::from_pem(&read(key)?)?;
    let bytes = std::fs::read(file).map_err(RegistryError::io("read", file))?;
    let statement = Envelope::read(&bytes)?.open(&key)?;
    let problems = match context.named_registry()? {
        Some(registry) => Some(statement.compare(&registry)?),
        None => None,
    };
    let sound = problems.as_ref().is_none_or(Vec::is_empty);
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
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(statement: &Statement, key: &PublicKey, problems: Option<&[String]>) {
    let certificate = &statement.predicate;
    println!("signed with the key {}, and not altered since", key.id());
    println!(
        "  request   {}, forget {}",
        certificate.request, certificate.asked.forget
    );
    println!(
        "  answered  {} by {}",
        output::time(certificate.time),
        certificate.actor
    );
    println!("  method    {}", certificate.method);
    println!(
        "  issued    {} by {}",
        output::time(certificate.issued),
        certificate.tool
    );
    println!(
        "  log       operation {}, {}",
        certificate.log.operation,
        certificate.log.hash.chars().take(16).collect::<String>()
    );
    for model in &certificate.models {
        let verdict = certificate.verdicts.iter().find(|v| v.model == model.after);
        let judged = match verdict.map(|verdict| verdict.passed) {
            None => "not judged",
            Some(None) => "nothing to measure",
            Some(Some(true)) => "forgotten",
            Some(Some(false)) => "NOT forgotten",
        };
        println!(
            "  {} -> {} ({judged}), digest {}",
            model.before, model.after, model.digest_after
        );
    }
    for warning in &certificate.warnings {
        println!("  warning   {warning}");
    }
    match problems {
        None => println!("not compared with a registry; give `--registry` to do so"),
        Some([]) => println!("the registry has it all as certified"),
        Some(problems) => problems
            .iter()
            .for_each(|problem| println!("PROBLEM: {problem}")),
    }
}
