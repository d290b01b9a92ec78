//! Answering until told to stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rand::TryRng;

use crate::app::{App, Settings};
use crate::error::ServeError;
use crate::identity::hexadecimal;
use crate::jobs::Worker;
use crate::listen::answer;
use crate::listen::tls::Tls;
use crate::router::router;

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
    let app = App::new(settings)?;
    app.audit.check().map_err(io("write the audit log"))?;
    let tls = app.settings.tls.clone().map(Tls::open).transpose()?;
    let tls = tls.map(Arc::new);
    if let Some(issuer) = &app.issuer {
        runtime.block_on(issuer.prepare())?;
    }
    let worker = match app.settings.jobs {
        true => Some(Worker::start(Arc::clone(&app), name()?).map_err(io("start a thread"))?),
        false => None,
    };
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
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
