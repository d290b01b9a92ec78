//! Kills, faults and crowds: whatever happens to a process, the registry is what it was or what it was
//! to become, the command can be repeated, and nothing is left that `gc` does not clear away.
//!
//! `DISINHERIT_KILLS=N` makes more random kills than the 20 of a quick run.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disinherit_registry::{Digest, State};
use disinherit_testkit::skipped;
use rand::RngExt;
use rand::SeedableRng;

use crate::common::{Place, forget_with, objects};

const UNLEARN: [&str; 10] = forget_with("--quiet");
const RETRAIN: [&str; 14] = [
    "unlearn",
    "--accept-loss",
    "1",
    "--forget",
    "class=3",
    "--from",
    "r1",
    "--data",
    "digits",
    "--quiet",
    "--method",
    "retrain",
    "--recipe",
    "fl-digits",
];
const PURGE: [&str; 7] = [
    "purge",
    "r1@1",
    "r2@1",
    "r3@1",
    "r4@1",
    "--reason",
    "request 7",
];

/// Every version with its state and digest.
fn versions(place: &Place) -> BTreeMap<String, (State, Digest)> {
    let rows = place.registry().models().unwrap().into_iter();
    rows.map(|row| (row.vertex.id.to_string(), (row.state(), row.manifest)))
        .collect()
}

/// A command, what the registry is before it and what it is to become.
struct Scenario {
    command: Vec<&'static str>,
    before: Place,
    then: BTreeMap<String, (State, Digest)>,
    /// Objects when all is done and the garbage is gone.
    objects: Vec<String>,
    duration: Duration,
}

impl Scenario {
    fn new(before: Place, command: &[&'static str]) -> Self {
        let clean = before.copy();
        let start = Instant::now();
        clean.run(command).success();
        let duration = start.elapsed();
        clean.run(&["gc", "--drafts"]).success();
        Self {
            command: command.to_vec(),
            then: versions(&clean),
            objects: names(&clean),
            before,
            duration,
        }
    }

    fn start(&self, place: &Place, crash: Option<&str>) -> Child {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
        command
            .current_dir(place.folder.path())
            .args(&self.command)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(crash) = crash {
            command.env("DISINHERIT_CRASH", crash);
        }
        command.spawn().unwrap()
    }

    /// What must hold after a kill, wherever it struck.
    fn check(&self, place: &Place, when: &str) {
        let after = versions(place);
        let published = after == self.then;
        assert!(
            published || after == versions(&self.before),
            "{}: a half-published request after a kill {when}: {after:?}",
            self.command[0]
        );
        let health = place.registry().check(false, None, &mut |_, _| {}).unwrap();
        assert_eq!(health.damages, [], "{} {when}", self.command[0]);
        if !published {
            place.run(&self.command).success();
            assert_eq!(versions(place), self.then, "{} {when}", self.command[0]);
        }
        place.run(&["gc", "--drafts"]).success();
        assert_eq!(names(place), self.objects, "{} {when}", self.command[0]);
        let health = place.registry().check(false, None, &mut |_, _| {}).unwrap();
        assert_eq!((health.damages, health.garbage), (Vec::new(), 0));
    }
}

/// The objects, by the ends of their names.
fn names(place: &Place) -> Vec<String> {
    let root = place.path(".disinherit/objects");
    let mut list: Vec<String> = objects(place)
        .iter()
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    list.sort();
    list
}

fn scenarios() -> Vec<Scenario> {
    let grown = Place::grown();
    let unlearned = grown.copy();
    unlearned.run(&UNLEARN).success();
    vec![
        Scenario::new(unlearned, &PURGE),
        Scenario::new(grown.copy(), &RETRAIN),
        Scenario::new(grown, &UNLEARN),
    ]
}

#[test]
fn every_named_point_survives_a_kill() {
    let mut struck = BTreeMap::new();
    for scenario in scenarios() {
        for point in [
            "object:1",
            "object:2",
            "object:5",
            "object:9",
            "draft:1",
            "draft:3",
            "draft:4",
            "publish",
            "publish after sync",
            "publish before commit",
            "publish after commit",
            "purge after commit",
            "remove object:1",
            "remove object:4",
        ] {
            let place = scenario.before.copy();
            let status = scenario.start(&place, Some(point)).wait().unwrap();
            if status.success() {
                continue;
            }
            *struck.entry(point).or_insert(0) += 1;
            scenario.check(&place, &format!("at `{point}`"));
        }
    }
    assert_eq!(
        struck.len(),
        14,
        "some points were never passed: {struck:?}"
    );
}

#[test]
fn a_registry_that_was_half_made_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let command = |crash: &str| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
        command.current_dir(folder.path()).arg("init");
        command.env("DISINHERIT_CRASH", crash);
        command.stdout(Stdio::null()).status().unwrap()
    };
    assert!(!command("create before marker").success());
    assert!(command("nowhere").success());
}

