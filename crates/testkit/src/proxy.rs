//! A network between a client and a server that is slow, or fails for a while.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// Chunks of one direction that are on their way at a time.
const ON_THE_WAY: usize = 1024;

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// They reach the server.
    Fair,
    /// Those there are break; new ones get HTTP's answer 503.
    Busy,
    /// Those there are break, and so do new ones.
    Down,
}

/// A proxy in front of a server on this machine; it ends when this goes.
pub struct Proxy {
    address: SocketAddr,
    latency: watch::Sender<Duration>,
    weather: watch::Sender<Weather>,
    runtime: Runtime,
}

impl Proxy {
    /// Starts a proxy that makes every round trip to `server` longer by `latency`, and leaves its bandwidth alone.
    ///
    /// # Errors
    /// Why there is none.
    pub fn start(server: SocketAddr, latency: Duration) -> Result<Self, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (latency, how_late) = watch::channel(latency);
        let (weather, seen) = watch::channel(Weather::Fair);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, how_late.clone(), seen.clone()));
            }
        });
        Ok(Self {
            address,
            latency,
            weather,
            runtime,
        })
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes round trips longer by this much from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.latency.send_replace(latency);
    }

    /// Breaks all connections that there are; new ones are made as before.
    pub fn break_connections(&self) {
        self.weather.send_replace(Weather::Fair);
    }

    /// For a while connections break as soon as they are made.
    pub fn go_down(&self, time: Duration) {
        self.for_a_while(Weather::Down, time);
    }

    /// For a while the answer to every HTTP request is 503.
    pub fn be_busy(&self, time: Duration) {
        self.for_a_while(Weather::Busy, time);
    }

    fn for_a_while(&self, weather: Weather, time: Duration) {
        let sender = self.weather.clone();
        sender.send_replace(weather);
        self.runtime.spawn(async move {
            sleep(time).await;
            sender.send_replace(Weather::Fair);
        });
    }
}

/// One connection, until either side is done or the weather changes.
async fn connection(
    mut client: TcpStream,
    server: SocketAddr,
    latency: watch::Receiver<Duration>,
    mut weather: watch::Receiver<Weather>,
) {
    let now = *weather.borrow_and_update();
    match now {
        Weather::Down => return,
        Weather::Busy => return refuse(&mut client).await,
        Weather::Fair => {}
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let both = async {
        tokio::join!(
            forward(from_client, to_server, latency.clone()),
            forward(from_server, to_client, latency)
        )
    };
    tokio::select! {
        _ = both => {}
        _ = weather.changed() => {}
    }
}

/// Answers a request with 503, once its head is read; what follows is read too, so that the answer is not lost.
async fn refuse(client: &mut TcpStream) {
    let (mut head, mut chunk) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut chunk).await {
            Ok(count) if count > 0 => head.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
    if client.write_all(BUSY).await.is_err() || client.shutdown().await.is_err() {
        return;
    }
    let rest = async { while client.read(&mut chunk).await.is_ok_and(|count| count > 0) {} };
    let _ = timeout(Duration::from_secs(2), rest).await;
}

/// Brings what is read to the other side, each chunk later by half a round trip.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    latency: watch::Receiver<Duration>,
) {
    let (sender, mut arrives) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let read = async move {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count) = from.read(&mut chunk).await {
            let due = Instant::now() + *latency.borrow() / 2;
            let sent = (due, chunk[..count].to_vec());
            if count == 0 || sender.send(sent).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = arrives.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::{TcpListener as Listener, TcpStream as Stream};

    use super::*;

    /// A server that gives back what it gets.
    fn echo() -> SocketAddr {
        let listener = Listener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                std::thread::spawn(move || {
                    let mut chunk = [0; 1024];
                    while let Ok(count) = client.read(&mut chunk) {
                        if count == 0 || client.write_all(&chunk[..count]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    fn round_trip(client: &mut Stream) -> std::io::Result<Duration> {
        let start = std::time::Instant::now();
        client.write_all(b"hello")?;
        let mut answer = [0; 5];
        client.read_exact(&mut answer)?;
        assert_eq!(&answer, b"hello");
        Ok(start.elapsed())
    }

    #[test]
    fn round_trips_take_longer() {
        let latency = Duration::from_millis(40);
        let proxy = Proxy::start(echo(), latency).unwrap();
        let mut client = Stream::connect(proxy.address()).unwrap();
        for _ in 0..3 {
            let took = round_trip(&mut client).unwrap();
            assert!(took >= latency && took < latency * 5, "{took:?}");
        }
        proxy.set_latency(latency * 3);
        assert!(round_trip(&mut client).unwrap() >= latency * 3);
    }

    #[test]
    fn connections_break_and_can_be_made_again() {
        let proxy = Proxy::start(echo(), Duration::ZERO).unwrap();
        let mut client = Stream::connect(proxy.address()).unwrap();
        round_trip(&mut client).unwrap();
        proxy.break_connections();
        std::thread::sleep(Duration::from_millis(50));
        round_trip(&mut client).unwrap_err();
        round_trip(&mut Stream::connect(proxy.address()).unwrap()).unwrap();
        proxy.go_down(Duration::from_millis(200));
        let refused =
            Stream::connect(proxy.address()).and_then(|mut client| round_trip(&mut client));
        refused.unwrap_err();
        std::thread::sleep(Duration::from_millis(400));
        round_trip(&mut Stream::connect(proxy.address()).unwrap()).unwrap();
    }

    #[test]
    fn a_busy_server_answers_so() {
        let proxy = Proxy::start(echo(), Duration::ZERO).unwrap();
        proxy.be_busy(Duration::from_secs(5));
        let mut client = Stream::connect(proxy.address()).unwrap();
        let request = b"PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
}
