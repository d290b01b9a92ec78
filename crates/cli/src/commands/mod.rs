//! One function for each command.

mod bring;
mod demo;
mod fisher;
mod grow;
mod import;
mod keeping;
mod models;
mod proof;
mod reproduce;
mod request;

use std::path::Path;
use std::process::ExitCode;

use disinherit::Features;
use disinherit_data::{OpenOptions, Splits};
use disinherit_nets::Compute;
use disinherit_registry::{Location, Registry};

use crate::args::{Cli, Command, DataArgs};
use crate::error::CliError;
use crate::progress::Bars;

/// What every command needs to know.
pub(crate) struct Context {
    registry: Option<String>,
    actor: String,
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// Where networks run.
    pub(crate) compute: Compute,
    /// The bound of the cache of features, in bytes.
    pub(crate) feature_cache: u64,
    /// Progress bars.
    pub(crate) bars: Bars,
}

impl Context {
    /// The registry: the one named, or the nearest one upwards.
    fn registry(&self) -> Result<Registry, CliError> {
        let registry = match &self.registry {
            Some(place) => open(place)?,
            None => Registry::discover(Path::new("."))?,
        };
        Ok(registry.used_by(&self.actor))
    }

    /// The registry named, if one is.
    fn named_registry(&self) -> Result<Option<Registry>, CliError> {
        self.registry.as_deref().map(open).transpose()
    }

    /// The features of a registry's models.
    fn features<'a>(&self, registry: &'a Registry) -> Features<'a> {
        Features::new(registry, self.compute, self.feature_cache)
    }

    /// The registry named, made if it is not there.
    fn registry_or_new(&self) -> Result<Registry, CliError> {
        match self.registry() {
            Err(error) => match self.registry.as_deref().map(location).transpose()? {
                Some(place @ Location::Folder(_)) if !has_registry(&place) => {
                    Ok(Registry::create_with(&place, None)?.used_by(&self.actor))
                }
                _ => Err(error),
            },
            found => found,
        }
    }
}

fn has_registry(place: &Location) -> bool {
    let Location::Folder(folder) = place else {
        return true;
    };
    folder.join("registry.json").exists() || folder.join(".disinherit/registry.json").exists()
}

/// A registry's place, with the storage's settings from the environment.
fn location(place: &str) -> Result<Location, CliError> {
    Ok(Location::parse(place)?.with_settings(std::env::vars()))
}

fn open(place: &str) -> Result<Registry, CliError> {
    Ok(Registry::open_at(&location(place)?)?)
}

/// Who does this, when nobody says: the account and the machine.
fn somebody() -> String {
    let account = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "unknown".into());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    match machine.trim() {
        "" => account,
        machine => format!("{account}@{machine}"),
    }
}

fn read_data(args: &DataArgs) -> Result<Option<Splits>, CliError> {
    let Some(source) = &args.data else {
        return Ok(None);
    };
    let options = OpenOptions {
        size: args.size,
        tokenizer: args.tokenizer.clone(),
        ..OpenOptions::default()
    };
    Ok(Some(disinherit_data::open(source, &options)?))
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let context = Context {
        registry: cli.registry,
        actor: cli.actor.unwrap_or_else(somebody),
        json: cli.json,
        compute: cli.device.parse()?,
        feature_cache: cli.feature_cache.as_u64(),
        bars: Bars::new(cli.quiet),
    };
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Init { place, catalog } => {
            models::init(&context, place, catalog.as_deref()).map(done)
        }
        Command::Add(args) => bring::add(&context, &args).map(done),
        Command::Import(args) => import::import(&context, &args).map(done),
        Command::Grow(args) => grow::grow(&context, &args).map(done),
        Command::Fisher(args) => fisher::fisher(&context, &args).map(done),
        Command::Graph(args) => models::graph(&context, &args).map(done),
        Command::Log { operations } => models::log(&context, operations).map(done),
        Command::List(args) => keeping::list(&context, &args).map(done),
        Command::Show { what } => models::show(&context, &what).map(done),
        Command::Undo { operation } => keeping::undo(&context, operation).map(done),
        Command::Purge(args) => keeping::purge(&context, &args).map(done),
        Command::Retention { keep } => keeping::retention(&context, keep.as_deref()).map(done),
        Command::Gc { dry_run, drafts } => keeping::gc(&context, dry_run, drafts).map(done),
        Command::Fsck { repair, from } => keeping::fsck(&context, repair, from.as_deref()),
        Command::Key { file } => proof::key(&context, &file).map(done),
        Command::Certify(args) => proof::certify(&context, &args).map(done),
        Command::Plan(args) => request::plan(&context, &args).map(done),
        Command::Unlearn(args) => request::unlearn(&context, &args).map(done),
        Command::Verify(args) => request::verify(&context, &args),
        Command::Export(args) => bring::export(&context, &args).map(done),
        Command::Report(args) => reproduce::report(&context, &args).map(done),
        Command::Reproduce(args) => reproduce::reproduce(&context, &args).map(done),
        Command::Methods => reproduce::methods(&context).map(done),
        Command::Recipes { name } => grow::recipes(&context, name.as_deref()).map(done),
        Command::Demo(args) => demo::demo(&context, &args).map(done),
    }
}
