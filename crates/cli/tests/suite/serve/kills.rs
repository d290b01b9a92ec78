//! Servers that are killed: at every step of a request, before it commits and after it, and whoever works on a job.

use std::time::{Duration, Instant};

use disinherit_registry::conformance::silence;
use disinherit_registry::{
    ErasureId, ErasureOrder, ErasurePage, ErasureRequest, Job, JobKind, JobState,
};
use serde_json::{Value, json};

use crate::common::Place;
use crate::common::server::{
    Answer, FLAGS, Server, filing, in_postgres, place, plan, spawn, token,
};

const COMMITS: [&str; 2] = ["publish before commit", "publish after commit"];
const PURGES: [&str; 2] = ["publish before commit", "purge after commit"];
const FILED: [&str; 2] = ["job filed before commit", "job filed after commit"];

/// Where whoever works on a run is killed: as it takes the job, as the run begins, with two models finished, as it
/// publishes, as it says that it is done.
const RUNS: [&str; 9] = [
    "job taken before commit",
    "job taken after commit",
    "publish before commit",
    "publish after commit",
    "draft:2",
    "publish before commit:2",
    "publish after commit:2",
    "job left before commit",
    "job left after commit",
];

/// The same of a verification, which publishes once.
const VERIFIES: [&str; 4] = [
    "job taken after commit",
    "publish before commit",
    "publish after commit",
    "job left before commit",
];

/// A step that is sent to servers which are killed; of what is a job, its workers are killed too.
struct Step {
    request: i64,
    name: &'static str,
    body: Value,
    points: &'static [&'static str],
    workers: &'static [&'static str],
}

impl Step {
    fn of(request: i64, name: &'static str, body: Value) -> Self {
        let (points, workers): (&[&str], &[&str]) = match name {
            "run" => (&FILED, &RUNS),
            "verify" => (&FILED, &VERIFIES),
            "purge" => (&PURGES, &[]),
            _ => (&COMMITS, &[]),
        };
        Self {
            request,
            name,
            body,
            points,
            workers,
        }
    }

    /// A step that goes well.
    fn calm(request: i64, name: &'static str, body: Value) -> Self {
        Self {
            points: &[],
            workers: &[],
            ..Self::of(request, name, body)
        }
    }

    fn path(&self) -> String {
        match self.name {
            "new" => "/api/v1/requests".to_owned(),
            step => format!("/api/v1/requests/{}/{step}", self.request),
        }
    }
}

/// From its arrival to its end; and what else may happen to a request.
fn steps() -> Vec<Step> {
    let reason = || json!({"reason": "asked twice"});
    vec![
        Step::of(1, "new", filing()),
        Step::of(1, "plan", plan()),
        Step::of(1, "approve", json!({})),
        Step::of(1, "run", json!({})),
        Step::of(1, "verify", json!({})),
        Step::of(1, "certify", json!({})),
        Step::of(1, "purge", json!({})),
        Step::of(1, "close", json!({})),
        Step::of(2, "new", json!({"forget": {"source": "clinic"}})),
        Step::of(2, "comment", json!({"text": "by letter"})),
        Step::of(2, "extend", reason()),
        Step::of(2, "reject", reason()),
        Step::calm(
            3,
            "new",
            json!({"forget": {"classes": ["5"]}, "from": ["r1"]}),
        ),
        Step::calm(3, "plan", plan()),
        Step::calm(3, "approve", json!({})),
        Step::calm(3, "run", json!({})),
        Step::of(3, "cancel", json!({})),
    ]
}

/// How often each command must be in the log at the end.
const LOGGED: [(&str, usize); 13] = [
    ("request new", 3),
    ("request plan", 2),
    ("request approve", 2),
    ("unlearn", 1),
    ("request verify", 1),
    ("request certify", 1),
    ("purge", 1),
    ("request close", 1),
    ("request comment", 1),
    ("request extend", 1),
    ("request reject", 1),
    ("request cancel", 1),
    ("request fail", 0),
];

