//! What every call is answered with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use disinherit::Engine;
use disinherit::certificate::SecretKey;
use disinherit::data::Splits;
use disinherit::nets::Compute;
use disinherit::progress::Progress;
use disinherit::registry::Registry;
use disinherit_desk::{Bar, Desk};
use tokio::sync::{Notify, Semaphore};

use crate::audit::Audit;
use crate::error::ServeError;
pub(crate) use crate::identity::Caller;
use crate::identity::{Issuer, OidcSettings};
use crate::listen::tls::TlsFiles;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::quota::{Limiter, Limits};

/// The most calls that use the registry at a time.
const AT_A_TIME: usize = 32;

/// How a server works.
pub struct Settings {
    /// The registry.
    pub registry: Arc<Registry>,
    /// What models are run and judged on, where there is some.
    pub data: Option<Splits>,
    /// What certificates are signed with, where they are.
    pub key: Option<SecretKey>,
    /// Where networks run.
    pub compute: Compute,
    /// What models must reach when a job judges them.
    pub bar: Bar,
    /// Whether jobs are taken here.
    pub jobs: bool,
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

/// A server at work.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) limiter: Limiter,
    pub(crate) audit: Audit,
    pub(crate) issuer: Option<Issuer>,
    /// A job was filed, or the server stops.
    pub(crate) news: Notify,
    stopping: AtomicBool,
    turns: Semaphore,
}

impl App {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>, ServeError> {
        let issuer = settings.oidc.clone().map(Issuer::new).transpose()?;
        Ok(Arc::new(Self {
            limiter: Limiter::new(&settings.limits),
            audit: Audit::new(settings.audit_log.clone()),
            issuer,
            settings,
            metrics: Metrics::default(),
            news: Notify::new(),
            stopping: AtomicBool::new(false),
            turns: Semaphore::new(AT_A_TIME),
        }))
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.news.notify_waiters();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Does something with the registry, off the threads that answer.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Registry) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.turns.acquire().await;
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&app.settings.registry)).await;
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
            let silent = disinherit::progress::Silent;
            app.desk(&actor, &silent, |desk, registry| work(desk, registry))
        });
        let done = done.await;
        drop(turn);
        done.unwrap_or_else(|error| Err(Problem::fault(&error)))
    }

    /// Does something at the desk on this thread.
    pub(crate) fn desk<T>(
        &self,
        actor: &str,
        progress: &dyn Progress,
        work: impl FnOnce(&Desk<'_>, &Registry) -> T,
    ) -> T {
        let registry = self.settings.registry.acting_for(actor);
        let engine = Engine::new(registry)
            .with_data(self.settings.data.as_ref())
            .with_compute(self.settings.compute)
            .with_progress(progress);
        work(&Desk::new(&engine), engine.registry())
    }
}
