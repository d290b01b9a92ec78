//! A registry on shared storage with its catalog in a database, through the command line.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use disinherit_testkit::{Postgres, Proxy, S3, note, skipped};
use serde_json::Value;

use crate::common::{GROW, Place, UNLEARN};

/// A registry with its objects in S3 and its catalog in PostgreSQL, each behind a network.
struct Shared {
    database: Postgres,
    to_database: Proxy,
    storage: S3,
    to_storage: Proxy,
    elsewhere: Place,
}

impl Shared {
    /// Starts the servers; there is no registry yet.
    fn start() -> Option<Self> {
        let database = Postgres::start()
            .map_err(|why| skipped("a registry on shared storage", &why))
            .ok()?;
        let storage = S3::start().unwrap();
        Some(Self {
            to_database: Proxy::start(database.port(), Duration::ZERO).unwrap(),
            to_storage: Proxy::start(storage.port(), Duration::ZERO).unwrap(),
            database,
            storage,
            elsewhere: Place::new(),
        })
    }

    /// A grown registry, from now on far away: 20 ms for each round trip.
    fn grown_far_away() -> Option<Self> {
        let shared = Self::start()?;
        shared.text(&["init", "--catalog", &shared.catalog()]);
        shared.text(&GROW);
        for network in [&shared.to_database, &shared.to_storage] {
            network.set_latency(Duration::from_millis(20));
        }
        Some(shared)
    }

    fn catalog(&self) -> String {
        self.database.address_at(self.to_database.address())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
        command
            .current_dir(self.elsewhere.folder.path())
            .env("DISINHERIT_ACTOR", "tester")
            .envs(self.storage.environment_at(self.to_storage.address()))
            .env(
                "DISINHERIT_REGISTRY",
                format!("{}/team", self.storage.address()),
            )
            .args(arguments);
        command
    }

    fn text(&self, arguments: &[&str]) -> String {
        told(arguments, self.command(arguments).output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(arguments)).unwrap()
    }

