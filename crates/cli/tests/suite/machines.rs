//! One request on several machines: processes that each do a shard of it, killed or not, and the process
//! that publishes what they made.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use disinherit_registry::Draft;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::common::{FORGET, Place};

/// How many machines there are.
const OF: u32 = 7;

/// The digests of all versions.
fn digests(place: &Place) -> BTreeMap<String, String> {
    let digests = place.registry().digests().unwrap().into_iter();
    digests
        .map(|(id, digest)| (id.to_string(), digest.to_string()))
        .collect()
}

fn start(place: &Place, command: &[&str], shard: u32, crash: Option<&str>) -> Child {
    let mut process = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
    process
        .current_dir(place.folder.path())
        .args(command)
        .args(["--shard", &format!("{shard}/{OF}"), "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(crash) = crash {
        process.env("DISINHERIT_CRASH", crash);
    }
    process.spawn().unwrap()
}

/// What a shard says that it did.
fn finished(process: Child) -> Value {
    let output = process.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    done["shard"].clone()
}

fn count(done: &Value, what: &str) -> u64 {
    done[what].as_u64().unwrap()
}

/// A request by shards, one of which is killed in the middle, makes what one machine makes.
fn is_the_same_by_shards(grown: &Place, command: &[&str]) {
    let one = grown.copy();
    one.run(command).success();
    let many = grown.copy();
    let before = digests(&many);
    let processes: Vec<Child> = (1..=OF)
        .map(|shard| start(&many, command, shard, (shard == 2).then_some("object:2")))
        .collect();
    let mut edited = 0;
    for (process, shard) in processes.into_iter().zip(1..) {
        if shard == 2 {
            let killed = process.wait_with_output().unwrap();
            assert!(!killed.status.success(), "the kill did not strike");
        } else {
            let done = finished(process);
            assert_eq!(done["shard"], format!("{shard}/{OF}"));
            let models = done["models"].as_array().unwrap().len() as u64;
            assert_eq!(count(&done, "edited") + count(&done, "taken_up"), models);
            edited += count(&done, "edited");
        }
    }
    assert!(edited > 0);
    assert_eq!(digests(&many), before, "shards publish nothing");
    // The shard that was killed goes on where it was, and a second time there is nothing left to do.
    finished(start(&many, command, 2, None));
    let again = finished(start(&many, command, 2, None));
    assert_eq!(count(&again, "edited"), 0, "{again}");
    many.run(command).success();
    assert_eq!(digests(&many), digests(&one));
    assert_eq!(many.registry().all_drafts().unwrap(), []);
    let health = many.registry().check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!((health.damages, health.garbage), (Vec::new(), 0));
}

#[test]
fn seven_shards_make_what_one_machine_makes() {
    is_the_same_by_shards(&Place::grown(), &FORGET);
}

#[test]
fn threads_of_one_process_make_what_one_run_makes() {
    let one = Place::grown();
    let many = one.copy();
    one.run(&FORGET).success();
    let log = many.run(&[&FORGET[..], &["--workers", "2", "--log", "info"]].concat());
    let told = String::from_utf8(log.success().get_output().stderr.clone()).unwrap();
    assert!(told.matches("a part is done").count() >= 3, "{told}");
    assert_eq!(digests(&many), digests(&one));
    assert_eq!(many.registry().all_drafts().unwrap(), []);
    let words = ["cannot be used with", "--shard"];
    many.misuse(
        &[&FORGET[..], &["--workers", "2", "--shard", "1/2"]].concat(),
        &words,
    );
}

#[test]
fn shards_make_what_their_edits_wait_for() {
    let grown = Place::grown();
    // Descendants take over the change of the models that were trained on these samples.
    let shown = grown.json(&["show", "r1", "--json"]);
    let samples = shown["model"]["training"][0]["samples"]["listed"].as_array();
    let ids: Vec<&str> = samples
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    assert!(ids.len() > 10, "{shown}");
    fs::write(grown.path("ids.txt"), ids[..10].join("\n")).unwrap();
    let command = [
        "unlearn",
        "--forget",
        "samples=ids.txt",
        "--data",
        "digits",
        "--accept-loss",
        "1",
    ];
    let one = grown.copy();
    fs::copy(grown.path("ids.txt"), one.path("ids.txt")).unwrap();
    one.run(&command).success();
    let many = grown.copy();
    fs::copy(grown.path("ids.txt"), many.path("ids.txt")).unwrap();
    // The last ones first: what they wait for is in other shards.
    let done: Vec<Value> = [4, 3]
        .map(|shard| finished(start(&many, &command, shard, None)))
        .into();
    assert!(
        done.iter().all(|done| count(done, "edited") > 0),
        "{done:?}"
    );
    many.run(&command).success();
    assert_eq!(digests(&many), digests(&one));
}

/// Shards and the process that publishes, all at once, one of them killed at a random moment: what was
/// begun is finished by doing it again, and nothing is left over. `DISINHERIT_KILLS=N` makes more than five kills.
#[test]
fn random_kills_of_workers_and_drivers_lose_nothing() {
    let kills = std::env::var("DISINHERIT_KILLS").map_or(5, |text| text.parse().unwrap());
    let grown = Place::grown();
    let one = grown.copy();
    let begun = Instant::now();
    one.run(&FORGET).success();
    let duration = begun.elapsed();
    one.run(&["gc", "--drafts"]).success();
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let mut struck = 0;
    for kill in 0..kills {
        let many = grown.copy();
        let mut processes: Vec<Child> = (1..=3)
            .map(|shard| start_of(&many, &FORGET, &format!("{shard}/3")))
            .collect();
        processes.push(driver(&many));
        let victim = kill % processes.len();
        std::thread::sleep(duration.mul_f64(random.random_range(0.0..0.8)));
        processes[victim].kill().unwrap();
        for (at, process) in processes.into_iter().enumerate() {
            let ended = process.wait_with_output().unwrap();
            struck += usize::from(at == victim && !ended.status.success());
        }
        if digests(&many) != digests(&one) {
            many.run(&FORGET).success();
        }
        assert_eq!(digests(&many), digests(&one), "kill {kill}");
        let requests = many.registry().operations().unwrap();
        let requests = requests.iter().filter(|row| row.command == "unlearn");
        assert_eq!(requests.count(), 1, "kill {kill}");
        many.run(&["gc", "--drafts"]).success();
        assert!(stored(&many) == stored(&one), "kill {kill}");
        many.run(&["gc", "--pack"]).success();
        assert!(stored(&many) == stored(&one), "kill {kill}");
    }
    disinherit_testkit::note(&format!(
        "{struck} of {kills} kills struck a process at work"
    ));
}

/// The digests of all objects, those in packs too, as often as each is there.
fn stored(place: &Place) -> Vec<String> {
    let name = |part: Option<&std::ffi::OsStr>| part.unwrap().to_str().unwrap().to_owned();
    let of_file = |path: std::path::PathBuf| {
        let folder = path.parent().unwrap();
        if !folder.ancestors().any(|folder| folder.ends_with("packs")) {
            return vec![name(folder.file_name()) + &name(path.file_name())];
        }
        // A pack is a safetensors file: its header has the digests.
        let bytes = fs::read(&path).unwrap();
        let (length, rest) = bytes.split_first_chunk().unwrap();
        let header = &rest[..usize::try_from(u64::from_le_bytes(*length)).unwrap()];
        let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
        let names = header.into_keys();
        names.filter(|name| name != "__metadata__").collect()
    };
    let files = crate::common::objects(place).into_iter();
    let mut all: Vec<String> = files.flat_map(of_file).collect();
    all.sort();
    all
}

/// The process that publishes.
fn driver(place: &Place) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("disinherit"))
        .current_dir(place.folder.path())
        .args(FORGET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn of_two_drivers_one_publishes() {
    let grown = Place::grown();
    let one = grown.copy();
    one.run(&FORGET).success();
    let many = grown.copy();
    let both = [driver(&many), driver(&many)].map(|process| process.wait_with_output().unwrap());
    let failed: Vec<_> = both
        .iter()
        .filter(|output| !output.status.success())
        .collect();
    assert_eq!(failed.len(), 1, "{both:?}");
    let said = String::from_utf8_lossy(&failed[0].stderr).into_owned();
    // Or it came when all was done.
    let told = [
        "no longer what it was",
        "exists already",
        "was not trained on",
    ];
    assert!(told.iter().any(|words| said.contains(words)), "{said}");
    assert_eq!(digests(&many), digests(&one));
    let requests = many.registry().operations().unwrap();
    assert_eq!(
        requests
            .iter()
            .filter(|row| row.command == "unlearn")
            .count(),
        1
    );
}

#[test]
fn a_plan_says_what_each_machine_would_do() {
    let grown = Place::grown();
    let plan = [
        "plan", "--forget", "class=3", "--from", "r1", "--shards", "3",
    ];
    let planned = grown.json(&[&plan[..], &["--json"]].concat());
    let shards = planned["shards"].as_array().unwrap();
    let models: Vec<&Value> = shards
        .iter()
        .flat_map(|s| s["models"].as_array().unwrap())
        .collect();
    let all: std::collections::BTreeSet<String> = models.iter().map(ToString::to_string).collect();
    let touched = planned["plan"]["scope"]["inherited"]
        .as_array()
        .unwrap()
        .len()
        + 1;
    assert_eq!(
        (shards.len(), models.len(), all.len()),
        (3, touched, touched)
    );
    assert!(
        shards
            .iter()
            .all(|shard| shard["cost"].as_u64().unwrap() > 0)
    );
    assert!(grown.text(&plan).contains("% of the work"));
    // The same models as the shard itself takes.
    let done = finished(start_of(&grown, &FORGET, "2/3"));
    assert_eq!(done["models"], shards[1]["models"]);
    grown.misuse(
        &[&FORGET[..], &["--shard", "4/3"]].concat(),
        &["4/3", "3/40"],
    );
    grown.misuse(
        &[&FORGET[..], &["--shard", "1/3", "--dry-run"]].concat(),
        &["--dry-run"],
    );
}

fn start_of(place: &Place, command: &[&str], shard: &str) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("disinherit"))
        .current_dir(place.folder.path())
        .args(command)
        .args(["--shard", shard, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn cards_and_verdicts_are_shared_out_too() {
    let place = Place::new();
    for (name, scale) in [("a", 1.0), ("b", 1.5), ("c", 2.0)] {
        let file = place.checkpoint(&format!("{name}.safetensors"), |state| {
            state
                .values_mut()
                .flat_map(|array| &mut array.values)
                .for_each(|value| *value *= scale);
        });
        place
            .run(&crate::common::add(
                &file,
                name,
                &["--trained-on", "digits"],
            ))
            .success();
    }
    let made: Vec<usize> = ["1/2", "2/2", "2/2"]
        .map(|shard| {
            let done = place.json(&["fisher", "--data", "digits", "--shard", shard, "--json"]);
            done["cards"].as_array().unwrap().len()
        })
        .into();
    assert_eq!(made, [2, 1, 0]);
    let judged: Vec<usize> = ["1/2", "2/2"]
        .map(|shard| {
            let command = [
                "verify", "a", "b", "c", "--forget", "class=3", "--data", "digits",
            ];
            let more = ["--shard", shard, "--json", "--at-most", "1"];
            let said = place.json(&[&command[..], &more].concat());
            said["models"].as_array().unwrap().len()
        })
        .into();
    assert_eq!(judged, [2, 1]);
}

#[test]
fn files_are_stored_by_many_and_added_by_one() {
    let (one, many) = (Place::new(), Place::new());
    let files = many.path("models");
    fs::create_dir(&files).unwrap();
    for (name, scale) in [("a", 1.0), ("b", 1.5), ("c", 2.0), ("d", 2.5), ("e", 3.0)] {
        many.checkpoint(&format!("models/{name}.safetensors"), |state| {
            let values = state.values_mut().flat_map(|array| &mut array.values);
            values.for_each(|value| *value *= scale);
        });
    }
    let files = files.display().to_string();
    let import = ["import", &files, "--trained-on", "digits"];
    let import = [&import[..], &crate::common::ADD[..6]].concat();
    let whole = [&import[..], &["--yes"]].concat();
    one.run(&whole).success();
    let counts = |shard: &str| {
        let done = many.json(&[&import[..], &["--shard", shard, "--json"]].concat());
        ["models", "taken_up"].map(|what| done[what].as_u64().unwrap())
    };
    assert_eq!(
        (counts("1/2"), counts("2/2"), counts("2/2")),
        ([3, 0], [2, 0], [2, 2])
    );
    assert_eq!(digests(&many).len(), 0, "nothing is added yet");
    let objects = crate::common::objects(&many).len();
    many.run(&whole).success();
    assert_eq!(digests(&many), digests(&one));
    assert_eq!(
        crate::common::objects(&many).len(),
        objects,
        "all of them were there"
    );
    assert_eq!(many.registry().all_drafts().unwrap(), []);
    // Damage is found by whoever stores.
    fs::write(many.path("models/f.safetensors"), b"no checkpoint").unwrap();
    many.refuse(
        &[&import[..], &["--shard", "1/2"]].concat(),
        &["f.safetensors"],
    );
}

#[test]
fn another_version_of_the_program_is_refused() {
    let place = Place::grown();
    finished(start(&place, &FORGET, 1, None));
    // As if another version had begun.
    let registry = place.registry();
    let drafts = registry.all_drafts().unwrap();
    let task = |draft: &&Draft| draft.task == "program";
    assert_eq!(drafts.iter().filter(task).count(), 1);
    let request = draft_name(&place);
    let other = Draft {
        task: "program".into(),
        value: "\"0.0.9\"".into(),
        blobs: Vec::new(),
    };
    registry.keep_drafts(&request, &[other]).unwrap();
    drop(registry);
    let this = env!("CARGO_PKG_VERSION");
    let words = ["version 0.0.9", &format!("version {this}"), "gc --drafts"];
    place.refuse(&[&FORGET[..], &["--shard", "2/7"]].concat(), &words);
    place.refuse(&FORGET, &words);
    // What keeps no drafts is told which version the others have.
    let words = ["version 0.0.9", &format!("version {this}")];
    let shard = ["--data", "digits", "--shard", "2/7"];
    let verify = ["verify", "r1", "--forget", "class=3"];
    for command in [&["fisher"][..], &verify, &FORGET[..5]] {
        let command = [command, &shard].concat();
        place.refuse(
            &[&command[..], &["--expect-version", "0.0.9"]].concat(),
            &words,
        );
    }
    let fisher = [&["fisher"], &shard[..], &["--expect-version", this]].concat();
    place.run(&fisher).success();
    place.run(&["gc", "--drafts"]).success();
    place.run(&FORGET).success();
}

/// The name that the drafts of the only request are kept under.
fn draft_name(place: &Place) -> String {
    let catalog = place.path(".disinherit/catalog.sqlite");
    let output = Command::new("python3")
        .arg("-c")
        .arg("import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT request FROM drafts').fetchone()[0])")
        .arg(catalog)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
