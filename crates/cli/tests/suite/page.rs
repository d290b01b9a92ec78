//! The page of the service: a request's life in a browser, and registries of ten thousand models.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use disinherit::registry::{
    Asked, Digest, ErasurePlan, ErasureStep, Filing, ImportRecord, LossBound, Manifest, MethodName,
    ModelRow, NewModel, OperationRecord, Publication,
};
use disinherit::umig::{Model, ModelId, Relation, Role, Training};
use disinherit_desk::{ErasureScope, ScopeReason, ScopedModel, Unreached};
use disinherit_testkit::{note, skipped};

use crate::common::Place;
use crate::common::browser::Browser;

/// The largest page, in bytes.
const LARGEST: usize = 300_000;

/// A server on its own process, with what it says.
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"))
            .current_dir(folder)
            .env("DISINHERIT_ACTOR", "host")
            .env_remove("DISINHERIT_REGISTRY")
            .args(["serve", "--listen", "127.0.0.1:0", "--quiet"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What follows these words in the next line.
    fn says(&mut self, words: &str) -> String {
        let line = self.lines.next().unwrap().unwrap();
        line.strip_prefix(words).unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From `serve --demo` to a certificate and a closed request by clicking, in Chromium: no console error, no request
/// to elsewhere, no finding of axe, everything reachable with the keyboard. `DISINHERIT_PICTURES` names a folder for the
/// pictures of `docs/serve.md`.
#[test]
fn a_request_goes_its_way_by_clicking() {
    let browser = match Browser::find() {
        Ok(browser) => browser,
        Err(why) => return skipped("the page in a browser", &why),
    };
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &["--demo", "--deep"]);
    let token = server.says("token: ");
    let address = server.says("listening on ");
    let begun = begun.as_secs_f64().to_string();
    let pictures = std::env::var("DISINHERIT_PICTURES").ok();
    let mut arguments = vec![address.as_str(), &token, &begun];
    if let Some(pictures) = &pictures {
        arguments.extend(["--pictures", pictures]);
    }
    let said = browser.run("life.py", &arguments);
    note(&format!("the page: {said}"));
}

/// A base, models that were tuned from it, and models that were tuned from those; ten thousand in all.
fn many(place: &Place) -> Vec<ModelId> {
    let registry = place.registry();
    let manifest = Manifest {
        architecture: Some(serde_json::json!({"kind": "small-cnn"})),
        ..Manifest::default()
    };
    let digest = registry.put_model(manifest, BTreeMap::new()).unwrap();
    let mut ids: Vec<ModelId> = Vec::new();
    let mut models = Vec::new();
    for at in 0..10_000 {
        let (name, parent) = match at {
            0 => ("base".to_owned(), None),
            1..=100 => (format!("team-{at:03}"), Some(0)),
            _ => (
                format!("team-{:03}/tuned-{at:05}", at % 100 + 1),
                Some(at % 100 + 1),
            ),
        };
        let id = ModelId::new(name, 1).unwrap();
        let mut vertex = Model::new(id.clone(), 1_700_000_000_000 + at as u64);
        if parent.is_none() {
            vertex = vertex.trained_on(Training::new("scans", ["cat", "dog"]));
        }
        let parents = parent.map(|parent: usize| (ids[parent].clone(), Relation::FineTune));
        models.push(NewModel {
            row: ModelRow::new(vertex, digest),
            parents: parents.into_iter().collect(),
        });
        ids.push(id);
    }
    let record = OperationRecord::Import(ImportRecord {
        models: ids.clone(),
    });
    registry
        .publish(&Publication {
            models,
            ..Publication::new(1_700_000_000_000, record)
        })
        .unwrap();
    file(&registry, &ids, digest);
    ids
}

/// A request that touches all of them, as it is planned.
fn file(registry: &disinherit::registry::Registry, ids: &[ModelId], digest: Digest) {
    let asked = Asked::Classes(["cat".to_owned()].into());
    let filing = Filing {
        asked: asked.clone(),
        from: Vec::new(),
        requester: Some("subject-7".into()),
        basis: None,
        received: 1_700_000_000_000,
        deadline: 1_702_000_000_000,
    };
    let request = registry.file_erasure(filing).unwrap();
    let scoped = ids.iter().map(|id| ScopedModel {
        model: id.clone(),
        digest,
        role: if id.name() == "base" {
            Role::Initial
        } else {
            Role::Inherited
        },
        reason: ScopeReason::Named,
        retired: false,
    });
    let scope = ErasureScope {
        version: 1,
        asked,
        from: Vec::new(),
        method: MethodName::default(),
        models: scoped.collect(),
        unreached: vec![Unreached::Copies],
    };
    let text = serde_json::to_vec(&scope).unwrap();
    let plan = ErasurePlan {
        scope: registry.put_document(text).unwrap(),
        initial: 1,
        inherited: ids.len() - 1,
        retired: 0,
        method: MethodName::default(),
        loss_bound: LossBound::default(),
    };
    registry
        .step_erasure(request.id, ErasureStep::Plan(plan), None)
        .unwrap();
}

#[test]
fn ten_thousand_models_fit_on_pages() {
    let place = Place::new();
    let ids = many(&place);
    let made = place.json(&["token", "new", "ann", "--role", "admin", "--json"]);
    let bearer = format!("Bearer {}", made["secret"].as_str().unwrap());
    let mut server = Server::start(place.folder.path(), &["--executor=none"]);
    let address = server.says("listening on ");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let get = |path: &str| {
        let begun = Instant::now();
        let call = agent.get(format!("{address}{path}"));
        let mut answer = call.header("authorization", &bearer).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let took = begun.elapsed().as_millis();
        note(&format!("{path}: {} kB in {took} ms", text.len() / 1000));
        assert_eq!(answer.status(), 200, "{path}: {text}");
        assert!(text.len() < LARGEST, "{path}: {} bytes", text.len());
        text
    };
    let leaf = ids.last().unwrap().to_string().replace('/', "%2F");
    // The families are the base, the teams, and what was tuned from those.
    let request = get("/requests/1");
    assert!(request.contains("9899 models") && request.contains("100 models"));
    assert!(get("/requests/1?family=2&from=9888").contains("9889 to 9899"));
    let focus = get(&format!("/requests/1?focus={leaf}"));
    assert!(focus.contains("lead to") && focus.contains("3 models, it among them"));
    assert!(get("/requests/1/report").contains("cannot reach"));
    assert!(get("/models").contains("base@1"));
    let more = get("/models?after=team-100@1");
    assert!(more.contains("tuned-") && more.contains(">More<"));
    let found = get("/models?q=TUNED-04242&network=cnn&touched=open");
    assert!(found.contains("tuned-04242@1") && !found.contains("tuned-04243@1"));
    assert!(get("/models?network=bert").contains("Search on"));
    let base = get("/models/base@1");
    assert!(base.contains("100 models inherited"), "{base}");
    assert!(get(&format!("/models/{leaf}")).contains("small-cnn"));
    get("/log");
    get("/");
}
