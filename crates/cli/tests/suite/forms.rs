//! Forms that need care: ONNX with its weights in a second file, heads without a bias.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use disinherit_data::{OpenOptions, open};
use disinherit_formats::{Dtype, Tensor, TensorSource, read_checkpoint, write_checkpoint};
use disinherit_testkit::onnx_runtime;

use crate::common::Place;

/// A trained network in a file.
fn trained(place: &Place) {
    let home = Place::new();
    home.run(&["grow", "fl-digits", "--epochs", "20", "--quiet"])
        .success();
    let file = place.path("model.safetensors");
    home.run(&["export", "r1", file.to_str().unwrap()])
        .success();
}

/// The same weights in an ONNX model that PyTorch exported from the same network.
fn as_onnx(place: &Place, template: &str, file: &str) {
    let template = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(template);
    let template = disinherit_formats::open(&template).unwrap();
    let weights = disinherit_formats::open(&place.path("model.safetensors")).unwrap();
    let (known, other) = (weights.tensors(), template.tensors());
    let parts = disinherit_formats::Parts {
        documents: template.documents.clone(),
        describe: &|name| known.get(name).or(other.get(name)).cloned(),
        tensor: &|name| match known.contains_key(name) {
            true => weights.tensor(name),
            false => template.tensor(name),
        },
        copy: None,
    };
    let file = place.path(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    disinherit_formats::write(&file, &template.format, &parts).unwrap();
}

fn head(place: &Place, file: &str, name: &str) -> [Vec<f32>; 2] {
    let bundle = disinherit_formats::open(&place.path(file)).unwrap();
    ["weight", "bias"].map(|part| {
        let tensor = bundle.tensor(&format!("{name}.{part}")).unwrap();
        tensor.to_f32().unwrap()
    })
}

/// `torch.onnx.export` writes the weights of all but the smallest models beside the graph.
#[test]
fn onnx_with_weights_beside_it_is_unlearned_and_given_back() {
    let place = Place::new();
    trained(&place);
    as_onnx(&place, "small-cnn.onnx", "one.onnx");
    as_onnx(&place, "apart.onnx", "in/apart.onnx");
    for (name, file) in [("one", "one.onnx"), ("apart", "in/apart.onnx")] {
        let labels = ["--labels", "0,1,2,3,4,5,6,7,8,9"];
        let data = ["--trained-on", "digits", "--data", "digits"];
        place
            .run(&[&["add", file, "--name", name][..], &labels, &data].concat())
            .success();
        let forget = ["unlearn", "--forget", "class=3", "--from", name];
        place
            .run(&[&forget[..], &["--data", "digits", "--depth", "outputs"]].concat())
            .success();
    }
    place.run(&["export", "one", "out/one.onnx"]).success();
    place.run(&["export", "apart", "out/new.onnx"]).success();
    let (one, apart) = (
        head(&place, "out/one.onnx", "fc2"),
        head(&place, "out/new.onnx", "fc2"),
    );
    for (a, b) in one.iter().flatten().zip(apart.iter().flatten()) {
        assert!((a - b).abs() <= 1e-5, "{a} {b}");
    }
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    let before = read("in/apart.onnx.data");
    let after = read("out/apart.onnx.data");
    assert_eq!(before.len(), after.len());
    let differ = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(differ > 0 && differ <= 64 * 10 * 4, "{differ}");
    // The version before comes back byte for byte, and not over what is another model's.
    place.refuse(
        &["export", "apart@1", "out/old.onnx"],
        &["apart.onnx.data", "export into another folder"],
    );
    place
        .run(&["export", "apart@1", "old/apart.onnx"])
        .success();
    for name in ["apart.onnx", "apart.onnx.data"] {
        assert!(read(&format!("in/{name}")) == read(&format!("old/{name}")));
    }
    place.run(&["fsck"]).success();
    fs::remove_file(place.path("in/apart.onnx.data")).unwrap();
    place.refuse(
        &["add", "in/apart.onnx", "--name", "lost", "--labels", "a,b"],
        &["apart.onnx.data", "put both files into one folder"],
    );
}

#[test]
fn graphs_are_run_by_onnx_runtime_where_it_is_named() {
    let place = Place::new();
    trained(&place);
    as_onnx(&place, "small-cnn.onnx", "one.onnx");
    let labels = ["--labels", "0,1,2,3,4,5,6,7,8,9"];
    let add = ["add", "one.onnx", "--name", "one", "--trained-on", "digits"];
    place.run(&[&add[..], &labels].concat()).success();
    let verify = ["verify", "one", "--forget", "class=3", "--data", "digits"];
    let verify = [
        &verify[..],
        &["--feature-cache", "0", "--json", "--log", "info"],
    ]
    .concat();
    let said = |arguments: &[&str]| {
        let output = place.run(arguments).code(1).get_output().clone();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&output.stdout), text(&output.stderr))
    };
    let (ours, log) = said(&verify);
    assert!(!log.contains("run by ONNX Runtime"), "{log}");
    place.refuse(
        &["--onnx-runtime", "one.onnx", "list"],
        &["one.onnx cannot be loaded as ONNX Runtime", "`onnxruntime`"],
    );
    let Some(library) = onnx_runtime() else {
        return;
    };
    let named = ["--onnx-runtime", library.to_str().unwrap()];
    let (theirs, log) = said(&[&named[..], &verify].concat());
    assert_eq!(ours, theirs);
    assert!(log.contains("run by ONNX Runtime"), "{log}");
}

