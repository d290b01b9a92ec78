//! Keys of calls that may be made again, over HTTP.

use std::net::TcpListener;

use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};

use crate::common::Place;
use crate::common::server::{Answer, Server, place_in, token};

const PASSIVE: [&str; 2] = ["--executor", "none"];

/// Makes a call under a key.
fn keyed(server: &Server, token: &str, key: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    server.call("POST", path, &headers, &body.to_string())
}

fn source(name: &str) -> Value {
    json!({"forget": {"source": name}})
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotent-replayed")
}

const REQUESTS: &str = "/api/v1/requests";

#[test]
fn a_key_is_bound_to_its_caller_its_path_and_its_body() {
    let place = Place::new();
    bound(&place);
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("keys over PostgreSQL", &why),
    };
    bound(&place_in(&database));
}

fn bound(place: &Place) {
    let server = Server::start(place, &PASSIVE, None);
    let (ann, bob) = (token(place, "ann", "admin"), token(place, "bob", "admin"));
    let file = |who: &str, body: &Value| keyed(&server, who, "k", REQUESTS, body);

    // The answer again is the answer, with where it leads and which revision it was.
    let first = file(&ann, &source("clinic"));
    let again = file(&ann, &source("clinic"));
    assert_eq!((first.status, again.status), (201, 201));
    assert!(!is_replayed(&first) && is_replayed(&again));
    for name in ["location", "etag", "content-type"] {
        assert!(first.headers.contains_key(name), "{name}");
        assert_eq!(first.headers[name], again.headers[name], "{name}");
    }
    assert_eq!(first.bytes, again.bytes);

    // Somebody else's key is another one, whoever looks the same.
    let other = file(&bob, &source("clinic"));
    assert_eq!((other.status, is_replayed(&other)), (201, false));
    assert_eq!(other.json()["id"], 2);

    // Another body, and another path, are another call.
    for (path, body) in [
        (REQUESTS, source("other")),
        ("/api/v1/preview", source("clinic")),
        ("/api/v1/requests/1/comment", json!({"text": "by letter"})),
    ] {
        let answer = keyed(&server, &ann, "k", path, &body);
        assert_eq!(answer.status, 422, "{path}: {}", answer.text);
        assert_eq!(answer.json()["type"], "/problems/key-reused", "{path}");
    }

    // A refusal is an answer like another.
    let reject = |key: &str| {
        let body = json!({"reason": "asked twice"});
        keyed(&server, &ann, key, "/api/v1/requests/2/reject", &body)
    };
    assert_eq!(reject("r-1").status, 200);
    let (refused, again) = (reject("r-2"), reject("r-2"));
    assert_eq!((refused.status, again.status), (409, 409));
    assert!(is_replayed(&again));
    assert_eq!(again.headers["content-type"], "application/problem+json");
    assert!(server.stop());
}

/// What failed at the server is not an answer to keep.
#[test]
fn a_call_that_failed_is_made_again_under_its_key() {
    let place = Place::new();
    let server = Server::start(&place, &PASSIVE, None);
    let admin = token(&place, "ann", "admin");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let hook = json!({"url": format!("http://{address}/")});
    let made = server.post(&admin, "/api/v1/webhooks", &hook);
    assert_eq!(made.status, 201, "{}", made.text);
    let test = || keyed(&server, &admin, "t", "/api/v1/webhooks/1/test", &json!({}));
    for _ in 0..2 {
        let failed = test();
        assert_eq!(failed.status, 502, "{}", failed.text);
        assert!(!is_replayed(&failed));
    }
    assert!(server.stop());
}

/// Of two calls at once under a key, one is done, and the other is told to look.
#[test]
fn of_two_calls_at_once_under_a_key_one_is_done() {
    let place = Place::new();
    let admin = token(&place, "ann", "admin");
    // Whichever comes first is held up before it writes.
    let server = Server::start(&place, &PASSIVE, Some("publish:1@3000"));
    let file = || keyed(&server, &admin, "k", REQUESTS, &source("clinic"));
    let mut answers = std::thread::scope(|scope| {
        let calls = [(); 2].map(|()| scope.spawn(file));
        calls.map(|call| call.join().unwrap())
    });
    answers.sort_by_key(|answer| answer.status);
    let [done, told] = answers;
    assert_eq!((done.status, told.status), (201, 409), "{}", told.text);
    assert_eq!(told.json()["hint"], "look whether it was done");
    let again = file();
    assert!(is_replayed(&again) && again.bytes == done.bytes);
    let all = server.get(&admin, "/api/v1/requests?state=all").json();
    assert_eq!(all["requests"].as_array().unwrap().len(), 1);
    assert!(server.stop());
}
