//! Server-sent events, as a client reads them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use disinherit_testkit::note;
use serde_json::json;

use crate::common::Place;
use crate::common::server::{Server, eventually, token};

const ELSEWHERE: [&str; 2] = ["--executor", "none"];

/// A thousand streams from one address within a second are no attack here.
const STREAMS: [&str; 5] = [
    "--executor=none",
    "--streams=1000",
    "--token-rate=0",
    "--address-rate=0",
    "--address-connections=0",
];

fn source(name: &str) -> serde_json::Value {
    json!({"forget": {"source": name}})
}

#[test]
fn steps_are_told_as_they_happen_and_again_to_those_who_missed_them() {
    let place = Place::new();
    let server = Server::start(&place, &ELSEWHERE, None);
    let admin = token(&place, "ann", "admin");
    server.post(&admin, "/api/v1/requests", &source("a"));
    let mut all = server.listen(&admin, "/api/v1/events", None);
    // What was before is not told; a file of the command line is.
    place
        .run(&["request", "new", "--forget", "source=b"])
        .success();
    let filed = all.next_of("step");
    assert_eq!(
        (
            &filed["request"],
            &filed["step"],
            &filed["state"],
            &filed["actor"]
        ),
        (
            &json!(2),
            &json!("new"),
            &json!("received"),
            &json!("tester")
        )
    );
    let seen = all.id.unwrap();
    assert_eq!(filed["operation"], seen);
    let mut second = server.listen(&admin, "/api/v1/requests/2/events", None);
    let secret = json!({"text": "a phone number"});
    server.step_of(&admin, 1, "comment", &secret);
    server.step_of(&admin, 2, "reject", &json!({"reason": "asked twice"}));
    let rejected = second.next_of("step");
    assert_eq!(
        (&rejected["request"], &rejected["step"], &rejected["state"]),
        (&json!(2), &json!("reject"), &json!("rejected"))
    );
    let comment = all.next_of("step");
    assert_eq!(
        (&comment["step"], &comment["state"]),
        (&json!("comment"), &json!("received"))
    );
    assert!(!comment.to_string().contains("phone"), "{comment}");
    assert_eq!(all.next_of("step"), rejected);

    // One that comes again gets what it missed, by header or by query, and one that was never here, all.
    let again = |path: &str, seen| {
        let mut events = server.listen(&admin, path, seen);
        [(); 2].map(|()| events.next_of("step"))
    };
    let missed = [comment, rejected];
    assert_eq!(again("/api/v1/events", Some(seen)), missed);
    assert_eq!(again(&format!("/api/v1/events?after={seen}"), None), missed);
    assert_eq!(again("/api/v1/requests/2/events", Some(0))[0], filed);
    for wrong in ["x", "-1", "1.5"] {
        let bearer = format!("Bearer {admin}");
        let headers = [("authorization", bearer.as_str()), ("last-event-id", wrong)];
        let answer = server.call("GET", "/api/v1/events", &headers, "");
        assert_eq!(answer.status, 400, "{wrong}");
    }
    assert_eq!(server.get(&admin, "/api/v1/requests/9/events").status, 404);

    // Streams end with their token, and with the server, which does not wait for them.
    let viewer = token(&place, "eve", "viewer");
    let mut revoked = server.listen(&viewer, "/api/v1/events", None);
    place.run(&["token", "revoke", "2"]).success();
    assert_eq!(revoked.next(), None);
    let begun = Instant::now();
    assert!(server.stop());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!((all.next(), second.next()), (None, None));
}

/// A stream that is read line by line, without a thread of its own.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn open(host: &str, token: &str) -> Self {
        let mut stream = TcpStream::connect(host).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let head = format!(
            "GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    /// Reads up to a line that begins so.
    fn read_to(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.0.read_line(&mut line).unwrap() > 0,
                "it ended before `{words}`"
            );
            if line.starts_with(words) {
                return line;
            }
        }
    }
}

#[test]
fn a_thousand_streams_hear_a_step_and_one_more_is_refused() {
    let place = Place::new();
    let server = Server::start(&place, &STREAMS, None);
    let admin = token(&place, "ann", "admin");
    let host = server.address.strip_prefix("http://").unwrap().to_owned();
    let begun = Instant::now();
    let mut listeners: Vec<Listener> = (0..1000).map(|_| Listener::open(&host, &admin)).collect();
    for listener in &mut listeners {
        assert!(listener.read_to("HTTP/1.1").contains("200"));
        listener.read_to("id: ");
    }
    let opened = begun.elapsed();
    let refused = server.get(&admin, "/api/v1/events");
    assert_eq!(
        (refused.status, refused.json()["type"].as_str()),
        (503, Some("/problems/too-many-streams"))
    );
    assert!(refused.headers.contains_key("retry-after"));
    let metrics = server.get(&admin, "/metrics").text;
    assert!(
        metrics.contains("disinherit_event_streams 1000"),
        "{metrics}"
    );

    let begun = Instant::now();
    server.post(&admin, "/api/v1/requests", &source("a"));
    for listener in &mut listeners {
        listener.read_to("event: step");
        assert!(
            listener
                .read_to("data: ")
                .contains("\"state\":\"received\"")
        );
    }
    note(&format!(
        "1000 streams: opened in {opened:.1?}, told within {:.1?}",
        begun.elapsed()
    ));
    // Who goes makes room.
    drop(listeners);
    let room = || server.get(&admin, "/api/v1/events").status == 200;
    eventually("there is room again", room);
    assert!(server.stop());
}
