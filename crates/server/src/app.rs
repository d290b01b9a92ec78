//! What every call is answered with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use disinherit::certificate::SecretKey;
use disinherit::progress::Silent;
use disinherit::registry::{JobState, Registry};
use disinherit_desk::Desk;
use tokio::sync::{Notify, Semaphore, watch};

use crate::audit::Audit;
use crate::equipment::Equipment;
use crate::error::ServeError;
use crate::events::feed::Feed;
pub(crate) use crate::identity::Caller;
use crate::identity::{FlowKey, Issuer, OidcSettings};
use crate::jobs::program::WorkerProgram;
use crate::listen::tls::TlsFiles;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::quota::{Limiter, Limits};

/// The most calls that use the registry at a time.
const AT_A_TIME: usize = 8;

/// The setting of the registry with the key for sign-ins that are under way.
const FLOW_KEY: &str = "sign-in key";

/// How a server works.
pub struct Settings {
    /// What work on requests is done with.
    pub equipment: Arc<Equipment>,
    /// What certificates are signed with, where they are.
    pub key: Option<SecretKey>,
    /// Who does the jobs.
    pub executor: Executor,
    /// The most event streams that are open at a time.
    pub streams: usize,
    /// The longest body of a call, in bytes.
    pub largest_body: usize,
    /// How long the job that is worked on may take when the server is told to stop; it waits for the next
    /// server then.
    pub patience: Duration,
    /// How much one caller gets.
    pub limits: Limits,
    /// The file that refusals and sign-ins are appended to, if there is one.
    pub audit_log: Option<PathBuf>,
    /// The certificate, where this server speaks TLS itself.
    pub tls: Option<TlsFiles>,
    /// Whose tokens are taken beside those of the registry.
    pub oidc: Option<OidcSettings>,
}

/// Who does the jobs that a server files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executor {
    /// The server itself, one at a time.
    Local,
    /// A program that the server starts and keeps running.
    Program(WorkerProgram),
    /// Others: workers, or other servers of the registry.
    Elsewhere,
}

/// A server at work.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) limiter: Limiter,
    pub(crate) audit: Audit,
    pub(crate) issuer: Option<Issuer>,
    /// Something was done here.
    pub(crate) news: Notify,
    /// Tells streams what happens.
    pub(crate) feed: Feed,
    /// Whether jobs wait because the program that does them does not run.
    without_worker: AtomicBool,
    stopping: watch::Sender<bool>,
    turns: Semaphore,
}

impl App {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>, ServeError> {
        let registry = Arc::clone(&settings.equipment.registry);
        let issuer = match settings.oidc.clone() {
            Some(oidc) => Some(Issuer::new(oidc, || flow_key(&registry))?),
            None => None,
        };
        Ok(Arc::new(Self {
            limiter: Limiter::new(&settings.limits),
            audit: Audit::new(settings.audit_log.clone()),
            issuer,
            feed: Feed::new(settings.streams),
            settings,
            metrics: Metrics::default(),
            news: Notify::new(),
            without_worker: AtomicBool::default(),
            stopping: watch::Sender::new(false),
            turns: Semaphore::new(AT_A_TIME),
        }))
    }

    /// Whether verifications that are filed here would fail for want of data.
    pub(crate) fn lacks_data(&self) -> bool {
        match &self.settings.executor {
            Executor::Local => self.settings.equipment.data.is_none(),
            Executor::Program(program) => !program.has_data,
            Executor::Elsewhere => false,
        }
    }

    /// Notes whether jobs wait because the program that does them does not run.
    pub(crate) fn set_without_worker(&self, without: bool) {
        self.without_worker.store(without, Ordering::Relaxed);
    }

    /// Whether jobs wait because the program that does them does not run.
    pub(crate) fn is_without_worker(&self) -> bool {
        self.without_worker.load(Ordering::Relaxed)
    }

    /// Tells of a job that has ended here.
    pub(crate) fn job_ended(&self, state: JobState) {
        self.metrics.job_ended(state);
        self.news.notify_waiters();
    }

    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns when the server stops.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // What could be wrong is that the sender is gone, and that is here.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Does something with the registry, off the threads that answer.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Registry) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.turns.acquire().await;
        let app = Arc::clone(self);
        let done =
            tokio::task::spawn_blocking(move || work(&app.settings.equipment.registry)).await;
        drop(turn);
        done.unwrap_or_else(|error| Err(Problem::fault(&error)))
    }

    /// Does something at the desk, as the caller.
    pub(crate) async fn at_desk<T: Send + 'static>(
        self: &Arc<Self>,
        actor: &str,
        work: impl FnOnce(&Desk<'_>, &Registry) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.turns.acquire().await;
        let (app, actor) = (Arc::clone(self), actor.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let equipment = &app.settings.equipment;
            equipment.desk(&actor, &Silent, &Arc::default(), work)
        });
        let done = done.await;
        drop(turn);
        done.unwrap_or_else(|error| Err(Problem::fault(&error)))
    }
}

/// The key for sign-ins that are under way: the first server that needs it makes it, and all others of the registry use
/// the same.
fn flow_key(registry: &Registry) -> Result<FlowKey, ServeError> {
    let new = FlowKey::new_text().map_err(ServeError::SignIn)?;
    let kept = registry.setting_or(FLOW_KEY, &new)?;
    Ok(FlowKey::from_text(kept))
}
