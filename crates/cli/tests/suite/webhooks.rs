//! Webhooks, with a receiver that reads what is sent over the socket.

mod page;
mod receiver;

use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};

use crate::common::Place;
use crate::common::server::{Server, eventually, place_in, token};
use crate::webhooks::receiver::Receiver;

const ELSEWHERE: [&str; 2] = ["--executor", "none"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn source(name: &str) -> Value {
    json!({"forget": {"source": name}, "requester": "subject-7"})
}

fn failing(many: usize) -> Vec<String> {
    vec!["500 Internal Server Error".to_owned(); many]
}

fn list(place: &Place) -> Value {
    place.json(&["webhook", "list", "--json"])["webhooks"].clone()
}

#[test]
fn a_receiver_that_fails_twice_gets_each_change_signed() {
    let place = Place::new();
    let receiver = Receiver::start(failing(2));
    let ends = Receiver::start(Vec::new());
    std::fs::write(place.path("secret"), format!("{SECRET}\n")).unwrap();
    let add = [
        "webhook",
        "add",
        &receiver.url(),
        "--secret-file",
        "secret",
        "--pause",
        "50ms",
    ];
    let said = place.text(&add);
    assert!(
        said.contains("is told of all states") && !said.contains("whsec_"),
        "{said}"
    );
    let made = place.json(&[
        "webhook",
        "add",
        &ends.url(),
        "--states",
        "rejected,closed",
        "--json",
    ]);
    let other = made["secret"].as_str().unwrap().to_owned();

    let server = Server::start(&place, &ELSEWHERE, None);
    let admin = token(&place, "ann", "admin");
    server.post(&admin, "/api/v1/requests", &source("a"));
    let seen = receiver.wait(3);
    assert!(
        seen[0].head.starts_with("POST /hook HTTP/1.1"),
        "{}",
        seen[0].head
    );
    assert_eq!(seen[0].headers["content-type"], "application/json");
    for message in &seen {
        assert!(message.is_signed(SECRET) && !message.is_signed(&other));
        assert_eq!((message.id(), &message.body), (seen[0].id(), &seen[0].body));
    }
    let body = seen[0].json();
    let data =
        json!({"request": 1, "state": "received", "before": null, "step": "new", "operation": 1});
    assert_eq!(
        (&body["type"], &body["data"]),
        (&json!("request.received"), &data)
    );
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
    assert!(
        !seen[0].body.contains("subject-7"),
        "what was said stays here"
    );

    // What changes no state tells nobody; who is told of some states hears of those.
    server.step(&admin, "comment", &json!({"text": "by letter"}));
    place
        .run(&["request", "reject", "1", "--reason", "asked twice"])
        .success();
    let seen = receiver.wait(4);
    let last = &seen[3];
    assert_eq!(
        (&last.json()["type"], last.id() == seen[0].id()),
        (&json!("request.rejected"), false)
    );
    assert_eq!(last.json()["data"]["before"], "received");
    let end = &ends.wait(1)[0];
    assert!(end.is_signed(&other));
    assert_eq!(end.json()["data"]["state"], "rejected");
    let arrived = || list(&place)[0]["delivered"] == 2 && list(&place)[1]["delivered"] == 1;
    eventually("both are counted", arrived);
    let listed = list(&place);
    assert_eq!(
        (&listed[0]["waiting"], &listed[0]["given_up"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(listed[0]["said"], "it answered 500");
    assert!(!listed.to_string().contains("whsec_"), "{listed}");
    assert_eq!((receiver.seen().len(), ends.seen().len()), (4, 1));
    assert!(server.stop());
}

/// Redirections are not followed, and what is tried in vain is given up and counted.
#[test]
fn messages_go_where_they_are_sent_and_nowhere_else() {
    let place = Place::new();
    let elsewhere = Receiver::start(Vec::new());
    let redirects = vec![format!("302 Found\r\nlocation: {}", elsewhere.url()); 2];
    let receiver = Receiver::start(redirects);
    let add = [
        "webhook",
        "add",
        &receiver.url(),
        "--attempts",
        "2",
        "--pause",
        "10ms",
    ];
    place.run(&add).success();
    let server = Server::start(&place, &ELSEWHERE, None);
    place
        .run(&["request", "new", "--forget", "source=a"])
        .success();
    eventually("it is given up", || list(&place)[0]["given_up"] == 1);
    let listed = list(&place);
    assert_eq!(
        (&listed[0]["said"], &listed[0]["waiting"]),
        (&json!("it answered 302"), &json!(0))
    );
    assert_eq!((receiver.seen().len(), elsewhere.seen().len()), (2, 0));
    let shown = place.text(&["webhook", "list"]);
    assert!(
        shown.contains("given up") && shown.contains("it answered 302"),
        "{shown}"
    );
    assert!(server.stop());
}

#[test]
fn a_killed_server_loses_no_message() {
    let place = Place::new();
    let receiver = Receiver::start(Vec::new());
    place.run(&["webhook", "add", &receiver.url()]).success();
    let admin = token(&place, "ann", "admin");
    let mut server = Server::start(&place, &ELSEWHERE, Some("publish after commit"));
    // The step is taken, and the server gone before it could send or say anything.
    let bearer = format!("Bearer {admin}");
    let body = source("a").to_string();
    let client: ureq::Agent = ureq::Agent::config_builder().build().into();
    let answer = client
        .post(format!("{}/api/v1/requests", server.address))
        .header("authorization", &bearer)
        .header("content-type", "application/json")
        .send(&body);
    assert!(answer.is_err());
    assert!(!server.child.wait().unwrap().success());
    assert_eq!(
        (receiver.seen().len(), &list(&place)[0]["waiting"]),
        (0, &json!(1))
    );
    let server = Server::start(&place, &ELSEWHERE, None);
    let seen = receiver.wait(1);
    assert_eq!(seen[0].json()["type"], "request.received");
    eventually("it is counted", || list(&place)[0]["delivered"] == 1);
    assert_eq!(receiver.seen().len(), 1);
    assert!(server.stop());
}

#[test]
fn webhooks_are_looked_at_and_tried() {
    let place = Place::new();
    let receiver = Receiver::start(vec!["204 No Content".into(), "503 Busy".into()]);
    let server = Server::start(&place, &ELSEWHERE, None);
    let admin = token(&place, "ann", "admin");
    let add = |body: Value| server.post(&admin, "/api/v1/webhooks", &body);
    for wrong in [
        json!({}),
        json!({"url": "hook"}),
        json!({"url": "http://example.org/hook"}),
        json!({"url": "ftp://example.org/hook"}),
        json!({"url": "https://ann:pass@example.org/hook"}),
        json!({"url": "https://example.org/hook", "secret": "short"}),
        json!({"url": "https://example.org/hook", "states": ["gone"]}),
        json!({"url": "https://example.org/hook", "attempts": 0}),
        json!({"url": "https://example.org/hook", "pause": 0}),
        json!({"url": "https://example.org/hook", "more": 1}),
    ] {
        let answer = add(wrong.clone());
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
    }
    let made = add(json!({"url": receiver.url(), "states": ["closed"]}));
    assert_eq!(made.status, 201, "{}", made.text);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let listed = server.get(&admin, "/api/v1/webhooks");
    assert_eq!(listed.json()["webhooks"][0]["created_by"], "ann");
    assert!(!listed.text.contains("whsec_"), "{}", listed.text);
    let test = || server.post(&admin, "/api/v1/webhooks/1/test", &json!({}));
    assert_eq!(test().status, 200);
    let message = &receiver.wait(1)[0];
    assert!(message.is_signed(&secret));
    assert_eq!(message.json()["type"], "webhook.test");
    let failed = test();
    assert_eq!(
        (failed.status, failed.json()["type"].as_str()),
        (502, Some("/problems/not-delivered"))
    );
    assert_eq!(
        server
            .post(&admin, "/api/v1/webhooks/1/remove", &json!({}))
            .status,
        204
    );
    assert_eq!(
        server
            .post(&admin, "/api/v1/webhooks/1/remove", &json!({}))
            .status,
        404
    );

    // The same from the command line.
    place.refuse(
        &["webhook", "add", "http://example.org/"],
        &["not encrypted"],
    );
    place
        .run(&["webhook", "add", "http://example.org/", "--allow-http"])
        .success();
    place.misuse(
        &["webhook", "add", "https://example.org/", "--states", "gone"],
        &["no state of a request"],
    );
    std::fs::write(place.path("secret"), "password").unwrap();
    let short = [
        "webhook",
        "add",
        "https://example.org/",
        "--secret-file",
        "secret",
    ];
    place.refuse(&short, &["a secret is `whsec_`"]);
    place.run(&["webhook", "add", &receiver.url()]).success();
    let said = place.text(&["webhook", "test", "2"]);
    assert!(said.contains("has arrived"), "{said}");
    place.run(&["webhook", "remove", "2"]).success();
    for gone in ["test", "remove"] {
        place.refuse(&["webhook", gone, "2"], &["no webhook 2", "webhook list"]);
    }
}

#[test]
fn messages_wait_and_are_looked_at_in_sqlite() {
    messages_wait_and_are_looked_at(&Place::new());
}

#[test]
fn messages_wait_and_are_looked_at_in_postgres() {
    match Postgres::start() {
        Ok(database) => messages_wait_and_are_looked_at(&place_in(&database)),
        Err(why) => skipped("messages of webhooks over PostgreSQL", &why),
    }
}

fn messages_wait_and_are_looked_at(place: &Place) {
    let receiver = Receiver::start(failing(1));
    let add = ["webhook", "add", &receiver.url(), "--attempts", "1"];
    place.run(&add).success();
    let other = ["webhook", "add", &receiver.url(), "--states", "closed"];
    place.run(&other).success();
    let said = place.text(&["webhook", "pause", "1"]);
    assert!(said.contains("webhook 1 is paused"), "{said}");
    let paused = list(place);
    assert!(
        paused[0]["paused"].is_u64() && paused[1]["paused"].is_null(),
        "{paused}"
    );
    assert!(place.text(&["webhook", "list"]).contains("paused since"));
    for name in ["source=a", "source=b", "source=c"] {
        place.run(&["request", "new", "--forget", name]).success();
    }

    // What is paused waits, whatever server runs.
    let server = Server::start(place, &ELSEWHERE, None);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(receiver.seen().len(), 0);
    let fates = || -> Vec<(Value, Value)> {
        let listed = place.json(&["webhook", "messages", "1", "--json"])["messages"].clone();
        let listed = listed.as_array().unwrap().iter();
        listed
            .map(|message| (message["request"].clone(), message["fate"].clone()))
            .collect()
    };
    let each =
        |ends: [&str; 3]| [3, 2, 1].map(|request| (json!(request), json!(ends[3 - request])));
    assert_eq!(fates(), each(["waiting"; 3]));
    assert!(place.text(&["webhook", "messages", "1"]).contains("waits"));

    // The server takes it from here, in their order: the first fails, once.
    let resumed = place.json(&["webhook", "resume", "1", "--json"])["webhook"].clone();
    assert_eq!(
        (&resumed["paused"], &resumed["waiting"]),
        (&Value::Null, &json!(3))
    );
    let ended = each(["arrived", "arrived", "given_up"]);
    eventually("all have ended", || fates() == ended);
    let said = place.text(&["webhook", "messages", "1"]);
    for words in ["received", "arrived", "given up", "it answered 500"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("more:"), "{said}");

    // The same over the API, whole and page by page.
    let admin = token(place, "ann", "admin");
    let call = |query: &str| {
        let path = format!("/api/v1/webhooks/1/messages{query}");
        server.get(&admin, &path)
    };
    let whole = call("").json();
    assert_eq!(whole, place.json(&["webhook", "messages", "1", "--json"]));
    assert_eq!(whole["next"], Value::Null);
    let last = &whole["messages"][2];
    assert_eq!(
        (&last["said"], &last["attempts"], last.get("due")),
        (&json!("it answered 500"), &json!(1), None)
    );
    let first = call("?limit=2").json();
    assert_eq!(
        first["messages"].as_array().unwrap()[..],
        whole["messages"].as_array().unwrap()[..2]
    );
    let next = first["next"].to_string();
    let rest = call(&format!("?limit=2&after={next}")).json();
    assert_eq!(rest, json!({"messages": [last], "next": null}));
    let page = ["webhook", "messages", "1", "--limit", "2"];
    let said = place.text(&page);
    assert!(said.contains(&format!("more: --after {next}")), "{said}");
    let page = [&page[..], &["--after", &next, "--json"]].concat();
    assert_eq!(place.json(&page), rest);
    let none = server.get(&admin, "/api/v1/webhooks/2/messages").json();
    assert_eq!(none, json!({"messages": [], "next": null}));

    for wrong in ["?limit=0", "?limit=1001", "?after=x"] {
        assert_eq!(call(wrong).status, 400, "{wrong}");
    }
    for gone in ["9", "0", "x"] {
        let path = format!("/api/v1/webhooks/{gone}/messages");
        assert_eq!(server.get(&admin, &path).status, 404, "{gone}");
    }
    place.misuse(&["webhook", "messages", "1", "--limit", "0"], &["--limit"]);
    for gone in ["pause", "resume", "messages"] {
        place.refuse(&["webhook", gone, "9"], &["no webhook 9", "webhook list"]);
    }
    assert!(server.stop());
}
