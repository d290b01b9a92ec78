//! What callers of the service are told can be done. The command line's and Python's hints are tested with what they
//! refuse.

use serde_json::json;

use crate::common::Place;
use crate::common::server::{Server, token};

#[test]
fn callers_are_told_what_can_be_done() {
    let place = Place::new();
    let server = Server::start(&place, &["--executor", "none"], None);
    let admin = token(&place, "ann", "admin");
    let filing = |from: &[&str]| json!({"forget": {"source": "zoo"}, "from": from});
    let unknown = server.post(&admin, "/api/v1/requests", &filing(&["bose"]));
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    assert!(
        unknown.json()["hint"]
            .to_string()
            .contains("/api/v1/models")
    );
    assert_eq!(
        server.post(&admin, "/api/v1/requests", &filing(&[])).status,
        201
    );
    let untrained = server.post(&admin, "/api/v1/requests/1/plan", &json!({}));
    assert_eq!(untrained.status, 409, "{}", untrained.text);
    assert!(
        untrained.json()["hint"]
            .to_string()
            .contains("initial models in `from`")
    );
    let early = server.post(&admin, "/api/v1/requests/1/approve", &json!({}));
    assert!(
        early.json()["hint"]
            .to_string()
            .contains("take the step that comes next")
    );
}
