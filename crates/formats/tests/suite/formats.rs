//! What others write is read, given back, and refused where it must be. The `.pt` files were written
//! by PyTorch 2.9.1.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use disinherit_formats::{Dtype, Tensor, TensorSource, write_checkpoint};
use disinherit_formats::{
    FormatError, HubCard, HubConfig, ModelFile, Parts, find_head, open, write,
};
use tempfile::TempDir;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn give_back(model: &ModelFile, path: &Path) {
    let known = model.tensors();
    let parts = Parts {
        documents: model.documents.clone(),
        describe: &|name| known.get(name).cloned(),
        tensor: &|name| model.tensor(name),
        copy: None,
    };
    write(path, &model.format, &parts).unwrap();
}

fn all(model: &ModelFile) -> BTreeMap<String, Tensor> {
    let names = model.tensors().into_keys();
    names
        .map(|name| {
            let tensor = model.tensor(&name).unwrap();
            (name, tensor)
        })
        .collect()
}

fn refused(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn state_dicts_are_read_as_pytorch_wrote_them() {
    for (name, key) in [
        ("state_dict.pt", None),
        ("legacy.pt", None),
        ("nested.pt", Some("state_dict")),
    ] {
        let model = open(&recorded(name)).unwrap();
        let tensors = all(&model);
        assert_eq!(tensors.len(), 7, "{name}");
        let body = &tensors["body.weight"];
        assert_eq!(body.shape, [2, 3]);
        assert_eq!(body.to_f32().unwrap(), [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]);
        for (half, dtype) in [("body.half", Dtype::F16), ("body.brain", Dtype::BF16)] {
            assert_eq!(tensors[half].dtype, dtype);
            assert_eq!(tensors[half].to_f32().unwrap(), [0.5, -1.5]);
        }
        assert_eq!(tensors["body.count"].shape, [0; 0]);
        assert_eq!(tensors["body.count"].bytes, 7i64.to_le_bytes());
        let turned = &tensors["body.strided"];
        assert_eq!(turned.shape, [3, 2]);
        assert_eq!(turned.to_f32().unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(model.warnings.len(), usize::from(key.is_some()), "{name}");
        let head = find_head(&model.tensors(), None, Some(3)).unwrap();
        assert_eq!((head.name.as_str(), head.inputs), ("fc", 2));

        let folder = TempDir::new().unwrap();
        let again = folder.path().join("again.pt");
        give_back(&model, &again);
        let again = open(&again).unwrap();
        assert_eq!(all(&again), tensors, "{name}");
        assert_eq!(again.format.files[0].format, model.format.files[0].format);
    }
}

#[test]
fn pickles_with_code_are_refused_and_nothing_is_run() {
    for (name, what) in [
        ("code.pt", "posix.system"),
        ("code_beside.pt", "posix.system"),
        ("code_hidden.pt", "__builtin__.eval"),
    ] {
        match open(&recorded(name)) {
            Err(FormatError::Code { name: found, .. }) => assert_eq!(found, what),
            Err(other) => panic!("{name}: {other}"),
            Ok(_) => panic!("{name} was opened"),
        }
    }
    assert!(!Path::new("/tmp/disinherit-was-here").exists());
}

#[test]
fn torn_and_false_files_are_refused_with_advice() {
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let whole = fs::read(recorded("state_dict.pt")).unwrap();
    for cut in [0, 1, 3, 9, 100, whole.len() / 2, whole.len() - 5] {
        fs::write(place("torn.pt"), &whole[..cut]).unwrap();
        let text = refused(&place("torn.pt"));
        assert!(text.contains("torn.pt"), "{cut}: {text}");
    }
    let grown = refused(&recorded("repeated.pt"));
    assert!(grown.contains("become tensors of 16000000"), "{grown}");
    fs::write(place("text.pt"), "not a model at all").unwrap();
    assert!(refused(&place("text.pt")).contains("torch.save(model.state_dict()"));
    fs::write(place("x.safetensors"), "not a model at all").unwrap();
    assert!(refused(&place("x.safetensors")).contains("not a usable checkpoint"));
    assert!(refused(&place("nowhere.pt")).contains("nowhere.pt"));
    assert!(refused(folder.path()).contains("holds no model"));
}

fn tensor(shape: &[usize], from: f32) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|n| from + n as f32).collect();
    Tensor::from_f32(shape, &values)
}

