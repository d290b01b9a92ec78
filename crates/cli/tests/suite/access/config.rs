//! Settings from flags, the environment and a file.

use std::fs;

use crate::common::Place;
use crate::common::server::Server;

fn printed(place: &Place, environment: &[(&str, &str)], flags: &[&str]) -> String {
    let mut command = place.command(&[&["serve", "--print-config"], flags].concat());
    for (name, value) in environment {
        command.env(name, value);
    }
    let output = command.assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

#[test]
fn flags_come_before_the_environment_before_the_file() {
    let place = Place::new();
    let file = r#"
# The desk of the clinic.
listen = "127.0.0.1:0"
largest-body = "1MiB"
token-rate = 100
executor = "none"
at-most = 0.2
actor = "desk"
trusted-proxy = ["10.0.0.1", "10.1.0.0/16"]

[oidc-role]
"privacy team" = "approver"
"#;
    fs::write(place.path("serve.toml"), file).unwrap();
    let flags = ["--config", "serve.toml", "--largest-body", "3MiB"];
    let environment = [
        ("DISINHERIT_SERVE_LARGEST_BODY", "2MiB"),
        ("DISINHERIT_SERVE_TOKEN_RATE", "200"),
        ("DISINHERIT_SERVE_HEAD_TIME", "3s"),
    ];
    let text = printed(&place, &environment, &flags);
    for line in [
        "largest-body = \"3MiB\"",
        "token-rate = 200",
        "head-time = \"3s\"",
        "listen = \"127.0.0.1:0\"",
        "executor = \"none\"",
        "at-most = \"0.2\"",
        "lockout-after = 10",
        "trusted-proxy = [\"10.0.0.1\", \"10.1.0.0/16\"]",
        "oidc-role = [\"privacy team=approver\"]",
        "# key is not set",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    // What is printed is a file that says the same.
    fs::write(place.path("again.toml"), &text).unwrap();
    assert_eq!(printed(&place, &[], &["--config", "again.toml"]), text);
    let named = [("DISINHERIT_SERVE_CONFIG", "again.toml")];
    assert_eq!(printed(&place, &named, &[]), text);
    // A server works by it.
    let server = Server::start(
        &place,
        &["--config", "serve.toml", "--token-rate", "1"],
        None,
    );
    let admin = crate::common::server::token(&place, "ann", "admin");
    let calls = [(); 2].map(|()| server.get(&admin, "/api/v1/models").status);
    assert_eq!(calls, [200, 429]);
    let large = "x".repeat(1 << 21);
    let bearer = format!(
        "Bearer {}",
        crate::common::server::token(&place, "bob", "admin")
    );
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    assert_eq!(
        server
            .call("POST", "/api/v1/requests", &headers, &large)
            .status,
        413
    );
}

#[test]
fn what_a_file_cannot_say_is_refused_with_its_line() {
    let place = Place::new();
    for (file, words) in [
        (
            "\nlargest_body = \"1MiB\"",
            vec!["line 2", "`largest_body`", "is `largest-body` meant?"],
        ),
        (
            "tls-certificate = \"x\"",
            vec!["line 1", "`tls-certificate`"],
        ),
        (
            "# x\n\nlisten = \"here\"",
            vec!["line 3", "`listen` cannot be `here`"],
        ),
        ("deep = \"perhaps\"", vec!["line 1", "`deep`", "perhaps"]),
        ("device = \"abacus\"", vec!["line 1", "`device`", "abacus"]),
        (
            "listen = 1979-05-27",
            vec!["line 1", "`listen`", "datetime"],
        ),
        (
            "[oidc-role]\nx = \"root\"",
            vec!["line 1", "`oidc-role`", "root"],
        ),
        ("listen = ", vec!["settings.toml", "line 1"]),
        ("demo = true", vec!["line 1", "`demo`"]),
    ] {
        fs::write(place.path("settings.toml"), file).unwrap();
        let words = [&["settings.toml"], words.as_slice()].concat();
        place.misuse(&["serve", "--config", "settings.toml"], &words);
    }
    place.refuse(
        &["serve", "--config", "none.toml"],
        &["cannot read none.toml"],
    );
    place.misuse(&["serve", "--tls-cert", "x.pem"], &["`--tls-key FILE`"]);
    place.misuse(
        &["serve", "--oidc-issuer", "https://x"],
        &["`--oidc-audience NAME`"],
    );
}
