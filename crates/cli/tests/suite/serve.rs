//! The service through HTTP: the life of a request, who may what, hostile calls, kills.

mod forms;
mod kills;
mod upgrade;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use disinherit_registry::Filing;
use disinherit_server::{ENDPOINTS, Right, Role};
use serde_json::json;
use umig::Forget;

use crate::common::Place;
use crate::common::server::{FLAGS, Server, filing, in_postgres, place, plan, token};

#[test]
fn a_request_goes_its_way_over_http() {
    goes_its_way(&place());
}

#[test]
fn a_request_goes_its_way_over_http_in_postgres() {
    in_postgres("the service", true, goes_its_way);
}

fn goes_its_way(place: &Place) {
    place.run(&["request", "four-eyes", "on"]).success();
    let server = Server::start(place, &FLAGS, None);
    let admin = token(place, "ann", "admin");
    let approver = token(place, "bob", "approver");

    let preview = server.post(&admin, "/api/v1/preview", &filing()).json();
    assert_eq!(preview["models"].as_array().unwrap().len(), 4);
    assert_eq!(
        server.get(&admin, "/api/v1/requests").json()["requests"],
        json!([])
    );
    let filed = server.post(&admin, "/api/v1/requests", &filing());
    assert_eq!(
        (filed.status, filed.headers["location"].as_str()),
        (201, "/api/v1/requests/1")
    );
    let early = server.post(&admin, "/api/v1/requests/1/approve", &json!({}));
    assert_eq!(
        (early.status, early.json()["type"].as_str()),
        (409, Some("/problems/refused"))
    );
    assert_eq!(early.headers["content-type"], "application/problem+json");
    server.step(&admin, "plan", &plan());
    let alone = server.post(&admin, "/api/v1/requests/1/approve", &json!({}));
    assert_eq!(
        (alone.status, alone.json()["hint"].as_str()),
        (409, Some("somebody else must approve it"))
    );
    assert_eq!(
        server.step(&approver, "approve", &json!({}))["approved"]["by"],
        "bob"
    );
    server.step(&admin, "comment", &json!({"text": "identity checked"}));

    server.step(&admin, "run", &json!({}));
    assert_eq!(server.job(&admin)["state"], "done");
    server.step(&admin, "verify", &json!({}));
    assert_eq!(server.job(&admin)["state"], "done");
    assert_eq!(
        server.get(&admin, "/api/v1/requests/1").json()["state"],
        "verified"
    );
    server.step(&admin, "certify", &json!({}));
    let certificate = server.get(&admin, "/api/v1/requests/1/certificate");
    std::fs::write(place.path("certificate.json"), &certificate.text).unwrap();
    server.step(&admin, "purge", &json!({}));
    let closed = server.step(&admin, "close", &json!({}));
    assert_eq!(
        (&closed["state"], &closed["verdict"]["judged"]),
        (&json!("closed"), &json!(4))
    );

    let bundle = server.get(&admin, "/api/v1/requests/1/bundle");
    assert_eq!(
        (bundle.status, bundle.headers["content-type"].as_str()),
        (200, "application/zip")
    );
    let report = server.get(&admin, "/requests/1/report");
    for words in [
        "membership inference",
        "with key",
        "Every step",
        "bob",
        "request verify: 4 models judged, each at least: ",
    ] {
        assert!(report.text.contains(words), "the report lacks: {words}");
    }
    let page = server.get(&admin, "/requests/1").text;
    for words in [
        "forget class `3`",
        "Whom it touches",
        "request certify",
        "certificate",
        "/api/v1/requests/1/bundle",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("<script"), "{page}");
    for (path, words) in [
        ("/?state=all", "subject-7"),
        ("/models", "r1@1"),
        ("/log", "is whole"),
        ("/new", "Legal basis"),
        ("/api", "OpenAPI 3.1"),
    ] {
        let page = server.get(&admin, path);
        assert!(
            page.status == 200 && page.text.contains(words),
            "{path}: {}",
            page.text
        );
    }
    let metrics = server.get(&admin, "/metrics").text;
    assert!(
        metrics.contains("disinherit_jobs_total{end=\"done\"} 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("disinherit_erasure_requests{state=\"closed\"} 1"),
        "{metrics}"
    );
    let log = server.get(&admin, "/api/v1/log").json();
    assert_eq!(log["altered"], json!([]));

    assert!(server.stop());
    let check = [
        "verify",
        "--certificate",
        "certificate.json",
        "--public-key",
        "proof.pem.pub",
        "--registry",
        ".",
    ];
    place.run(&check).success();
    place
        .run(&["request", "bundle", "1", "--out", "bundle.zip"])
        .success();
    let by_command = std::fs::read(place.path("bundle.zip")).unwrap();
    assert!(bundle.bytes == by_command, "the command makes another one");
    place.run(&["fsck"]).success();
}

/// Every role, and everybody without one, against every endpoint.
#[test]
fn who_may_what() {
    may(&Place::new());
}

#[test]
fn who_may_what_in_postgres() {
    in_postgres("the service", false, may);
}

fn may(place: &Place) {
    let mut tokens: Vec<(Option<Role>, String)> = Role::ALL
        .into_iter()
        .map(|role| (Some(role), token(place, role.name(), role.name())))
        .collect();
    let revoked = place.json(&["token", "new", "gone", "--role", "admin", "--json"]);
    place
        .run(&["token", "revoke", &revoked["id"].to_string()])
        .success();
    place.refuse(&["token", "revoke", "99"], &["no token 99"]);
    let expired = place.json(&[
        "token",
        "new",
        "late",
        "--role",
        "admin",
        "--expires",
        "0s",
        "--json",
    ]);
    for lost in [revoked, expired] {
        tokens.push((None, lost["secret"].as_str().unwrap().to_owned()));
    }
    let mut forged = tokens[0].1.clone();
    forged.replace_range(
        forged.len() - 1..,
        if forged.ends_with('0') { "1" } else { "0" },
    );
    tokens.extend(
        [
            forged,
            String::new(),
            "'; DROP TABLE access_tokens; --".into(),
        ]
        .map(|text| (None, text)),
    );
    let listed = place.text(&["token", "list"]);
    assert!(
        ["revoked", "expired", "holds"]
            .iter()
            .all(|word| listed.contains(word)),
        "{listed}"
    );
    assert!(!listed.contains(&tokens[0].1) && !listed.contains("disinherit_"));

    // One address sends all the wrong tokens here.
    let server = Server::start(place, &["--executor=none", "--lockout-after", "0"], None);
    let mut denied = 0;
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{id}", "7");
        for (role, token) in &tokens {
            let answer = match endpoint.method {
                "GET" => server.get(token, &path),
                _ => server.post(token, &path, &json!({})),
            };
            let may = role.is_some_and(|role| role.may(endpoint.right))
                || endpoint.right == Right::Public;
            let got = answer.status;
            let for_people =
                !path.starts_with("/api/") && path != "/metrics" && endpoint.method == "GET";
            let expected = match (may, role, for_people) {
                (true, ..) => {
                    assert!(
                        !matches!(got, 401 | 403 | 500..),
                        "{role:?} {endpoint:?}: {got} {}",
                        answer.text
                    );
                    continue;
                }
                (false, Some(_), _) => 403,
                (false, None, true) => 303,
                (false, None, false) => 401,
            };
            denied += 1;
            assert_eq!(got, expected, "{role:?} {endpoint:?}");
        }
        for method in ["PUT", "PATCH", "DELETE", "TRACE"] {
            let bearer = format!("Bearer {}", tokens[5].1);
            let answer = server.call(method, &path, &[("authorization", &bearer)], "");
            assert!(
                matches!(answer.status, 403 | 405),
                "{method} {path}: {}",
                answer.status
            );
        }
    }
    assert!(denied > 150, "{denied}");
    // Nothing was filed, and each denial is counted.
    assert_eq!(
        place.json(&["request", "list", "--all", "--json"])["requests"],
        json!([])
    );
    let metrics = server.get(&tokens[5].1, "/metrics").text;
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("disinherit_denials_total "));
    assert!(
        counted.unwrap().parse::<usize>().unwrap() >= denied,
        "{metrics}"
    );
    // A revoked token is denied from the next call on.
    place.run(&["token", "revoke", "1"]).success();
    assert_eq!(server.get(&tokens[0].1, "/api/v1/models").status, 401);
}

