//! ONNX files: the head is found, taken out, put back, and nothing else is touched. The files were
//! written by PyTorch 2.9.1.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use disinherit_formats::{FileFormat, FormatError, GraphLayer, ModelFile, Parts};
use disinherit_formats::{Tensor, TensorSource};
use disinherit_formats::{layer_below, open, up_to_head, write};
use tempfile::TempDir;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn give_back(model: &ModelFile, path: &Path, change: &dyn Fn(&str, Tensor) -> Tensor) {
    give_changed(model, path, change).unwrap();
}

fn give(model: &ModelFile, path: &Path) -> Result<(), String> {
    give_changed(model, path, &|_, tensor| tensor).map_err(|error| error.to_string())
}

fn give_changed(
    model: &ModelFile,
    path: &Path,
    change: &dyn Fn(&str, Tensor) -> Tensor,
) -> Result<(), FormatError> {
    let known = model.tensors();
    let parts = Parts {
        documents: model.documents.clone(),
        describe: &|name| known.get(name).cloned(),
        tensor: &|name| Ok(change(name, model.tensor(name)?)),
        copy: None,
    };
    write(path, &model.format, &parts)
}

fn refused(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    }
}

fn features(model: &ModelFile) -> String {
    match &model.format.files[0].format {
        FileFormat::Onnx(format) => format.features.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn heads_are_found_taken_out_and_put_back() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.onnx");
    for (file, head, value) in [
        ("gemm.onnx", "fc", "/Relu_output_0"),
        ("softmax.onnx", "fc", "/Relu_output_0"),
        ("dynamo.onnx", "fc", "relu"),
        // Weights without a name, turned.
        ("matmul.onnx", "head", "/Relu_output_0"),
    ] {
        let model = open(&recorded(file)).unwrap();
        let found = model.head().unwrap();
        assert_eq!(
            (found.name.as_str(), found.outputs, found.inputs),
            (head, 3, 5),
            "{file}"
        );
        assert_eq!(features(&model), value);
        let bytes = fs::read(recorded(file)).unwrap();
        give_back(&model, &out, &|_, tensor| tensor);
        assert_eq!(fs::read(&out).unwrap(), bytes, "{file}");

        // One row of the head halved: nothing but its bytes changes.
        let weight = format!("{head}.weight");
        give_back(&model, &out, &|name, tensor| {
            let mut values = tensor.to_f32().unwrap();
            if name == weight {
                values[5..10].iter_mut().for_each(|value| *value /= 2.0);
            }
            Tensor::from_f32(&tensor.shape, &values)
        });
        let changed = fs::read(&out).unwrap();
        assert_eq!(changed.len(), bytes.len());
        let differ = changed.iter().zip(&bytes).filter(|(a, b)| a != b).count();
        assert!((1..=5 * 4).contains(&differ), "{file}: {differ}");
        let again = open(&out).unwrap();
        let (new, old) = (
            again.tensor(&weight).unwrap(),
            model.tensor(&weight).unwrap(),
        );
        let (new, old) = (new.to_f32().unwrap(), old.to_f32().unwrap());
        for (place, (new, old)) in new.iter().zip(&old).enumerate() {
            let expected = if (5..10).contains(&place) {
                old / 2.0
            } else {
                *old
            };
            assert_eq!(*new, expected, "{file}");
        }
        let cut = up_to_head(&bytes, &[value], &BTreeMap::new()).unwrap();
        assert!(cut.len() < bytes.len() + 64 && cut != bytes);
    }
}

#[test]
fn heads_without_a_bias_are_heads() {
    let model = open(&recorded("no-bias.onnx")).unwrap();
    let found = model.head().unwrap();
    assert_eq!((found.outputs, found.inputs), (3, 5));
    let names = model.tensors();
    assert!(names.contains_key(&format!("{}.weight", found.name)));
    assert!(!names.contains_key(&format!("{}.bias", found.name)));
}

/// As `torch.onnx.export` writes models by default: the weights in a file beside the graph.
#[test]
fn weights_beside_the_graph_are_taken_out_and_put_back() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).unwrap();
    let model = open(&recorded("external.onnx")).unwrap();
    assert_eq!(model.head().unwrap().name, "fc");
    assert_eq!(model.format.files.len(), 2);
    let out = folder.path().join("other-name.onnx");
    give_back(&model, &out, &|_, tensor| tensor);
    for (new, old) in [
        ("other-name.onnx", "external.onnx"),
        ("external.bin", "external.bin"),
    ] {
        assert_eq!(read(folder.path(), new), fs::read(recorded(old)).unwrap());
    }
    // Nothing but the head's bytes changes, and the graph in one piece is that of the other file.
    let halve = |name: &str, tensor: Tensor| {
        let mut values = tensor.to_f32().unwrap();
        if name == "fc.weight" {
            values.iter_mut().for_each(|value| *value /= 2.0);
        }
        Tensor::from_f32(&tensor.shape, &values)
    };
    give_back(&model, &out, &halve);
    let (graph, data) = (
        read(folder.path(), "other-name.onnx"),
        read(folder.path(), "external.bin"),
    );
    assert_eq!(graph, fs::read(recorded("external.onnx")).unwrap());
    let before = fs::read(recorded("external.bin")).unwrap();
    assert_eq!(data.len(), before.len());
    let differ = data.iter().zip(&before).filter(|(a, b)| a != b).count();
    assert!((1..=15 * 4).contains(&differ), "{differ}");
    let whole = |files| up_to_head(&graph, &["/Relu_output_0"], &files);
    let one = whole(BTreeMap::from([("external.bin".to_owned(), data)])).unwrap();
    let alone = other.path().join("alone.onnx");
    fs::write(&alone, &one).unwrap();
    assert!(one.windows(12).all(|part| part != b"external.bin"));
    assert!(whole(BTreeMap::new()).unwrap_err().contains("external.bin"));

    // A file that belongs to another model is not written over.
    let said = give(&model, &folder.path().join("new.onnx")).unwrap_err();
    assert!(said.contains("export into another folder"), "{said}");
    assert!(!folder.path().join("new.onnx").exists());
    let said = give(&model, &folder.path().join("external.bin")).unwrap_err();
    assert!(said.contains("give it another"), "{said}");

    // Torn, or two weights in one place.
    fs::copy(
        recorded("external.onnx"),
        other.path().join("external.onnx"),
    )
    .unwrap();
    fs::write(
        other.path().join("external.bin"),
        &before[..before.len() - 1],
    )
    .unwrap();
    let said = refused(&other.path().join("external.onnx"));
    assert!(said.contains("lies where there is no room"), "{said}");
}

