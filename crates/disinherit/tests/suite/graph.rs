//! ONNX graphs, run up to their heads, against what PyTorch says (recorded by `fixtures/make.py`).

use std::collections::BTreeMap;
use std::path::Path;

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_formats::{FileFormat, ModelFile, OnnxFormat, Parts, Tensor, TensorSource};
use disinherit_formats::{graph_steps, layer_below, onnx_files, open, up_to_head};
use disinherit_nets::{Array, Entrances, GraphCut, GraphNetwork, KnownGraph, NetError};
use disinherit_nets::{OnnxRuntime, Positions, Preprocessing, RuntimeGraph, StateDict};
use disinherit_testkit::onnx_runtime;
use fiun::{Correction, Matrix};

fn recorded(name: &str) -> (ModelFile, OnnxFormat) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let bundle = open(&path).unwrap();
    let FileFormat::Onnx(format) = &bundle.format.files[0].format else {
        panic!("{name} is no ONNX file");
    };
    let format = format.clone();
    (bundle, format)
}

/// The file of a recorded model with other values of some tensors.
fn written(model: &ModelFile, changed: &StateDict) -> Vec<u8> {
    let known = model.tensors();
    let parts = Parts {
        documents: model.documents.clone(),
        describe: &|name| known.get(name).cloned(),
        tensor: &|name| match changed.get(name) {
            Some(array) => Ok(Tensor::from_f32(&array.shape, &array.values)),
            None => model.tensor(name),
        },
        copy: None,
    };
    let mut files = onnx_files(&model.format, &parts).unwrap();
    files.remove(&model.format.files[0].name).unwrap()
}

fn network_of(file: &[u8], format: &OnnxFormat) -> GraphNetwork {
    let bytes = up_to_head(file, &[&format.features], &BTreeMap::new()).unwrap();
    GraphNetwork::new(bytes, format.inputs.clone(), &format.features).unwrap()
}

fn network(name: &str) -> GraphNetwork {
    let (model, format) = recorded(name);
    network_of(&written(&model, &StateDict::new()), &format)
}

fn set(samples: Samples) -> DataSet {
    let ids = (0..3).map(|n| n.to_string()).collect();
    DataSet::new("three", samples, vec![0; 3], vec!["a".into()], ids).unwrap()
}

fn texts() -> DataSet {
    set(Samples::Tokens {
        vocabulary: 20,
        sequences: vec![vec![1, 2, 3], vec![4, 5], vec![6]],
    })
}

fn images(side: usize) -> DataSet {
    let shape = ImageShape {
        channels: 1,
        height: side,
        width: side,
    };
    set(Samples::Images {
        shape,
        pixels: (0..3 * side * side).map(|n| (n * 5) as u8).collect(),
    })
}

fn features(name: &str, set: &DataSet) -> Result<Vec<f32>, NetError> {
    let mut done = 0;
    let made = network(name).features(set, &Preprocessing::default(), &mut |n| done += n);
    made.map(|matrix| {
        assert_eq!((matrix.rows(), done), (3, 3));
        matrix.into_values()
    })
}

fn close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= 1e-5, "{ours:?} {theirs:?}");
    }
}

const OF_TEXTS: [f32; 12] = [
    0.3110524, 0.2829863, 0.1397183, 0.2634081, 0.2243095, -0.4107882, 0.1834024, 0.3628481,
    -0.0792793, -0.582612, 0.0680158, 0.0032023,
];
const OF_IMAGES: [f32; 6] = [1.0017663, 0.0, 0.2703293, 0.0, 0.0, 0.1572918];
const OF_BLOCKS: [f32; 24] = [
    3.8049536, 0.1775323, 0.7293359, 1.1246781, 2.7787242, 0.4510528, 1.6776665, 1.8966603,
    3.6817076, 0.232951, 0.7061037, 1.1308709, 2.6826901, 0.4333027, 1.7962098, 2.0355377,
    4.114659, 0.3338187, 0.6383741, 1.4395313, 2.4977043, 0.45004, 2.0669708, 2.2081547,
];
const OF_PLAIN: [f32; 15] = [
    0.0501715, 0.060121, 0.1207144, 0.0884323, 0.0, 0.0576473, 0.0516058, 0.1120539, 0.0860848,
    0.0, 0.0431892, 0.0471717, 0.1218579, 0.1096035, 0.0,
];