    fn refused(&self, arguments: &[&str], words: &str) {
        let output = self.command(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }

    fn is_sound(&self) {
        let health = self.json(&["fsck", "--json"]);
        assert_eq!(health["damages"].as_array().unwrap().len(), 0, "{health}");
    }
}

/// What a command printed that must have succeeded.
fn told(arguments: &[&str], output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The digests of the new versions.
fn digests(done: &Value) -> Vec<Value> {
    let models = done["unlearned"]["models"].as_array().unwrap();
    models.iter().map(|m| m["digest_after"].clone()).collect()
}

#[test]
fn objects_in_s3_and_the_catalog_in_postgres() {
    let Some(shared) = Shared::start() else {
        return;
    };
    shared.refused(&["log"], "there is no registry at s3://models/team");
    shared.refused(&["init"], "--catalog");
    shared.refused(&["init", "--catalog", "mysql://host/db"], "postgres://");
    // The others reach the database through a port.
    shared.text(&["init", "--catalog", &shared.database.address()]);
    shared.refused(&["init", "--catalog", &shared.catalog()], "already");

    shared.text(&GROW);
    let there = shared.json(&UNLEARN);
    // The same in a folder gives the same weights.
    let here = Place::grown().json(&UNLEARN);
    assert_eq!(digests(&there), digests(&here));

    shared.text(&[
        "purge",
        "r1@1",
        "r2@1",
        "r3@1",
        "r4@1",
        "--reason",
        "request 7",
    ]);
    shared.refused(&["export", "r1@1", "gone.safetensors"], "purged");
    shared.text(&["export", "r1", "there.safetensors"]);
    shared.is_sound();
    let garbage = shared.json(&["gc", "--drafts", "--json"]);
    assert_eq!(garbage["young"], 0, "nobody else is at work");
    // Features are kept there too, for every process that uses the registry; a purge takes them all.
    let mut again = UNLEARN;
    again[2] = "class=4";
    shared.text(&again);
    let purged = shared.json(&["purge", "r1@2", "--reason", "request 8", "--json"]);
    assert!(purged["features"].as_u64().unwrap() > 0, "{purged}");
}

#[test]
fn a_slow_network_changes_nothing_but_the_time() {
    let Some(shared) = Shared::grown_far_away() else {
        return;
    };
    let start = Instant::now();
    let there = shared.json(&UNLEARN);
    note(&format!(
        "a request over PostgreSQL and S3 with 20 ms of latency: {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    assert_eq!(digests(&there), digests(&Place::grown().json(&UNLEARN)));
    shared.is_sound();
}

/// Seven shards at once over a slow network, one killed in the middle.
#[test]
fn shards_make_what_one_machine_makes() {
    let Some(shared) = Shared::grown_far_away() else {
        return;
    };
    let shard = |number: u32| format!("{number}/7");
    let start = |number: u32, crash: Option<&str>| {
        let mut command = shared.command(&UNLEARN);
        command.args(["--shard", &shard(number)]);
        command.envs(crash.map(|point| ("DISINHERIT_CRASH", point)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let processes = (1..=7).map(|number| start(number, (number == 2).then_some("object:2")));
    let processes: Vec<_> = processes.collect();
    for (process, number) in processes.into_iter().zip(1..) {
        let output = process.wait_with_output().unwrap();
        if number == 2 {
            assert!(!output.status.success(), "shard 2 was to be killed");
            continue;
        }
        let done: Value = serde_json::from_str(&told(&UNLEARN, output)).unwrap();
        assert_eq!(done["shard"]["shard"], shard(number));
    }
    let there = shared.json(&UNLEARN);
    assert_eq!(digests(&there), digests(&Place::grown().json(&UNLEARN)));
    shared.is_sound();
    let garbage = shared.json(&["gc", "--drafts", "--json"]);
    assert_eq!(garbage["drafts"], 0, "{garbage}");
}

/// Ten seconds of 503 from the storage and a database that is killed and started again, before and at several moments
/// of a request: it waits, ends as it would have, and is on record once. Each moment has servers of its own, since all
/// of them mostly wait.
#[test]
fn servers_that_go_away_for_a_while_lose_nothing() {
    let Some(shared) = Shared::grown_far_away() else {
        return;
    };
    let wanted = digests(&Place::grown().json(&UNLEARN));
    let start = Instant::now();
    shared.text(&["plan", "--forget", "class=3", "--from", "r1"]);
    let planning = start.elapsed();
    let moments = [Duration::ZERO, planning / 2, planning, planning * 2];
    std::thread::scope(|scope| {
        for after in moments {
            let wanted = &wanted;
            scope.spawn(move || goes_away(Shared::grown_far_away().unwrap(), after, wanted));
        }
    });
}

/// The servers go away so long after a request began.
fn goes_away(mut shared: Shared, after: Duration, wanted: &[Value]) {
    let mut request = shared.command(&UNLEARN);
    request.stdout(Stdio::piped()).stderr(Stdio::piped());
    let request = request.spawn().unwrap();
    std::thread::sleep(after);
    shared.to_storage.be_busy(Duration::from_secs(10));
    shared.database.restart(Duration::from_secs(2)).unwrap();
    let done = told(&UNLEARN, request.wait_with_output().unwrap());
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!(digests(&done), wanted, "away after {after:?}");
    shared.is_sound();
    let log = shared.json(&["log", "--operations", "--json"]);
    let entries = log.as_array().unwrap().iter();
    let requests = entries.filter(|entry| entry["command"] == "unlearn");
    assert_eq!(requests.count(), 1, "away after {after:?}: {log}");
}

#[test]
fn places_of_an_unknown_kind_are_refused() {
    let place = Place::new();
    place.refuse(
        &["log", "--registry", "gs://bucket/models"],
        &["gs://bucket/models", "s3://BUCKET/PATH"],
    );
    place.refuse(&["init", "s3://bucket/models"], &["--catalog"]);
}