/// A registry whose servers are killed.
struct Scene<'a> {
    place: &'a Place,
    admin: String,
    /// The servers that stay; none where there is one server at a time.
    others: Vec<Server>,
    /// A call that was not answered, with its key.
    unanswered: Option<(String, Value, String)>,
}

impl<'a> Scene<'a> {
    fn new(place: &'a Place, others: usize) -> Self {
        let others = (0..others).map(|_| Server::start(place, &passive(), None));
        Self {
            admin: token(place, "ann", "admin"),
            others: others.collect(),
            place,
            unanswered: None,
        }
    }

    /// All requests and jobs, which every server must see alike.
    fn seen(&self) -> Value {
        let registry = self.place.registry();
        let requests = registry.erasures(&ErasurePage {
            limit: 10,
            order: ErasureOrder::Newest,
            ..ErasurePage::default()
        });
        let requests = requests.unwrap();
        for server in &self.others {
            let listed = server.get(&self.admin, "/api/v1/requests?state=all&newest=true");
            let listed = listed.json()["requests"].clone();
            let own = |request: &ErasureRequest| {
                json!([
                    request.id.get(),
                    request.state.name(),
                    request.last.operation.get()
                ])
            };
            let own: Vec<Value> = requests.iter().map(own).collect();
            let listed = listed.as_array().unwrap().iter();
            let listed = listed.map(|one| json!([one["id"], one["state"], one["revision"]]));
            assert_eq!(own, listed.collect::<Vec<_>>(), "servers differ");
        }
        let jobs = registry.recent_jobs(0).unwrap().into_iter();
        let jobs = jobs.map(|job| json!([job.id, job.state.to_string()]));
        json!([
            serde_json::to_value(&requests).unwrap(),
            jobs.collect::<Vec<_>>()
        ])
    }

    fn post(
        &self,
        server: &Server,
        path: &str,
        body: &Value,
        key: &str,
    ) -> Result<Answer, ureq::Error> {
        let bearer = format!("Bearer {}", self.admin);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        server.try_call("POST", path, &headers, &body.to_string())
    }

    /// Makes the call again that was not answered. Nothing tells whether it was done: it is not done by the way.
    fn ask_again(&mut self, server: &Server) {
        if let Some((path, body, key)) = self.unanswered.take() {
            let again = self.post(server, &path, &body, &key).unwrap();
            assert_eq!(again.status, 409, "{key}: {}", again.text);
        }
    }

    /// Sends a step to a server that is killed at a point. What is committed is done, and nothing else.
    fn kill(&mut self, step: &Step, point: &str) {
        let before = self.seen();
        let mut server = Server::start(self.place, &passive(), Some(point));
        if self.others.is_empty() {
            self.ask_again(&server);
        }
        let key = format!("{} {}: {point}", step.request, step.name);
        let lost = self.post(&server, &step.path(), &step.body, &key);
        assert!(
            lost.is_err() && !server.child.wait().unwrap().success(),
            "{key}"
        );
        let changed = self.seen() != before;
        assert_eq!(changed, point.ends_with("after commit"), "{key}");
        self.unanswered = Some((step.path(), step.body.clone(), key));
        if let Some(other) = self.others.pop() {
            self.ask_again(&other);
            self.others.push(other);
        }
    }

    /// Kills whoever works on the job of a step, again and again, and lets others do it in the end.
    fn kill_workers(&self, step: &Step) {
        for point in step.workers {
            let mut worker = spawn("127.0.0.1:0", self.place, &FLAGS, Some(point));
            let begun = Instant::now();
            while worker.try_wait().unwrap().is_none() {
                let waited = begun.elapsed() < Duration::from_secs(150);
                assert!(waited, "{}: `{point}` was not passed", step.name);
                std::thread::sleep(Duration::from_millis(20));
            }
            silence(&self.place.registry());
        }
        let workers = match self.others.len() {
            0 => 1,
            _ => 2,
        };
        let workers: Vec<Server> = (0..workers)
            .map(|_| Server::start(self.place, &FLAGS, None))
            .collect();
        let job = workers[0].job_of(&self.admin, step.request);
        assert_eq!(job["state"], "done", "{}: {job}", step.name);
        for worker in workers {
            assert!(worker.stop());
        }
    }

