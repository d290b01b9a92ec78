//! The service through HTTP: the life of a request, who may what, hostile calls, kills.
#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(all(unix, feature = "server"))]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::Place;
use common::server::{FLAGS, Server, filing, place, place_in, plan, token};
use disinherit_server::{ENDPOINTS, Right, Role};
use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};

#[test]
fn a_request_goes_its_way_over_http() {
    let place = place();
    place.run(&["request", "four-eyes", "on"]).success();
    let server = Server::start(&place, &FLAGS, None);
    let admin = token(&place, "ann", "admin");
    let approver = token(&place, "bob", "approver");

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
    for words in ["membership inference", "with key", "Every step", "bob"] {
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
    let place = Place::new();
    let mut tokens: Vec<(Option<Role>, String)> = Role::ALL
        .into_iter()
        .map(|role| (Some(role), token(&place, role.name(), role.name())))
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
    let server = Server::start(&place, &["--executor=none", "--lockout-after", "0"], None);
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
                !path.starts_with("/api") && path != "/metrics" && endpoint.method == "GET";
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
    let api = ENDPOINTS.iter().filter(|end| end.path.starts_with("/api/"));
    assert_eq!(count, api.count() - 1, "all but the description itself");
}

#[test]
fn calls_are_looked_at() {
    let place = Place::new();
    let server = Server::start(
        &place,
        &["--executor", "none", "--largest-body", "4KiB"],
        None,
    );
    let admin = token(&place, "ann", "admin");
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

/// The page in a browser: a cookie that scripts cannot read, forms of other pages refused, nothing loaded from
/// elsewhere, what people write shown as text.
#[test]
fn browsers_are_kept_safe() {
    let place = Place::new();
    let server = Server::start(&place, &["--executor", "none"], None);
    let admin = token(&place, "<b>ann</b>", "admin");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let own = ("sec-fetch-site", "same-origin");
    let signed = server.call("POST", "/sign-in", &[form, own], &format!("token={admin}"));
    assert_eq!(signed.status, 303);
    let cookie = signed.headers["set-cookie"].clone();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert_eq!(
        server
            .call("POST", "/sign-in", &[form, own], "token=wrong")
            .status,
        401
    );
    let proxied = [form, own, ("x-forwarded-proto", "https")];
    let signed = server.call("POST", "/sign-in", &proxied, &format!("token={admin}"));
    assert!(signed.headers["set-cookie"].contains("Secure"));

    let cookie = ("cookie", cookie.split(';').next().unwrap());
    let filing = "what=source&names=%3Cscript%3Ealert(1)%3C%2Fscript%3E&then=file";
    for foreign in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("x-nothing", "said"),
    ] {
        let answer = server.call("POST", "/new", &[form, cookie, foreign], filing);
        assert_eq!(answer.status, 403, "{foreign:?}");
        let sign_in = server.call(
            "POST",
            "/sign-in",
            &[form, cookie, foreign],
            &format!("token={admin}"),
        );
        assert_eq!(sign_in.status, 403, "{foreign:?}");
    }
    let filed = server.call("POST", "/new", &[form, cookie, own], filing);
    assert_eq!(
        (filed.status, filed.headers["location"].as_str()),
        (303, "/requests/1")
    );
    let page = server.call("GET", "/requests/1", &[cookie], "");
    assert!(
        page.text.contains("&lt;script&gt;") && !page.text.contains("<script"),
        "{}",
        page.text
    );
    assert!(page.text.contains("&lt;b&gt;ann"), "{}", page.text);
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"));
    assert_eq!(
        (
            page.headers["cache-control"].as_str(),
            page.headers["x-content-type-options"].as_str()
        ),
        ("no-store", "nosniff")
    );
    let unseen = server.call(
        "POST",
        "/requests/1/reject",
        &[form, cookie, own],
        "text=double&seen=999",
    );
    assert_eq!(unseen.status, 412, "{}", unseen.text);
    let rejected = server.call(
        "POST",
        "/requests/1/reject",
        &[form, cookie, own],
        "text=double",
    );
    assert_eq!(rejected.status, 303);
    let preview = server.call(
        "POST",
        "/new",
        &[form, cookie, own],
        "what=classes&names=3&then=preview",
    );
    assert!(
        preview.status == 200 && preview.text.contains("role=\"alert\""),
        "{}",
        preview.text
    );
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

/// A server is killed in the middle of a run; the next one takes the job up, and nothing is done twice.
fn survives_kills(place: &Place) {
    let admin = token(place, "ann", "admin");
    for point in ["draft:2", "publish after commit"] {
        let mut server = Server::start(place, &FLAGS, None);
        let state = server.get(&admin, "/api/v1/requests/1").json()["state"].clone();
        if state == Value::Null {
            server.post(&admin, "/api/v1/requests", &filing());
            server.step(&admin, "plan", &plan());
            server.step(&admin, "approve", &json!({}));
            assert!(server.stop());
            let files = Server::start(place, &[&FLAGS[..], &["--executor", "none"]].concat(), None);
            files.step(&admin, "run", &json!({}));
            let twice = files.post(&admin, "/api/v1/requests/1/run", &json!({}));
            assert_eq!(twice.status, 409, "{}", twice.text);
            assert!(files.stop());
            server = Server::start(place, &FLAGS, Some(point));
        } else {
            assert!(server.stop());
            server = Server::start(place, &FLAGS, Some(point));
        }
        let begun = Instant::now();
        while server.child.try_wait().unwrap().is_none()
            && begun.elapsed() < Duration::from_secs(150)
        {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(
            server.child.try_wait().unwrap().is_some(),
            "`{point}` was not passed"
        );
    }
    // Two servers at once: one of them does the job.
    let servers = [(); 2].map(|()| Server::start(place, &FLAGS, None));
    assert_eq!(servers[0].job(&admin)["state"], "done");
    assert_eq!(servers[1].step(&admin, "verify", &json!({}))["id"], 1);
    assert_eq!(servers[0].job(&admin)["state"], "done");
    let log = place.json(&["log", "--operations", "--json"]);
    let count = |command: &str| {
        let rows = log["operations"].as_array().or(log.as_array()).unwrap();
        rows.iter().filter(|row| row["command"] == command).count()
    };
    assert_eq!(
        (
            count("unlearn"),
            count("request verify"),
            count("request new")
        ),
        (1, 1, 1),
        "{log}"
    );
    for server in servers {
        assert!(server.stop());
    }
    place.run(&["fsck"]).success();
}

#[test]
fn killed_servers_lose_no_job_in_sqlite() {
    survives_kills(&place());
}

#[test]
fn killed_servers_lose_no_job_in_postgres() {
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("the service over PostgreSQL", &why),
    };
    let place = place_in(&database);
    place
        .run(&["grow", "fl-digits", "--epochs", "3", "--limit", "200"])
        .success();
    place.run(&["key", "proof.pem"]).success();
    survives_kills(&place);
}

/// A step of request 1 that is sent to a server which is killed: before it commits, after it, or, of what is a job, after
/// it has answered.
struct Doomed<'a> {
    step: &'static str,
    body: Value,
    points: &'a [&'a str],
}

