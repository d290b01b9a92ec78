//! The forms of the page: whose they are, what is broken, files with them.

use serde_json::json;

use crate::common::Place;
use crate::common::server::{Server, token};

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

/// A form that is broken, of another kind, or lacks a field is answered with the page that says so.
#[test]
fn forms_that_cannot_be_read_get_a_page() {
    let place = Place::new();
    let server = Server::start(&place, &["--executor", "none"], None);
    let admin = token(&place, "ann", "admin");
    let bearer = format!("Bearer {admin}");
    let encoded = "application/x-www-form-urlencoded";
    let parts = "multipart/form-data; boundary=b";
    for (path, kind, body, status) in [
        ("/new", "text/plain", "what=source", 415),
        ("/new", "application/json", "{}", 415),
        ("/new", "multipart/form-data", "--b--", 415),
        ("/new", parts, "", 400),
        ("/new", parts, "--b\r\n\r\nx", 400),
        ("/requests/1/reject", "text/plain", "text=a", 415),
        ("/requests/1/reject", encoded, "seen=x&text=a", 400),
        ("/settings/tokens", "text/plain", "name=a", 415),
        ("/settings/four-eyes", "text/plain", "to=on", 415),
        ("/settings/retention", "text/plain", "days=1", 415),
        ("/settings/webhooks", "text/plain", "url=a", 415),
        ("/sign-in", encoded, "to=/", 400),
        ("/sign-in", "text/plain", "token=a", 415),
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = server.call("POST", path, &headers, body);
        assert_eq!(answer.status, status, "{path} {kind}: {}", answer.text);
        let html = &answer.headers["content-type"];
        assert_eq!(html, "text/html; charset=utf-8", "{path} {kind}");
        assert!(answer.text.contains("role=\"alert\""), "{}", answer.text);
    }
    assert_eq!(place.registry().tokens().unwrap().len(), 1);
    let log = server.get(&admin, "/log").text;
    assert!(log.contains("Nothing is logged yet."), "{log}");
    assert!(server.stop());
}

/// A request for samples whose ids are in a file, as a browser sends it.
#[test]
fn a_list_of_samples_is_attached_on_the_page() {
    let place = Place::new();
    let server = Server::start(&place, &["--executor", "none"], None);
    let admin = token(&place, "ann", "admin");
    let bearer = format!("Bearer {admin}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "multipart/form-data; boundary=----b7"),
    ];
    let send = |names: &str, list: &str, then: &str| {
        let fields = [("what", "samples"), ("names", names), ("then", then)];
        let fields = fields.map(|(name, text)| {
            format!("------b7\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        });
        let file = format!(
            "------b7\r\nContent-Disposition: form-data; name=\"list\"; filename=\"ids.txt\"\r\n\
             Content-Type: text/plain\r\n\r\n{list}\r\n------b7--\r\n"
        );
        server.call("POST", "/new", &headers, &(fields.concat() + &file))
    };
    let ids: Vec<String> = (0..5000).map(|n| format!("person-{n:04}")).collect();
    let filed = send("person-0000\nperson-9999", &ids.join("\r\n"), "file");
    assert_eq!(filed.status, 303, "{}", filed.text);
    let request = server.get(&admin, "/api/v1/requests/1").json();
    assert_eq!(request["forget"], json!({"samples": 5001}));
    // Shown first, the ids are in the form that is sent next.
    let shown = send("", "ann\r\nbob\r\n", "preview").text;
    assert!(shown.contains(">ann\nbob</textarea>"), "{shown}");
    let large = send("", &"person-0000,".repeat(400_000), "file");
    assert_eq!(large.status, 400, "{}", large.text);
    assert!(large.text.contains("4 MiB"), "{}", large.text);
    let empty = send(" ", "", "file");
    assert!(empty.text.contains("nothing is named"), "{}", empty.text);
    let all = server.get(&admin, "/api/v1/requests?state=all").json();
    assert_eq!(all["requests"].as_array().unwrap().len(), 1);
    assert!(server.stop());
}
