//! The same through the forms of the page.

use serde_json::{Value, json};

use crate::common::Place;
use crate::common::server::{Answer, Server, eventually, token};
use crate::webhooks::receiver::Receiver;
use crate::webhooks::{ELSEWHERE, list, source};

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
