//! Answering until told to stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rand::TryRng;
use tokio::sync::Notify;

use crate::app::{App, Settings};
use crate::error::ServeError;
use crate::jobs::Worker;
use crate::router::router;
use crate::tokens::hexadecimal;

/// How long calls that were begun may take when the server stops.
const CALLS: Duration = Duration::from_secs(10);

/// Answers at an address until the process is told to stop (interrupt or termination): calls that were begun
/// are answered, and the job that is worked on is finished, or left to the next server. `ready` is told the
/// address, whose port the system chose where 0 was asked for.
///
/// # Errors
/// [`ServeError`] when the address cannot be listened on.
pub fn serve(
    settings: Settings,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let io = |action: &str| {
        let action = action.to_owned();
        move |source| ServeError::Io { action, source }
    };
    let listener = TcpListener::bind(address).map_err(io(&format!("listen on {address}")))?;
    listener.set_nonblocking(true).map_err(io("listen"))?;
    let own = listener.local_addr().map_err(io("listen"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(io("start threads"))?;
    let (registry, patience) = (Arc::clone(&settings.registry), settings.patience);
    let app = App::new(settings);
    let worker = match app.settings.jobs {
        true => Some(Worker::start(Arc::clone(&app), name()?).map_err(io("start a thread"))?),
        false => None,
    };
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ready(own);
        let stopped = Arc::clone(&app);
        let told = Arc::new(Notify::new());
        let tell = Arc::clone(&told);
        let serving =
            axum::serve(listener, router(Arc::clone(&app))).with_graceful_shutdown(async move {
                told_to_stop().await;
                stopped.stop();
                tell.notify_one();
            });
        tokio::select! {
            done = async { serving.await } => done,
            // A client that never ends its call is not waited for.
            () = async {
                told.notified().await;
                tokio::time::sleep(CALLS).await;
            } => Ok(()),
        }
    });
    app.stop();
    if let Some(worker) = worker {
        worker.finish(&registry, patience);
    }
    // The registry, which waits for its own runtime, is closed outside of this one.
    runtime.shutdown_background();
    drop(app);
    served.map_err(io("answer"))
}

/// A name that no other worker has.
fn name() -> Result<String, ServeError> {
    let mut seed = [0; 8];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| ServeError::Token(error.to_string()))?;
    Ok(hexadecimal(&seed))
}

#[cfg(unix)]
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut end) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    // Whichever comes first.
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = end.recv() => {}
    }
}

#[cfg(not(unix))]
async fn told_to_stop() {
    let _ = tokio::signal::ctrl_c().await;
}
