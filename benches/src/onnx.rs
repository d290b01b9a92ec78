//! Features of an ONNX graph, by the program and by ONNX Runtime. `BENCH_ONNX` names a graph that reads images, and
//! `BENCH_SIDE` the pixels of their sides (32); the library is that of the Python package `onnxruntime`, if it is there.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use disinherit_data::DataSet;
use disinherit_formats::{
    FileFormat, OnnxFormat, Parts, TensorSource, graph_steps, onnx_files, open, up_to_head,
};
use disinherit_nets::RuntimeGraph;
use disinherit_nets::{GraphNetwork, KnownGraph, NetError, OnnxRuntime, Preprocessing};
use disinherit_testkit::onnx_runtime;
use fiun::Matrix;

use crate::family;
use crate::line::{Line, shortest};

const IMAGES: usize = 512;
const ROUNDS: usize = 3;

/// What computes the features: its name, and a run.
struct Engine<'a> {
    name: String,
    run: Box<dyn Fn() -> Result<Matrix, NetError> + 'a>,
}

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let Some(path) = std::env::var_os("BENCH_ONNX").map(PathBuf::from) else {
        eprintln!("SKIPPED: BENCH_ONNX names no ONNX file");
        return Ok(Vec::new());
    };
    let side = std::env::var("BENCH_SIDE").unwrap_or_else(|_| "32".into());
    let set = family::images_of(side.parse()?, "noise", IMAGES, 1)?;
    let (file, format) = up_to_its_head(&path)?;
    let engines = engines(file, format, &set)?;
    let mut best = vec![f64::INFINITY; engines.len()];
    // In turn, so that what disturbs the machine for a while disturbs all.
    for _ in 0..ROUNDS {
        for (engine, best) in engines.iter().zip(&mut best) {
            let mut made = None;
            let seconds = shortest(1, || made = Some((engine.run)()));
            made.transpose()?;
            *best = best.min(seconds);
        }
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let timed: Vec<_> = engines.iter().zip(best).collect();
    let mut lines = Vec::new();
    for (at, (engine, seconds)) in timed.iter().enumerate() {
        let name = format!("features of {file}, {side}x{side}, by {}", engine.name);
        let rate = |seconds: &f64| IMAGES as f64 / seconds;
        for (other, others) in &timed[at + 1..] {
            let others = Some(rate(others));
            lines.push(Line::images(&name, rate(seconds), others, &other.name));
        }
        if timed.len() == 1 {
            lines.push(Line::images(&name, rate(seconds), None, "-"));
        }
    }
    Ok(lines)
}

/// A graph up to its head, with its weights in it, and its format.
fn up_to_its_head(path: &Path) -> Result<(Vec<u8>, OnnxFormat), Box<dyn Error>> {
    let model = open(path)?;
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
    let mut files: BTreeMap<String, Vec<u8>> = onnx_files(&model.format, &parts)?;
    let file = files.remove(&model.format.files[0].name);
    let file = file.ok_or("the file is not whole")?;
    let file = up_to_head(&file, &[&format.features], &files)?;
    Ok((file, format.clone()))
}

/// All that run the graph: the engine for image networks where it knows the steps, `rten`, and ONNX Runtime where it
/// is installed.
fn engines(
    file: Vec<u8>,
    format: OnnxFormat,
    set: &DataSet,
) -> Result<Vec<Engine<'_>>, Box<dyn Error>> {
    let (inputs, features) = (format.inputs, format.features);
    let mut engines = Vec::new();
    let known = match graph_steps(&file, &features) {
        Some(steps) => KnownGraph::new(steps, &inputs, set)?,
        None => None,
    };
    if let Some(graph) = known {
        engines.push(Engine {
            name: "the engine for image networks".into(),
            run: Box::new(move || graph.features(set, &Preprocessing::default(), &mut |_| {})),
        });
    }
    let runtime = onnx_runtime().map(|library| OnnxRuntime::load(&library));
    let runtime = runtime.transpose()?;
    let theirs = match runtime {
        Some(runtime) => Some((
            runtime.version(),
            RuntimeGraph::new(runtime, &file, inputs.clone(), &features)?,
        )),
        None => None,
    };
    let graph = GraphNetwork::new(file, inputs, &features)?;
    engines.push(Engine {
        name: "rten".into(),
        run: Box::new(move || graph.features(set, &Preprocessing::default(), &mut |_| {})),
    });
    if let Some((version, graph)) = theirs {
        engines.push(Engine {
            name: format!("ONNX Runtime {version}"),
            run: Box::new(move || graph.features(set, &Preprocessing::default(), &mut |_| {})),
        });
    }
    Ok(engines)
}
