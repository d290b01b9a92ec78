//! A stream of events: what was missed, then all news, until the caller goes or the server stops.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use disinherit::registry::{ErasureEvent, ErasureId, Job, OperationId};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::api::view::JobView;
use crate::app::App;
use crate::events::feed::{News, STEPS};
use crate::problem::Problem;

/// How often a stream says that it goes on.
const BEAT: Duration = Duration::from_secs(15);

/// How long a stream lasts: its caller comes again with the last event that it has seen, and its token is
/// asked for anew.
const LONGEST: Duration = Duration::from_secs(3600);

/// The same for a caller with an issuer's token, which the registry does not know.
const LONGEST_OF_ISSUER: Duration = Duration::from_secs(300);

/// How long a caller whose stream has ended waits before it comes again.
const AGAIN: Duration = Duration::from_secs(2);

/// A step of a request, as a stream tells it: the event `step`, with the operation as its id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepView {
    operation: i64,
    request: i64,
    /// In a word, such as `plan`.
    step: String,
    /// What the request was then.
    state: Option<String>,
    actor: String,
    /// In milliseconds since 1970-01-01 UTC.
    time: u64,
}

/// A job of a request, as a stream tells it: the event `job`, without an id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobNews {
    request: i64,
    #[serde(flatten)]
    job: JobView,
}

impl From<&ErasureEvent> for StepView {
    fn from(event: &ErasureEvent) -> Self {
        Self {
            operation: event.operation.get(),
            request: event.request.get(),
            step: event.step.clone(),
            state: event.state.map(|state| state.to_string()),
            actor: event.actor.clone(),
            time: event.time,
        }
    }
}

/// What is listened to, from where on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// One request, or all.
    pub(crate) request: Option<ErasureId>,
    /// The last step that the caller has seen, where it has seen one: what came after it is told first.
    pub(crate) after: Option<OperationId>,
    /// The number of the caller's token, where it is one of the registry.
    pub(crate) token: Option<i64>,
}

/// Opens a stream, where there is a place for one more.
pub(crate) async fn open(app: Arc<App>, wanted: Wanted) -> Result<Response, Problem> {
    let Some(place) = app.feed.place() else {
        return Ok(full());
    };
    // What happens from here on is news; what was before is read.
    let news = app.feed.listen();
    let (known, jobs) = app
        .read(move |registry| {
            let known = match wanted.after {
                Some(after) => after,
                None => registry.last_erasure_event()?,
            };
            let jobs = match wanted.request {
                Some(request) => registry.jobs(request)?,
                None => registry.recent_jobs(u64::MAX)?,
            };
            Ok((known, jobs))
        })
        .await?;
    let mut stream = Stream {
        app,
        wanted,
        news,
        last: known,
        missed: wanted.after.is_some(),
        queue: VecDeque::new(),
        until: Instant::now()
            + match wanted.token {
                Some(_) => LONGEST,
                None => LONGEST_OF_ISSUER,
            },
        _place: place,
    };
    // Where the stream begins, and how soon to come again: no event, but what a next call begins from.
    let start = Event::default().id(known.to_string()).retry(AGAIN);
    stream.queue.push_back(start);
    for job in jobs.iter().filter(|job| job.state.is_open()) {
        stream.job(job);
    }
    let events = futures::stream::unfold(stream, Stream::next);
    let beat = KeepAlive::new().interval(BEAT);
    Ok(Sse::new(events).keep_alive(beat).into_response())
}

/// There are as many streams as this server allows.
fn full() -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let detail = "as many event streams are open as this server allows";
    let problem = Problem::new(status, "/problems/too-many-streams", detail)
        .with_hint("come again later, or ask for the request with If-None-Match now and then");
    let mut answer = problem.into_response();
    let later = HeaderValue::from_static("30");
    answer.headers_mut().insert(header::RETRY_AFTER, later);
    answer
}

struct Stream {
    app: Arc<App>,
    wanted: Wanted,
    news: broadcast::Receiver<News>,
    /// The last step that was told, or that was before the stream.
    last: OperationId,
    /// Whether steps are to be read that were missed.
    missed: bool,
    queue: VecDeque<Event>,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// The next event, and the stream after it; nothing at its end.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some((Ok(event), self));
            }
            if self.missed {
                self.catch_up().await?;
                continue;
            }
            let heard = tokio::select! {
                () = self.app.stopped() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                heard = self.news.recv() => heard,
            };
            match heard {
                Ok(News::Step(event)) => self.step(&event),
                Ok(News::Job(job)) => self.job(&job),
                Ok(News::Tokens(held)) if self.is_over(&held) => return None,
                Ok(News::Tokens(_)) => {}
                Err(RecvError::Lagged(_)) => self.missed = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Reads steps that were missed; nothing where the catalog cannot be read: the caller comes again.
    async fn catch_up(&mut self) -> Option<()> {
        let (last, request) = (self.last, self.wanted.request);
        let read = self
            .app
            .read(move |registry| Ok(registry.erasure_events(last, request, STEPS)?));
        let events = read.await.ok()?;
        self.missed = events.len() == STEPS as usize;
        for event in &events {
            self.step(event);
        }
        Some(())
    }

    fn step(&mut self, event: &ErasureEvent) {
        // What was read already comes as news, too.
        if event.operation <= self.last || self.is_other(event.request) {
            return;
        }
        self.last = event.operation;
        let id = event.operation.to_string();
        self.push(
            Event::default().event("step").id(id),
            &StepView::from(event),
        );
    }

    fn job(&mut self, job: &Job) {
        if !self.is_other(job.erasure) {
            let news = JobNews {
                request: job.erasure.get(),
                job: job.into(),
            };
            self.push(Event::default().event("job"), &news);
        }
    }

    /// Whether the caller's token holds no longer.
    fn is_over(&self, held: &BTreeSet<i64>) -> bool {
        self.wanted
            .token
            .is_some_and(|token| !held.contains(&token))
    }

    fn is_other(&self, request: ErasureId) -> bool {
        self.wanted.request.is_some_and(|wanted| wanted != request)
    }

    fn push(&mut self, event: Event, data: &impl Serialize) {
        // Neither has a value that JSON does not know.
        if let Ok(text) = serde_json::to_string(data) {
            self.queue.push_back(event.data(text));
        }
    }
}