#[test]
fn the_description_is_complete() {
    let place = Place::new();
    let server = Server::start(&place, &["--executor", "none"], None);
    let described = server.call("GET", "/api/v1/openapi.json", &[], "").json();
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut count = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let known = ENDPOINTS
                .iter()
                .any(|end| end.path == path && end.method == method);
            assert!(known, "{method} {path}");
            count += 1;
        }
    }
    let api = || ENDPOINTS.iter().filter(|end| end.path.starts_with("/api/"));
    assert_eq!(count, api().count() - 1, "all but the description itself");

    // The page has every call with a command that makes it.
    let viewer = token(&place, "ann", "viewer");
    let page = server.get(&viewer, "/api").text;
    for end in api().filter(|end| !end.path.ends_with("/openapi.json")) {
        let heading = format!("<code>{} {}</code>", end.method, end.path);
        let command = format!("&quot;$DESK{}&quot;</pre>", end.path.replace("{id}", "1"));
        assert!(page.contains(&heading), "{heading}");
        assert!(page.contains(&command), "{command}");
    }
    let filing = "-d '{&quot;forget&quot;:{&quot;classes&quot;:[&quot;...&quot;]}}'";
    for words in [filing, "For the roles requester, admin.", "For every role."] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // What refers to an object leads to it.
    for part in page.split("href=\"#").skip(1) {
        let anchor = part.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
    assert!(!page.contains("<script") && !page.contains("://"), "{page}");
}

