//! Webhooks, with a receiver that reads what is sent over the socket.
#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(all(unix, feature = "server"))]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::Place;
use common::server::{Answer, Server, eventually, place_in, token};
use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const ELSEWHERE: [&str; 2] = ["--executor", "none"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A message as it came.
#[derive(Clone)]
struct Received {
    head: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Whether it is signed with a secret, computed here from the definition of HMAC (RFC 2104).
    fn is_signed(&self, secret: &str) -> bool {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let pad = |with: u8| -> Vec<u8> {
            let whole = key.iter().copied().chain(std::iter::repeat(0)).take(64);
            whole.map(|byte| byte ^ with).collect()
        };
        let time = &self.headers["webhook-timestamp"];
        let signed = format!("{}.{time}.{}", self.id(), self.body);
        let inner = Sha256::digest([pad(0x36), signed.into_bytes()].concat());
        let code = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
        self.headers["webhook-signature"] == format!("v1,{}", STANDARD.encode(code))
    }
}

/// Answers calls one after the other, with these heads first and 204 then.
struct Receiver {
    address: String,
    seen: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    fn start(first: Vec<String>) -> Self {
        Self::at("127.0.0.1:0", first)
    }

    fn at(address: &str, first: Vec<String>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut answers = first.into_iter();
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let received = receive(&mut reader);
                let answer = answers
                    .next()
                    .unwrap_or_else(|| "204 No Content".to_owned());
                kept.lock().unwrap().push(received);
                let text =
                    format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                reader.get_mut().write_all(text.as_bytes()).unwrap();
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for so many messages, and returns them.
    fn wait(&self, many: usize) -> Vec<Received> {
        eventually("messages arrive", || self.seen().len() >= many);
        self.seen()
    }
}

fn receive(reader: &mut impl BufRead) -> Received {
    let mut line = || {
        let mut text = String::new();
        reader.read_line(&mut text).unwrap();
        text.trim_end().to_owned()
    };
    let head = line();
    let mut headers = BTreeMap::new();
    loop {
        let text = line();
        let Some((name, value)) = text.split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers["content-length"].parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Received {
        head,
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}

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

/// A browser without a window: the cookie of an administrator, and forms.
struct Browser<'a> {
    server: &'a Server,
    cookie: String,
}

const FORM: [(&str, &str); 2] = [
    ("content-type", "application/x-www-form-urlencoded"),
    ("sec-fetch-site", "same-origin"),
];

impl<'a> Browser<'a> {
    fn sign_in(server: &'a Server, token: &str) -> Self {
        let signed = server.call("POST", "/sign-in", &FORM, &format!("token={token}"));
        let cookie = signed.headers["set-cookie"].split(';').next();
        let cookie = cookie.unwrap().to_owned();
        Self { server, cookie }
    }

    fn settings(&self) -> String {
        let cookie = [("cookie", self.cookie.as_str())];
        let page = self.server.call("GET", "/settings", &cookie, "");
        assert_eq!(page.status, 200, "{}", page.text);
        page.text
    }

    fn send(&self, path: &str, body: &str) -> Answer {
        let cookie = [("cookie", self.cookie.as_str())];
        let headers = [&FORM[..], &cookie].concat();
        self.server.call("POST", path, &headers, body)
    }
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before)
        .and_then(|(_, rest)| rest.split_once(after))
        .unwrap()
        .0
}

#[test]
fn webhooks_are_kept_on_the_page() {
    let place = Place::new();
    let receiver = Receiver::start(vec!["500 Internal Server Error".to_owned()]);
    let server = Server::start(&place, &ELSEWHERE, None);
    let admin = token(&place, "ann", "admin");
    let browser = Browser::sign_in(&server, &admin);

    // The secret is shown once, and signs what is sent.
    let url = receiver.url().replace(':', "%3A").replace('/', "%2F");
    let states = "states=received&states=rejected";
    let made = browser.send(
        "/settings/webhooks",
        &format!("url={url}&{states}&attempts=1"),
    );
    assert_eq!(made.status, 200, "{}", made.text);
    let secret = between(&made.text, "<code class=\"secret\">", "</code>").to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let page = browser.settings();
    assert!(
        !page.contains(&secret) && page.contains("received, rejected"),
        "{page}"
    );
    assert_eq!(list(&place)[0]["attempts"], 1);

    let tried = browser.send("/settings/webhooks/1/test", "");
    assert!(
        tried.status == 502 && tried.text.contains("it answered 500"),
        "{}",
        tried.text
    );
    let tried = browser.send("/settings/webhooks/1/test", "");
    assert!(
        tried.status == 200 && tried.text.contains("The message has arrived"),
        "{}",
        tried.text
    );
    assert!(
        receiver
            .wait(2)
            .iter()
            .all(|message| message.is_signed(&secret))
    );

    // What is paused waits, and is sent when it goes on.
    assert_eq!(browser.send("/settings/webhooks/1/pause", "").status, 303);
    server.post(&admin, "/api/v1/requests", &source("clinic"));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let page = browser.settings();
    assert!(
        page.contains("paused since") && page.contains(">waits<"),
        "{page}"
    );
    assert_eq!(receiver.seen().len(), 2);
    assert_eq!(browser.send("/settings/webhooks/1/resume", "").status, 303);
    assert_eq!(receiver.wait(3)[2].json()["type"], "request.received");
    eventually("it is put on record", || {
        browser.settings().contains(">arrived<")
    });
    let page = browser.settings();
    assert!(
        page.contains("active") && page.contains("Request 1"),
        "{page}"
    );

    // The same over the API.
    let paused = server.post(&admin, "/api/v1/webhooks/1/pause", &json!({}));
    assert!(paused.json()["paused"].is_u64(), "{}", paused.text);
    let resumed = server.post(&admin, "/api/v1/webhooks/1/resume", &json!({}));
    assert_eq!(resumed.json()["paused"], Value::Null);

    // What is wrong is said on the page, and changes nothing.
    for (path, body, status) in [
        ("/settings/webhooks", "url=http%3A%2F%2Fexample.org", 400),
        ("/settings/webhooks", "url=", 400),
        (
            "/settings/webhooks",
            "url=https%3A%2F%2Fx.example&states=done",
            400,
        ),
        (
            "/settings/webhooks",
            "url=https%3A%2F%2Fx.example&attempts=many",
            400,
        ),
        ("/settings/webhooks/9/pause", "", 404),
        ("/settings/webhooks/x/resume", "", 404),
        ("/settings/webhooks/9/test", "", 404),
        ("/settings/webhooks/9/remove", "", 404),
    ] {
        let refused = browser.send(path, body);
        assert_eq!(refused.status, status, "{path} {body}: {}", refused.text);
        assert!(refused.text.contains("role=\"alert\""), "{path} {body}");
    }
    // Another site's form, and somebody who is no administrator.
    let cookie = ("cookie", browser.cookie.as_str());
    let foreign = [FORM[0], ("sec-fetch-site", "cross-site"), cookie];
    let path = "/settings/webhooks/1/remove";
    assert_eq!(server.call("POST", path, &foreign, "").status, 403);
    let operator = Browser::sign_in(&server, &token(&place, "ops", "operator")).send(path, "");
    assert_eq!(operator.status, 403, "{}", operator.text);
    assert_eq!(list(&place).as_array().unwrap().len(), 1);
    assert_eq!(browser.send(path, "").status, 303);
    assert!(!browser.settings().contains("127.0.0.1"));
}