/// Graphs that the engine for image networks runs: the side of their images, and their features.
const KNOWN: [(&str, usize, &[f32]); 4] = [
    ("fixed-batch.onnx", 4, &OF_IMAGES),
    // Batch norms and residual blocks, as they are trained, and folded into convolutions.
    ("blocks.onnx", 20, &OF_BLOCKS),
    ("folded.onnx", 20, &OF_BLOCKS),
    // Two kinds of pools, and a linear layer below the head.
    ("plain.onnx", 20, &OF_PLAIN),
];

/// The network of a file's steps for images, where they are known.
fn known(file: &[u8], format: &OnnxFormat, set: &DataSet) -> Option<KnownGraph> {
    let steps = graph_steps(file, &format.features)?;
    KnownGraph::new(steps, &format.inputs, set).unwrap()
}

#[test]
fn known_steps_make_the_same_features() {
    for (name, side, expected) in KNOWN {
        let (model, format) = recorded(name);
        let file = written(&model, &StateDict::new());
        let bytes = up_to_head(&file, &[&format.features], &BTreeMap::new()).unwrap();
        let set = images(side);
        let graph = known(&bytes, &format, &set).unwrap();
        let mut done = 0;
        let made = graph.features(&set, &Preprocessing::default(), &mut |n| done += n);
        let made = made.unwrap();
        assert_eq!((made.rows(), done), (3, 3), "{name}");
        close(made.values(), expected);
        close(made.values(), &features(name, &set).unwrap());
        // The images of another data set are refused as those of any network.
        let other = graph.features(&images(5), &Preprocessing::default(), &mut |_| ());
        assert!(other.is_err());
        // Of other images, what runs any graph says what is wrong.
        assert!(known(&bytes, &format, &texts()).is_none());
        assert!(known(&bytes, &format, &images(3)).is_none(), "{name}");
    }
}

#[test]
fn graphs_of_other_operations_are_left_to_rten() {
    for (name, side) in [("residual.onnx", 6), ("sequence.onnx", 4), ("text.onnx", 4)] {
        let (model, format) = recorded(name);
        let file = written(&model, &StateDict::new());
        assert!(known(&file, &format, &images(side)).is_none(), "{name}");
    }
    // One operation is another one.
    let (model, format) = recorded("plain.onnx");
    let (mut file, set) = (written(&model, &StateDict::new()), images(20));
    assert!(known(&file, &format, &set).is_some());
    let place = file.windows(6).position(|bytes| bytes == b"\"\x04Relu");
    let place = place.unwrap() + 2;
    file[place..place + 4].copy_from_slice(b"Tanh");
    assert!(known(&file, &format, &set).is_none());
    let made = network_of(&file, &format).features(&set, &Preprocessing::default(), &mut |_| ());
    assert_eq!(made.unwrap().rows(), 3);
}

/// Files with wrong bytes are left alone, or make features; they end nothing.
#[test]
fn torn_graphs_have_no_steps_or_run() {
    let mut random = 1u64;
    let mut draw = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for (name, side, _) in KNOWN {
        let (model, format) = recorded(name);
        let (file, set) = (written(&model, &StateDict::new()), images(side));
        let mut runs = 0;
        for _ in 0..60 {
            let mut torn = file.clone();
            if draw(4) == 0 {
                torn.truncate(draw(file.len()));
            }
            for _ in 0..=draw(3) {
                let place = draw(file.len());
                if let Some(byte) = torn.get_mut(place) {
                    *byte ^= 1 << draw(8);
                }
            }
            if let Some(graph) = known(&torn, &format, &set) {
                let made = graph.features(&set, &Preprocessing::default(), &mut |_| ());
                assert_eq!(made.unwrap().rows(), 3);
                runs += 1;
            }
        }
        assert!(runs > 0, "{name}");
    }
}

#[test]
fn texts_are_masked_and_padded() {
    close(&features("text.onnx", &texts()).unwrap(), &OF_TEXTS);
}

#[test]
fn a_fixed_batch_is_filled_up() {
    // The graph insists on two images at a time; there are three.
    let made = features("fixed-batch.onnx", &images(4)).unwrap();
    close(&made, &OF_IMAGES);
}