/// Features of digits, without logits: their pixels.
fn pixels(place: &Place) {
    let splits = open("digits", &OpenOptions::default()).unwrap();
    let set = &splits.train;
    let values: Vec<f32> = (0..set.len())
        .flat_map(|at| {
            set.image(at)
                .unwrap()
                .1
                .iter()
                .map(|p| f32::from(*p) / 255.0)
        })
        .collect();
    let width = values.len() / set.len();
    let labels = set
        .labels()
        .iter()
        .flat_map(|l| i64::from(*l).to_le_bytes());
    let labels = Tensor {
        dtype: Dtype::I64,
        shape: vec![set.len()],
        bytes: labels.collect(),
    };
    let tensors = BTreeMap::from([
        (
            "features".into(),
            Tensor::from_f32(&[set.len(), width], &values),
        ),
        ("labels".into(), labels),
    ]);
    let metadata = HashMap::from([("labels".to_owned(), "0,1,2,3,4,5,6,7,8,9".to_owned())]);
    write_checkpoint(&place.path("pixels.safetensors"), &tensors, metadata).unwrap();
    // The mean of each label's images, as a matrix that tells them apart.
    let mut weight = vec![0.0; 10 * width];
    let counts = set.counts();
    for (row, &label) in values.chunks_exact(width).zip(set.labels()) {
        let place = &mut weight[label as usize * width..][..width];
        for (sum, value) in place.iter_mut().zip(row) {
            *sum += 4.0 * (value - 0.3) / counts[label as usize] as f32;
        }
    }
    // The same predictions, with logits far below zero.
    let low: Vec<f32> = weight.iter().map(|value| value - 4.0).collect();
    let [weight, low] = [weight, low].map(|values| Tensor::from_f32(&[10, width], &values));
    let low = BTreeMap::from([("score.weight".to_owned(), low)]);
    let bare = BTreeMap::from([("score.weight".to_owned(), weight)]);
    let mut full = bare.clone();
    full.insert("score.bias".into(), Tensor::from_f32(&[10], &[0.0; 10]));
    for (name, tensors) in [("bare", bare), ("full", full), ("low", low)] {
        write_checkpoint(
            &place.path(&format!("{name}.safetensors")),
            &tensors,
            HashMap::new(),
        )
        .unwrap();
    }
}

#[test]
fn a_head_without_a_bias_is_dampened_as_one_with_zeros() {
    let place = Place::new();
    pixels(&place);
    let data = ["--data", "pixels.safetensors"];
    for name in ["bare", "full"] {
        let file = format!("{name}.safetensors");
        let labels = ["--labels", "0,1,2,3,4,5,6,7,8,9", "--trained-on", "pixels"];
        place
            .run(&[&["add", &file, "--name", name][..], &labels, &data].concat())
            .success();
        let forget = ["unlearn", "--forget", "class=3", "--from", name];
        let said = place.json(&[&forget[..], &["--dampen-only", "--json"], &data].concat());
        let tensors = &said["unlearned"]["models"][0]["tensors"];
        assert!(
            tensors["score.weight"]["changed"].as_u64().unwrap() > 0,
            "{said}"
        );
        assert_eq!(tensors.get("score.bias").is_some(), name == "full");
        place
            .run(&["export", name, &format!("new/files/{name}")])
            .success();
    }
    let (bare, full) = (
        read_checkpoint(&place.path("new/files/bare")).unwrap(),
        read_checkpoint(&place.path("new/files/full")).unwrap(),
    );
    assert_eq!(bare.keys().collect::<Vec<_>>(), ["score.weight"]);
    assert_eq!(bare["score.weight"], full["score.weight"]);
    // The card serves without data; cards go round.
    place
        .run(&[&["fisher", "bare"][..], &data].concat())
        .success();
    place
        .run(&["fisher", "export", "bare", "bare.card"])
        .success();
    place.run(&["fisher", "import", "bare.card"]).success();
    place
        .run(&[
            "unlearn", "--forget", "class=5", "--from", "bare", "--alpha", "1.2",
        ])
        .success();
    place.run(&["export", "bare", "last"]).success();
    assert_eq!(read_checkpoint(&place.path("last")).unwrap().len(), 1);
    // Others would give it a bias.
    place.refuse(
        &[
            &[
                "unlearn", "--forget", "class=6", "--from", "bare", "--method", "mask",
            ][..],
            &data,
        ]
        .concat(),
        &["has no bias", "--method"],
    );
    place.run(&[&["report"][..], &data].concat()).success();
}

#[test]
fn a_head_without_a_bias_is_lowered_to_the_mean_of_the_others() {
    let place = Place::new();
    pixels(&place);
    let data = ["--data", "pixels.safetensors"];
    let labels = ["--labels", "0,1,2,3,4,5,6,7,8,9", "--trained-on", "pixels"];
    place
        .run(
            &[
                &["add", "low.safetensors", "--name", "low"][..],
                &labels,
                &data,
            ]
            .concat(),
        )
        .success();
    let forget = ["unlearn", "--forget", "class=4", "--json"];
    let alone = place.json(&[&forget[..], &data, &["--dampen-only", "--dry-run"]].concat());
    assert_eq!(alone["unlearned"]["models"][0]["choice"]["reached"], false);
    let said = place.json(&[&forget[..], &data].concat());
    let choice = &said["unlearned"]["models"][0]["choice"];
    assert_eq!(choice["lowering"]["part"], "weight", "{choice}");
    assert!(choice["lowering"]["forget_before"].as_f64().unwrap() > 0.5);
    let warning = said["unlearned"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("of the way to the mean of the others"),
        "{warning}"
    );
    // `verify` succeeds where every model has forgotten.
    place.run(&[&["verify"][..], &data].concat()).success();
}
