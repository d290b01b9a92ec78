//! Models that others made, through the command line: brought in their form, told apart, unlearned
//! by features that others captured, and given back.

mod graphs;
mod trees;

use std::collections::{BTreeMap, HashMap};
use std::fs;

use disinherit::progress::Silent;
use disinherit::provenance::own_data;
use disinherit::{Engine, LoadedModel};
use disinherit_data::{DataSet, OpenOptions};
use disinherit_formats::{Tensor, read_checkpoint, write_checkpoint};
use serde_json::Value;

use crate::common::Place;

/// A registry with a federated network on the digits.
fn grown() -> Place {
    let place = Place::new();
    place
        .run(&["grow", "fl-digits", "--epochs", "20", "--quiet"])
        .success();
    place
}

/// Writes a model, its features of the digits and the ids that it was trained on.
fn bring_away(home: &Place, away: &Place, model: &Value) -> Vec<String> {
    let id = model["id"].as_str().unwrap();
    let name = id.split('@').next().unwrap().to_owned();
    let registry = home.registry();
    let graph = registry.graph().unwrap();
    let loaded = LoadedModel::open(&registry, &graph, &id.parse().unwrap()).unwrap();
    let splits = disinherit_data::open("digits", &OpenOptions::default()).unwrap();
    let engine = Engine::new(registry).with_feature_cache(0);
    let features = engine.features(None);
    let (mut values, mut logits, mut labels, mut ids, mut heldout) =
        (vec![], vec![], vec![], vec![], vec![]);
    let mut width = 0;
    for (set, held) in [(&splits.train, 0u8), (&splits.heldout, 1)] {
        let matrix = features.of(&loaded, set, &Silent).unwrap();
        width = matrix.cols();
        values.extend_from_slice(matrix.values());
        let made = features.logits(&loaded, &matrix).unwrap();
        logits.extend_from_slice(made.values());
        labels.extend(set.labels().iter().map(|label| i64::from(*label)));
        ids.extend(set.ids().to_vec());
        heldout.extend(vec![held; set.len()]);
    }
    let count = ids.len();
    let whole = |dtype, bytes: Vec<u8>| Tensor {
        dtype,
        shape: vec![count],
        bytes,
    };
    let bytes = labels.iter().flat_map(|l| l.to_le_bytes()).collect();
    let tensors = BTreeMap::from([
        (
            "features".into(),
            Tensor::from_f32(&[count, width], &values),
        ),
        ("logits".into(), Tensor::from_f32(&[count, 10], &logits)),
        (
            "labels".into(),
            whole(disinherit_formats::Dtype::I64, bytes),
        ),
        (
            "heldout".into(),
            whole(disinherit_formats::Dtype::U8, heldout),
        ),
    ]);
    let metadata = HashMap::from([
        ("model".to_owned(), name.clone()),
        ("labels".to_owned(), "0,1,2,3,4,5,6,7,8,9".to_owned()),
        ("ids".to_owned(), serde_json::to_string(&ids).unwrap()),
    ]);
    fs::create_dir_all(away.path("features")).unwrap();
    let file = away.path("features").join(format!("{name}.safetensors"));
    write_checkpoint(&file, &tensors, metadata).unwrap();
    let own = own_data(&loaded.vertex, &splits.train).unwrap();
    fs::write(away.path(&format!("{name}.ids")), own.ids().join("\n")).unwrap();
    let file = away.path(&format!("{name}.safetensors"));
    home.run(&["export", id, file.to_str().unwrap()]).success();
    let parents = graph.parents(loaded.id()).into_iter();
    let mut arguments: Vec<String> = [
        "add",
        file.to_str().unwrap(),
        "--name",
        &name,
        "--labels",
        "0,1,2,3,4,5,6,7,8,9",
        "--trained-on",
        "digits",
        "--trained-samples",
        &format!("{name}.ids"),
        "--no-fisher",
    ]
    .map(str::to_owned)
    .to_vec();
    for (parent, relation) in parents {
        let weight = relation.weight().map_or(String::new(), |w| format!("={w}"));
        arguments.push("--parent".into());
        arguments.push(format!("{}:{}{weight}", parent.name(), relation.name()));
    }
    arguments
}

fn run(place: &Place, arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    place.run(&arguments).success();
}

/// The heads that a request made.
fn heads(place: &Place, done: &Value) -> BTreeMap<String, [Vec<f32>; 2]> {
    let registry = place.registry();
    let graph = registry.graph().unwrap();
    let models = done["unlearned"]["models"].as_array().unwrap();
    models
        .iter()
        .map(|model| {
            let id = model["after"].as_str().unwrap();
            let loaded = LoadedModel::open(&registry, &graph, &id.parse().unwrap()).unwrap();
            let (weight, bias) = loaded.head(&registry).unwrap();
            (id.to_owned(), [weight.into_values(), bias])
        })
        .collect()
}