const COMMITS: [&str; 2] = ["publish before commit", "publish after commit"];
const PURGES: [&str; 1] = ["purge after commit"];
const JOB: [&str; 0] = [];

fn doomed() -> [Doomed<'static>; 8] {
    let step = |step, body, points| Doomed { step, body, points };
    [
        step("new", filing(), &COMMITS),
        step("plan", plan(), &COMMITS),
        step("approve", json!({}), &COMMITS),
        step("run", json!({}), &JOB),
        step("verify", json!({}), &JOB),
        step("certify", json!({}), &COMMITS),
        step("purge", json!({}), &PURGES),
        step("close", json!({}), &COMMITS),
    ]
}

/// Three servers of one registry: at every step one of them is killed, and the two others go on from what is committed.
#[test]
fn a_replica_is_killed_at_every_step_in_postgres() {
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("replicas over PostgreSQL", &why),
    };
    let place = place_in(&database);
    place
        .run(&["grow", "fl-digits", "--epochs", "3", "--limit", "200"])
        .success();
    place.run(&["key", "proof.pem"]).success();
    let admin = token(&place, "ann", "admin");
    let bearer = format!("Bearer {admin}");
    let passive = [&FLAGS[..], &["--executor", "none"]].concat();
    let others = [
        Server::start(&place, &passive, None),
        Server::start(&place, &FLAGS, None),
    ];
    let seen = || {
        let lists = others.each_ref().map(|server| {
            server.get(&admin, "/api/v1/requests?state=all").json()["requests"].clone()
        });
        assert_eq!(lists[0], lists[1], "replicas differ");
        lists[0].clone()
    };
    for Doomed { step, body, points } in doomed() {
        let path = match step {
            "new" => "/api/v1/requests".to_owned(),
            step => format!("/api/v1/requests/1/{step}"),
        };
        for point in points {
            let before = seen();
            let mut third = Server::start(&place, &passive, Some(point));
            let key = format!("{step}: {point}");
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
                ("idempotency-key", &key),
            ];
            let lost = third.try_call("POST", &path, &headers, &body.to_string());
            assert!(
                lost.is_err() && !third.child.wait().unwrap().success(),
                "{key}"
            );
            assert_eq!(seen() != before, point.ends_with("after commit"), "{key}");
            // Nothing tells whether the call was answered: it is not done again by the way.
            let again = others[0].call("POST", &path, &headers, &body.to_string());
            assert_eq!(again.status, 409, "{key}: {}", again.text);
        }
        if points.is_empty() {
            let mut third = Server::start(&place, &passive, None);
            third.step(&admin, step, &body);
            third.child.kill().unwrap();
            third.child.wait().unwrap();
            assert_eq!(others[0].job(&admin)["state"], "done", "{step}");
        }
    }
    assert_eq!(seen().as_array().unwrap().len(), 1);
    assert_eq!(seen()[0]["state"], "closed");
    let log = place.json(&["log", "--operations", "--json"]);
    let rows = log["operations"].as_array().or(log.as_array()).unwrap();
    for once in [
        "request new",
        "request approve",
        "unlearn",
        "request verify",
        "request certify",
        "purge",
        "request close",
    ] {
        let count = rows.iter().filter(|row| row["command"] == once).count();
        assert_eq!(count, 1, "{once}: {log}");
    }
    for server in others {
        assert!(server.stop());
    }
    place.run(&["fsck"]).success();
}
