//! Sign-in to the page through the issuer, by redirect.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;

use disinherit_testkit::skipped;
use jsonwebtoken::Algorithm;
use serde_json::json;
use url::Url;

use crate::access::issuer::{Issuer, Key, now};
use crate::common::Place;
use crate::common::browser::Browser;
use crate::common::server::{Answer, Server, token};

/// Where the issuer thinks that the service is. Visitors of these tests are taken back to the server that is asked.
const PUBLIC: &str = "http://127.0.0.1:9";

const FORM: [(&str, &str); 2] = [
    ("content-type", "application/x-www-form-urlencoded"),
    ("sec-fetch-site", "same-origin"),
];

fn issuer() -> Issuer {
    let issuer = Issuer::start();
    let key = Arc::new(Key::new("r", Algorithm::ES256));
    issuer.publish(&[&key]);
    let mut grants = issuer.grants.lock().unwrap();
    grants.claims = issuer.claims(&["dpo"]);
    grants.key = Some(key);
    drop(grants);
    issuer
}

fn flags<'a>(issuer: &'a Issuer, public: &'a str) -> Vec<&'a str> {
    let own = [
        "--executor=none",
        "--lockout-after=0",
        "--oidc-audience=desk",
        "--oidc-roles-claim=realm_access.roles",
        "--oidc-role=privacy-team=requester,dpo=approver",
        "--oidc-scope=profile,roles",
    ];
    let named = ["--oidc-issuer", &issuer.url, "--public-url", public];
    [&own[..], &named].concat()
}

fn serve(place: &Place, issuer: &Issuer) -> Server {
    Server::start(place, &flags(issuer, PUBLIC), None)
}

/// A browser without a window: it keeps cookies, and says which site leads it.
#[derive(Default)]
struct Visitor {
    cookies: RefCell<BTreeMap<String, String>>,
}

impl Visitor {
    fn get(&self, server: &Server, path: &str) -> Answer {
        self.call(server, "GET", path, &[], "")
    }

