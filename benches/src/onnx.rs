//! Features of an ONNX graph, by the program and by ONNX Runtime. `BENCH_ONNX` names a graph that reads images, and
//! `BENCH_SIDE` the pixels of their sides (32); the library is that of the Python package `onnxruntime`.

use std::error::Error;
use std::path::PathBuf;

use disinherit_formats::{FileFormat, Parts, TensorSource, onnx_files, open, up_to_head};
use disinherit_nets::{GraphNetwork, OnnxRuntime, Preprocessing, RuntimeGraph};
use disinherit_testkit::onnx_runtime;

use crate::family;
use crate::line::{Line, in_turn};

const IMAGES: usize = 512;
const ROUNDS: usize = 3;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let Some(path) = std::env::var_os("BENCH_ONNX").map(PathBuf::from) else {
        eprintln!("SKIPPED: BENCH_ONNX names no ONNX file");
        return Ok(Vec::new());
    };
    let Some(library) = onnx_runtime() else {
        return Ok(Vec::new());
    };
    let side = std::env::var("BENCH_SIDE").unwrap_or_else(|_| "32".into());
    let set = family::images_of(side.parse()?, "noise", IMAGES, 1)?;
    let model = open(&path)?;
    let FileFormat::Onnx(format) = &model.format.files[0].format else {
        return Err(format!("{} is no ONNX file", path.display()).into());
    };
    let known = model.tensors();
    let parts = Parts {
        documents: model.documents.clone(),
        describe: &|name| known.get(name).cloned(),
        tensor: &|name| model.tensor(name),
        copy: None,
    };
    let mut files = onnx_files(&model.format, &parts)?;
    let file = files.remove(&model.format.files[0].name);
    let file = file.ok_or("the file is not whole")?;
    let file = up_to_head(&file, &[&format.features], &files)?;
    let runtime = OnnxRuntime::load(&library)?;
    let theirs = RuntimeGraph::new(runtime, &file, format.inputs.clone(), &format.features)?;
    let ours = GraphNetwork::new(file, format.inputs.clone(), &format.features)?;
    let preprocessing = Preprocessing::default();
    let [ours, theirs] = in_turn(
        ROUNDS,
        || {
            let made = ours.features(&set, &preprocessing, &mut |_| {});
            std::hint::black_box(made.is_ok());
        },
        || {
            let made = theirs.features(&set, &preprocessing, &mut |_| {});
            std::hint::black_box(made.is_ok());
        },
    );
    let [ours, theirs] = [ours, theirs].map(|seconds| IMAGES as f64 / seconds);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let against = format!("ONNX Runtime {}", runtime.version());
    let name = format!("features of {name}, {side}x{side}");
    Ok(vec![Line::images(&name, ours, Some(theirs), &against)])
}