#[test]
fn random_kills_lose_nothing() {
    let kills: usize = std::env::var("DISINHERIT_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let scenarios = scenarios();
    let mut random = rand::rngs::StdRng::seed_from_u64(kills as u64);
    let mut struck = 0;
    for kill in 0..kills {
        let scenario = &scenarios[kill % scenarios.len()];
        let place = scenario.before.copy();
        let delay = scenario.duration.mul_f64(random.random_range(0.0..1.0));
        let mut child = scenario.start(&place, None);
        std::thread::sleep(delay);
        // SIGKILL; a process that is done already does not mind.
        child.kill().unwrap();
        struck += usize::from(!child.wait().unwrap().success());
        scenario.check(&place, &format!("after {delay:?}"));
    }
    disinherit_testkit::note(&format!(
        "{struck} of {kills} kills struck a process at work"
    ));
    assert!(struck * 2 > kills, "{struck} of {kills}");
}

/// Finished tasks are taken up: a run that was killed after half of its trainings needs the others
/// only.
#[test]
fn a_stopped_request_goes_on() {
    let scenario = Scenario::new(Place::grown(), &RETRAIN);
    let place = scenario.before.copy();
    // The first draft says which version of the program is at work.
    let status = scenario.start(&place, Some("draft:4")).wait().unwrap();
    assert!(!status.success());
    assert_eq!(place.registry().all_drafts().unwrap().len(), 4);
    // The fourth training writes the one draft that is missing, and the second is never written.
    let status = scenario.start(&place, Some("draft:2")).wait().unwrap();
    assert!(status.success(), "finished trainings were done again");
    assert_eq!(versions(&place), scenario.then);
}

/// A shell that runs the program under some limit. The word `PROGRAM` stands for it.
fn limited(place: &Place, script: &str, arguments: &[&str]) -> std::process::Output {
    let program = assert_cmd::cargo::cargo_bin!("disinherit");
    let script = script.replace("PROGRAM", &program.display().to_string());
    Command::new("bash")
        .current_dir(place.folder.path())
        .args(["-c", &script, "limited"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn writes_that_fail_lose_nothing() {
    for scenario in scenarios().into_iter().filter(|s| s.command != RETRAIN) {
        // In blocks of 1024 bytes: nothing can be written, then small files only, then larger ones.
        for limit in [0, 1, 8, 32] {
            let place = scenario.before.copy();
            let script = format!("trap '' XFSZ; ulimit -f {limit}; exec PROGRAM \"$@\"");
            let output = limited(&place, &script, &scenario.command);
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_ne!(output.status.code(), Some(101), "a panic: {message}");
            if !output.status.success() {
                assert!(message.contains("error: "), "{message}");
            }
            scenario.check(&place, &format!("with files of at most {limit} KiB"));
        }
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let scenario = Scenario::new(Place::grown(), &UNLEARN);
    let disk = tempfile::tempdir().unwrap();
    let disk = disk.path().display();
    // A small file system of its own, gone with the shell; the registry comes back from it.
    let script = format!(
        "mount -t tmpfs -o size=64m disk {disk} && cp -r .disinherit {disk} || exit 77; \
         used=$(df --output=used -B1 {disk} | tail -n 1); \
         mount -o remount,size=$((used + $1)) {disk} || exit 77; shift; \
         PROGRAM --registry {disk} \"$@\"; code=$?; \
         rm -rf .disinherit; cp -r {disk}/.disinherit .; exit $code"
    );
    let mut full = 0;
    for spare in [0, 20_000, 60_000, 150_000, 300_000] {
        let place = scenario.before.copy();
        let wrapped =
            format!("exec unshare --map-root-user --mount bash -c '{script}' limited \"$@\"");
        let room = spare.to_string();
        let arguments = [&[room.as_str()][..], &scenario.command].concat();
        let output = limited(&place, &wrapped, &arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(77) || message.contains("unshare") {
            return skipped("a full disk", message.trim());
        }
        assert_ne!(output.status.code(), Some(101), "a panic: {message}");
        full += usize::from(message.contains("o space left") || message.contains("is full"));
        scenario.check(&place, &format!("on a disk with room for {room} bytes"));
    }
    assert!(full > 1, "the disk was never full");
}

#[test]
fn a_folder_that_may_not_be_written_loses_nothing() {
    let scenario = Scenario::new(Place::grown(), &UNLEARN);
    let place = scenario.before.copy();
    let objects = place.path(".disinherit/objects");
    let mode = |mode: &str| {
        let done = Command::new("chmod")
            .args(["-R", mode])
            .arg(&objects)
            .status();
        assert!(done.unwrap().success());
    };
    mode("a-w");
    if fs::write(objects.join("probe"), "").is_err() {
        place.refuse(&scenario.command, &["ermission"]);
    } else {
        // Nothing is forbidden to root: somebody else tries.
        fs::remove_file(objects.join("probe")).unwrap();
        if let Err(why) = refused_to_nobody(&place, &scenario.command) {
            mode("u+w");
            return skipped("a folder without write permission", &why);
        }
    }
    mode("u+w");
    scenario.check(&place, "without write permission");
}

/// Runs a command as a user who may read a registry and write its catalog, but no objects. Says why
/// it cannot be done here.
fn refused_to_nobody(place: &Place, command: &[&str]) -> Result<(), String> {
    let everyone = Command::new("chmod")
        .args(["-R", "a+rX", "--"])
        .arg(place.folder.path())
        .status();
    assert!(everyone.unwrap().success());
    for entry in fs::read_dir(place.path(".disinherit")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let done = Command::new("chmod").arg("a+w").arg(&path).status();
            assert!(done.unwrap().success());
        }
    }
    let top = Command::new("chmod")
        .arg("a+w")
        .arg(place.path(".disinherit"))
        .status();
    assert!(top.unwrap().success());
    let tried = Command::new("runuser")
        .args(["-u", "nobody", "--"])
        .arg(assert_cmd::cargo::cargo_bin!("disinherit"))
        .args(command)
        .current_dir(place.folder.path())
        .output()
        .map_err(|error| format!("the tests run as root, and `runuser` fails: {error}"))?;
    let text = String::from_utf8(tried.stderr).unwrap();
    if !text.starts_with("error: ") {
        return Err(format!(
            "the tests run as root, and nobody else may run: {text}"
        ));
    }
    assert_eq!(tried.status.code(), Some(3), "{text}");
    assert!(text.contains("ermission"), "{text}");
    Ok(())
}

#[test]
fn several_processes_get_along() {
    let scenario = Scenario::new(Place::grown(), &UNLEARN);
    let place = scenario.before.copy();
    let file = place.checkpoint("more.safetensors", |_| {});
    let names: Vec<String> = (0..4).map(|n| format!("more{n}")).collect();
    let mut children: Vec<(String, Child)> = Vec::new();
    let program = assert_cmd::cargo::cargo_bin!("disinherit");
    let start = |what: &str, arguments: &[&str]| {
        let child = Command::new(program)
            .current_dir(place.folder.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        (what.to_owned(), child.unwrap())
    };
    for name in &names {
        children.push(start("add", &crate::common::add(&file, name, &[])));
    }
    for _ in 0..3 {
        children.push(start("unlearn", &UNLEARN));
        children.push(start("read", &["fsck"]));
    }
    let mut unlearned = 0;
    for (what, child) in children {
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        match what.as_str() {
            "unlearn" => {
                unlearned += usize::from(output.status.success());
                assert!(
                    output.status.success()
                        || message.contains("somebody else published meanwhile")
                        || message.contains("error: "),
                    "{message}"
                );
            }
            _ => assert!(
                output.status.success(),
                "{what}: {message}{}",
                String::from_utf8_lossy(&output.stdout)
            ),
        }
    }
    assert_eq!(unlearned, 1, "one of them answers the request");
    let mut versions = versions(&place);
    for name in &names {
        assert!(
            versions.remove(&format!("{name}@1")).is_some(),
            "{name} is lost"
        );
    }
    assert_eq!(versions, scenario.then);
    place.run(&["fsck"]).success();
}