#[test]
fn graphs_without_a_linear_head_are_refused_with_advice() {
    for (file, words) in [
        ("relu-last.onnx", "there is Relu"),
        // Its other output is made by one head alone, which is not the model's answer.
        ("two-heads.onnx", "before `logits` there is Div"),
        ("lost.onnx", "put both files into one folder"),
        ("outside.onnx", "not a file beside it"),
    ] {
        let said = refused(&recorded(file));
        assert!(said.contains(words), "{said}");
        assert!(said.contains(file), "{said}");
    }
}

#[test]
fn torn_graphs_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("torn.onnx");
    fs::copy(recorded("external.bin"), folder.path().join("external.bin")).unwrap();
    // The last field says for which version of the operations the graph is, and is not read here.
    let whole = fs::read(recorded("gemm.onnx")).unwrap();
    for cut in 0..whole.len() - 8 {
        fs::write(&file, &whole[..cut]).unwrap();
        assert!(open(&file).is_err(), "{cut} of {}", whole.len());
    }
    for name in ["gemm.onnx", "external.onnx"] {
        let whole = fs::read(recorded(name)).unwrap();
        for (place, mask) in (0..whole.len()).flat_map(|place| [(place, 0x5a), (place, 1)]) {
            let mut changed = whole.clone();
            changed[place] ^= mask;
            fs::write(&file, &changed).unwrap();
            // Whatever it makes of that, it says so or can be given back.
            if let Ok(model) = open(&file) {
                let out = TempDir::new().unwrap();
                give_back(&model, &out.path().join("out.onnx"), &|_, tensor| tensor);
            }
        }
    }
}

#[test]
fn a_graph_keeps_no_weights_in_itself() {
    let folder = TempDir::new().unwrap();
    let mut graph = fs::read(recorded("external.onnx")).unwrap();
    let (old, new) = (b"external.bin", b"itself_.onnx");
    let places: Vec<usize> = (0..graph.len() - old.len())
        .filter(|&at| graph[at..].starts_with(old))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        graph[at..at + old.len()].copy_from_slice(new);
    }
    let file = folder.path().join("itself_.onnx");
    fs::write(&file, &graph).unwrap();
    let said = refused(&file);
    assert!(said.contains("not a file beside it"), "{said}");
}

/// The layer below the features, of a recorded file.
fn below(file: &str) -> Result<GraphLayer, String> {
    let model = open(&recorded(file)).unwrap();
    let bytes = fs::read(recorded(file)).unwrap();
    let bytes = up_to_head(&bytes, &[&features(&model)], &beside(file)).unwrap();
    layer_below(&bytes, &features(&model))
}

/// The weights that a recorded file has beside it.
fn beside(file: &str) -> BTreeMap<String, Vec<u8>> {
    match file {
        "external.onnx" => {
            let bytes = fs::read(recorded("external.bin")).unwrap();
            BTreeMap::from([("external.bin".to_owned(), bytes)])
        }
        _ => BTreeMap::new(),
    }
}

#[test]
fn the_layer_below_the_head_is_found() {
    for file in ["gemm.onnx", "no-bias.onnx", "external.onnx", "dynamo.onnx"] {
        let layer = below(file).unwrap();
        assert_eq!(layer.weight, "a.weight", "{file}");
        assert_eq!((layer.outputs, layer.transposed), (5, false), "{file}");
        assert_eq!(layer.bias.as_deref(), Some("a.bias"), "{file}");
        // Of a plain network what the layer reads is what enters its block.
        assert_eq!(layer.entrance.as_ref(), Some(&layer.reads), "{file}");
        assert_eq!(layer.values("h"), ["h", &layer.reads, &layer.stream]);
        assert_eq!((layer.window, layer.norm), (None, None), "{file}");
    }
    // A product and an Add, as for inputs of more than two dimensions.
    let layer = below("matmul.onnx").unwrap();
    assert_eq!((layer.outputs, layer.transposed), (5, true));
    assert_eq!(layer.bias.as_deref(), Some("a.bias"));
}
