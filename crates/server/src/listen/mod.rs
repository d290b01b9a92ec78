//! Connections: taken in, within limits, with TLS where it is asked for, and closed when the server stops.

mod places;
pub(crate) mod tls;

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use self::places::{Place, Places};
use self::tls::Tls;
use crate::app::App;
use crate::peer::Peer;

/// How long to wait where connections cannot be taken in: the process has no more files, for instance.
const AGAIN: Duration = Duration::from_millis(200);

/// How long calls that were begun may take when the server stops.
const CALLS: Duration = Duration::from_secs(10);

/// What each connection is served with.
struct Serving {
    router: Router,
    tls: Option<Arc<Tls>>,
    head_time: Duration,
    body_time: Duration,
}

/// Answers until `stop` ends, and lets calls end that were begun. A client that never ends its call is not
/// waited for.
pub(crate) async fn answer(
    listener: TcpListener,
    app: &Arc<App>,
    router: Router,
    tls: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) {
    let limits = &app.settings.limits;
    let places = Places::new(limits);
    let serving = Arc::new(Serving {
        router,
        tls,
        head_time: limits.head_time,
        body_time: limits.body_time,
    });
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = &mut stop => break,
        };
        let (stream, from) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken in");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let Some(place) = places.take(from.ip()) else {
            app.metrics.refused();
            tracing::warn!(address = %from.ip(), "a connection too many is closed");
            continue;
        };
        let connection = Connection {
            serving: Arc::clone(&serving),
            watcher: graceful.watcher(),
            address: from.ip(),
            place,
        };
        tokio::spawn(async move {
            if let Err(error) = connection.serve(stream).await {
                tracing::debug!(%error, address = %from.ip(), "a connection ended");
            }
        });
    }
    drop(listener);
    // Whichever comes first.
    let _ = tokio::time::timeout(CALLS, graceful.shutdown()).await;
}

/// A connection that was taken in.
struct Connection {
    serving: Arc<Serving>,
    watcher: Watcher,
    address: IpAddr,
    /// Free again when the connection has ended.
    place: Place,
}

impl Connection {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // A client that does not take its answer in holds a connection as one that does not send its call.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.serving.body_time));
        let stream = Box::pin(stream);
        match &self.serving.tls {
            Some(tls) => {
                let shaken = tokio::time::timeout(self.serving.head_time, tls.accept(stream)).await;
                let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                self.answer(stream, true).await
            }
            None => self.answer(stream, false).await,
        }
    }

    async fn answer<S>(self, stream: S, tls: bool) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let address = self.address;
        let router = TowerToHyperService::new(self.serving.router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer { address, tls });
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.serving.head_time)
            .serve_connection(TokioIo::new(stream), service);
        let ended = self.watcher.watch(connection).await;
        drop(self.place);
        ended.map_err(io::Error::other)
    }
}
