//! Packs from the shell: what `gc --pack` makes, what a purge takes out of one, and kills on the way.

mod large;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use disinherit::import::{AddModel, add_all_tensors};
use disinherit_formats::{Tensor, TensorSource};
use disinherit_nets::{Architecture, Preprocessing};
use disinherit_registry::conformance::Held;
use disinherit_registry::{Digest, Registry, State};
use umig::{Relation, Training};

use crate::common::{Place, contents};

/// Models of three epochs know little, and edits may cost them a part of it.
fn unlearn(class: &str) -> [String; 10] {
    let forget = format!("class={class}");
    let data = ["--data", "digits", "--quiet", "--accept-loss", "1"];
    let start = ["unlearn", "--forget", &forget, "--from", "r1"];
    let all = [start, data].concat().into_iter().map(str::to_owned);
    all.collect::<Vec<_>>().try_into().unwrap()
}

fn unlearned(place: &Place, class: &str) {
    let arguments = unlearn(class);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    place.run(&arguments).success();
}

/// Runs a command that is to be killed at a point.
fn killed(place: &Place, command: &[&str], point: &str) {
    let status = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"))
        .current_dir(place.folder.path())
        .args(command)
        .env("DISINHERIT_CRASH", point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(!status.unwrap().success(), "`{point}` was never passed");
}

fn versions(place: &Place) -> BTreeMap<String, (State, Digest)> {
    let rows = place.registry().models().unwrap().into_iter();
    rows.map(|row| (row.vertex.id.to_string(), (row.state(), row.manifest)))
        .collect()
}

/// The files of objects and packs, without the folder that they are in.
fn files(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = place.path(".disinherit/objects");
    let all = contents(&place.path(".disinherit")).into_iter();
    let all = all.filter(|(path, _)| path.is_absolute());
    all.map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes))
        .collect()
}

fn packs(place: &Place) -> usize {
    let files = files(place).into_keys();
    files.filter(|path| path.starts_with("packs")).count()
}

fn sound(place: &Place, when: &str) {
    let health = place.registry().check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, [], "{when}");
}

#[test]
fn what_is_purged_leaves_its_pack_whatever_happens_meanwhile() {
    let place = Place::grown();
    unlearned(&place, "3");
    assert_eq!(packs(&place), 1, "the new versions lie in one pack");
    let registry = place.registry();
    let digest = registry.digest(&"r1@2".parse().unwrap()).unwrap().unwrap();
    let manifest = registry.manifest(digest).unwrap();
    let head = manifest
        .tensors
        .get(&format!("{}.weight", manifest.head))
        .unwrap();
    let weights = registry.tensor(head).unwrap().bytes;
    drop(registry);
    unlearned(&place, "4");
    assert_eq!(packs(&place), 2);
    let remembers = |place: &Place| {
        let files = files(place).into_values();
        files
            .filter(|bytes| bytes.windows(weights.len()).any(|part| part == weights))
            .count()
    };
    assert_eq!(remembers(&place), 1);
    let purge = ["purge", "r1@2", "--reason", "request 7"];
    let clean = place.copy();
    clean.run(&purge).success();
    assert_eq!(remembers(&clean), 0);
    sound(&clean, "after a purge");
    clean.run(&["gc", "--drafts"]).success();
    for point in [
        "pack",
        "pack written",
        "pack rewritten",
        "purge after commit",
    ] {
        let place = place.copy();
        killed(&place, &purge, point);
        sound(&place, point);
        assert_eq!(versions(&place), versions(&clean), "{point}");
        // The purge is on record: what it did not delete belongs to nothing.
        place.run(&["gc", "--drafts"]).success();
        assert_eq!(remembers(&place), 0, "{point}");
        assert!(files(&place) == files(&clean), "{point}");
        sound(&place, point);
    }
}

