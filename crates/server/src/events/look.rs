//! Looking: the catalog is read once a second, whatever the number of streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use disinherit::model::now;
use disinherit::registry::{ErasureEvent, Job, OperationId, Registry};

use crate::app::App;
use crate::events::feed::{News, STEPS};
use crate::problem::Problem;

/// How often the catalog is read. What this server does itself is told at once.
const LOOK: Duration = Duration::from_secs(1);

/// How often tokens are looked at: streams of those that were revoked end.
const TOKENS: Duration = Duration::from_secs(5);

/// How long before now jobs that have ended are still news, in milliseconds: clocks differ.
const LATELY: u64 = 60_000;

/// What the feed has told.
pub(crate) struct Told {
    /// The last step.
    last: OperationId,
    /// The jobs that were open, as they were told.
    jobs: BTreeMap<i64, Job>,
}

/// Finds where the log ends: what was before is not news. Where the catalog fails, all of it is, and streams
/// leave out what they know.
pub(crate) async fn start(app: &Arc<App>) -> Told {
    let last = app.read(|registry| Ok(registry.last_erasure_event()?));
    Told {
        last: last.await.unwrap_or_default(),
        jobs: BTreeMap::new(),
    }
}

/// Reads the catalog and tells the streams, until the server stops.
pub(crate) async fn run(app: Arc<App>, mut told: Told) {
    let mut looked_at_tokens = Instant::now();
    loop {
        tokio::select! {
            () = app.stopped() => return,
            () = app.news.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        if app.feed.open() == 0 {
            // Streams that open later read the catalog for what was before.
            told.jobs.clear();
        }
        let tokens = app.feed.open() > 0 && looked_at_tokens.elapsed() >= TOKENS;
        match look(&app, told, tokens).await {
            Ok(now) => told = now,
            Err(lost) => told = lost,
        }
        if tokens {
            looked_at_tokens = Instant::now();
        }
    }
}

/// Looks once. Where the catalog fails, what was told before is as it was.
async fn look(app: &Arc<App>, told: Told, tokens: bool) -> Result<Told, Told> {
    let (last, listens) = (told.last, app.feed.open() > 0);
    let read = app.read(move |registry| seen(registry, last, (listens, tokens)));
    let Ok(seen) = read.await else {
        return Err(told);
    };
    let Told { mut last, mut jobs } = told;
    for event in seen.steps {
        last = event.operation;
        app.feed.tell([News::Step(Arc::new(event))]);
    }
    let mut open = BTreeMap::new();
    for job in seen.jobs {
        let before = jobs.remove(&job.id);
        if before.as_ref() != Some(&job) {
            app.feed.tell([News::Job(Arc::new(job.clone()))]);
        }
        open.insert(job.id, job);
    }
    app.feed
        .tell(seen.tokens.map(|held| News::Tokens(Arc::new(held))));
    Ok(Told { last, jobs: open })
}

/// What there is to tell.
struct Seen {
    steps: Vec<ErasureEvent>,
    jobs: Vec<Job>,
    tokens: Option<BTreeSet<i64>>,
}

fn seen(
    registry: &Registry,
    last: OperationId,
    (listens, tokens): (bool, bool),
) -> Result<Seen, Problem> {
    let jobs = match listens {
        true => registry.recent_jobs(now().saturating_sub(LATELY))?,
        false => Vec::new(),
    };
    let tokens = match tokens {
        true => {
            let held = registry
                .tokens()?
                .into_iter()
                .filter(|token| token.holds(now()));
            Some(held.map(|token| token.id).collect())
        }
        false => None,
    };
    Ok(Seen {
        steps: registry.erasure_events(last, None, STEPS)?,
        jobs,
        tokens,
    })
}
