//! `request`: erasure requests as records, from their arrival to the purge. One file for each step.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;

mod approve;
#[cfg(feature = "audit")]
pub(super) mod bundle;
mod cancel;
mod certify;
mod close;
mod comment;
mod extend;
mod four_eyes;
mod list;
mod new;
mod plan;
mod print;
mod purge;
mod reject;
mod run;
mod show;
mod verify;

/// Take erasure requests from their arrival to the certificate and the purge, each step on record.
///
/// received -> planned -> approved -> running -> verified -> certified -> purged -> closed
#[derive(Debug, Args)]
#[command(after_help = "\
Every step is an operation of the log with its actor, and is refused where it is not the request's turn.

Examples:
  disinherit request new --forget class=rocket --requester subject-8f3a
  disinherit request plan 1
  disinherit request approve 1 --actor ann@privacy
  disinherit request run 1 --data photos/
  disinherit request verify 1 --data photos/
  disinherit request certify 1 --key proof.pem
  disinherit request bundle 1
  disinherit request purge 1
  disinherit request close 1
  disinherit request list --due-soon")]
pub(crate) struct RequestCommandArgs {
    #[command(subcommand)]
    command: RequestCommand,
}

#[derive(Debug, Subcommand)]
enum RequestCommand {
    New(Box<new::NewArgs>),
    List(list::ListRequestsArgs),
    Show(show::ShowRequestArgs),
    Comment(comment::CommentArgs),
    Plan(plan::PlanRequestArgs),
    Approve(approve::ApproveArgs),
    Reject(reject::RejectArgs),
    Extend(extend::ExtendArgs),
    Run(run::RunRequestArgs),
    Cancel(cancel::CancelArgs),
    Verify(Box<verify::VerifyRequestArgs>),
    Certify(certify::CertifyRequestArgs),
    #[cfg(feature = "audit")]
    Bundle(bundle::BundleArgs),
    Purge(purge::PurgeRequestArgs),
    Close(close::CloseArgs),
    FourEyes(four_eyes::FourEyesArgs),
}

pub(super) fn run(context: &Context, args: &RequestCommandArgs) -> Result<Outcome, CliError> {
    match &args.command {
        RequestCommand::New(args) => new::run(context, args),
        RequestCommand::List(args) => list::run(context, args),
        RequestCommand::Show(args) => show::run(context, args),
        RequestCommand::Comment(args) => comment::run(context, args),
        RequestCommand::Plan(args) => plan::run(context, args),
        RequestCommand::Approve(args) => approve::run(context, args),
        RequestCommand::Reject(args) => reject::run(context, args),
        RequestCommand::Extend(args) => extend::run(context, args),
        RequestCommand::Run(args) => run::run(context, args),
        RequestCommand::Cancel(args) => cancel::run(context, args),
        RequestCommand::Verify(args) => verify::run(context, args),
        RequestCommand::Certify(args) => certify::run(context, args),
        #[cfg(feature = "audit")]
        RequestCommand::Bundle(args) => bundle::run(context, args),
        RequestCommand::Purge(args) => purge::run(context, args),
        RequestCommand::Close(args) => close::run(context, args),
        RequestCommand::FourEyes(args) => four_eyes::run(context, args),
    }
}
