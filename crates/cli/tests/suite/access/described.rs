//! The service against its own OpenAPI description: schemathesis makes calls from the description, right and
//! wrong ones, and compares what comes back with it.

use std::process::Command;

use disinherit_testkit::{note, skipped};
use serde_json::json;

use crate::common::server::{FLAGS, Server, filing, place, plan, token};

/// For how long calls are made in the gate, in seconds.
const SECONDS: &str = "20";

/// What is not compared: other methods are denied with 403 and not told with 405; a body may be right in form
/// and wrong in what it says; and a request that was filed has no plan, verdict or certificate yet.
const NOT_COMPARED: &str = "unsupported_method,allow_header_conformance,positive_data_acceptance,\
                            ensure_resource_availability";

/// What is not called: streams do not end, and to try a webhook calls an address that is made up. The program takes
/// one such pattern, the last.
const NOT_CALLED: &str = "/(events|test)$";

#[test]
fn the_service_answers_as_it_is_described() {
    let Some(program) = std::env::var_os("DISINHERIT_SCHEMATHESIS") else {
        let why = "DISINHERIT_SCHEMATHESIS names no program (pip install schemathesis)";
        return skipped("the service against its description", why);
    };
    let seconds = std::env::var("DISINHERIT_SCHEMATHESIS_SECONDS");
    let place = place();
    let admin = token(&place, "ann", "admin");
    let free = [
        "--executor=none",
        "--token-rate",
        "0",
        "--address-rate",
        "0",
        "--lockout-after",
        "0",
    ];
    let server = Server::start(&place, &[&FLAGS[..], &free].concat(), None);
    // Requests in two states, so that steps find something to do.
    for _ in 0..2 {
        assert_eq!(
            server.post(&admin, "/api/v1/requests", &filing()).status,
            201
        );
    }
    server.step(&admin, "plan", &plan());
    server.step(&admin, "comment", &json!({"text": "by letter"}));
    let output = Command::new(program)
        .current_dir(place.folder.path())
        .args(["run", &format!("{}/api/v1/openapi.json", server.address)])
        .args(["--header", &format!("Authorization: Bearer {admin}")])
        .args(["--exclude-checks", NOT_COMPARED])
        .args(["--exclude-path-regex", NOT_CALLED])
        .args(["--max-time", seconds.as_deref().unwrap_or(SECONDS)])
        .args(["--continue-on-failure", "--no-shrink", "--warnings", "off"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let counts = said.lines().find(|line| line.contains(" generated, "));
    note(&format!(
        "schemathesis: {}",
        counts.unwrap_or("no counts").trim()
    ));
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{failed}");
    assert_eq!(server.get(&admin, "/readyz").status, 200);
    assert!(server.stop());
    place.run(&["fsck"]).success();
}
