//! Odd headers: line breaks and NUL, what comes twice, what is too large, two lengths at once.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::common::Place;
use crate::common::server::{Server, token};

const PASSIVE: [&str; 2] = ["--executor", "none"];

/// Sends bytes as they are, and returns all that comes back until the server closes.
fn raw(server: &Server, bytes: &[u8]) -> String {
    let host = server.address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    // A server that refuses a head does not take in the rest of it.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers in what came back.
fn statuses(text: &str) -> Vec<u16> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 "));
    lines.map(|line| line[..3].parse().unwrap()).collect()
}

#[test]
fn odd_headers_are_refused() {
    let place = Place::new();
    let server = Server::start(&place, &PASSIVE, None);
    let admin = token(&place, "ann", "admin");
    let body = json!({"forget": {"source": "clinic"}}).to_string();
    let file = |headers: &[u8]| {
        let head = format!(
            "POST /api/v1/requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             authorization: Bearer {admin}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        raw(
            &server,
            &[head.as_bytes(), headers, b"\r\n", body.as_bytes()].concat(),
        )
    };
    let many = "x-a: b\r\n".repeat(200);
    let large = format!("x-a: {}\r\n", "b".repeat(1 << 20));
    let long = format!("idempotency-key: {}\r\n", "k".repeat(201));
    let twice = format!("authorization: Bearer {admin}\r\n");
    for (status, headers) in [
        (400, b"idempotency-key: a\rb\r\n".as_slice()),
        (400, b"idempotency-key: a\0b\r\n"),
        (400, b"idempotency-key: a\xffb\r\n"),
        (400, b"idempotency-key: \r\n"),
        (400, b"idempotency-key: a\r\nidempotency-key: b\r\n"),
        (400, b"idempotency-key\r\n"),
        (400, b"idempotency key: a\r\n"),
        (400, b"content-length: 1\r\n"),
        (400, b"content-length: +44\r\n"),
        (400, b"transfer-encoding: gzip\r\n"),
        (400, b"content-type: text/plain\r\n"),
        (400, b"if-match: \"1\"\r\nif-match: \"2\"\r\n"),
        (400, b"host: y\r\n"),
        (400, long.as_bytes()),
        (400, twice.as_bytes()),
        (431, many.as_bytes()),
        (431, large.as_bytes()),
    ] {
        let words = String::from_utf8_lossy(&headers[..headers.len().min(60)]);
        let answer = file(headers);
        assert_eq!(statuses(&answer), [status], "{words:?}: {answer}");
    }
    // A line break that ends the header makes another header of the rest, not another call or answer.
    let split = file(b"idempotency-key: a\r\nset-cookie: b=c\r\n");
    assert_eq!(statuses(&split), [201], "{split}");
    assert!(!split.contains("b=c"), "{split}");
    let filed = server.get(&admin, "/api/v1/requests?state=all").json();
    assert_eq!(filed["requests"].as_array().unwrap().len(), 1);
    assert!(server.stop());
}

/// With two lengths the chunks count, and the connection ends after the answer: what would be a second call to who
/// believes the other length is not read.
#[test]
fn of_two_lengths_one_counts_and_nothing_follows() {
    let place = Place::new();
    let server = Server::start(&place, &PASSIVE, None);
    for lengths in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 500",
    ] {
        let call = format!(
            "POST /sign-in HTTP/1.1\r\nhost: x\r\n{lengths}\r\n\r\n0\r\n\r\n\
             GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let answer = raw(&server, call.as_bytes());
        let all = statuses(&answer);
        assert!(all.len() == 1 && (400..500).contains(&all[0]), "{answer}");
    }
    let both = "POST /sign-in HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
                transfer-encoding: identity\r\n\r\n0\r\n\r\n";
    assert_eq!(statuses(&raw(&server, both.as_bytes())), [400]);
    let old = "POST /sign-in HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let old = raw(&server, old.as_bytes());
    assert!(old.contains(" 400 ") || old.is_empty(), "{old}");
    assert_eq!(server.call("GET", "/readyz", &[], "").status, 200);
    assert!(server.stop());
}

#[test]
fn line_breaks_lead_nowhere() {
    let place = Place::new();
    let server = Server::start(&place, &PASSIVE, None);
    let admin = token(&place, "ann", "admin");
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
    ];
    for to in [
        "/log%0d%0aset-cookie:%20a=b",
        "/log%0a",
        "/log%0dx",
        "/log%00",
        "%0d%0a/log",
    ] {
        let signed = server.call("POST", "/sign-in", &form, &format!("token={admin}&to={to}"));
        let seen = (signed.status, signed.headers["location"].as_str());
        assert_eq!(seen, (303, "/"), "{to}");
        assert_eq!(signed.cookies.len(), 1, "{to}: {:?}", signed.cookies);
        let shown = server.call("GET", &format!("/sign-in?to={to}"), &[], "");
        assert_eq!(shown.status, 200, "{to}");
        assert!(!shown.text.contains("set-cookie"), "{}", shown.text);
    }
    for url in [
        "http://127.0.0.1:1/hook\r\nhost: evil.example",
        "http://127.0.0.1:1/hook\n",
        "http://127.0.0.1:1/\0",
        "\thttp://127.0.0.1:1/",
    ] {
        let answer = server.post(&admin, "/api/v1/webhooks", &json!({"url": url}));
        assert_eq!(answer.status, 400, "{url:?}: {}", answer.text);
        assert!(
            answer.text.contains("control characters"),
            "{}",
            answer.text
        );
    }
    assert!(server.stop());
}
