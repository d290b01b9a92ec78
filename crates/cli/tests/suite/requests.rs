//! Erasure requests through the command line: their life, what is refused, kills at every step, crowds.

#[cfg(all(unix, feature = "audit"))]
mod bundle;

use std::fs;
use std::process::{Command, Stdio};

use disinherit_registry::{ErasureId, ErasureState};
use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};

use crate::common::{GROW, Place};

/// Three epochs make models that name one sample in six: an edit of such a one may cost it two points.
const PLAN: [&str; 5] = ["request", "plan", "1", "--accept-loss", "0.1"];
const NEW: [&str; 8] = [
    "request",
    "new",
    "--forget",
    "class=3",
    "--from",
    "r1",
    "--requester",
    "subject-7",
];

fn filtered(text: &str) -> String {
    let mut out = text.to_owned();
    for (pattern, instead) in [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
        (r"\d{4}-\d\d-\d\d, in \d+ days", "DATE, in N days"),
        (r"\d{4}-\d\d-\d\d", "DATE"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{12,16}\b", "DIGEST"),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        out = pattern.replace_all(&out, instead).into_owned();
    }
    out
}

fn state(place: &Place) -> ErasureState {
    place.registry().erasure(ErasureId::new(1)).unwrap().state
}

/// The steps from filing to closing, as commands.
fn steps() -> Vec<Vec<&'static str>> {
    let step = |words: &[&'static str]| [&["request"], words].concat();
    vec![
        NEW.to_vec(),
        PLAN.to_vec(),
        step(&["approve", "1"]),
        step(&["run", "1", "--data", "digits", "--quiet", "--take-over"]),
        step(&[
            "verify",
            "1",
            "--data",
            "digits",
            "--quiet",
            "--at-most",
            "1",
        ]),
        step(&["certify", "1", "--key", "proof.pem"]),
        step(&["purge", "1"]),
        step(&["close", "1"]),
    ]
}

/// A registry with a small network, and a key to sign with.
fn desk() -> Place {
    let place = Place::grown();
    place.run(&["key", "proof.pem"]).success();
    place
}

#[test]
fn a_request_goes_from_its_arrival_to_its_end() {
    let place = desk();
    place.refuse(
        &["request", "show", "1"],
        &["no request 1", "request list --all"],
    );
    let preview = place.text(&[&NEW[..], &["--preview"]].concat());
    insta::assert_snapshot!("preview", preview);
    assert_eq!(
        place.json(&["request", "list", "--all", "--json"])["requests"],
        json!([])
    );

    insta::assert_snapshot!("new", filtered(&place.text(&NEW)));
    place.refuse(
        &["request", "approve", "1"],
        &["it must be planned", "request plan 1"],
    );
    place.refuse(
        &["request", "run", "1"],
        &["cannot be run", "request plan 1"],
    );
    place.refuse(&["request", "close", "1"], &["it must be purged"]);
    insta::assert_snapshot!("plan", place.text(&PLAN));

    place.run(&["request", "four-eyes", "on"]).success();
    place.refuse(
        &["request", "approve", "1"],
        &["`tester` filed it", "--actor"],
    );
    place
        .run(&["request", "approve", "1", "--actor", "ann"])
        .success();
    place
        .run(&["request", "comment", "1", "identity checked"])
        .success();
    place.refuse(
        &["request", "comment", "1", "\u{1b}[2J"],
        &["control characters"],
    );

    let run = ["request", "run", "1", "--data", "digits", "--quiet"];
    let done = place.json(&[&run[..], &["--json"]].concat());
    assert_eq!(done["unlearned"]["models"].as_array().unwrap().len(), 4);
    place.refuse(&run, &["published already", "request verify 1"]);
    place.refuse(
        &["request", "certify", "1", "--key", "proof.pem"],
        &["it must be verified"],
    );

    place
        .run(&[
            "request",
            "verify",
            "1",
            "--data",
            "digits",
            "--at-most",
            "1",
            "--quiet",
        ])
        .success();
    let certify = [
        "request",
        "certify",
        "1",
        "--key",
        "proof.pem",
        "--out",
        "certificate.json",
    ];
    place.run(&certify).success();
    place
        .run(&["request", "show", "1", "--certificate", "again.json"])
        .success();
    let [first, again] =
        ["certificate.json", "again.json"].map(|name| fs::read(place.path(name)).unwrap());
    assert!(first == again);
    let verify = [
        "verify",
        "--certificate",
        "again.json",
        "--public-key",
        "proof.pem.pub",
        "--registry",
        ".",
    ];
    place.run(&verify).success();

    let dry = place.json(&["request", "purge", "1", "--dry-run", "--json"]);
    assert_eq!(dry["request"]["state"], "certified");
    assert_eq!(dry["purged"]["models"].as_array().unwrap().len(), 4);
    place.run(&["request", "purge", "1"]).success();
    place.run(&["request", "close", "1"]).success();
    insta::assert_snapshot!("show", filtered(&place.text(&["request", "show", "1"])));
    let shown = place.json(&["request", "show", "1", "--json"]);
    assert_eq!(shown["scope"]["models"].as_array().unwrap().len(), 4);
    assert_eq!(shown["history"].as_array().unwrap().len(), 10);
    place.run(&["fsck"]).success();
    place
        .run(&[
            "verify",
            "--certificate",
            "again.json",
            "--public-key",
            "proof.pem.pub",
            "--registry",
            ".",
        ])
        .success();
}

/// A run that would touch another thing than was approved is refused, and so is one that has failed its bar.
#[test]
fn what_was_approved_is_what_is_done() {
    let place = desk();
    place.run(&NEW).success();
    // A method that costs these models too much: the request has failed, and nothing is published.
    place
        .run(&["request", "plan", "1", "--method", "distill"])
        .success();
    place.run(&["request", "approve", "1"]).success();
    let models = place.registry().models().unwrap();
    let run = ["request", "run", "1", "--data", "digits", "--quiet"];
    place.run(&run).failure().code(3);
    assert_eq!(state(&place), ErasureState::Failed);
    assert_eq!(place.registry().models().unwrap(), models);
    let reason = place.registry().erasure(ErasureId::new(1)).unwrap().reason;
    assert!(reason.unwrap().contains("would lose"));

    place.run(&PLAN).success();
    place.run(&["request", "approve", "1"]).success();
    let file = place.checkpoint("more.safetensors", |_| {});
    let more = ["--parent", "r2", "--trained-on", "digits"];
    place
        .run(&crate::common::add(&file, "more", &more))
        .success();
    place.refuse(
        &run,
        &["other models than were planned: `more@1`", "request plan 1"],
    );
    assert_eq!(state(&place), ErasureState::Approved);
    place.run(&PLAN).success();
    place.refuse(&run, &["cannot be run", "request approve 1"]);

    // A bar that is not reached: the models are published, and the request has failed with the reason.
    let other = desk();
    for step in &steps()[..4] {
        other.run(step).success();
    }
    let verify = [
        "request",
        "verify",
        "1",
        "--data",
        "digits",
        "--quiet",
        "--require",
        "indistinguishable",
    ];
    other.run(&verify).failure().code(1);
    assert_eq!(state(&other), ErasureState::Failed);
    other
        .run(&["request", "reject", "1", "--reason", "cannot be reached"])
        .success();
    place.run(&["fsck"]).success();
    other.run(&["fsck"]).success();
}

#[test]
fn lists_show_what_is_due() {
    let place = Place::new();
    fs::write(place.path("ids.txt"), "digits/0001\ndigits/0002\n").unwrap();
    let new = |more: &[&str]| {
        let words = ["request", "new", "--forget", "samples=ids.txt", "--json"];
        place.json(&[&words[..], more].concat())["request"].clone()
    };
    let filed = new(&["--received", "2026-01-31T12:00:00Z"]);
    assert_eq!(
        filed["deadline"].as_u64(),
        Some(1_772_280_000_000),
        "28 February, at noon"
    );
    new(&["--deadline", "3d"]);
    new(&["--deadline", "60d", "--requester", "subject-8f3a"]);
    place.misuse(
        &[
            "request",
            "new",
            "--forget",
            "class=3",
            "--deadline",
            "soon",
        ],
        &["no length of time"],
    );
    place.refuse(
        &[
            "request",
            "new",
            "--forget",
            "class=3",
            "--deadline",
            "2020-01-01T00:00:00Z",
        ],
        &["a deadline must be later"],
    );
    let numbers = |more: &[&str]| -> Vec<i64> {
        let words = ["request", "list", "--json"];
        let list = place.json(&[&words[..], more].concat());
        let list = list["requests"].as_array().unwrap().clone();
        list.iter()
            .map(|request| request["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(numbers(&[]), [1, 2, 3]);
    assert_eq!(numbers(&["--overdue"]), [1]);
    assert_eq!(numbers(&["--due-soon"]), [1, 2]);
    assert_eq!(numbers(&["--due-soon", "90d"]), [1, 2, 3]);
    assert_eq!(numbers(&["--newest", "--limit", "2"]), [3, 2]);
    assert_eq!(numbers(&["--newest", "--after", "2"]), [1]);
    let text = place.text(&["request", "list"]);
    assert!(
        text.contains("OVERDUE by") && text.contains("2 samples"),
        "{text}"
    );
    let extend = ["request", "extend", "2", "--reason", "complex"];
    let extended = place.json(&[&extend[..], &["--json"]].concat());
    assert!(extended["request"]["deadline"].as_u64() > filed["deadline"].as_u64());
    place.refuse(&extend, &["a deadline must be later"]);
    place
        .run(&["request", "reject", "1", "--reason", "a duplicate"])
        .success();
    assert_eq!(numbers(&[]), [3, 2]);
    assert_eq!(numbers(&["--state", "rejected"]), [1]);
    assert_eq!(numbers(&["--overdue"]), [0i64; 0]);
    // No model was trained on these samples: the plan says so, and the request can be turned down.
    place.refuse(&["request", "plan", "2"], &["trained"]);
    place.run(&["gc"]).success();
    place.run(&["fsck"]).success();
}

/// Starts a command that is to be killed at a point, and says whether it was.
fn killed(place: &Place, words: &[&str], point: &str) -> bool {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
    command
        .current_dir(place.folder.path())
        .env("DISINHERIT_ACTOR", "tester")
        .env("DISINHERIT_CRASH", point)
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // What ends by a signal has no code.
    command.status().unwrap().code().is_none()
}

/// The points that a step passes, the one after which it is taken last.
fn points(words: &[&str]) -> Vec<&'static str> {
    let own: &[&str] = match words[1] {
        "plan" | "verify" | "certify" => &["object"],
        "run" => &["draft", "draft:2", "object"],
        "purge" => return vec!["purge after commit"],
        _ => &[],
    };
    let all = [
        "publish",
        "publish after sync",
        "publish before commit",
        "publish after commit",
    ];
    [own, &all].concat()
}

/// A kill at any point of any step leaves the request before the step or after it, and it goes on.
fn survives_kills(place: &Place) {
    let mut struck = 0;
    let list = || place.json(&["request", "list", "--all", "--json"]);
    for words in steps() {
        let start = list();
        for point in points(&words) {
            if killed(place, &words, point) {
                struck += 1;
                let health = place.registry().check(false, None, &mut |_, _| {}).unwrap();
                assert_eq!(health.damages, [], "{words:?} at `{point}`");
            }
            if words[1] != "run" && list() != start {
                break;
            }
        }
        // Once more, unless it is taken.
        if words[1] == "run" || list() == start {
            let _ = place.command(&words).output().unwrap();
        }
        assert_ne!(list(), start, "{words:?}");
    }
    assert!(struck > 20, "only {struck} kills struck");
    assert_eq!(state(place), ErasureState::Closed);
    let log = place.registry().operations().unwrap();
    let count = |command: &str| log.iter().filter(|row| row.command == command).count();
    for once in [
        "unlearn",
        "request verify",
        "request certify",
        "purge",
        "request close",
        "request approve",
    ] {
        assert_eq!(count(once), 1, "{once}");
    }
    assert_eq!(
        place.registry().erasures(&every()).unwrap().len(),
        1,
        "filed once"
    );
    let after = place.registry().models().unwrap();
    let current = after.iter().filter(|row| !row.vertex.superseded).count();
    assert_eq!((after.len(), current), (10, 6), "nothing twice");
    place.run(&["gc", "--drafts"]).success();
    place.run(&["fsck"]).success();
}

fn every() -> disinherit_registry::ErasurePage {
    disinherit_registry::ErasurePage {
        limit: 100,
        ..disinherit_registry::ErasurePage::default()
    }
}

#[test]
#[cfg(unix)]
fn kills_at_every_step_lose_nothing_in_sqlite() {
    survives_kills(&desk());
}

#[test]
#[cfg(unix)]
fn kills_at_every_step_lose_nothing_in_postgres() {
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("requests in PostgreSQL", &why),
    };
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
    };
    place
        .run(&["init", "--catalog", &database.address()])
        .success();
    place.run(&GROW).success();
    place.run(&["key", "proof.pem"]).success();
    survives_kills(&place);
}

/// A run that was killed is not begun again by the way, and is taken over when that is said.
#[test]
#[cfg(unix)]
fn a_killed_run_is_taken_over() {
    let place = desk();
    for step in &steps()[..3] {
        place.run(step).success();
    }
    let run = ["request", "run", "1", "--data", "digits", "--quiet"];
    assert!(killed(&place, &run, "draft:2"));
    assert_eq!(state(&place), ErasureState::Running);
    place.refuse(&run, &["`tester` runs it at this moment", "--take-over"]);
    place.run(&[&run[..], &["--take-over"]].concat()).success();
    let shown = place.json(&["request", "show", "1", "--json"]);
    let commands: Vec<&Value> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["command"])
        .collect();
    assert_eq!(
        commands,
        [
            "request new",
            "request plan",
            "request approve",
            "request run",
            "request run",
            "unlearn"
        ]
    );
}

/// Of many processes that run one request, one does; of many that file, each gets a number.
#[test]
fn crowds_get_along() {
    let place = desk();
    for step in &steps()[..3] {
        place.run(step).success();
    }
    let program = assert_cmd::cargo::cargo_bin!("disinherit");
    let start = |words: &[&str]| {
        let child = Command::new(program)
            .current_dir(place.folder.path())
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.unwrap()
    };
    let run = ["request", "run", "1", "--data", "digits", "--quiet"];
    let runs: Vec<_> = (0..4).map(|_| start(&run)).collect();
    let files: Vec<_> = (0..4).map(|_| start(&NEW)).collect();
    let count = |children: Vec<std::process::Child>| {
        let ended = children.into_iter().map(|mut child| child.wait().unwrap());
        ended.filter(std::process::ExitStatus::success).count()
    };
    assert_eq!((count(runs), count(files)), (1, 4));
    let filed = place.registry().erasures(&every()).unwrap();
    let mut numbers: Vec<i64> = filed.iter().map(|erasure| erasure.id.get()).collect();
    // They are listed by deadline, and the clock is read before the number is given.
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    place.run(&["fsck"]).success();
}
