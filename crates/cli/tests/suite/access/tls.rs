//! TLS with certificate files, which are read again.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::common::Place;
use crate::common::server::{Server, eventually, token};

/// Makes a certificate for this machine in `cert.pem`, with its key in `key.pem`.
fn certify(place: &Place) -> String {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(place.path("cert.pem"), made.cert.pem()).unwrap();
    fs::write(place.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

/// A client that trusts one certificate.
fn client(root: &str) -> ureq::Agent {
    let root = Certificate::from_pem(root.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

const FLAGS: [&str; 5] = [
    "--executor=none",
    "--tls-cert",
    "cert.pem",
    "--tls-key",
    "key.pem",
];

#[test]
fn tls_is_spoken_with_the_certificate_that_is_there() {
    let place = Place::new();
    let first = certify(&place);
    let server = Server::start(&place, &FLAGS, None);
    assert!(
        server.address.starts_with("https://127.0.0.1:"),
        "{}",
        server.address
    );
    let health = format!("{}/healthz", server.address);
    let mut answer = client(&first).get(&health).call().unwrap();
    assert_eq!(answer.status(), 200);
    let always = &answer.headers()["strict-transport-security"];
    assert_eq!(always, "max-age=31536000");
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "ok\n");
    // The cookie goes over TLS only, with no proxy to say so.
    let admin = token(&place, "ann", "admin");
    let signed = client(&first)
        .post(format!("{}/sign-in", server.address))
        .header("sec-fetch-site", "same-origin")
        .send_form([("token", admin.as_str())])
        .unwrap();
    let cookie = signed.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.contains("; Secure") && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    // Without TLS nothing is answered.
    let plain = health.replace("https://", "http://");
    assert!(client(&first).get(&plain).call().is_err());

    // Another certificate, and the signal to read it.
    let hang_up = || {
        let id = server.child.id().to_string();
        Command::new("kill").args(["-HUP", &id]).status().unwrap();
    };
    let second = certify(&place);
    hang_up();
    eventually("the new certificate is shown", || {
        client(&second).get(&health).call().is_ok()
    });
    assert!(
        client(&first).get(&health).call().is_err(),
        "the old one is shown no more"
    );
    // One that cannot be used changes nothing.
    fs::write(place.path("cert.pem"), "no certificate").unwrap();
    hang_up();
    std::thread::sleep(Duration::from_millis(300));
    assert!(client(&second).get(&health).call().is_ok());
    assert!(server.stop());
}

#[test]
fn certificates_that_cannot_be_used_are_refused_at_the_start() {
    let place = Place::new();
    certify(&place);
    let (cert, key) = (place.path("cert.pem"), place.path("key.pem"));
    let other = fs::read(&key).unwrap();
    certify(&place);
    let serve = [&["serve", "--listen", "127.0.0.1:0"], &FLAGS[..]].concat();
    fs::write(&key, other).unwrap();
    place.refuse(&serve, &["cannot use key.pem for TLS"]);
    fs::write(&key, "no key").unwrap();
    place.refuse(&serve, &["cannot use key.pem for TLS"]);
    fs::write(&cert, "no certificate").unwrap();
    place.refuse(&serve, &["cannot use cert.pem for TLS", "no certificate"]);
    fs::remove_file(&cert).unwrap();
    place.refuse(&serve, &["cannot use cert.pem for TLS", "No such file"]);
}