#[test]
fn small_objects_are_brought_together_whatever_happens_meanwhile() {
    let place = Place::grown();
    let (before, objects) = (versions(&place), files(&place).len());
    let clean = place.copy();
    let done = clean.json(&["gc", "--pack", "--json"]);
    assert!(done["packed"]["objects"].as_u64().unwrap() > 20, "{done}");
    assert_eq!((&done["packed"]["packs"], packs(&clean)), (&1.into(), 1));
    assert!(files(&clean).len() < objects / 2);
    let text = clean.text(&["gc", "--pack"]);
    assert!(
        text.contains("brought 0 objects and 0 small packs into"),
        "{text}"
    );
    for point in [
        "pack",
        "pack written",
        "packs gathered",
        "remove object:1",
        "remove object:9",
    ] {
        let place = place.copy();
        killed(&place, &["gc", "--pack"], point);
        assert_eq!(versions(&place), before);
        sound(&place, point);
        place.run(&["gc", "--pack"]).success();
        assert!(files(&place) == files(&clean), "{point}");
        sound(&place, point);
    }
    place.run(&["gc", "--pack", "--dry-run"]).failure().code(2);
    // A request finds the same, wherever objects lie.
    unlearned(&place, "3");
    unlearned(&clean, "3");
    assert_eq!(versions(&place), versions(&clean));
    sound(&clean, "after a request");
    clean.run(&["export", "r1", "r1.safetensors"]).success();
}

/// What names the registry to the process that is to be killed.
const ROUND: &str = "DISINHERIT_TEST_ROUND";

/// How many clients a round has.
const CLIENTS: usize = 4;

/// Adds what a round of a federation leaves: the clients' models, and their average.
fn add_round(registry: &Registry) -> Vec<String> {
    let head = |value: f32| {
        let names = ["body", "head.bias", "head.weight"];
        let tensor = |(at, name): (usize, &str)| {
            let shape = [2, 3].into_iter().take(if at == 1 { 1 } else { 2 });
            let shape: Vec<usize> = shape.collect();
            let values = vec![value + at as f32; shape.iter().product()];
            (name.to_owned(), Tensor::from_f32(&shape, &values))
        };
        Held(names.into_iter().enumerate().map(tensor).collect())
    };
    let model = |name: String, parents: Vec<(String, Relation)>, own: Vec<Training>| AddModel {
        name,
        file: PathBuf::new(),
        architecture: Architecture::for_head("head", 3, 2),
        preprocessing: Preprocessing::default(),
        labels: vec!["cat".into(), "dog".into()],
        parents,
        training: own,
        time: None,
        untied: false,
    };
    let names: Vec<String> = (0..CLIENTS).map(|at| format!("client-{at}/0001")).collect();
    let client = |name: &String| {
        let own = vec![Training::new("digits", ["cat"])];
        model(name.clone(), Vec::new(), own)
    };
    let mut models: Vec<AddModel> = names.iter().map(client).collect();
    let share = Relation::FederatedAverage {
        weight: 1.0 / CLIENTS as f64,
    };
    let shares = names.into_iter().map(|name| (name, share.clone()));
    models.push(model("global/0001".into(), shares.collect(), Vec::new()));
    let tensors: Vec<Held> = (0..models.len()).map(|at| head(10.0 * at as f32)).collect();
    let tensors = tensors.iter().map(|held| held as &dyn TensorSource);
    let models: Vec<_> = models.into_iter().zip(tensors).collect();
    let ids = add_all_tensors(registry, &models).unwrap();
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn a_round_that_is_killed_is_on_record_as_a_whole_or_not_at_all() {
    if let Ok(folder) = std::env::var(ROUND) {
        add_round(&Registry::open(folder.as_ref()).unwrap());
        return;
    }
    let name = "packs::a_round_that_is_killed_is_on_record_as_a_whole_or_not_at_all";
    for point in [
        "object:2",
        "pack",
        "pack written",
        "publish",
        "publish after sync",
        "publish before commit",
        "publish after commit",
    ] {
        let place = Place::new();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(ROUND, place.folder.path())
            .env("DISINHERIT_CRASH", point)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(!child.unwrap().success(), "`{point}` was never passed");
        sound(&place, point);
        let there = versions(&place).len();
        let expected = if point.ends_with("after commit") {
            CLIENTS + 1
        } else {
            0
        };
        assert_eq!(there, expected, "{point}");
        if there == 0 {
            let added = add_round(&place.registry());
            assert_eq!(added.last().unwrap(), "global/0001@1", "{point}");
        }
        let graph = place.registry().graph().unwrap();
        let global = "global/0001@1".parse().unwrap();
        assert_eq!(graph.parents(&global).len(), CLIENTS, "{point}");
        assert_eq!(place.registry().operations().unwrap().len(), 1, "{point}");
        place.run(&["gc", "--drafts"]).success();
        sound(&place, point);
        assert_eq!((files(&place).len(), packs(&place)), (1, 1), "{point}");
    }
}
