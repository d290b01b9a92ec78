//! What a caller gets of the server, and what is kept of those who were refused.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::Place;
use crate::common::server::{Answer, Server, eventually, token};

/// How long a test waits for a server that should do something within a second.
const PATIENCE: Duration = Duration::from_secs(20);

fn is_too_many(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let wait: u64 = answer.headers["retry-after"].parse().unwrap();
    let problem = answer.json();
    assert_eq!(problem["type"], "/problems/too-many");
    assert_eq!(problem["hint"], format!("try again in {wait} s"));
}

#[test]
fn calls_are_limited_by_token_and_by_address() {
    let place = Place::new();
    let flags = [
        "--executor=none",
        "--token-rate",
        "5",
        "--address-rate",
        "30",
    ];
    let server = Server::start(&place, &flags, None);
    let (ann, bob) = (
        token(&place, "ann", "viewer"),
        token(&place, "bob", "viewer"),
    );
    for _ in 0..5 {
        assert_eq!(server.get(&ann, "/api/v1/models").status, 200);
    }
    is_too_many(&server.get(&ann, "/api/v1/models"));
    assert_eq!(
        server.get(&bob, "/api/v1/models").status,
        200,
        "another token"
    );
    // Calls without a token count for the address, whatever they are answered with.
    let calls = (0..40).map(|_| server.call("GET", "/api/v1/models", &[], "").status);
    let calls: Vec<u16> = calls.collect();
    assert!(calls.contains(&401) && calls.contains(&429), "{calls:?}");
    is_too_many(&server.get(&bob, "/api/v1/models"));
    is_too_many(&server.call("GET", "/sign-in", &[], ""));
    // Who watches the server is always answered.
    for _ in 0..50 {
        assert_eq!(server.call("GET", "/healthz", &[], "").status, 200);
    }
}

#[test]
fn wrong_tokens_lock_an_address_out() {
    let place = Place::new();
    let audit = place.path("audit.jsonl");
    let server = Server::start(
        &place,
        &[
            "--executor=none",
            "--lockout-after",
            "3",
            "--lockout-time",
            "3s",
            "--trusted-proxy",
            "10.0.0.0/8,127.0.0.1",
            "--audit-log",
            "audit.jsonl",
        ],
        None,
    );
    let viewer = token(&place, "ann", "viewer");
    let call = |from: &str, token: &str, path: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-for", from),
        ];
        let method = if path == "/api/v1/preview" {
            "POST"
        } else {
            "GET"
        };
        server.call(method, path, &headers, "")
    };
    let (evil, good) = ("192.0.2.1", "198.51.100.7");
    // No token is no wrong token.
    for _ in 0..5 {
        let from = [("x-forwarded-for", evil)];
        assert_eq!(server.call("GET", "/api/v1/models", &from, "").status, 401);
    }
    for guess in 0..3 {
        // What the client claims to come from is ignored: the proxy's word comes last.
        let spoofed = format!("203.0.113.{guess}, {evil}");
        assert_eq!(call(&spoofed, "disinherit_0", "/api/v1/models").status, 401);
    }
    is_too_many(&call(evil, "disinherit_0", "/api/v1/models"));
    is_too_many(&call(evil, &viewer, "/api/v1/models"));
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-forwarded-for", evil),
    ];
    let signing = format!("token={viewer}");
    is_too_many(&server.call("POST", "/sign-in", &form, &signing));
    assert_eq!(call(good, &viewer, "/api/v1/models").status, 200);
    assert_eq!(call(good, &viewer, "/api/v1/preview").status, 403);
    eventually("the address is let in again", || {
        call(evil, &viewer, "/api/v1/models").status == 200
    });
    assert_eq!(server.call("POST", "/sign-in", &form, &signing).status, 303);
    assert_eq!(
        server.call("POST", "/sign-in", &form, "token=wrong").status,
        401
    );

    let lines = |text: String| -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let kept = lines(std::fs::read_to_string(&audit).unwrap());
    let count = |status: u16| kept.iter().filter(|line| line["status"] == status).count();
    assert_eq!(count(401), 5 + 3 + 1, "{kept:?}");
    // Of a flood from one address, a line a second.
    assert!((1..=8).contains(&count(429)), "{kept:?}");
    let refused = kept.iter().find(|line| line["status"] == 403).unwrap();
    assert_eq!(
        (
            &refused["event"],
            &refused["actor"],
            &refused["address"],
            &refused["path"]
        ),
        (
            &json!("denied"),
            &json!("ann"),
            &json!(good),
            &json!("/api/v1/preview")
        )
    );
    let signed = kept
        .iter()
        .find(|line| line["event"] == "signed-in")
        .unwrap();
    assert_eq!(
        (&signed["actor"], &signed["address"]),
        (&json!("ann"), &json!(evil))
    );
    assert!(kept.iter().all(|line| !line.to_string().contains(&viewer)));
    // The system takes the file away: the next line is in a new one.
    std::fs::rename(&audit, place.path("audit.1")).unwrap();
    assert_eq!(call(good, &viewer, "/api/v1/log").status, 403);
    assert_eq!(lines(std::fs::read_to_string(&audit).unwrap()).len(), 1);
    assert!(server.stop());
    place.refuse(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--audit-log",
            "none/audit.jsonl",
        ],
        &["audit log", "No such file"],
    );
}