#[test]
fn calls_are_looked_at() {
    looked_at(&Place::new());
}

#[test]
fn calls_are_looked_at_in_postgres() {
    in_postgres("the service", false, looked_at);
}

fn looked_at(place: &Place) {
    let server = Server::start(
        place,
        &["--executor", "none", "--largest-body", "4KiB"],
        None,
    );
    let admin = token(place, "ann", "admin");
    let bearer = format!("Bearer {admin}");
    let json = ("content-type", "application/json");
    let auth = ("authorization", bearer.as_str());
    let post = |headers: &[(&str, &str)], body: &str| {
        server.call(
            "POST",
            "/api/v1/requests",
            &[&[auth, json], headers].concat(),
            body,
        )
    };
    let body = json!({"forget": {"source": "clinic"}}).to_string();

    // The same call under a key does nothing again; another one under it is refused.
    let key = [("idempotency-key", "k-1")];
    let first = post(&key, &body);
    let again = post(&key, &body);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(
        post(&key, &json!({"forget": {"source": "other"}}).to_string()).status,
        422
    );
    assert_eq!(post(&[], &body).json()["id"], 2);

    // Revisions.
    let shown = server.get(&admin, "/api/v1/requests/1");
    let tag = shown.headers["etag"].clone();
    let known = server.call(
        "GET",
        "/api/v1/requests/1",
        &[auth, ("if-none-match", &tag)],
        "",
    );
    assert_eq!(known.status, 304);
    let comment = |tag: &str| {
        let headers = [auth, json, ("if-match", tag)];
        server
            .call(
                "POST",
                "/api/v1/requests/1/comment",
                &headers,
                r#"{"text": "by letter"}"#,
            )
            .status
    };
    assert_eq!(
        (comment(&tag), comment(&tag), comment("\"x\"")),
        (200, 412, 400)
    );

    // Pages.
    let page = server.get(&admin, "/api/v1/requests?limit=1").json();
    let next = page["next"].as_i64().unwrap();
    let page = server
        .get(&admin, &format!("/api/v1/requests?limit=1&after={next}"))
        .json();
    assert_eq!(page["requests"].as_array().unwrap().len(), 1);
    for wrong in [
        "due_within=36501",
        "limit=0",
        "limit=5000",
        "state=done",
        "after=x",
        "limit=-1",
        "state=%00",
    ] {
        assert_eq!(
            server
                .get(&admin, &format!("/api/v1/requests?{wrong}"))
                .status,
            400,
            "{wrong}"
        );
    }

    // Bodies that are too large, of another kind, or make no sense.
    let large = json!({"forget": {"source": "x".repeat(5000)}}).to_string();
    assert_eq!(post(&[], &large).status, 413);
    assert_eq!(post(&key, &large).status, 413);
    for wrong in [
        "",
        "{",
        "[]",
        "null",
        r#"{"forget": {}}"#,
        r#"{"forget": {"source": ""}}"#,
        r#"{"forget": {"source": "a"}, "admin": true}"#,
        r#"{"forget": {"source": "a"}, "deadline": 1}"#,
        r#"{"forget": {"source": "a"}, "requester": "\u001b[2J"}"#,
        r#"{"forget": {"source": "a"}, "from": ["no@1"]}"#,
        r#"{"forget": {"source": "a\u0000b"}}"#,
        r#"{"forget": {"classes": ["\u0000"]}}"#,
        r#"{"forget": {"source": "a"}, "from": ["\u0000"]}"#,
    ] {
        let answer = post(&[], wrong);
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let text = server.call(
        "POST",
        "/api/v1/requests",
        &[auth, ("content-type", "text/plain")],
        &body,
    );
    assert_eq!(text.status, 415);
    // Databases differ in what they take as text: what no name has is asked of none.
    for query in ["models?prefix=%00", "models?after=%00"] {
        let status = server.get(&admin, &format!("/api/v1/{query}")).status;
        assert_eq!(status, 400, "{query}");
    }
    for path in ["/models?q=%00", "/models?network=%00", "/models?after=%00"] {
        let status = server.get(&admin, path).status;
        assert!(status < 500, "{path}: {status}");
    }
    for path in [
        "/api/v1/requests/0",
        "/api/v1/requests/-1",
        "/api/v1/requests/99",
        "/api/v1/requests/1e3",
        "/api/v1/requests/%00",
        "/api/v1/requests/..%2f..%2fetc",
        "/etc/passwd",
        "/style.css/../x",
        "/api/v2",
    ] {
        assert_eq!(server.get(&admin, path).status, 404, "{path}");
    }
    assert_eq!(
        place.json(&["request", "list", "--all", "--json"])["requests"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(server.call("GET", "/healthz", &[], "").status, 200);
    assert_eq!(server.call("GET", "/readyz", &[], "").status, 200);
    assert!(server.stop());
}

/// A client that sends its call byte by byte, or never ends it, keeps nobody from being answered, and does not
/// keep the server from stopping.
#[test]
fn slow_clients_hold_nobody_up() {
    let place = Place::new();
    let server = Server::start(&place, &["--executor", "none"], None);
    let host = server.address.strip_prefix("http://").unwrap().to_owned();
    let open: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(&host).unwrap();
            stream
                .write_all(b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n")
                .unwrap();
            stream
        })
        .collect();
    assert_eq!(server.call("GET", "/readyz", &[], "").status, 200);
    let mut split = TcpStream::connect(&host).unwrap();
    split
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    split.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400"), "folded headers: {text}");
    let begun = Instant::now();
    assert!(server.stop());
    assert!(begun.elapsed() < Duration::from_secs(30));
    drop(open);
}

/// Every open request whose deadline is over is counted, more of them than a list has.
#[test]
fn metrics_count_all_that_is_overdue() {
    let place = Place::new();
    let registry = place.registry();
    let forget = Forget::Source("clinic".into());
    let asked = registry.asked(&forget).unwrap();
    for number in 0..1003 {
        let filing = Filing {
            asked: asked.clone(),
            from: Vec::new(),
            requester: None,
            basis: None,
            received: 1,
            // The last one is not overdue.
            deadline: if number == 1002 { 1 << 50 } else { 2 },
        };
        registry.file_erasure(filing).unwrap();
    }
    let server = Server::start(&place, &["--executor", "none"], None);
    let admin = token(&place, "ann", "admin");
    server.step(&admin, "reject", &json!({"reason": "asked twice"}));
    let metrics = server.get(&admin, "/metrics").text;
    let line = "\ndisinherit_erasure_requests_overdue 1001\n";
    assert!(metrics.contains(line), "{metrics}");
    assert!(server.stop());
}
