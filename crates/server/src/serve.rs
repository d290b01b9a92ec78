//! Answering until told to stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use disinherit_desk::{JobNews, Until, Worker, worker_name};

use crate::app::{App, Executor, Settings};
use crate::error::ServeError;
use crate::events::look;
use crate::jobs::keeper::Keeper;
use crate::limits::raise_open_files;
use crate::listen::answer;
use crate::listen::tls::Tls;
use crate::router::router;
use crate::signals::told_to_stop;
use crate::webhooks::courier;

/// How long what still goes on then may take to notice.
const ENDING: Duration = Duration::from_secs(2);

/// Answers at an address until the process is told to stop (interrupt or termination): calls that were begun
/// are answered, and the job that is worked on is finished, or left to the next server. `ready` is told the
/// address, whose port the system chose where 0 was asked for.
///
/// # Errors
/// [`ServeError`] when the address cannot be listened on, the certificate, the audit log or the issuer of tokens
/// cannot be used.
pub fn serve(
    settings: Settings,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    raise_open_files();
    let listener =
        TcpListener::bind(address).map_err(ServeError::io(&format!("listen on {address}")))?;
    listener
        .set_nonblocking(true)
        .map_err(ServeError::io("listen"))?;
    let own = listener.local_addr().map_err(ServeError::io("listen"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::io("start threads"))?;
    let patience = settings.patience;
    let app = App::new(settings)?;
    app.audit
        .check()
        .map_err(ServeError::io("write the audit log"))?;
    let tls = app.settings.tls.clone().map(Tls::open).transpose()?;
    let tls = tls.map(Arc::new);
    if let Some(issuer) = &app.issuer {
        runtime.block_on(issuer.prepare())?;
    }
    let jobs = Jobs::start(&app)?;
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let told = look::start(&app).await;
        tokio::spawn(look::run(Arc::clone(&app), told));
        tokio::spawn(courier::run(Arc::clone(&app), worker_name()?));
        ready(own);
        if let Some(tls) = tls.clone() {
            tokio::spawn(async move { tls.keep_fresh().await });
        }
        let stopped = Arc::clone(&app);
        let stop = async move {
            told_to_stop().await;
            stopped.stop();
        };
        answer(listener, &app, router(Arc::clone(&app)), tls, stop).await;
        Ok::<(), std::io::Error>(())
    });
    app.stop();
    jobs.finish(patience);
    // The registry, which waits for its own runtime, is closed outside of this one: nothing in there may be the
    // last to hold it.
    runtime.shutdown_timeout(ENDING);
    drop(app);
    served.map_err(ServeError::io("answer"))
}

/// Who does the jobs.
enum Jobs {
    Worker(Arc<Worker>),
    Program(Arc<Keeper>),
    Others,
}

impl Jobs {
    fn start(app: &Arc<App>) -> Result<Self, ServeError> {
        match &app.settings.executor {
            Executor::Local => Ok(Self::Worker(start(app)?)),
            Executor::Program(program) => Ok(Self::Program(Keeper::start(app, program)?)),
            Executor::Elsewhere => Ok(Self::Others),
        }
    }

    /// Waits until the job that is worked on has ended, or is left to the next one.
    fn finish(&self, patience: Duration) {
        match self {
            Self::Worker(worker) => worker.finish(patience),
            Self::Program(keeper) => keeper.finish(),
            Self::Others => {}
        }
    }
}

/// Starts a worker on a thread of its own.
fn start(app: &Arc<App>) -> Result<Arc<Worker>, ServeError> {
    let place = Arc::clone(&app.settings.equipment);
    let worker = Worker::new(place).map_err(ServeError::io("find a name"))?;
    let (own, app) = (Arc::clone(&worker), Arc::clone(app));
    let run = move || {
        // One that goes on until it is told to stop tries again where the catalog fails.
        let _ = own.run(Until::Told, |news| {
            if let JobNews::Ended(end) = news {
                app.job_ended(end.state);
            }
        });
    };
    thread::Builder::new()
        .name("jobs".into())
        .spawn(run)
        .map_err(ServeError::io("start a thread"))?;
    Ok(worker)
}