#[test]
fn onnx_runtime_makes_the_same() {
    let Some(library) = onnx_runtime() else {
        return;
    };
    let runtime = OnnxRuntime::load(&library).unwrap();
    let shown = format!("{runtime:?}");
    assert!(shown.starts_with("ONNX Runtime 1."), "{shown}");
    for (name, set, expected) in [
        ("text.onnx", texts(), &OF_TEXTS[..]),
        ("fixed-batch.onnx", images(4), &OF_IMAGES),
    ] {
        let (model, format) = recorded(name);
        let file = written(&model, &StateDict::new());
        let file = up_to_head(&file, &[&format.features], &BTreeMap::new()).unwrap();
        let graph = RuntimeGraph::new(runtime, &file, format.inputs, &format.features).unwrap();
        let made = graph.features(&set, &Preprocessing::default(), &mut |_| {});
        close(made.unwrap().values(), expected);
    }
    let refused = RuntimeGraph::new(runtime, b"no graph", Vec::new(), "x")
        .err()
        .unwrap();
    assert!(refused.to_string().contains("cannot be run"), "{refused}");
    let other = OnnxRuntime::load(Path::new("/dev/null"))
        .unwrap_err()
        .to_string();
    assert!(other.contains("is loaded already"), "{other}");
}

#[test]
fn samples_must_fit_the_inputs() {
    for (name, set, words) in [
        ("text.onnx", images(4), "reads `input_ids`"),
        ("fixed-batch.onnx", texts(), "has tokens"),
        (
            "fixed-batch.onnx",
            images(3),
            "the images of `three` are 1x3x3",
        ),
    ] {
        let said = features(name, &set).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
    assert!(GraphNetwork::new(b"no graph".to_vec(), Vec::new(), "x").is_err());
}

/// A correction of the layer makes of the features what the whole graph makes of them with the corrected
/// weights in its file.
#[test]
fn a_correction_of_the_cut_is_that_of_the_graph() {
    for (name, side, weight, tensors) in [
        // Behind a batch norm and a shortcut; the gate behind it, which is deeper, is passed over.
        ("residual.onnx", 6, "last.weight", 2),
        // Two images at a time, and a bias that is a part of the graph.
        ("fixed-batch.onnx", 4, "c.weight", 1),
    ] {
        let (model, format) = recorded(name);
        let file = written(&model, &StateDict::new());
        let bytes = up_to_head(&file, &[&format.features], &BTreeMap::new()).unwrap();
        let layer = layer_below(&bytes, &format.features).unwrap();
        assert_eq!(layer.weight, weight, "{layer:?}");
        assert_eq!(layer.norm.is_some(), name == "residual.onnx");
        let values = layer.values(&format.features);
        let bytes = up_to_head(&bytes, &values, &BTreeMap::new()).unwrap();
        let outputs = layer.outputs;
        let mut cut = GraphCut::new(bytes, format.inputs.clone(), &format.features, layer).unwrap();
        let known = model.tensors();
        cut.keep(&|name| known.contains_key(name));
        assert_eq!(cut.tensors().names().len(), tensors, "{name}");

        let (set, plain) = (images(side), Preprocessing::default());
        let whole = network_of(&file, &format);
        let before = whole.features(&set, &plain, &mut |_| ()).unwrap();
        let seen = cut.run(&set, &plain, &mut |_| ()).unwrap();
        assert_eq!(seen.samples(), 3);
        let ours = cut.features(&seen, None).unwrap();
        close(ours.values(), before.values());

        let count = outputs * seen.depth();
        let wave = |at: usize| 0.1 * (at as f32 * 1.7).sin();
        let correction = Correction {
            weight: Matrix::new(outputs, seen.depth(), (0..count).map(wave).collect()).unwrap(),
            bias: (0..outputs).map(wave).collect(),
        };
        let state: StateDict = known
            .keys()
            .map(|name| {
                let tensor = model.tensor(name).unwrap();
                let (shape, values) = (tensor.shape.clone(), tensor.to_f32().unwrap());
                (name.clone(), Array { shape, values })
            })
            .collect();
        let changed = cut.tensors().corrected(&state, &correction).unwrap();
        assert_eq!(changed.len(), tensors);
        let after = network_of(&written(&model, &changed), &format);
        let after = after.features(&set, &plain, &mut |_| ()).unwrap();
        let ours = cut.features(&seen, Some(&correction)).unwrap();
        close(ours.values(), after.values());
        let moved = after.values().iter().zip(before.values());
        assert!(
            moved.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) > 0.01,
            "{name}"
        );
    }
}

/// A recorded graph cut at its layer, and the value that enters the layer's block.
fn cut_of(name: &str) -> (GraphCut, Option<String>) {
    let (model, format) = recorded(name);
    let file = written(&model, &StateDict::new());
    let bytes = up_to_head(&file, &[&format.features], &BTreeMap::new()).unwrap();
    let layer = layer_below(&bytes, &format.features).unwrap();
    let bytes = up_to_head(&bytes, &layer.values(&format.features), &BTreeMap::new()).unwrap();
    let entrance = layer.entrance.clone();
    let cut = GraphCut::new(bytes, format.inputs, &format.features, layer).unwrap();
    (cut, entrance)
}

