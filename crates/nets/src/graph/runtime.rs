//! Graphs run by ONNX Runtime, where the user has it: a library that is loaded when it is asked for.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use disinherit_data::DataSet;
use disinherit_formats::GraphInput;
use fiun::Matrix;
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::batches::{Batch, Fed, GraphInputs, Values};
use super::onnx::{first_rows, refuse};
use crate::error::NetError;
use crate::preprocessing::Preprocessing;

/// What the process has loaded: one library, for good.
static LOADED: OnceLock<Result<Loaded, (PathBuf, String)>> = OnceLock::new();

struct Loaded {
    path: PathBuf,
    build: String,
    version: String,
    environment: Environment,
}

/// ONNX Runtime, ready to run graphs.
#[derive(Clone, Copy)]
pub struct OnnxRuntime(&'static Loaded);

impl OnnxRuntime {
    /// Loads the library: `libonnxruntime.so` of a release, or of the Python package `onnxruntime` (in its folder
    /// `capi`). A process loads one; the same one may be loaded again.
    ///
    /// # Errors
    /// [`NetError::Runtime`] when it is no such library, is too old, or another one was loaded.
    pub fn load(path: &Path) -> Result<Self, NetError> {
        let no = |reason: String| NetError::Runtime {
            path: path.to_owned(),
            reason,
        };
        // Without a folder the system would look for it in places of its own.
        let full = path.canonicalize().map_err(|error| no(error.to_string()))?;
        let loaded = LOADED.get_or_init(|| load(&full).map_err(|reason| (full.clone(), reason)));
        match loaded {
            Ok(loaded) if loaded.path == full => Ok(Self(loaded)),
            Ok(Loaded { path, .. }) => Err(no(format!("{} is loaded already", path.display()))),
            Err((tried, reason)) if *tried == full => Err(no(reason.clone())),
            Err((tried, _)) => Err(no(format!(
                "{} was tried before and could not be loaded; a process tries one",
                tried.display()
            ))),
        }
    }

    /// What the library says of itself: branch and commit, and how it was built.
    pub fn build(&self) -> &'static str {
        &self.0.build
    }

    /// The version (`1.23.2`), as the library's file is named; the commit where that does not tell.
    pub fn version(&self) -> &'static str {
        &self.0.version
    }
}

impl std::fmt::Debug for OnnxRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ONNX Runtime {}", self.version())
    }
}

fn load(path: &Path) -> Result<Loaded, String> {
    let builder = ort::init_from(path).map_err(|error| error.to_string())?;
    let environment = builder.build().map_err(|error| error.to_string())?;
    let build = ort::info().to_owned();
    Ok(Loaded {
        path: path.to_owned(),
        version: version(path, &build),
        build,
        environment,
    })
}

/// `1.23.2` of `libonnxruntime.so.1.23.2`, else the commit: the library itself says no more.
fn version(path: &Path, build: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let named = name.split_once(".so.").map(|(_, version)| version);
    let commit = || build.split("git-commit-id=").nth(1)?.split(',').next();
    match named.or_else(commit) {
        Some(version) => version.to_owned(),
        None => "of an unknown version".into(),
    }
}

/// A graph with its weights that ONNX Runtime runs.
pub struct RuntimeGraph {
    session: Mutex<Session>,
    inputs: GraphInputs,
    output: String,
}

impl RuntimeGraph {
    /// Loads an ONNX file whose output `output` is what is asked for.
    ///
    /// # Errors
    /// [`NetError::Backend`] when ONNX Runtime refuses it.
    pub fn new(
        runtime: OnnxRuntime,
        file: &[u8],
        inputs: Vec<GraphInput>,
        output: &str,
    ) -> Result<Self, NetError> {
        let mut builder = Session::builder(&runtime.0.environment).map_err(refuse)?;
        let session = builder.commit_from_memory(file).map_err(refuse)?;
        Ok(Self {
            session: Mutex::new(session),
            inputs: GraphInputs(inputs),
            output: output.to_owned(),
        })
    }

    /// What the graph makes of the samples of a data set, `[samples, values]`. `progress` is told how many samples are
    /// done.
    ///
    /// # Errors
    /// [`NetError::Data`] when the samples do not fit the inputs, [`NetError::Backend`] when an operation fails.
    pub fn features(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Matrix, NetError> {
        self.inputs
            .features(set, preprocessing, progress, &mut |batch| self.run(batch))
    }

    fn run(&self, batch: Batch) -> Result<Vec<f32>, NetError> {
        let fed = batch.inputs.into_iter().map(|fed| self.named(fed));
        let fed = fed.collect::<Result<Vec<_>, NetError>>()?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let made = session.run(fed).map_err(refuse)?;
        let made = made
            .get(&self.output)
            .ok_or_else(|| refuse("it does not make what is asked for"))?;
        let (shape, values) = made.try_extract_tensor::<f32>().map_err(refuse)?;
        let shape = shape.iter().map(|length| usize::try_from(*length));
        let shape = shape.collect::<Result<Vec<_>, _>>().map_err(refuse)?;
        first_rows((&shape, values.to_vec()), batch.rows, batch.wanted)
    }

    /// An input by its name, of the type that the graph declares.
    fn named(&self, fed: Fed) -> Result<(&str, SessionInputValue<'static>), NetError> {
        let input = &self.inputs.0[fed.input];
        let value = match fed.values {
            Values::Floats(values) => Tensor::from_array((fed.shape, values))
                .map_err(refuse)?
                .into(),
            Values::Whole(values) => {
                // Text goes into graphs as 64-bit numbers, but for a few.
                let wide: Vec<i64> = values.into_iter().map(i64::from).collect();
                Tensor::from_array((fed.shape, wide))
                    .map_err(refuse)?
                    .into()
            }
        };
        Ok((&input.name, value))
    }
}
