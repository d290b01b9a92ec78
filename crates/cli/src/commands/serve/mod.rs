//! `serve`: the desk as a service with a page.

pub(crate) mod config;
mod limits;
mod ray;
mod trust;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Command, ValueEnum};
use disinherit::cards::FisherOptions;
use disinherit::certificate::{KeyKind, SecretKey};
use disinherit::data::Splits;
use disinherit::registry::Registry;
use disinherit_server::{Equipment, Executor, Role, Settings, make_token, serve};
use tempfile::TempDir;

use self::config::Effective;
use self::limits::LimitArgs;
use self::ray::RayArgs;
use self::trust::TrustArgs;
use super::fisher;
use crate::args::data::DataArgs;
use crate::args::global::GlobalArgs;
use crate::args::values::duration;
use crate::args::verdict::VerdictArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, out, outln, warning};
use crate::{files, recipes};

/// How long the token of the demonstration holds, in milliseconds: a day.
const DEMO_TOKEN: u64 = 24 * 3_600_000;

/// How long the network of the demonstration is trained: a first look should not wait for the last percent.
const DEMO_EPOCHS: usize = 40;

/// Answer erasure requests over HTTP, with a page for people and jobs that run here.
#[derive(Debug, Args)]
#[command(after_help = "\
It ends when it is interrupted or terminated: calls are answered, and the job that is worked on is finished
or left to the next one. Every call needs a token: `disinherit token new`.

Each option can be set by the environment (`--largest-body` by DISINHERIT_SERVE_LARGEST_BODY) and in the TOML
file that `--config` names (largest-body = \"16MiB\"). An option on the command line comes first, then the
environment, then the file.

Examples:
  disinherit serve --demo
  disinherit serve --data photos/ --key proof.pem
  disinherit serve --listen 0.0.0.0:8080 --executor none
  disinherit serve --data photos.parquet --executor ray --ray-address 10.0.0.7:6379
  disinherit serve --config serve.toml
  disinherit serve --tls-cert cert.pem --tls-key key.pem --print-config")]
pub(crate) struct ServeArgs {
    // The first one: what it looks at is taken away by the others.
    #[command(flatten)]
    effective: Effective,
    /// Where to listen. Speak TLS, or let a proxy do so, before others can reach it.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    verdict: VerdictArgs,
    /// The key to sign certificates with (`disinherit key FILE` makes one).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Who does the jobs: this server, a Ray cluster, or `disinherit worker` and other servers of the same
    /// registry.
    #[arg(long, value_enum, default_value = "local", value_name = "WHO")]
    executor: ExecutorArg,
    /// The most event streams that are open at a time.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    streams: usize,
    /// The longest body of a call.
    #[arg(long, default_value = "16MiB", value_name = "SIZE")]
    largest_body: ByteSize,
    /// How long the job that is worked on may still take when the server is told to stop.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration)]
    patience: u64,
    /// Serve a network that was grown on embedded data, with a key and a token of its own; nothing is left
    /// behind.
    #[arg(long, conflicts_with_all = ["data", "key"])]
    demo: bool,
    /// A TOML file with settings, called as the options.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print all settings as such a file, and serve nothing.
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    ray: RayArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

/// The words of `--executor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExecutorArg {
    /// This server, one job at a time.
    Local,
    /// Tasks on a Ray cluster, for a Python process that this server keeps running.
    Ray,
    /// Workers, and other servers.
    None,
}

/// What is served.
struct Served {
    registry: Registry,
    data: Option<Splits>,
    key: Option<SecretKey>,
    /// The demonstration's folder, which goes when the server ends.
    folder: Option<TempDir>,
}

pub(super) fn run(context: &Context, args: &ServeArgs) -> Result<Outcome, CliError> {
    if args.print_config {
        let own = ServeArgs::augment_args(Command::new("serve"));
        let shared = GlobalArgs::augment_args(Command::new("serve"));
        out!("{}", args.effective.text([&own, &shared]));
        return Ok(Outcome::Done);
    }
    let on_ray = args.executor == ExecutorArg::Ray;
    match on_ray {
        true => args.ray.check(args.demo, context.compute)?,
        false => args.ray.check_absent()?,
    }
    let (tls, oidc) = (args.trust.tls()?, args.trust.oidc()?);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let served = match args.demo {
        true => demo(context)?,
        false => Served {
            registry: context.registry()?,
            // On a cluster, those who work open it.
            data: if on_ray { None } else { args.data.open()? },
            key: args.key.as_deref().map(key).transpose()?,
            folder: None,
        },
    };
    if !args.listen.ip().is_loopback() && tls.is_none() {
        warning!(
            "who can read the network can read the tokens: give `--tls-cert`, or let a proxy speak TLS"
        );
    }
    let executor = executor(args, &served.registry)?;
    let settings = Settings {
        equipment: Arc::new(Equipment {
            registry: Arc::new(served.registry),
            data: served.data,
            compute: context.compute,
            onnx_runtime: context.onnx_runtime,
            bar: args.verdict.bar(),
        }),
        key: served.key,
        executor,
        streams: args.streams,
        largest_body: usize::try_from(args.largest_body.as_u64()).unwrap_or(usize::MAX),
        patience: Duration::from_millis(args.patience),
        limits: args.limits.limits(),
        audit_log: args.limits.audit_log.clone(),
        tls,
        oidc,
    };
    serve(settings, args.listen, |address| {
        outln!("listening on {scheme}://{address}");
        // Who started it waits for this line.
        let _ = output::finish();
    })?;
    drop(served.folder);
    Ok(Outcome::Done)
}

/// Who does the jobs.
fn executor(args: &ServeArgs, registry: &Registry) -> Result<Executor, CliError> {
    let judging = (&args.data, &args.verdict);
    Ok(match args.executor {
        ExecutorArg::Local => Executor::Local,
        ExecutorArg::None => Executor::Elsewhere,
        ExecutorArg::Ray => {
            Executor::Program(args.ray.program(registry, judging, args.patience)?)
        }
    })
}

fn key(file: &std::path::Path) -> Result<SecretKey, CliError> {
    Ok(SecretKey::from_pem(&files::read_text(file)?)?)
}

/// A network on the embedded digits, and a token for it.
fn demo(context: &Context) -> Result<Served, CliError> {
    let folder = tempfile::tempdir()
        .map_err(|error| CliError::new(format!("cannot make a temporary folder: {error}")))?;
    let mut recipe = recipes::load("fl-digits")?;
    recipe.training.epochs = DEMO_EPOCHS;
    let splits = recipes::open_data(&recipe)?;
    let registry = Registry::create(folder.path())?.used_by(context.actor());
    let shared = Arc::new(registry.acting_for(context.actor()));
    let engine = context.engine(shared, Some(&splits));
    let grown = disinherit_lab::grow(&engine, &recipe, &splits.train)?;
    fisher::cards(&engine, &grown.models, &FisherOptions::default(), false)?;
    let token = make_token(&registry, context.actor(), "demo", Role::Admin, DEMO_TOKEN)?;
    drop(engine);
    outln!("token: {}", token.secret);
    Ok(Served {
        registry,
        data: Some(splits),
        key: Some(SecretKey::generate(KeyKind::Ed25519)?),
        folder: Some(folder),
    })
}