/// What the layer reads and becomes part of follows from what enters its block: in a residual block that is
/// neither of both, in a plain network what the layer reads, in a transformer the class token alone.
#[test]
fn all_follows_from_what_enters_the_block() {
    let plain = Preprocessing::default();
    for (name, side, shape, kept) in [
        ("residual.onnx", 6, [6, 6, 8], None),
        ("fixed-batch.onnx", 4, [4, 4, 1], None),
        ("sequence.onnx", 4, [1, 1, 16], Some(vec![0])),
    ] {
        let (mut cut, entrance) = cut_of(name);
        assert!(entrance.is_some() && cut.has_entrance(), "{name}");
        let set = images(side);
        cut.settle(&set, &plain).unwrap();
        let seen = cut.run(&set, &plain, &mut |_| ()).unwrap();
        let mut done = 0;
        let entrances = cut.entrances(&set, &plain, &mut |n| done += n);
        let entrances = entrances.unwrap().unwrap();
        assert_eq!((entrances.samples(), done), (3, 3));
        assert_eq!(entrances.shape(), shape, "{name}");
        let positions = kept.map(|kept| Positions { length: 5, kept });
        assert_eq!(entrances.positions(), positions.as_ref(), "{name}");
        assert!(cut.follows(&entrances, &seen), "{name}");
        let behind = cut.behind(&entrances).unwrap().unwrap();
        let [ours, whole] = [&behind, &seen].map(|made| cut.features(made, None).unwrap());
        close(ours.values(), whole.values());

        // As from a card: values and positions, and no samples.
        let (mut again, _) = cut_of(name);
        again.settle_as(positions.clone()).unwrap();
        let values = entrances.values().unwrap();
        let values = Matrix::new(3, values.cols(), values.values().to_vec()).unwrap();
        let drawn = Entrances::new(shape, values).unwrap().at(positions);
        let behind = again.behind(&drawn).unwrap().unwrap();
        let ours = again.features(&behind, None).unwrap();
        close(ours.values(), whole.values());
        // Other values lead elsewhere.
        let others = vec![0.5; 3 * shape.iter().product::<usize>()];
        let others = Matrix::new(3, shape.iter().product(), others).unwrap();
        assert!(
            !again.follows(&drawn.others(others).unwrap(), &seen),
            "{name}"
        );
    }
}

#[test]
fn positions_that_do_not_fit_are_refused() {
    let (mut cut, _) = cut_of("sequence.onnx");
    let positions = |length: usize, kept: Vec<usize>| Some(Positions { length, kept });
    for wrong in [
        positions(5, vec![5]),
        positions(5, vec![1, 0]),
        positions(5, vec![]),
        positions(usize::MAX, vec![0]),
    ] {
        assert!(cut.settle_as(wrong.clone()).is_err(), "{wrong:?}");
    }
    cut.settle_as(positions(5, vec![0])).unwrap();
    let one = Entrances::new([1, 1, 16], Matrix::zeros(2, 16)).unwrap();
    let said = cut.behind(&one).unwrap_err().to_string();
    assert!(said.contains("other positions"), "{said}");
    // Values of another size are refused by the graph, not by a panic.
    let wide = Entrances::new([1, 1, 17], Matrix::zeros(2, 17)).unwrap();
    assert!(cut.behind(&wide.at(positions(5, vec![0]))).is_err());
    let tall = Entrances::new([2, 1, 16], Matrix::zeros(2, 32)).unwrap();
    assert!(cut.behind(&tall.at(positions(5, vec![0]))).is_err());
    let (vectors, _) = cut_of("text.onnx");
    let map = Entrances::new([2, 2, 3], Matrix::zeros(2, 12)).unwrap();
    let said = vectors.behind(&map).unwrap_err().to_string();
    assert!(said.contains("no map of 2x2"), "{said}");
    let (mut map, _) = cut_of("residual.onnx");
    assert!(map.settle_as(positions(5, vec![0])).is_err());
}

#[test]
fn a_layer_that_cannot_be_edited_is_said() {
    let (model, format) = recorded("text.onnx");
    let file = written(&model, &StateDict::new());
    let bytes = up_to_head(&file, &[&format.features], &BTreeMap::new()).unwrap();
    // Its weights are small: a part of the graph, found all the same.
    let layer = layer_below(&bytes, &format.features).unwrap();
    assert!(!model.tensors().contains_key(&layer.weight), "{layer:?}");
    assert!(layer_below(&bytes, "nothing").is_err());
    assert!(layer_below(b"no graph", &format.features).is_err());
}
