//! A model in some form: its tensors, and what else the form holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::checkpoint::{Checkpoint, TensorSource};
use crate::tensor::{Dtype, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::folder;
use crate::head::Head;
use crate::onnx::{self, Cut, CutFile, OnnxForm, OnnxModel};
use crate::pytorch::StateDict;

/// How one file keeps tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format")]
pub enum Format {
    /// safetensors; the header is a document of the bundle.
    Safetensors,
    /// A PyTorch state dict.
    Pytorch {
        /// The entry of the file's dictionary that holds it, where it is nested.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// ONNX; what is left of the file without its tensors is a document of the bundle.
    Onnx(OnnxForm),
    /// Weights of an ONNX model in a file beside it; what is left of it without its tensors is a
    /// document of the bundle.
    OnnxData {
        /// How it is put together again.
        cuts: Vec<Cut>,
    },
}

/// One file of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightFile {
    /// Its name, inside of the folder where there is one.
    pub name: String,
    /// How it keeps its tensors.
    #[serde(flatten)]
    pub format: Format,
    /// Its tensors, in their order.
    pub tensors: Vec<String>,
}

impl WeightFile {
    /// The name of the document that holds a safetensors file's header, or the rest of an ONNX file.
    pub fn header(&self) -> String {
        format!("{}#header", self.name)
    }
}

/// The form that a model came in: all that is needed, besides tensors and documents, to write it
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Whether it is a folder.
    pub folder: bool,
    /// The files with tensors.
    pub files: Vec<WeightFile>,
}

impl Form {
    /// In words.
    pub fn describe(&self) -> String {
        let kind = match self.files.first().map(|file| &file.format) {
            Some(Format::Pytorch { .. }) => "PyTorch",
            Some(Format::Onnx(_)) => "ONNX",
            _ => "safetensors",
        };
        match (self.folder, self.files.len()) {
            (false, 1) => kind.to_owned(),
            (false, _) => format!("{kind} with weights beside it"),
            (true, 1) => format!("folder, {kind}"),
            (true, shards) => format!("folder, {kind} in {shards} shards"),
        }
    }
}

/// One open file.
pub(crate) enum Source {
    Safetensors(Checkpoint),
    Pytorch(StateDict),
    Cut(CutFile),
}

impl Source {
    fn source(&self) -> &dyn TensorSource {
        match self {
            Self::Safetensors(file) => file,
            Self::Pytorch(file) => file,
            Self::Cut(file) => file,
        }
    }
}

/// A model in some form, opened: every tensor's name, type and shape is known and believed, its
/// bytes are read when they are asked for.
pub struct Bundle {
    /// The form.
    pub form: Form,
    /// Headers, configuration and whatever else belongs to it, by name.
    pub documents: BTreeMap<String, Vec<u8>>,
    sources: Vec<Source>,
    /// Which file has a tensor.
    places: BTreeMap<String, usize>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Bundle {
    pub(crate) fn new(folder: bool) -> Self {
        Self {
            form: Form {
                folder,
                files: Vec::new(),
            },
            documents: BTreeMap::new(),
            sources: Vec::new(),
            places: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds a file of weights under a name, and those that go with it.
    pub(crate) fn add(&mut self, path: &Path, name: String) -> Result<(), FormatError> {
        if ends_with(path, &["onnx"]) {
            let OnnxModel { form, file, others } = OnnxModel::open(path)?;
            let rest = Some(file.rest()?);
            let names = form.cuts.iter().map(|cut| cut.tensor.clone()).collect();
            self.put(
                path,
                name,
                Source::Cut(file),
                Format::Onnx(form),
                names,
                rest,
            )?;
            for (name, file, cuts) in others {
                let rest = Some(file.rest()?);
                let names = cuts.iter().map(|cut| cut.tensor.clone()).collect();
                let format = Format::OnnxData { cuts };
                self.put(path, name, Source::Cut(file), format, names, rest)?;
            }
            return Ok(());
        }
        if is_safetensors(path)? {
            let file = Checkpoint::open(path)?;
            let (names, rest) = (file.order(), Some(file.preamble().to_vec()));
            let source = Source::Safetensors(file);
            return self.put(path, name, source, Format::Safetensors, names, rest);
        }
        let file = StateDict::open(path)?;
        self.warnings.extend(file.warnings.iter().cloned());
        let format = Format::Pytorch {
            key: file.key.clone(),
        };
        let names = file.tensors().into_keys().collect();
        self.put(path, name, Source::Pytorch(file), format, names, None)
    }

    /// Adds one file: its tensors in their order, and what is left without them.
    fn put(
        &mut self,
        path: &Path,
        name: String,
        source: Source,
        format: Format,
        tensors: Vec<String>,
        rest: Option<Vec<u8>>,
    ) -> Result<(), FormatError> {
        let file = WeightFile {
            name,
            format,
            tensors,
        };
        self.documents
            .extend(rest.map(|bytes| (file.header(), bytes)));
        let place = self.sources.len();
        for tensor in &file.tensors {
            if let Some(other) = self.places.insert(tensor.clone(), place) {
                let other = &self.form.files[other].name;
                return Err(FormatError::file(
                    path,
                    format!("it holds `{tensor}`, which `{other}` holds too"),
                ));
            }
        }
        self.sources.push(source);
        self.form.files.push(file);
        Ok(())
    }

    /// The head, where the form itself tells which layer it is.
    pub fn head(&self) -> Option<Head> {
        let file = self.form.files.first()?;
        match &file.format {
            Format::Onnx(form) => onnx::head_of(form, self),
            _ => None,
        }
    }
}

impl TensorSource for Bundle {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let sources = self.sources.iter();
        sources
            .flat_map(|source| source.source().tensors())
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
        let place = self.places.get(name).copied().unwrap_or(0);
        self.sources[place].source().tensor(name)
    }
}

/// Opens a model: a safetensors file, a PyTorch state dict, an ONNX file, an index of shards, or a folder with one
/// of them.
///
/// # Errors
/// [`FormatError`] saying what is wrong and what to do.
pub fn open(path: &Path) -> Result<Bundle, FormatError> {
    if path.is_dir() {
        return folder::open(path);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".index.json") {
        return folder::open(path.parent().unwrap_or(Path::new(".")));
    }
    let mut bundle = Bundle::new(false);
    bundle.add(path, name.into_owned())?;
    Ok(bundle)
}

fn ends_with(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    endings.contains(&ending.to_lowercase().as_str())
}

/// Whether a file begins as a safetensors file does: the length of a header, and a brace. Whatever
/// does not look like anything else is taken for one too, so that its reader says what is wrong.
fn is_safetensors(path: &Path) -> Result<bool, FormatError> {
    let named = ends_with(path, &["pt", "pth", "bin", "ckpt", "pkl", "pickle"]);
    let mut start = [0; 9];
    let mut file = File::open(path).map_err(FormatError::unreadable(path))?;
    let mut read = 0;
    while read < start.len() {
        match file
            .read(&mut start[read..])
            .map_err(FormatError::unreadable(path))?
        {
            0 => break,
            count => read += count,
        }
    }
    let brace = read == start.len() && start[8] == b'{';
    let pickled = start.starts_with(b"PK") || start[0] == 0x80;
    Ok(brace || !(named || pickled))
}