fn same(ours: &BTreeMap<String, [Vec<f32>; 2]>, theirs: &BTreeMap<String, [Vec<f32>; 2]>) {
    assert_eq!(ours.len(), 4);
    let ids = |heads: &BTreeMap<String, [Vec<f32>; 2]>| heads.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(ours), ids(theirs));
    for (id, parts) in ours {
        for (a, b) in parts.iter().flatten().zip(theirs[id].iter().flatten()) {
            assert!((a - b).abs() <= 1e-5, "{id}: {a} {b}");
        }
    }
}

/// What can be done to heads alone.
const FORGET: [&str; 8] = [
    "unlearn", "--forget", "class=3", "--from", "r1", "--depth", "outputs", "--json",
];

#[test]
fn features_from_elsewhere_give_the_same_heads_as_the_network() {
    let (home, away) = (grown(), Place::new());
    let models = home.json(&["log", "--json"]);
    for model in models.as_array().unwrap() {
        run(&away, &bring_away(&home, &away, model));
    }
    let at_home = home.json(&[&FORGET[..], &["--data", "digits"]].concat());
    let there = away.json(&[&FORGET[..], &["--data", "features"]].concat());
    let (at_home, abroad) = (heads(&home, &at_home), heads(&away, &there));
    same(&at_home, &abroad);
    let inner = ["--data", "features", "--layers", "all", "--dry-run"];
    let all = [
        &["unlearn", "--forget", "class=5", "--from", "r1"][..],
        &inner,
    ]
    .concat();
    let refused = away.run(&all).failure().code(3);
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(said.contains("only the head is known"), "{said}");
    // Given back: the head has changed, and nothing else.
    away.run(&["export", "r4", "r4.back"]).success();
    let (before, after) = (
        read_checkpoint(&away.path("r4.safetensors")).unwrap(),
        read_checkpoint(&away.path("r4.back")).unwrap(),
    );
    let changed: Vec<&String> = before
        .iter()
        .filter(|(name, tensor)| after[*name] != **tensor)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["fc2.bias", "fc2.weight"]);
    away.run(&["export", "r4@1", "r4.same"]).success();
    assert_eq!(
        fs::read(away.path("r4.same")).unwrap(),
        fs::read(away.path("r4.safetensors")).unwrap()
    );
    // What is purged takes the weights along, and leaves what the new version shares.
    away.run(&["purge", "r4@1", "--reason", "a test"]).success();
    away.run(&["fsck"]).success();
    away.refuse(&["export", "r4@1", "gone"], &["purged"]);
    away.run(&["export", "r4", "r4.again"]).success();
    assert_eq!(
        fs::read(away.path("r4.again")).unwrap(),
        fs::read(away.path("r4.back")).unwrap()
    );
    let verdict = away.json(&["verify", "--data", "features", "--json"]);
    assert!(verdict.to_string().contains("r4@2"), "{verdict}");
}

/// Of what lies below a head nothing can be changed: the head is matched alone, and that is said.
#[test]
fn samples_are_matched_in_heads_alone() {
    let (home, away) = (grown(), Place::new());
    let models = home.json(&["log", "--json"]);
    for model in models.as_array().unwrap() {
        run(&away, &bring_away(&home, &away, model));
    }
    let ids = fs::read_to_string(away.path("r1.ids")).unwrap();
    let gone: Vec<&str> = ids.lines().take(20).collect();
    fs::write(away.path("gone.txt"), gone.join("\n")).unwrap();
    let forget = ["unlearn", "--forget", "samples=gone.txt", "--from", "r1"];
    let done = away.json(&[&forget[..], &["--data", "features", "--json"]].concat());
    assert_eq!(done["method"], "matching");
    let warnings = done["unlearned"]["warnings"].to_string();
    for model in done["unlearned"]["models"].as_array().unwrap() {
        let matched = &model["matched"];
        assert_eq!(matched["head_only"], true, "{model}");
        assert_eq!(matched["views"], false, "{model}");
        let number = |at: &str| matched.pointer(at).unwrap().as_f64().unwrap();
        let away_from_aim = |at: &str| (number(at) - number("/aim")).abs();
        assert!(
            away_from_aim("/area/1") <= away_from_aim("/area/0") + 0.02,
            "{model}"
        );
        let name = model["before"].as_str().unwrap();
        assert!(
            warnings.contains(&format!("{name}: only its head was matched")),
            "{warnings}"
        );
        let tensors = model["tensors"].as_object().unwrap();
        assert_eq!(tensors.len(), 2, "{tensors:?}");
    }
}