    fn take(&mut self, step: &Step) {
        for point in step.points {
            self.kill(step, point);
        }
        if step.points.is_empty() {
            let server = Server::start(self.place, &passive(), None);
            let taken = self.post(
                &server,
                &step.path(),
                &step.body,
                &format!("{} {}", step.request, step.name),
            );
            assert!(taken.unwrap().status < 300, "{}", step.name);
            assert!(server.stop());
        }
        if !step.workers.is_empty() {
            self.kill_workers(step);
        }
    }

    fn end(self) {
        let log = self.place.json(&["log", "--operations", "--json"]);
        let rows = log["operations"].as_array().or(log.as_array()).unwrap();
        for (command, times) in LOGGED {
            let count = rows.iter().filter(|row| row["command"] == command).count();
            assert_eq!(count, times, "{command}: {log}");
        }
        let registry = self.place.registry();
        let counts = registry.erasure_counts().unwrap();
        let counts: Vec<(&str, u64)> = counts.iter().map(|(s, n)| (s.name(), *n)).collect();
        assert_eq!(counts, [("approved", 1), ("closed", 1), ("rejected", 1)]);
        for server in self.others {
            assert!(server.stop());
        }
        self.place.run(&["fsck"]).success();
    }
}

/// The flags of a server that leaves jobs to others.
fn passive() -> Vec<&'static str> {
    [&FLAGS[..], &["--executor", "none"]].concat()
}

fn killed_at_every_step(place: &Place, others: usize) {
    let mut scene = Scene::new(place, others);
    for step in steps() {
        scene.take(&step);
    }
    scene.end();
}

#[test]
fn a_server_is_killed_at_every_step_in_sqlite() {
    killed_at_every_step(&place(), 0);
}

#[test]
fn a_replica_is_killed_at_every_step_in_sqlite() {
    killed_at_every_step(&place(), 2);
}

#[test]
fn a_server_is_killed_at_every_step_in_postgres() {
    in_postgres("kills", true, |place| killed_at_every_step(place, 0));
}

#[test]
fn a_replica_is_killed_at_every_step_in_postgres() {
    in_postgres("kills", true, |place| killed_at_every_step(place, 2));
}

/// Workers look for jobs every second, while a writer takes its time: neither waits for the other.
#[test]
fn who_looks_for_a_job_waits_for_no_writer() {
    let quick = |place: &Place, jobs: usize| {
        let admin = token(place, "ann", "admin");
        let server = Server::start(place, &passive(), Some("publish before commit:3@4000"));
        server.post(&admin, "/api/v1/requests", &filing());
        server.step(&admin, "plan", &plan());
        let registry = place.registry();
        if jobs > 0 {
            registry.file_job(&waiting()).unwrap();
        }
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| server.step(&admin, "approve", &json!({})));
            std::thread::sleep(Duration::from_millis(1000));
            let begun = Instant::now();
            let taken = registry.take_job("worker").unwrap();
            let waited = begun.elapsed();
            assert!(
                !writer.is_finished() && waited < Duration::from_secs(2),
                "{waited:?}"
            );
            assert_eq!(taken.iter().count(), jobs);
            writer.join().unwrap();
        });
        assert!(server.stop());
    };
    // SQLite has one writer: what is free is seen, and taken in turn.
    quick(&place(), 0);
    in_postgres("a look for jobs", true, |place| quick(place, 1));
}

fn waiting() -> Job {
    Job {
        id: 0,
        erasure: ErasureId::new(1),
        kind: JobKind::Run,
        actor: "ann".into(),
        state: JobState::Waiting,
        filed: 1,
        ended: None,
        said: String::new(),
    }
}
