//! Tokens of an OpenID Connect issuer: what is taken, and every forgery.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::PublicKeyData;
use serde_json::{Value, json};

use crate::access::issuer::{Issuer, Key, now};
use crate::common::Place;
use crate::common::server::{Server, token};

const ROLES: [&str; 6] = [
    "--oidc-audience",
    "desk",
    "--oidc-roles-claim",
    "realm_access.roles",
    "--oidc-role",
    "privacy-team=requester,dpo=approver",
];

fn serve(place: &Place, issuer: &Issuer) -> Server {
    let own = [
        "--executor=none",
        "--lockout-after",
        "0",
        "--oidc-issuer",
        &issuer.url,
    ];
    Server::start(place, &[&own[..], &ROLES].concat(), None)
}

#[test]
fn tokens_of_an_issuer_are_taken_beside_own_ones() {
    let place = Place::new();
    place.run(&["request", "four-eyes", "on"]).success();
    let issuer = Issuer::start();
    let keys = [
        Key::new("r", Algorithm::RS256),
        Key::new("e", Algorithm::ES256),
        Key::new("d", Algorithm::EdDSA),
    ];
    issuer.publish(&[&keys[0], &keys[1], &keys[2]]);
    let server = serve(&place, &issuer);
    for key in &keys {
        let alice = key.sign(&issuer.claims(&["privacy-team"]));
        let answer = server.get(&alice, "/api/v1/requests");
        assert_eq!(answer.status, 200, "{:?}: {}", key.algorithm, answer.text);
    }
    assert_eq!(issuer.read(), 1, "keys are kept");

    // The actor is the subject, under the issuer's name; rights are those of the roles.
    let alice = keys[1].sign(&issuer.claims(&["privacy-team", "cook"]));
    let body = json!({"forget": {"source": "clinic"}});
    let filed = server.post(&alice, "/api/v1/requests", &body);
    assert_eq!(filed.status, 201, "{}", filed.text);
    let name = format!("{}#alice", issuer.url);
    assert_eq!(filed.json()["filed"]["by"], name);
    let approve = "/api/v1/requests/1/approve";
    assert_eq!(server.post(&alice, approve, &json!({})).status, 403);
    let both = keys[1].sign(&issuer.claims(&["privacy-team", "dpo"]));
    assert_eq!(
        server.post(&both, approve, &json!({})).status,
        409,
        "nothing is planned"
    );
    let nobody = server.get(
        &keys[0].sign(&issuer.claims(&["admin"])),
        "/api/v1/requests",
    );
    assert_eq!(nobody.status, 403, "{}", nobody.text);
    assert!(
        nobody.text.contains("realm_access.roles"),
        "{}",
        nobody.text
    );
    let own = token(&place, "ops", "operator");
    assert_eq!(server.get(&own, "/api/v1/requests").status, 200);

    // The page takes a pasted token.
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
    ];
    let signed = server.call("POST", "/sign-in", &form, &format!("token={alice}"));
    assert_eq!(signed.status, 303, "{}", signed.text);
    let cookie = signed.headers["set-cookie"]
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let page = server.call("GET", "/", &[("cookie", &cookie)], "");
    assert!(
        page.status == 200 && page.text.contains("#alice"),
        "{}",
        page.text
    );

    // A key that is new is looked for; one that there is not is not looked for again and again.
    let new = Key::new("new", Algorithm::ES256);
    issuer.publish(&[&new]);
    let claims = issuer.claims(&["privacy-team"]);
    assert_eq!(
        server.get(&new.sign(&claims), "/api/v1/requests").status,
        200
    );
    assert_eq!(issuer.read(), 2);
    for _ in 0..5 {
        let strange = Key::new("strange", Algorithm::ES256).sign(&claims);
        assert_eq!(server.get(&strange, "/api/v1/requests").status, 401);
    }
    assert_eq!(issuer.read(), 2);
    assert_eq!(
        server.get(&alice, "/api/v1/requests").status,
        401,
        "its key was taken back"
    );
}