#[test]
fn a_proxy_that_is_not_trusted_is_not_believed() {
    let place = Place::new();
    let server = Server::start(&place, &["--executor=none", "--lockout-after", "3"], None);
    let call = |from: &str| {
        let headers = [
            ("authorization", "Bearer disinherit_0"),
            ("x-forwarded-for", from),
        ];
        server.call("GET", "/api/v1/models", &headers, "").status
    };
    let answers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(call);
    assert_eq!(answers, [401, 401, 401, 429]);
}

/// Reads until the server closes the connection; how long that took.
fn closed(stream: &mut TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    (String::from_utf8_lossy(&text).into_owned(), begun.elapsed())
}

#[test]
fn slow_clients_are_hung_up_on() {
    let place = Place::new();
    let flags = [
        "--executor=none",
        "--head-time",
        "1s",
        "--body-time",
        "1s",
        "--address-rate",
        "0",
    ];
    let server = Server::start(&place, &flags, None);
    let host = server.address.strip_prefix("http://").unwrap().to_owned();
    let open = |text: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    // Half a head; nothing at all; a whole call, and nothing after it.
    let whole = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    for half in ["GET /healthz HTTP/1.1\r\nhost: x\r\n", "", whole] {
        let (text, took) = closed(&mut open(half));
        assert!(took < PATIENCE, "{half}: {took:?}");
        assert_eq!(text.starts_with("HTTP/1.1 200"), half == whole, "{text}");
    }
    // Half a body.
    let half = "POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ntoken=";
    let (text, _) = closed(&mut open(half));
    assert!(
        text.starts_with("HTTP/1.1 408") && text.contains("/problems/timeout"),
        "{text}"
    );
    // Many calls, whose answers are not taken in.
    let mut greedy = open("");
    greedy.set_write_timeout(Some(PATIENCE)).unwrap();
    let calls = "GET /style.css HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let ended = (0..10_000).find_map(|_| greedy.write_all(calls.as_bytes()).err());
    let kind = ended.unwrap().kind();
    assert!(
        matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{kind:?}"
    );
    assert!(server.stop());
}

#[test]
fn who_sends_too_much_is_told() {
    let place = Place::new();
    let flags = [
        "--executor=none",
        "--largest-body",
        "1KiB",
        "--body-time",
        "2s",
    ];
    let server = Server::start(&place, &flags, None);
    let host = server.address.strip_prefix("http://").unwrap().to_owned();
    let admin = token(&place, "ann", "admin");
    let head = |length: usize| {
        format!(
            "POST /api/v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {admin}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let half = [b'x'; 1 << 20];
    let mut stream = TcpStream::connect(&host).unwrap();
    stream.write_all(head(2 * half.len()).as_bytes()).unwrap();
    for _ in 0..2 {
        // Time enough for a server that does not read on to be gone.
        stream.write_all(&half).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    // Who never sends the rest is told when the time is over, and hung up on.
    let mut stream = TcpStream::connect(&host).unwrap();
    stream.write_all(head(half.len()).as_bytes()).unwrap();
    stream.write_all(&half[1..]).unwrap();
    let (text, took) = closed(&mut stream);
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    assert!(took < PATIENCE, "{took:?}");
    assert!(server.stop());
}

#[test]
fn connections_are_counted() {
    let place = Place::new();
    let server = Server::start(
        &place,
        &["--executor=none", "--address-connections", "3"],
        None,
    );
    let host = server.address.strip_prefix("http://").unwrap().to_owned();
    let mut open: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(&host).unwrap()).collect();
    for stream in &mut open {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
    }
    let (text, _) = closed(&mut TcpStream::connect(&host).unwrap());
    assert_eq!(text, "", "one too many");
    open.clear();
    let admin = token(&place, "ann", "admin");
    let counted = "disinherit_connections_refused_total ";
    eventually("a place is free again", || {
        let mut stream = TcpStream::connect(&host).unwrap();
        let call = format!(
            "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {admin}\r\n\r\n"
        );
        // It may be closed before it is written to.
        let _ = stream.write_all(call.as_bytes());
        let (text, _) = closed(&mut stream);
        let count = text.lines().find_map(|line| line.strip_prefix(counted));
        count.is_some_and(|count| count.parse::<u64>().unwrap() >= 1)
    });
}