/// A folder as on the Hub, its weights in two shards.
fn sharded() -> TempDir {
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let shards = [
        (
            "model-00001-of-00002.safetensors",
            "body.weight",
            tensor(&[2, 3], 0.0),
        ),
        (
            "model-00002-of-00002.safetensors",
            "classifier.weight",
            tensor(&[2, 2], 9.0),
        ),
    ];
    let mut map = serde_json::Map::new();
    for (file, name, tensor) in shards {
        map.insert(name.into(), file.into());
        let mut tensors = BTreeMap::from([(name.to_owned(), tensor)]);
        if name.starts_with("classifier") {
            map.insert("classifier.bias".into(), file.into());
            tensors.insert(
                "classifier.bias".into(),
                Tensor::from_f32(&[2], &[0.0, 1.0]),
            );
        }
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        write_checkpoint(&place(file), &tensors, metadata).unwrap();
    }
    let index = serde_json::json!({"metadata": {"total_size": 48}, "weight_map": map});
    fs::write(place("model.safetensors.index.json"), index.to_string()).unwrap();
    fs::write(
        place("config.json"),
        r#"{"id2label": {"0": "ham", "1": "spam"}, "label2id": {"ham": 0, "spam": 1}}"#,
    )
    .unwrap();
    fs::write(place("vocab.txt"), "a\nb\n").unwrap();
    folder
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn folders_come_back_byte_for_byte() {
    let folder = sharded();
    let out = TempDir::new().unwrap();
    let again = out.path().join("model");
    for from in [
        folder.path().to_owned(),
        folder.path().join("model.safetensors.index.json"),
    ] {
        let model = open(&from).unwrap();
        assert_eq!(model.format.describe(), "folder, safetensors in 2 shards");
        give_back(&model, &again);
        assert_eq!(files(&again), files(folder.path()));
    }
    // Weights in another format would remember what is forgotten here.
    fs::write(folder.path().join("tf_model.h5"), "weights").unwrap();
    let model = open(folder.path()).unwrap();
    assert!(
        model.warnings[0].contains("tf_model.h5"),
        "{:?}",
        model.warnings
    );
    give_back(&model, &again);
    assert!(!again.join("tf_model.h5").exists());
}

#[test]
fn safetensors_come_back_byte_for_byte_whatever_their_order() {
    let folder = TempDir::new().unwrap();
    let (file, again) = (folder.path().join("a.safetensors"), folder.path().join("b"));
    // As other writers have it: names out of order, padding in the header, an empty tensor.
    let header = r#"{"z":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"empty":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},"a":{"dtype":"I8","shape":[3],"data_offsets":[4,7]},"__metadata__":{"who":"else"}}   "#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend([0, 0, 128, 63, 1, 2, 3]);
    fs::write(&file, &bytes).unwrap();
    give_back(&open(&file).unwrap(), &again);
    assert_eq!(fs::read(again).unwrap(), bytes);
}

#[test]
fn shards_that_do_not_add_up_are_refused() {
    let folder = sharded();
    let index = folder.path().join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    let missing = refused(folder.path());
    assert!(
        missing.contains("1 of its 2 shards are missing"),
        "{missing}"
    );
    for (from, to, words) in [
        (
            "model-00002-of-00002.safetensors",
            "../elsewhere.safetensors",
            "not in its folder",
        ),
        (
            "model-00002-of-00002.safetensors",
            "model-00001-of-00002.safetensors",
            "there it is not",
        ),
        ("weight_map", "weights", "no index"),
    ] {
        fs::write(&index, text.replace(from, to)).unwrap();
        let said = refused(folder.path());
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn labels_must_not_contradict_each_other() {
    let labels = |text: &str| {
        let path = Path::new("config.json");
        HubConfig::parse(path, text.as_bytes())
            .and_then(|config| config.labels(path))
            .map_err(|error| error.to_string())
    };
    let good = labels(r#"{"id2label": {"1": "b", "0": "a"}, "label2id": {"a": 0, "b": 1}}"#);
    assert_eq!(good, Ok(Some(vec!["a".into(), "b".into()])));
    assert_eq!(
        labels(r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}"#),
        Ok(None)
    );
    assert_eq!(labels("{}"), Ok(None));
    for (text, words) in [
        (
            r#"{"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}"#,
            "contradict",
        ),
        (r#"{"id2label": {"0": "a", "2": "b"}}"#, "must be 0 to 1"),
        (r#"{"id2label": {"0": "a", "1": "a"}}"#, "both `a`"),
        (r#"{"id2label": 3}"#, "cannot be read"),
    ] {
        let said = labels(text).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn model_cards_name_parents() {
    let card = |text: &str| HubCard::parse(Path::new("README.md"), text);
    let one =
        card("---\nlicense: mit\nbase_model: google/bert\nbase_model_relation: adapter\n---\n# x")
            .unwrap();
    assert_eq!(
        (&one.base_models[..], one.relation.as_deref()),
        (&["google/bert".to_owned()][..], Some("adapter"))
    );
    let two = card("---\nbase_model:\n- a/b\n- c\n---\n").unwrap();
    assert_eq!(two.base_models, ["a/b", "c"]);
    assert_eq!(card("# no metadata").unwrap(), HubCard::default());
    assert!(card("---\nbase_model: [a\n---\n").is_err());
}

#[test]
fn configurations_of_merges_name_parents() {
    let names = |text: &str| -> Vec<String> {
        let card = HubCard::from_merge(Path::new("mergekit_config.yml"), text).unwrap();
        assert_eq!(card.relation.as_deref(), Some("merge"));
        card.base_models
    };
    let linear = "merge_method: linear\nmodels:\n  - model: a/one\n    parameters:\n      weight: 0.3\n  \
                  - model: b/two@main\ndtype: float16\n";
    assert_eq!(names(linear), ["a/one", "b/two"]);
    let slerp = "slices:\n- sources:\n  - model: a/one\n    layer_range: [0, 4]\n  - model: b/two\n    \
                 layer_range: [0, 4]\nmerge_method: slerp\nbase_model: a/one\n";
    assert_eq!(names(slerp), ["a/one", "b/two"]);
    let adapted =
        "models:\n- model: a/one+c/lora\n- model: {model: {path: b/two}}\nbase_model: d/base\n";
    assert_eq!(names(adapted), ["a/one", "c/lora", "b/two", "d/base"]);
    let experts = "base_model: d/base\ngate_mode: hidden\nexperts:\n- source_model: a/one\n  positive_prompts: [x]\n";
    assert_eq!(names(experts), ["a/one", "d/base"]);
    assert!(HubCard::from_merge(Path::new("m.yml"), "models: [").is_err());
    assert!(HubCard::from_merge(Path::new("m.yml"), "models:\n- one\n").is_err());
}

#[test]
fn heads_are_found_or_asked_for() {
    let layers = |list: &[(&str, usize, usize)]| -> BTreeMap<String, (Dtype, Vec<usize>)> {
        list.iter()
            .flat_map(|(name, outputs, inputs)| {
                [
                    (
                        format!("{name}.weight"),
                        (Dtype::F32, vec![*outputs, *inputs]),
                    ),
                    (format!("{name}.bias"), (Dtype::F32, vec![*outputs])),
                ]
            })
            .collect()
    };
    let found = |tensors, named, labels| find_head(tensors, named, labels).map(|head| head.name);
    let known = layers(&[("body.fc1", 10, 4), ("classifier", 3, 10)]);
    assert_eq!(found(&known, None, None), Ok("classifier".into()));
    assert_eq!(found(&known, None, Some(10)), Ok("body.fc1".into()));
    assert_eq!(
        found(&known, Some("body.fc1.weight"), None),
        Ok("body.fc1".into())
    );
    let wrong = found(&known, None, Some(7)).unwrap_err();
    assert!(wrong.contains("classifier with 3 outputs"), "{wrong}");
    let odd = layers(&[("a", 3, 4), ("b", 3, 4)]);
    assert!(found(&odd, None, Some(3)).unwrap_err().contains("a, b"));
    let mut bare = known.clone();
    bare.remove("classifier.bias");
    // Without a bias it must be named, or nothing else have as many outputs as there are labels.
    assert_eq!(
        found(&bare, Some("classifier"), None),
        Ok("classifier".into())
    );
    assert_eq!(found(&bare, None, Some(3)), Ok("classifier".into()));
    assert_eq!(found(&bare, None, None), Ok("body.fc1".into()));
    let wrong = found(&bare, None, Some(7)).unwrap_err();
    assert!(wrong.contains("body.fc1 with 10"), "{wrong}");
    assert!(
        found(&BTreeMap::new(), None, None)
            .unwrap_err()
            .contains("no linear layer")
    );
}
