//! One function for each command.

mod demo;
mod fisher;
mod grow;
mod models;
mod reproduce;
mod request;

use std::path::Path;
use std::process::ExitCode;

use data::{OpenOptions, Splits};
use disinherit::Features;
use nets::Compute;
use store::Registry;

use crate::args::{Cli, Command, DataArgs};
use crate::error::CliError;
use crate::progress::Bars;

/// What every command needs to know.
pub(crate) struct Context {
    folder: Option<std::path::PathBuf>,
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
        Ok(match &self.folder {
            Some(folder) => Registry::open(folder)?,
            None => Registry::discover(Path::new("."))?,
        })
    }

    /// The features of a registry's models.
    fn features<'a>(&self, registry: &'a Registry) -> Features<'a> {
        Features::new(registry, self.compute, self.feature_cache)
    }

    /// The registry named, made if it is not there.
    fn registry_or_new(&self) -> Result<Registry, CliError> {
        match self.registry() {
            Err(_) if self.folder.as_deref().is_some_and(|f| !has_registry(f)) => {
                let folder = self.folder.as_deref().unwrap_or(Path::new("."));
                Ok(Registry::create(folder)?)
            }
            other => other,
        }
    }
}

fn has_registry(folder: &Path) -> bool {
    folder.join("registry.json").exists() || folder.join(".disinherit/registry.json").exists()
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
    Ok(Some(data::open(source, &options)?))
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let context = Context {
        folder: cli.registry,
        json: cli.json,
        compute: cli.device.parse()?,
        feature_cache: cli.feature_cache.as_u64(),
        bars: Bars::new(cli.quiet),
    };
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Init { folder } => models::init(&context, folder).map(done),
        Command::Add(args) => models::add(&context, &args).map(done),
        Command::Grow(args) => grow::grow(&context, &args).map(done),
        Command::Fisher(args) => fisher::fisher(&context, &args).map(done),
        Command::Graph(args) => models::graph(&context, &args).map(done),
        Command::Log { operations } => models::log(&context, operations).map(done),
        Command::Show { model } => models::show(&context, &model).map(done),
        Command::Plan(args) => request::plan(&context, &args).map(done),
        Command::Unlearn(args) => request::unlearn(&context, &args).map(done),
        Command::Verify(args) => request::verify(&context, &args),
        Command::Export { model, file, force } => {
            models::export(&context, &model, &file, force).map(done)
        }
        Command::Report(args) => reproduce::report(&context, &args).map(done),
        Command::Reproduce(args) => reproduce::reproduce(&context, &args).map(done),
        Command::Methods => reproduce::methods(&context).map(done),
        Command::Recipes { name } => grow::recipes(&context, name.as_deref()).map(done),
        Command::Demo(args) => demo::demo(&context, &args).map(done),
    }
}
