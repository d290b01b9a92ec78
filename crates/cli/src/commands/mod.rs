//! The commands, one file each: flags, what it does, what it prints.

use clap::Subcommand;

mod add;
mod bom;
mod certify;
mod demo;
mod export;
mod fisher;
mod fsck;
mod gc;
mod graph;
mod grow;
mod import;
mod init;
mod key;
mod list;
mod log;
mod methods;
mod plan;
mod purge;
mod recipes;
mod report;
mod reproduce;
mod request;
mod retention;
mod sample_ids;
#[cfg(feature = "server")]
mod serve;
mod show;
mod sign;
#[cfg(feature = "server")]
mod token;
mod undo;
mod unlearn;
mod verify;
#[cfg(feature = "server")]
mod webhook;
#[cfg(feature = "server")]
mod worker;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Add(Box<add::AddArgs>),
    Import(Box<import::ImportArgs>),
    Grow(grow::GrowArgs),
    Fisher(Box<fisher::FisherArgs>),
    Graph(graph::GraphArgs),
    Log(log::LogArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Undo(undo::UndoArgs),
    Purge(purge::PurgeArgs),
    Retention(retention::RetentionArgs),
    SampleIds(sample_ids::SampleIdsArgs),
    Gc(gc::GcArgs),
    Fsck(fsck::FsckArgs),
    Key(key::KeyArgs),
    Certify(Box<certify::CertifyArgs>),
    Bom(bom::BomArgs),
    Plan(plan::PlanArgs),
    Unlearn(Box<unlearn::UnlearnArgs>),
    Verify(Box<verify::VerifyArgs>),
    Request(request::RequestCommandArgs),
    #[cfg(feature = "audit")]
    Bundle(request::bundle::BundleArgs),
    #[cfg(feature = "server")]
    Serve(Box<serve::ServeArgs>),
    #[cfg(feature = "server")]
    Token(token::TokenArgs),
    #[cfg(feature = "server")]
    Worker(Box<worker::WorkerArgs>),
    #[cfg(feature = "server")]
    Webhook(webhook::WebhookArgs),
    Export(export::ExportArgs),
    Sign(sign::SignArgs),
    Report(report::ReportArgs),
    Reproduce(Box<reproduce::ReproduceArgs>),
    Methods(methods::MethodsArgs),
    Recipes(recipes::RecipesArgs),
    Demo(Box<demo::DemoArgs>),
}

/// Reads the command line.
///
/// # Errors
/// Where a configuration file cannot be read. A wrong command line ends the process.
pub(crate) fn matches(top: clap::Command) -> Result<clap::ArgMatches, CliError> {
    #[cfg(feature = "server")]
    return serve::config::matches(top);
    #[cfg(not(feature = "server"))]
    Ok(top.get_matches())
}

/// Runs a command.
pub(crate) fn run(context: &Context, command: Command) -> Result<Outcome, CliError> {
    match command {
        Command::Init(args) => init::run(context, &args),
        Command::Add(args) => add::run(context, &args),
        Command::Import(args) => import::run(context, &args),
        Command::Grow(args) => grow::run(context, &args),
        Command::Fisher(args) => fisher::run(context, &args),
        Command::Graph(args) => graph::run(context, &args),
        Command::Log(args) => log::run(context, &args),
        Command::List(args) => list::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Undo(args) => undo::run(context, &args),
        Command::Purge(args) => purge::run(context, &args),
        Command::Retention(args) => retention::run(context, &args),
        Command::SampleIds(args) => sample_ids::run(context, &args),
        Command::Gc(args) => gc::run(context, &args),
        Command::Fsck(args) => fsck::run(context, &args),
        Command::Key(args) => key::run(context, &args),
        Command::Certify(args) => certify::run(context, &args),
        Command::Bom(args) => bom::run(context, &args),
        Command::Plan(args) => plan::run(context, &args),
        Command::Unlearn(args) => unlearn::run(context, &args),
        Command::Verify(args) => verify::run(context, &args),
        Command::Request(args) => request::run(context, &args),
        #[cfg(feature = "audit")]
        Command::Bundle(args) => request::bundle::run(context, &args),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::run(context, &args),
        #[cfg(feature = "server")]
        Command::Token(args) => token::run(context, &args),
        #[cfg(feature = "server")]
        Command::Worker(args) => worker::run(context, &args),
        #[cfg(feature = "server")]
        Command::Webhook(args) => webhook::run(context, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Sign(args) => sign::run(context, &args),
        Command::Report(args) => report::run(context, &args),
        Command::Reproduce(args) => reproduce::run(context, &args),
        Command::Methods(args) => methods::run(context, &args),
        Command::Recipes(args) => recipes::run(context, &args),
        Command::Demo(args) => demo::run(context, &args),
    }
}
