//! `token`: who may use the service, as what, until when.

use clap::{Args, Subcommand};
use disinherit_server::{Role, make_token};
use serde_json::json;

use crate::args::values::duration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::table;

/// Make, list and revoke the tokens of `disinherit serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Roles: viewer, requester, operator, approver, auditor, admin (docs/serve.md).

Examples:
  disinherit token new ann --role approver
  disinherit token list
  disinherit token revoke 3")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    New(NewArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Make a token. It is shown once: the registry keeps its hash only.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit token new ann --role approver
  disinherit token new ci --role operator --expires 30d --json")]
struct NewArgs {
    /// Whose it is: the actor of all that is done with it.
    name: String,
    /// What its holder may do.
    #[arg(long)]
    role: Role,
    /// For how long it holds.
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = duration)]
    expires: u64,
}

/// List the tokens, without their secrets.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit token list")]
struct ListArgs {}

/// Revoke a token: it is denied from the next call on.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit token revoke 3")]
struct RevokeArgs {
    /// The token's number.
    token: i64,
}

pub(super) fn run(context: &Context, args: &TokenArgs) -> Result<Outcome, CliError> {
    match &args.command {
        TokenCommand::New(args) => new(context, args),
        TokenCommand::List(_) => list(context),
        TokenCommand::Revoke(args) => revoke(context, args),
    }
}

fn new(context: &Context, args: &NewArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let made = make_token(
        &registry,
        context.actor(),
        &args.name,
        args.role,
        args.expires,
    )?;
    if context.json {
        output::json(&json!({"token": made.token, "id": made.id, "secret": made.secret}))?;
        return Ok(Outcome::Done);
    }
    outln!("{}", made.secret);
    outln!(
        "token {} for {} ({}), until {}; it is not shown again",
        made.id,
        args.name,
        args.role,
        output::time(made.token.expires)
    );
    Ok(Outcome::Done)
}

fn list(context: &Context) -> Result<Outcome, CliError> {
    let tokens = context.registry()?.tokens()?;
    if context.json {
        output::json(&json!({ "tokens": tokens }))?;
        return Ok(Outcome::Done);
    }
    let now = disinherit::model::now();
    let rows = tokens.iter().map(|token| {
        let state = match (token.revoked, token.holds(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "holds",
            (None, false) => "expired",
        };
        vec![
            token.id.to_string(),
            token.name.clone(),
            token.role.clone(),
            state.to_owned(),
            output::time(token.expires),
            token.used.map_or_else(|| "never".into(), output::time),
        ]
    });
    let header = ["token", "name", "role", "state", "until", "last used"];
    table::print(&header, rows.collect(), 6);
    Ok(Outcome::Done)
}

fn revoke(context: &Context, args: &RevokeArgs) -> Result<Outcome, CliError> {
    if !context.registry()?.revoke_token(args.token)? {
        let message = format!("there is no token {} that holds", args.token);
        return Err(CliError::new(message).help("`disinherit token list` lists them"));
    }
    if context.json {
        output::json(&json!({ "revoked": args.token }))?;
    } else {
        outln!("token {} is revoked", args.token);
    }
    Ok(Outcome::Done)
}