#[test]
fn features_must_be_the_models_own() {
    let (home, away) = (grown(), Place::new());
    let models = home.json(&["log", "--json"]);
    for model in models.as_array().unwrap() {
        run(&away, &bring_away(&home, &away, model));
    }
    let named = "features/r3.safetensors";
    away.refuse(
        &[&FORGET[..], &["--data", named]].concat(),
        &["it has no features of `r1`", "r3"],
    );
    // One table without a name, for models with different networks below their heads.
    let bytes = fs::read(away.path("features/r1.safetensors")).unwrap();
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    let end = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = text[..end].replace(r#""model":"r1""#, r#""other":"x""#);
    assert_eq!(header.len() + 1, end);
    let anonymous = [
        &(end as u64).to_le_bytes()[..],
        header.as_bytes(),
        b" ",
        &bytes[8 + end..],
    ];
    fs::write(away.path("anonymous.safetensors"), anonymous.concat()).unwrap();
    // The card that was finished before is kept for the next try.
    let tried = away.run(&[&FORGET[..], &["--data", "anonymous.safetensors"]].concat());
    let said = String::from_utf8(tried.failure().get_output().stderr.clone()).unwrap();
    assert!(
        said.contains("does not say whose features it holds"),
        "{said}"
    );
    // Logits that the head does not make of the features.
    let file = away.path("features/r1.safetensors");
    let mut tensors = read_checkpoint(&file).unwrap();
    let wrong = tensors["logits"]
        .to_f32()
        .unwrap()
        .iter()
        .map(|v| v + 1.0)
        .collect::<Vec<_>>();
    let shape = tensors["logits"].shape.clone();
    tensors.insert("logits".into(), Tensor::from_f32(&shape, &wrong));
    write_checkpoint(&away.path("wrong.safetensors"), &tensors, HashMap::new()).unwrap();
    away.refuse(
        &["fisher", "r1", "--data", "wrong.safetensors"],
        &["logits", "r1@1"],
    );
}

#[test]
fn features_come_in_other_files_too() {
    let place = Place::new();
    let folder = place.path("npy");
    fs::create_dir_all(&folder).unwrap();
    let npy = |name: &str, kind: &str, shape: &str, bytes: Vec<u8>| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
        let padded = format!("{header:<117}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((padded.len() as u16).to_le_bytes());
        file.extend(padded.bytes());
        file.extend(bytes);
        fs::write(folder.join(name), file).unwrap();
    };
    let values: Vec<f32> = (0..40).map(|n| n as f32 / 4.0).collect();
    npy(
        "features.npy",
        "<f4",
        "(20, 2)",
        values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    );
    npy(
        "labels.npy",
        "<i8",
        "(20,)",
        (0..20i64).flat_map(|n| (n % 2).to_le_bytes()).collect(),
    );
    fs::write(folder.join("labels.txt"), "ham\nspam\n").unwrap();
    let read = |path: &str| -> Result<DataSet, disinherit_data::DataError> {
        let path = place.path(path);
        Ok(disinherit_data::open(&path.to_string_lossy(), &OpenOptions::default())?.train)
    };
    let set = read("npy").unwrap();
    assert_eq!(set.label_names(), ["ham", "spam"]);
    let table = set.features_of("anyone").unwrap();
    assert_eq!((table.width, set.len()), (2, 16));
    assert!(set.ids()[0].starts_with("npy/"));
    npy(
        "labels.npy",
        "<f4",
        "(20,)",
        (0..20).flat_map(|_| 0.5f32.to_le_bytes()).collect(),
    );
    assert!(read("npy").unwrap_err().to_string().contains("label 0.5"));
    npy("labels.npy", "<i8", "(99999999999,)", vec![]);
    assert!(
        read("npy")
            .unwrap_err()
            .to_string()
            .contains("claims the shape")
    );
    npy("labels.npy", &"{".repeat(40), "(20,)", vec![]);
    assert!(
        read("npy")
            .unwrap_err()
            .to_string()
            .contains("no plain array")
    );
    npy("labels.npy", "<i8", "(3,)", vec![0; 24]);
    assert!(
        read("npy")
            .unwrap_err()
            .to_string()
            .contains("20 samples and 3 labels")
    );
}

#[test]
fn heads_that_cannot_be_dampened_are_refused_with_advice() {
    let place = Place::new();
    let weights = |tensors: &[(&str, &[usize])]| {
        let tensors = tensors
            .iter()
            .map(|(name, shape)| {
                let values = vec![0.5; shape.iter().product()];
                ((*name).to_owned(), Tensor::from_f32(shape, &values))
            })
            .collect();
        write_checkpoint(&place.path("m.safetensors"), &tensors, HashMap::new()).unwrap();
    };
    let add = ["add", "m.safetensors", "--name", "m", "--labels", "a,b,c"];
    weights(&[
        ("embed.weight", &[3, 4]),
        ("fc.weight", &[3, 4]),
        ("fc.bias", &[3]),
    ]);
    place.refuse(&add, &["tied to `embed.weight`", "--untied"]);
    place.run(&[&add[..], &["--untied"]].concat()).success();
    weights(&[("conv.weight", &[3, 4, 1, 1]), ("conv.bias", &[3])]);
    // A convolution of one by one pixel is a head.
    place.run(&add).success();
    weights(&[("conv.weight", &[3, 4, 3, 3]), ("conv.bias", &[3])]);
    place.refuse(&add, &["no linear layer has 3 outputs"]);
    weights(&[("fc.weight", &[3, 4]), ("fc.bias", &[3])]);
    place.refuse(
        &["add", "m.safetensors", "--name", "m"],
        &["3 rows of its head `fc`", "--labels"],
    );
}