    fn call(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let kept = self.kept();
        let cookies = [("cookie", kept.as_str())];
        let cookies = if kept.is_empty() { &[][..] } else { &cookies };
        let answer = server.call(method, path, &[headers, cookies].concat(), body);
        for cookie in &answer.cookies {
            let (pair, how) = cookie.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(
                how.contains("HttpOnly") && how.contains("Path=/"),
                "{cookie}"
            );
            let mut kept = self.cookies.borrow_mut();
            match how.contains("Max-Age=0;") {
                true => kept.remove(name),
                false => kept.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    fn kept(&self) -> String {
        let cookies = self.cookies.borrow();
        let pairs: Vec<String> = cookies.iter().map(|(a, b)| format!("{a}={b}")).collect();
        pairs.join("; ")
    }

    fn has(&self, name: &str) -> bool {
        self.cookies.borrow().contains_key(name)
    }

    /// Begins a sign-in, agrees at the issuer, and returns the path that it leads back to.
    fn through(&self, server: &Server, begin: &str) -> String {
        let begun = self.get(server, begin);
        assert_eq!(begun.status, 303, "{begin}: {}", begun.text);
        back(&begun.headers["location"])
    }

    /// A sign-in from its beginning to its end.
    fn sign_in(&self, server: &Server) -> Answer {
        let path = self.through(server, "/sign-in/issuer");
        self.get(server, &path)
    }
}

/// Where the issuer leads who comes with this address.
fn back(authorization: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .into();
    let answer = agent.get(authorization).call().unwrap();
    let place = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    format!("{}?{}", place.path(), place.query().unwrap())
}

#[test]
fn people_sign_in_through_the_issuer() {
    let place = Place::new();
    let issuer = issuer();
    let audit = place.path("audit.jsonl");
    let audited = ["--audit-log", audit.to_str().unwrap()];
    let server = Server::start(
        &place,
        &[&flags(&issuer, PUBLIC)[..], &audited].concat(),
        None,
    );
    let visitor = Visitor::default();

    // Who has not signed in is led to the form, which keeps where they wanted to go.
    let led = visitor.get(&server, "/models?q=clinic&state=all");
    let form = led.headers["location"].clone();
    assert_eq!(form, "/sign-in?to=/models%3Fq%3Dclinic%26state%3Dall");
    let form = visitor.get(&server, &form).text;
    for words in [
        "Sign in with 127.0.0.1",
        "href=\"/sign-in/issuer?to=/models%3Fq%3Dclinic%26state%3Dall\"",
        "name=\"to\" value=\"/models?q=clinic&amp;state=all\"",
    ] {
        assert!(form.contains(words), "{words}: {form}");
    }

    let begun = visitor.get(
        &server,
        "/sign-in/issuer?to=/models%3Fq%3Dclinic%26state%3Dall",
    );
    let cookie = &begun.headers["set-cookie"];
    for words in ["Max-Age=600", "HttpOnly", "SameSite=Lax"] {
        assert!(cookie.contains(words), "{words}: {cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let path = back(&begun.headers["location"]);
    let asked = issuer.grants.lock().unwrap().asked.clone();
    assert_eq!(asked["client_id"], "desk", "the audience");
    assert_eq!(asked["scope"], "openid profile roles");
    assert_eq!(asked["redirect_uri"], format!("{PUBLIC}/sign-in/callback"));

    // Another server of the registry takes the visitor back.
    let replica = serve(&place, &issuer);
    let signed = visitor.get(&replica, &path);
    assert_eq!(signed.status, 200, "{}", signed.text);
    assert_eq!(
        signed.headers["refresh"],
        "0; url=/models?q=clinic&state=all"
    );
    let session = &signed.cookies[0];
    for words in ["disinherit_token=", "Max-Age=43200", "SameSite=Strict"] {
        assert!(session.contains(words), "{words}: {session}");
    }
    assert!(!visitor.has("disinherit_sign_in") && visitor.has("disinherit_token"));
    let page = visitor.get(&server, "/models");
    assert!(page.text.contains("#alice (approver)"), "{}", page.text);
    assert_eq!(visitor.get(&server, "/new").status, 403);

    // Out again, with the way out of the issuer.
    let out = visitor.call(&server, "POST", "/sign-out", &FORM, "");
    let way = format!(
        "{}/leave?client_id=desk&amp;post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fsign-in",
        issuer.url
    );
    assert!(out.status == 200 && out.text.contains(&way), "{}", out.text);
    assert!(!visitor.has("disinherit_token"));

    assert_eq!(visitor.sign_in(&server).status, 200);
    let again = visitor.get(&server, "/sign-in/issuer?again=true");
    assert!(again.headers["location"].contains("&prompt=login"));
    let lines = fs::read_to_string(audit).unwrap();
    let line = lines.lines().find(|line| line.contains("\"signed-in\""));
    assert!(line.unwrap().contains("#alice"), "{lines}");
    assert!(
        !lines.contains("code-"),
        "codes are not put on record: {lines}"
    );
}

#[test]
fn a_client_has_a_name_and_a_secret_of_its_own() {
    let place = Place::new();
    let issuer = issuer();
    fs::write(place.path("secret.txt"), "hush\n").unwrap();
    let public = "https://desk.example.org";
    let own = [
        "--oidc-client-id=desk-page",
        "--oidc-client-secret-file=secret.txt",
    ];
    let server = Server::start(&place, &[&flags(&issuer, public)[..], &own].concat(), None);
    issuer.grants.lock().unwrap().secret = Some("hush");
    let visitor = Visitor::default();
    let begun = visitor.get(&server, "/sign-in/issuer");
    // Over TLS no other host can set the cookie.
    let cookie = &begun.headers["set-cookie"];
    assert!(
        cookie.starts_with("__Host-disinherit_sign_in=") && cookie.contains("; Secure; Path=/"),
        "{cookie}"
    );
    let signed = visitor.get(&server, &back(&begun.headers["location"]));
    assert_eq!(signed.status, 200, "{}", signed.text);
    assert!(
        signed
            .cookies
            .iter()
            .all(|cookie| cookie.contains("; Secure"))
    );
    assert_eq!(visitor.get(&server, "/").status, 200);
    // What the page keeps is for the client. Programs need a token that is for the audience.
    let token = visitor.cookies.borrow()["disinherit_token"].clone();
    let answer = server.get(&token, "/api/v1/requests");
    assert!(
        answer.status == 401 && answer.text.contains("another audience"),
        "{}",
        answer.text
    );
    // A secret that the issuer does not take is for administrators.
    issuer.grants.lock().unwrap().secret = Some("other");
    let refused = Visitor::default().sign_in(&server);
    assert_eq!(refused.status, 502, "{}", refused.text);
    assert!(!refused.text.contains("hush"));
}

#[test]
fn tokens_of_sign_ins_are_looked_at() {
    let place = Place::new();
    let issuer = issuer();
    let server = serve(&place, &issuer);
    let cook = json!({"roles": ["cook"]});
    let (late, early) = (json!(now() - 120), json!(now() + 120));
    for (name, value, status, words) in [
        ("nonce", json!("x"), 401, "another sign-in"),
        ("nonce", json!(null), 401, "another sign-in"),
        ("aud", json!("other"), 401, "another audience"),
        ("aud", json!(null), 401, "no `aud`"),
        ("azp", json!("other"), 401, "another service"),
        ("exp", late, 401, "has expired"),
        ("exp", json!(null), 401, "no `exp`"),
        ("nbf", early, 401, "has not come"),
        ("iss", json!("https://evil.example"), 401, "another issuer"),
        ("sub", json!(""), 401, "no subject"),
        (
            "realm_access",
            cook,
            403,
            "administer the issuer for a role",
        ),
        (
            "more",
            json!("x".repeat(4000)),
            400,
            "too long for a browser",
        ),
    ] {
        issuer.grants.lock().unwrap().other = [(name, value)].into();
        let visitor = Visitor::default();
        let refused = visitor.sign_in(&server);
        let text = &refused.text;
        assert_eq!(refused.status, status, "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
        assert!(text.contains("Sign in again"), "{name}: {text}");
        assert_eq!(visitor.kept(), "", "{name}: nothing is kept");
    }
    issuer.grants.lock().unwrap().other.clear();
    // Of the client, said twice.
    issuer
        .grants
        .lock()
        .unwrap()
        .other
        .insert("azp", json!("desk"));
    assert_eq!(Visitor::default().sign_in(&server).status, 200);
    // Signed by another key of this name.
    issuer.grants.lock().unwrap().key = Some(Arc::new(Key::new("r", Algorithm::ES256)));
    let forged = Visitor::default().sign_in(&server);
    assert!(
        forged.status == 401 && forged.text.contains("not signed"),
        "{}",
        forged.text
    );
    // The issuer gives none, or nothing that can be read.
    for (status, body, code) in [
        ("200 OK", json!({"access_token": "x"}), 502),
        ("200 OK", json!([]), 502),
        (
            "400 Bad Request",
            json!({"error": "unauthorized_client"}),
            502,
        ),
        ("400 Bad Request", json!({"error": "invalid_grant"}), 401),
        ("503 Service Unavailable", json!({}), 503),
        ("302 Found", json!({}), 502),
    ] {
        issuer.grants.lock().unwrap().fault = Some((status, body));
        let refused = Visitor::default().sign_in(&server);
        assert_eq!(refused.status, code, "{status}: {}", refused.text);
    }
}

/// With one part of its query replaced, or taken away.
fn with(path: &str, name: &str, value: Option<&str>) -> String {
    let url = Url::parse(&format!("http://x{path}")).unwrap();
    let pairs = url.query_pairs().into_owned();
    let mut pairs: Vec<(String, String)> = pairs.filter(|(known, _)| known != name).collect();
    pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    let mut other = url.clone();
    other.query_pairs_mut().clear().extend_pairs(pairs);
    format!("{}?{}", other.path(), other.query().unwrap_or_default())
}

#[test]
fn only_who_began_a_sign_in_ends_it_and_once() {
    let place = Place::new();
    let issuer = issuer();
    let server = serve(&place, &issuer);
    let visitor = Visitor::default();
    let path = visitor.through(&server, "/sign-in/issuer");
    let begun = visitor.kept();

    // The way of an attacker's sign-in, in the browser of somebody else.
    let other = Visitor::default();
    let victim = other.get(&server, &path);
    assert!(victim.status == 400 && victim.text.contains("no sign-in under way"));
    other.get(&server, "/sign-in/issuer");
    let victim = other.get(&server, &path);
    assert!(
        victim.status == 403 && victim.text.contains("not the sign-in that was begun here"),
        "{}",
        victim.text
    );
    assert!(!other.has("disinherit_token") && other.has("disinherit_sign_in"));

    // States that are wrong, and cookies that were altered.
    for state in [None, Some(""), Some("x"), Some("AAAA")] {
        let refused = visitor.get(&server, &with(&path, "state", state));
        assert_eq!(refused.status, 403, "{state:?}: {}", refused.text);
    }
    let twice = visitor.get(&server, &format!("{path}&state=x"));
    assert_eq!(twice.status, 400, "{}", twice.text);
    let (name, value) = begun.split_once('=').unwrap();
    let parts: Vec<&str> = value.split('.').collect();
    for altered in [
        format!("{}.{}.{}", parts[0], parts[1], "L2xvZw"),
        format!("{}.{}.{}", parts[0], "99999999999999", parts[2]),
        format!("{}.{}.{}", &parts[0][1..], parts[1], parts[2]),
    ] {
        let cookie = format!("{name}={altered}");
        let refused = server.call("GET", &path, &[("cookie", &cookie)], "");
        assert_eq!(refused.status, 403, "{altered}: {}", refused.text);
    }
    let foreign = visitor.get(&server, &with(&path, "error", Some("<b>call 0190</b>")));
    assert!(
        foreign.text.contains("&lt;b&gt;call 0190"),
        "{}",
        foreign.text
    );

    // The issuer takes a code once; where it does not, a sign-in still ends once.
    for (forgetful, status) in [(false, 401), (true, 403)] {
        issuer.grants.lock().unwrap().forgetful = forgetful;
        let path = visitor.through(&server, "/sign-in/issuer");
        let begun = visitor.kept();
        assert_eq!(visitor.get(&server, &path).status, 200);
        let replayed = visitor.get(&server, &path);
        assert_eq!(
            replayed.status, 400,
            "its cookie is gone: {}",
            replayed.text
        );
        let stolen = [("cookie", begun.as_str())];
        let replayed = server.call("GET", &path, &stolen, "");
        assert_eq!(replayed.status, status, "{}", replayed.text);
        assert!(
            replayed
                .cookies
                .iter()
                .all(|cookie| !cookie.contains("disinherit_token"))
        );
    }

    // The code of one sign-in is of no use in another: the verifier does not fit.
    let (one, two) = (Visitor::default(), Visitor::default());
    let stolen = one.through(&server, "/sign-in/issuer");
    let code = Url::parse(&format!("http://x{stolen}")).unwrap();
    let code = code
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let own = two.through(&server, "/sign-in/issuer");
    let refused = two.get(&server, &with(&own, "code", Some(&code)));
    assert_eq!(refused.status, 401, "{}", refused.text);

    // Another site can lead visitors to the form, and no further.
    for site in ["cross-site", "same-site"] {
        let led = visitor.call(
            &server,
            "GET",
            "/sign-in/issuer?to=/log",
            &[("sec-fetch-site", site)],
            "",
        );
        assert_eq!(led.headers["location"], "/sign-in?to=/log");
    }
}

#[test]
fn what_the_issuer_refuses_is_said_with_what_to_do() {
    let place = Place::new();
    let issuer = issuer();
    let server = serve(&place, &issuer);
    for (error, status, words) in [
        (
            "error=access_denied",
            403,
            "ask those who administer the issuer for access",
        ),
        ("error=login_required", 403, "sign in again"),
        ("error=temporarily_unavailable", 503, "try again soon"),
        (
            "error=invalid_scope&error_description=no+%3Cb%3Escope",
            502,
            "no &lt;b&gt;scope",
        ),
        ("error=x&iss=https://evil.example", 403, "another issuer"),
        ("code=", 400, "neither a code nor a reason"),
    ] {
        issuer.grants.lock().unwrap().error = Some(error);
        let visitor = Visitor::default();
        let refused = visitor.sign_in(&server);
        assert_eq!(refused.status, status, "{error}: {}", refused.text);
        assert!(refused.text.contains(words), "{error}: {}", refused.text);
        assert_eq!(visitor.kept(), "", "{error}");
    }
}

#[test]
fn a_sign_in_leads_nowhere_else() {
    let place = Place::new();
    let issuer = issuer();
    let server = serve(&place, &issuer);
    let own = token(&place, "ops", "operator");
    for to in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/.//evil.example/",
        "/\t/evil.example/",
        "javascript:alert(1)",
        "/sign-out",
    ] {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let query = query.append_pair("to", to).finish();
        let visitor = Visitor::default();
        let form = visitor.get(&server, &format!("/sign-in?{query}")).text;
        assert!(
            !form.contains("evil") && !form.contains("alert"),
            "{to}: {form}"
        );
        let path = visitor.through(&server, &format!("/sign-in/issuer?{query}"));
        let signed = visitor.get(&server, &path);
        assert_eq!(signed.headers["refresh"], "0; url=/", "{to}");
        let pasted = server.call("POST", "/sign-in", &FORM, &format!("token={own}&{query}"));
        assert_eq!(pasted.headers["location"], "/", "{to}");
    }
    let kept = server.call(
        "POST",
        "/sign-in",
        &FORM,
        &format!("token={own}&to=%2Fmodels"),
    );
    assert_eq!(kept.headers["location"], "/models");
}

#[test]
fn codes_that_do_not_hold_lock_an_address_out() {
    let place = Place::new();
    let issuer = issuer();
    let all = flags(&issuer, PUBLIC);
    let few: Vec<&str> = all
        .iter()
        .map(|flag| {
            flag.strip_suffix("=0")
                .map_or(*flag, |_| "--lockout-after=2")
        })
        .collect();
    let server = Server::start(&place, &few, None);
    let guess = || {
        let visitor = Visitor::default();
        let path = visitor.through(&server, "/sign-in/issuer");
        visitor
            .get(&server, &with(&path, "code", Some("guessed")))
            .status
    };
    assert_eq!([guess(), guess(), guess()], [401, 401, 429]);
}

#[test]
fn what_a_sign_in_needs_is_asked_for_at_the_start() {
    let place = Place::new();
    let issuer = issuer();
    place.misuse(
        &["serve", "--public-url", "https://x"],
        &["`--oidc-issuer URL`"],
    );
    let serve = [
        "serve",
        "--oidc-issuer",
        &issuer.url,
        "--oidc-audience=desk",
    ];
    let with = |more: &[&'static str]| [&serve[..], more].concat();
    place.misuse(&with(&["--oidc-client-id=x"]), &["`--public-url URL`"]);
    fs::write(place.path("secret"), " \n").unwrap();
    let secret = ["--public-url=https://x", "--oidc-client-secret-file=secret"];
    place.misuse(&with(&secret), &["secret is empty"]);
    for (public, words) in [
        (
            "--public-url=http://desk.example.org",
            "must begin with https://",
        ),
        (
            "--public-url=https://desk.example.org/desk",
            "a scheme and a host",
        ),
    ] {
        place.refuse(
            &with(&[public]),
            &["cannot offer the issuer's sign-in", words],
        );
    }
    // The secret comes from one place, and is never printed.
    let variable = "DISINHERIT_SERVE_OIDC_CLIENT_SECRET";
    fs::write(place.path("secret"), "hush").unwrap();
    let mut both = place.command(&with(&secret));
    let both = both.env(variable, "quiet").assert().failure();
    let said = String::from_utf8_lossy(&both.get_output().stderr).into_owned();
    assert!(said.contains(variable) && !said.contains("quiet"), "{said}");
    let mut printed = place.command(&with(&[&secret[..], &["--print-config"]].concat()));
    let printed = printed.env(variable, "quiet").assert().success();
    let text = String::from_utf8_lossy(&printed.get_output().stdout).into_owned();
    assert!(
        text.contains("oidc-client-secret-file = \"secret\""),
        "{text}"
    );
    assert!(!text.contains("hush") && !text.contains("quiet"), "{text}");
    // Without a public URL there is no such way in.
    let plain = Server::start(&place, &[&["--executor=none"], &serve[1..]].concat(), None);
    let form = plain.call("GET", "/sign-in", &[], "");
    assert!(!form.text.contains("/sign-in/issuer"), "{}", form.text);
    for path in ["/sign-in/issuer", "/sign-in/callback?code=x&state=x"] {
        assert_eq!(plain.call("GET", path, &[], "").status, 404, "{path}");
    }
}

/// In Chromium, with and without script: the cookie that pages of this service alone send comes along at once.
#[test]
fn a_browser_goes_to_the_issuer_and_back() {
    let browser = match Browser::find() {
        Ok(browser) => browser,
        Err(why) => return skipped("sign-in through an issuer in a browser", &why),
    };
    let place = Place::new();
    let issuer = issuer();
    // A port that is free now: the issuer is told where the service will be.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let public = format!("http://{address}");
    let server = Server::start_at(&address, &place, &flags(&issuer, &public), None);
    browser.run("issuer.py", &[&server.address, &issuer.url]);
}