/// A token of parts that no library would sign.
fn raw(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn forged_tokens_are_refused() {
    let place = Place::new();
    let issuer = Issuer::start();
    let (rsa, ed) = (
        Key::new("r", Algorithm::RS256),
        Key::new("d", Algorithm::EdDSA),
    );
    issuer.publish(&[&rsa, &ed]);
    let server = serve(&place, &issuer);
    let good = issuer.claims(&["privacy-team"]);
    let signed = rsa.sign(&good);
    assert_eq!(server.get(&signed, "/api/v1/requests").status, 200);
    let parts: Vec<&str> = signed.split('.').collect();
    let header_of = |algorithm, kid: &str| {
        let mut header = Header::new(algorithm);
        header.kid = Some(kid.to_owned());
        header
    };
    let by_rsa = |algorithm| encode(&header_of(algorithm, "r"), &good, &rsa.signing()).unwrap();
    let other = Key::new("r", Algorithm::RS256);
    let mut own_key = other.header();
    own_key.jwk = Some(other.public());
    let mut critical = rsa.header();
    critical.crit = Some(vec!["exp".into()]);
    // The public key as the secret of a signature that both sides could make.
    let shared = |key: &Key, secret: &[u8]| {
        let header = header_of(Algorithm::HS256, &key.id);
        encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let richer = with(
        &good,
        "realm_access",
        json!({"roles": ["privacy-team", "dpo"]}),
    );
    let forgeries = [
        (
            "alg none",
            raw(&json!({"alg": "none", "kid": "r"}), &good, ""),
        ),
        (
            "alg None",
            raw(&json!({"alg": "None", "kid": "r"}), &good, parts[2]),
        ),
        ("no alg", raw(&json!({"kid": "r"}), &good, parts[2])),
        ("RS384", by_rsa(Algorithm::RS384)),
        ("PS256", by_rsa(Algorithm::PS256)),
        (
            "HS256 with the public key in PEM",
            shared(&rsa, rsa.pair.public_key_pem().as_bytes()),
        ),
        (
            "HS256 with the public key in DER",
            shared(&rsa, &rsa.pair.subject_public_key_info()),
        ),
        (
            "HS256 with the raw public key",
            shared(&ed, ed.pair.der_bytes()),
        ),
        (
            "the key of another kind",
            raw(&json!({"alg": "EdDSA", "kid": "r"}), &good, parts[2]),
        ),
        (
            "ES256 of an Ed25519 key",
            raw(&json!({"alg": "ES256", "kid": "d"}), &good, parts[2]),
        ),
        ("another key of this name", other.sign(&good)),
        (
            "a key in the header",
            encode(&own_key, &good, &other.signing()).unwrap(),
        ),
        ("unknown kid", Key::new("x", Algorithm::RS256).sign(&good)),
        (
            "critical headers",
            encode(&critical, &good, &rsa.signing()).unwrap(),
        ),
        (
            "altered claims",
            raw(&json!({"alg": "RS256", "kid": "r"}), &richer, parts[2]),
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("half a token", format!("{}.{}", parts[0], parts[1])),
        ("expired", rsa.sign(&with(&good, "exp", json!(now() - 120)))),
        ("no end", rsa.sign(&without(&good, "exp"))),
        (
            "an end in words",
            rsa.sign(&with(&good, "exp", json!("never"))),
        ),
        ("not yet", rsa.sign(&with(&good, "nbf", json!(now() + 120)))),
        (
            "another audience",
            rsa.sign(&with(&good, "aud", json!("other"))),
        ),
        ("no audience", rsa.sign(&without(&good, "aud"))),
        (
            "another issuer",
            rsa.sign(&with(&good, "iss", json!("https://evil.example"))),
        ),
        (
            "nearly the issuer",
            rsa.sign(&with(&good, "iss", json!(format!("{}/", issuer.url)))),
        ),
        ("no issuer", rsa.sign(&without(&good, "iss"))),
        ("no subject", rsa.sign(&without(&good, "sub"))),
        ("an empty subject", rsa.sign(&with(&good, "sub", json!("")))),
        (
            "a subject that moves the cursor",
            rsa.sign(&with(&good, "sub", json!("a\u{1b}[2J"))),
        ),
        (
            "too long",
            rsa.sign(&with(&good, "more", json!("x".repeat(20_000)))),
        ),
        ("nothing but dots", "..".into()),
    ];
    for (what, forged) in forgeries {
        let answer = server.get(&forged, "/api/v1/requests");
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        assert_eq!(answer.headers["www-authenticate"], "Bearer", "{what}");
        let problem = answer.json();
        assert_eq!(problem["type"], "/problems/unauthorized", "{what}");
    }
    // Within the leeway for clocks.
    for late in [
        with(&good, "exp", json!(now() - 5)),
        with(&good, "nbf", json!(now() + 5)),
    ] {
        assert_eq!(server.get(&rsa.sign(&late), "/api/v1/requests").status, 200);
    }
    assert_eq!(
        place.json(&["request", "list", "--all", "--json"])["requests"],
        json!([])
    );
}

#[test]
fn issuers_that_cannot_be_trusted_are_refused_at_the_start() {
    let place = Place::new();
    let issuer = Issuer::start();
    let serve = |url: &str| {
        let flags = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--oidc-audience",
            "desk",
            "--oidc-issuer",
            url,
        ];
        flags.map(str::to_owned)
    };
    for (url, words) in [
        ("http://id.example".to_owned(), "must begin with https://"),
        ("no url".to_owned(), "is no URL"),
        (format!("{}/other", issuer.url), "speaks for"),
        (format!("{}/none", issuer.url), "404"),
    ] {
        let flags = serve(&url);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        place.refuse(&flags, &["cannot take tokens of the issuer", words]);
    }
    // One that is away for now keeps nobody's own tokens from being taken.
    let away = [
        "--executor=none",
        "--oidc-audience",
        "desk",
        "--oidc-issuer",
        "http://127.0.0.1:9",
    ];
    let server = Server::start(&place, &away, None);
    let own = token(&place, "ops", "operator");
    assert_eq!(server.get(&own, "/api/v1/requests").status, 200);
    let signed = Key::new("r", Algorithm::ES256).sign(&issuer.claims(&["dpo"]));
    let answer = server.get(&signed, "/api/v1/requests");
    assert_eq!(
        (answer.status, answer.json()["type"].as_str()),
        (503, Some("/problems/issuer"))
    );
}
