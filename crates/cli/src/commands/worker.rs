//! `worker`: does the jobs that servers file, on any machine that reaches the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use disinherit::registry::JobState;
use disinherit_desk::{JobEnd, Until};
use disinherit_server::{Equipment, work};
use serde_json::json;

use crate::args::data::DataArgs;
use crate::args::values::duration;
use crate::args::verdict::VerdictArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Do the runs and verifications that wait in a registry, one at a time.
#[derive(Debug, Args)]
#[command(after_help = "\
Servers file jobs, and servers (`--executor local`) and workers take them from the catalog: a folder's, or
PostgreSQL's from many machines. No job goes to two of them. One whose worker was killed goes to the next
one after half a minute of silence. How each job ended is told in a line (`--json`: an object in each line).

Examples:
  disinherit worker --data photos/
  disinherit worker --data photos/ --drain
  disinherit worker --data photos/ --once --json")]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    verdict: VerdictArgs,
    /// End when no job waits.
    #[arg(long)]
    drain: bool,
    /// End after one job, or at once where none waits.
    #[arg(long, conflicts_with = "drain")]
    once: bool,
    /// How long the job that is worked on may still take when the worker is told to stop.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration)]
    patience: u64,
}

pub(super) fn run(context: &Context, args: &WorkerArgs) -> Result<Outcome, CliError> {
    let equipment = Equipment {
        registry: Arc::new(context.registry()?),
        data: args.data.open()?,
        compute: context.compute,
        onnx_runtime: context.onnx_runtime,
        bar: args.verdict.bar(),
    };
    let until = match (args.once, args.drain) {
        (true, _) => Until::One,
        (_, true) => Until::NoneWaits,
        _ => Until::Told,
    };
    let json = context.json;
    let [taken, failed] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&taken), Arc::clone(&failed));
    let patience = Duration::from_millis(args.patience);
    work(equipment, until, patience, move |end: JobEnd| {
        counters.0.fetch_add(1, Ordering::SeqCst);
        let is_failed = end.state == JobState::Failed;
        counters
            .1
            .fetch_add(usize::from(is_failed), Ordering::SeqCst);
        say(&end, json);
    })?;
    let [taken, failed] = [taken, failed].map(|count| count.load(Ordering::SeqCst));
    if taken == 0 && !json {
        outln!("no job was taken");
    }
    // A worker without an end has done what it is for, whatever became of single jobs.
    if failed == 0 || until == Until::Told {
        return Ok(Outcome::Done);
    }
    Err(CliError::new(format!("{failed} of {taken} jobs failed"))
        .help("`disinherit request list` shows what is left to do"))
}

/// Tells how a job ended, in a line.
fn say(end: &JobEnd, json: bool) {
    let JobEnd { job, state, said } = end;
    let (id, request, kind) = (job.id, job.erasure, job.kind);
    if json {
        let line = json!({
            "id": id, "request": request, "kind": kind, "actor": job.actor, "state": state, "said": said,
        });
        outln!("{line}");
    } else {
        outln!("job {id}: {kind} of request {request}: {state}: {said}");
    }
    // Who started it may wait for this line.
    let _ = output::finish();
}
