//! Jobs: cancelled, taken up, done by workers and by several machines.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};

use crate::common::server::{
    FLAGS, Server, eventually, filing, place, place_in, plan, terminate, token,
};
use crate::common::{Place, add};

/// A server that leaves its jobs to others.
const ELSEWHERE: [&str; 2] = ["--executor", "none"];

/// What a worker works with.
const WITH: [&str; 4] = ["--data", "digits", "--at-most", "1"];

/// Files request 1 and takes it to the point where it may be run.
fn approved(server: &Server, admin: &str) {
    server.post(admin, "/api/v1/requests", &filing());
    server.step(admin, "plan", &plan());
    server.step(admin, "approve", &json!({}));
}

/// How often a command is in the log.
fn count(place: &Place, command: &str) -> usize {
    let registry = place.registry();
    let log = registry.operations().unwrap();
    log.iter().filter(|row| row.command == command).count()
}

/// A worker on a process of its own.
fn worker(place: &Place, flags: &[&str], crash: Option<&str>) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
    command
        .current_dir(place.folder.path())
        .arg("worker")
        .args(WITH)
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(point) = crash {
        command.env("DISINHERIT_CRASH", point);
    }
    command.spawn().unwrap()
}

#[test]
fn a_job_that_waits_is_cancelled_at_once() {
    let place = place();
    let server = Server::start(&place, &ELSEWHERE, None);
    let admin = token(&place, "ann", "admin");
    approved(&server, &admin);
    let idle = server.post(&admin, "/api/v1/requests/1/cancel", &json!({}));
    assert_eq!(
        (idle.status, idle.json()["type"].as_str()),
        (409, Some("/problems/refused"))
    );
    server.step(&admin, "run", &json!({}));
    let why = json!({"reason": "the wrong class"});
    // Nothing had begun: the request is as it was.
    assert_eq!(server.step(&admin, "cancel", &why)["state"], "approved");
    let job = server.last_job(&admin, 1);
    assert_eq!(
        (&job["state"], &job["said"]),
        (
            &json!("cancelled"),
            &json!("cancelled by ann: the wrong class")
        )
    );
    assert_eq!(
        place.text(&["worker", "--drain"]).trim(),
        "no job was taken"
    );
    place.refuse(&["request", "cancel", "1"], &["no job of it waits"]);

    // The same from the command line, for a job and for a run that was killed.
    server.step(&admin, "run", &json!({}));
    let said = place.text(&["request", "cancel", "1", "--reason", "later"]);
    assert!(
        said.starts_with("cancelled\nrequest 1 is approved"),
        "{said}"
    );
    let mut killed = place.command(&["request", "run", "1", "--data", "digits"]);
    killed.env("DISINHERIT_CRASH", "draft:2").assert().failure();
    let said = place.text(&["request", "cancel", "1"]);
    assert!(
        said.starts_with("cancelled\nrequest 1 is cancelled"),
        "{said}"
    );
    let shown = place.text(&["request", "show", "1"]);
    for words in [
        "cancelled by tester",
        "cancel  job 2: later",
        "cancel  the run",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let report = server.get(&admin, "/requests/1/report").text;
    for words in [
        "request cancel: job 1: the wrong class",
        "request cancel: job 2: later",
        "request cancel: the run",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    // It may be run again at once, whoever was killed.
    place
        .run(&["request", "run", "1", "--data", "digits"])
        .success();
    assert_eq!(
        (count(&place, "request cancel"), count(&place, "unlearn")),
        (3, 1)
    );
    // What is published is undone, not cancelled.
    place.refuse(&["request", "cancel", "1"], &["no run of it goes on"]);
    place.run(&["fsck"]).success();
}

#[test]
fn a_run_that_is_cancelled_stops_and_is_taken_up() {
    let place = place();
    let admin = token(&place, "ann", "admin");
    let server = Server::start(&place, &FLAGS, Some("draft:2@4000"));
    approved(&server, &admin);
    let models = place.registry().models().unwrap().len();
    let mut events = server.listen(&admin, "/api/v1/requests/1/events", None);
    let mut jobs = server.listen(&admin, "/api/v1/events", None);
    server.step(&admin, "run", &json!({}));
    let drafts = || place.registry().all_drafts().unwrap().len();
    eventually("a part of the run is finished", || drafts() > 1);
    let cancelled = server.step(&admin, "cancel", &json!({"reason": "too early"}));
    assert_eq!(
        (&cancelled["state"], &cancelled["reason"]),
        (&json!("cancelled"), &json!("cancelled by ann: too early"))
    );
    assert_eq!(server.last_job(&admin, 1)["state"], "cancelled");
    let stopped = || {
        let metrics = server.get(&admin, "/metrics").text;
        metrics.contains("disinherit_jobs_total{end=\"cancelled\"} 1")
    };
    eventually("the worker has stopped", stopped);
    assert_eq!(place.registry().models().unwrap().len(), models);
    assert!(drafts() > 1, "what was finished is kept");

    server.step(&admin, "run", &json!({}));
    assert_eq!(server.job(&admin)["state"], "done");
    server.step(&admin, "verify", &json!({}));
    assert_eq!(server.job(&admin)["state"], "done");
    let many = ["unlearn", "request run", "request cancel", "request fail"];
    assert_eq!(many.map(|command| count(&place, command)), [1, 2, 1, 0]);
    // The streams told all of it, in order.
    let mut ends = Vec::new();
    while ends.len() < 3 {
        let job = jobs.next_of("job");
        assert_eq!(job["request"], 1);
        if !["waiting", "taken"].contains(&job["state"].as_str().unwrap()) {
            ends.push((job["kind"].clone(), job["state"].clone()));
        }
    }
    let (run, verify) = (json!("run"), json!("verify"));
    let wanted = [
        (run.clone(), json!("cancelled")),
        (run, json!("done")),
        (verify, json!("done")),
    ];
    assert_eq!(ends, wanted);
    let told = [(); 3].map(|()| events.next_of("step")["state"].clone());
    assert_eq!(
        told,
        ["running", "cancelled", "running"].map(|state| json!(state))
    );
    let told = [(); 2].map(|()| events.next_of("step")["step"].clone());
    assert_eq!(told, ["unlearn", "verify"].map(|step| json!(step)));
    assert!(server.stop());
    place.run(&["fsck"]).success();
}

#[test]
fn flags_of_a_cluster_are_refused_without_one() {
    let place = Place::new();
    for flags in [
        ["--ray-workers", "2"],
        ["--ray-address", "auto"],
        ["--ray-remote-args", "{}"],
    ] {
        let serve = [&["serve", "--listen", "127.0.0.1:0"][..], &flags].concat();
        place.misuse(&serve, &[flags[0], "--executor ray"]);
    }
}

#[test]
fn workers_do_what_servers_file() {
    let place = place();
    let admin = token(&place, "ann", "admin");
    let server = Server::start(&place, &ELSEWHERE, None);
    approved(&server, &admin);
    server.step(&admin, "run", &json!({}));
    // One that is told to stop leaves its job to the next one, at once.
    let mut told = worker(&place, &["--patience", "0s"], Some("draft:2@3000"));
    let drafts = || place.registry().all_drafts().unwrap().len();
    eventually("a part of the run is finished", || drafts() > 1);
    terminate(&told);
    assert!(told.wait().unwrap().success());
    let left = server.last_job(&admin, 1);
    assert_eq!(left["state"], "waiting", "{left}");
    assert_eq!(
        server.get(&admin, "/api/v1/requests/1").json()["state"],
        "running"
    );

    let begun = Instant::now();
    let flags = [&["worker", "--once", "--json"], &WITH[..]].concat();
    let done: Value = serde_json::from_str(&place.text(&flags)).unwrap();
    assert_eq!(
        (
            &done["request"],
            &done["kind"],
            &done["state"],
            &done["actor"]
        ),
        (&json!(1), &json!("run"), &json!("done"), &json!("ann"))
    );
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "the lease was waited for"
    );
    assert_eq!(server.last_job(&admin, 1)["state"], "done");

    // Without data nothing is judged: a batch system hears of it.
    server.step(&admin, "verify", &json!({}));
    place.refuse(&["worker", "--drain"], &["1 of 1 jobs failed"]);
    server.step(&admin, "verify", &json!({}));
    let said = place.text(&[&["worker", "--drain"], &WITH[..]].concat());
    assert_eq!(
        said.trim(),
        "job 3: verify of request 1: done: 4 models judged"
    );
    place.misuse(&["worker", "--once", "--drain"], &["cannot be used with"]);
    assert_eq!(
        (count(&place, "unlearn"), count(&place, "request verify")),
        (1, 1)
    );
}

/// Models that have nothing to do with each other, one for each source.
fn sources(place: &Place, many: usize) {
    let file = place.checkpoint("model.safetensors", |_| {});
    for number in 1..=many {
        let (name, source) = (format!("m{number}"), format!("clinic-{number}"));
        let trained = ["--trained-on", "scans", "--source", &source];
        place.run(&add(&file, &name, &trained)).success();
        let forget = format!("source={source}");
        place
            .run(&["request", "new", "--forget", &forget])
            .success();
        let number = number.to_string();
        place.run(&["request", "plan", &number]).success();
        place.run(&["request", "approve", &number]).success();
    }
}

/// Two servers and a worker share the jobs of a database. One of them is killed in the middle of a job.
#[test]
fn three_share_the_jobs_and_one_is_killed() {
    const MANY: i64 = 6;
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("workers over PostgreSQL", &why),
    };
    let place = place_in(&database);
    sources(&place, 6);
    let admin = token(&place, "ann", "admin");
    let files = Server::start(&place, &ELSEWHERE, None);
    for request in 1..=MANY {
        files.step_of(&admin, request, "run", &json!({}));
    }
    assert!(files.stop());
    // The first one begins a run and gets no further: it still holds its job when it is killed.
    let mut killed = Server::start(&place, &[], Some("publish:2@120000"));
    let state = |server: &Server, request: i64| {
        let shown = server.get(&admin, &format!("/api/v1/requests/{request}"));
        shown.json()["state"].as_str().unwrap().to_owned()
    };
    eventually("the first job is begun", || state(&killed, 1) == "running");
    let server = Server::start(&place, &[], None);
    let mut drains = worker(&place, &[], None);
    for request in 2..=MANY {
        assert_eq!(server.job_of(&admin, request)["state"], "done");
    }
    assert_eq!(server.last_job(&admin, 1)["state"], "taken");
    killed.child.kill().unwrap();
    assert_eq!(server.job_of(&admin, 1)["state"], "done");
    terminate(&drains);
    assert!(drains.wait().unwrap().success());
    assert!(server.stop());
    for request in 1..=MANY {
        let number = request.to_string();
        let shown = place.json(&["request", "show", &number, "--json"]);
        let steps = shown["history"].as_array().unwrap().iter();
        let published = steps.filter(|row| row["command"] == "unlearn").count();
        assert_eq!(published, 1, "request {request}: {shown}");
    }
    place.run(&["fsck"]).success();
}
