//! `webhook`: who else is told when requests change their state.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use disinherit::registry::{ErasureState, MessageFate, OperationId, Webhook, WebhookMessage};
use disinherit_server::{
    NewWebhook, ServeError, make_webhook, pause_webhook, test_webhook, webhook_messages,
};
use serde_json::json;

use crate::args::page::PageArgs;
use crate::args::values::duration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::{files, table};

/// Have other services told when requests change their state, by signed messages from `disinherit serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Messages are signed as Standard Webhooks says. They have the request's number and state, and nothing of
what was said about it.

Examples:
  disinherit webhook add https://desk.example.org/erasures --states verified,closed
  disinherit webhook test 1
  disinherit webhook list
  disinherit webhook messages 1
  disinherit webhook pause 1
  disinherit webhook resume 1
  disinherit webhook remove 1")]
pub(crate) struct WebhookArgs {
    #[command(subcommand)]
    command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    Add(AddArgs),
    List(ListArgs),
    Messages(MessagesArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
    Remove(RemoveArgs),
    Test(TestArgs),
}

/// Add a webhook. A secret that is made for it is shown once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit webhook add https://desk.example.org/erasures
  disinherit webhook add https://desk.example.org/erasures --states verified,failed --secret-file whsec.txt
  disinherit webhook add http://127.0.0.1:9000/hook --attempts 3 --pause 1s")]
struct AddArgs {
    /// Where messages are sent to: https, or http on this machine.
    url: String,
    /// A file with what messages are signed with: `whsec_` and 24 to 64 bytes in base64. Made when not given.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The states that are told, with commas between them; all when not given.
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    states: Vec<ErasureState>,
    /// How often a message is tried before it is given up.
    #[arg(long, value_name = "N", default_value_t = NewWebhook::ATTEMPTS)]
    attempts: u32,
    /// The pause after the first attempt that failed; each next one is four times as long, a day at most.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pause: u64,
    /// Send messages unencrypted to another machine, in a network that you trust.
    #[arg(long)]
    allow_http: bool,
}

/// List webhooks, without their secrets, with what has become of their messages.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit webhook list")]
struct ListArgs {}

/// List messages of a webhook with what has become of them, the newest first.
///
/// Those that wait are listed, and the last fifty of those that arrived or were given up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit webhook messages 1
  disinherit webhook messages 1 --limit 20 --after 17 --json")]
struct MessagesArgs {
    /// The webhook's number.
    webhook: i64,
    /// Start after the message of this operation: the last of the page before.
    #[arg(long, value_name = "OPERATION")]
    after: Option<OperationId>,
    #[command(flatten)]
    page: PageArgs,
}

/// Pause a webhook: its messages wait, new ones included.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit webhook pause 1")]
struct PauseArgs {
    /// The webhook's number.
    webhook: i64,
}

/// Have the messages of a paused webhook sent again, those that have waited first.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit webhook resume 1")]
struct ResumeArgs {
    /// The webhook's number.
    webhook: i64,
}

/// Remove a webhook, with what is still to be delivered.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit webhook remove 1")]
struct RemoveArgs {
    /// The webhook's number.
    webhook: i64,
}

/// Send a message of the type `webhook.test` from here, once.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit webhook test 1")]
struct TestArgs {
    /// The webhook's number.
    webhook: i64,
}

pub(super) fn run(context: &Context, args: &WebhookArgs) -> Result<Outcome, CliError> {
    match &args.command {
        WebhookCommand::Add(args) => add(context, args),
        WebhookCommand::List(_) => list(context),
        WebhookCommand::Messages(args) => messages(context, args),
        WebhookCommand::Pause(args) => pause(context, args.webhook, true),
        WebhookCommand::Resume(args) => pause(context, args.webhook, false),
        WebhookCommand::Remove(args) => remove(context, args),
        WebhookCommand::Test(args) => test(context, args),
    }
}

fn add(context: &Context, args: &AddArgs) -> Result<Outcome, CliError> {
    let secret = args.secret_file.as_deref().map(secret).transpose()?;
    let given = secret.is_some();
    let new = NewWebhook {
        url: args.url.clone(),
        secret,
        states: args.states.clone(),
        attempts: args.attempts,
        pause: args.pause,
        allow_http: args.allow_http,
    };
    let made = make_webhook(&context.registry()?, context.actor(), new)?;
    if context.json {
        output::json(&json!({"webhook": made, "secret": made.secret}))?;
        return Ok(Outcome::Done);
    }
    outln!(
        "webhook {}: {} is told of {}",
        made.id,
        made.url,
        states(&made)
    );
    if !given {
        outln!("{}", made.secret);
        outln!("this is its secret; it is not shown again");
    }
    Ok(Outcome::Done)
}

fn secret(file: &Path) -> Result<String, CliError> {
    Ok(files::read_text(file)?.trim().to_owned())
}

fn states(webhook: &Webhook) -> String {
    let names: Vec<String> = webhook.states.iter().map(ToString::to_string).collect();
    match names.is_empty() {
        true => "all states".to_owned(),
        false => names.join(", "),
    }
}

fn list(context: &Context) -> Result<Outcome, CliError> {
    let webhooks = context.registry()?.webhooks()?;
    if context.json {
        output::json(&json!({ "webhooks": webhooks }))?;
        return Ok(Outcome::Done);
    }
    let rows = webhooks.iter().map(|webhook| {
        let tally = &webhook.tally;
        vec![
            webhook.id.to_string(),
            webhook.url.clone(),
            states(webhook),
            match webhook.paused {
                Some(since) => format!("paused since {}", output::time(since)),
                None => "active".to_owned(),
            },
            tally.waiting.to_string(),
            tally.delivered.to_string(),
            tally.given_up.to_string(),
            tally.last.map_or_else(|| "never".into(), output::time),
            tally.said.clone(),
        ]
    });
    let header = [
        "webhook",
        "to",
        "tells",
        "state",
        "waiting",
        "delivered",
        "given up",
        "last arrived",
        "last failure",
    ];
    table::print(&header, rows.collect(), 9);
    Ok(Outcome::Done)
}

fn messages(context: &Context, args: &MessagesArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let (found, next) = webhook_messages(&registry, args.webhook, args.after, args.page.limit)?;
    if context.json {
        output::json(&json!({"messages": found, "next": next}))?;
        return Ok(Outcome::Done);
    }
    let header = [
        "operation",
        "request",
        "tells",
        "attempts",
        "message",
        "when",
        "why",
    ];
    table::print(&header, found.iter().map(row).collect(), 7);
    if let Some(next) = next {
        outln!("more: --after {next}");
    }
    Ok(Outcome::Done)
}

fn row(message: &WebhookMessage) -> Vec<String> {
    let (fate, when, why) = match &message.fate {
        MessageFate::Waiting { due: 0 } => ("waits", String::new(), ""),
        MessageFate::Waiting { due } => ("waits until", output::time(*due), ""),
        MessageFate::Arrived { time } => ("arrived", output::time(*time), ""),
        MessageFate::GivenUp { time, said } => ("given up", output::time(*time), said.as_str()),
    };
    vec![
        message.operation.to_string(),
        message.request.to_string(),
        message.state.to_string(),
        message.attempts.to_string(),
        fate.to_owned(),
        when,
        why.to_owned(),
    ]
}

fn pause(context: &Context, id: i64, paused: bool) -> Result<Outcome, CliError> {
    let webhook = pause_webhook(&context.registry()?, id, paused)?;
    if context.json {
        output::json(&json!({ "webhook": webhook }))?;
    } else if paused {
        outln!("webhook {id} is paused: its messages wait");
    } else {
        let waiting = webhook.tally.waiting;
        outln!("webhook {id} is resumed; messages that wait: {waiting}");
    }
    Ok(Outcome::Done)
}

fn remove(context: &Context, args: &RemoveArgs) -> Result<Outcome, CliError> {
    if !context.registry()?.remove_webhook(args.webhook)? {
        return Err(ServeError::NoWebhook(args.webhook).into());
    }
    if context.json {
        output::json(&json!({ "removed": args.webhook }))?;
    } else {
        outln!("webhook {} is removed", args.webhook);
    }
    Ok(Outcome::Done)
}

fn test(context: &Context, args: &TestArgs) -> Result<Outcome, CliError> {
    let webhook = test_webhook(&context.registry()?, args.webhook)?;
    if context.json {
        output::json(&json!({ "webhook": webhook }))?;
    } else {
        outln!("the message has arrived at {}", webhook.url);
    }
    Ok(Outcome::Done)
}
