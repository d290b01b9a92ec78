//! A model file: its tensors, and what else its format holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::source::TensorSource;
use crate::tensor::{Dtype, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::head::Head;
use crate::onnx::{self, Cut, CutFile, OnnxFormat, OnnxModel};
use crate::pytorch::state_dict::StateDict;

/// How one file keeps tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format")]
pub enum FileFormat {
    /// safetensors; the header is a document of the model file.
    Safetensors,
    /// A PyTorch state dict.
    Pytorch {
        /// The entry of the file's dictionary that holds it, where it is nested.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// ONNX; what is left of the file without its tensors is a document of the model file.
    Onnx(OnnxFormat),
    /// Weights of an ONNX model in a file beside it; what is left of it without its tensors is a
    /// document of the model file.
    OnnxData {
        /// How it is put together again.
        cuts: Vec<Cut>,
    },
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightFile {
    /// Its name, inside of the folder where there is one.
    pub name: String,
    /// How it keeps its tensors.
    #[serde(flatten)]
    pub format: FileFormat,
    /// Its tensors, in their order.
    pub tensors: Vec<String>,
}

impl WeightFile {
    /// The name of the document that holds a safetensors file's header, or the rest of an ONNX file.
    pub fn header(&self) -> String {
        format!("{}#header", self.name)
    }
}

/// The format that a model came in: all that is needed, besides tensors and documents, to write it
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFormat {
    /// Whether it is a folder.
    pub folder: bool,
    /// The files with tensors.
    pub files: Vec<WeightFile>,
}

impl ModelFormat {
    /// In words.
    pub fn describe(&self) -> String {
        let kind = match self.files.first().map(|file| &file.format) {
            Some(FileFormat::Pytorch { .. }) => "PyTorch",
            Some(FileFormat::Onnx(_)) => "ONNX",
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

/// A model file, opened: every tensor's name, type and shape is known and believed, its
/// bytes are read when they are asked for.
pub struct ModelFile {
    /// Its format.
    pub format: ModelFormat,
    /// Headers, configuration and whatever else belongs to it, by name.
    pub documents: BTreeMap<String, Vec<u8>>,
    sources: Vec<Source>,
    /// Which file has a tensor.
    places: BTreeMap<String, usize>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl ModelFile {
    /// The files that its weights are in, when it was opened at `path`.
    pub fn files(&self, path: &Path) -> Vec<PathBuf> {
        if !self.format.folder {
            return vec![path.to_owned()];
        }
        let files = self.format.files.iter();
        files.map(|file| path.join(&file.name)).collect()
    }

    pub(crate) fn new(folder: bool) -> Self {
        Self {
            format: ModelFormat {
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
            return self.add_onnx(path, name);
        }
        if is_safetensors(path)? {
            let source = Checkpoint::open(path)?;
            let rest = Some(source.preamble().to_vec());
            let file = WeightFile {
                name,
                format: FileFormat::Safetensors,
                tensors: source.order(),
            };
            return self.put(path, Source::Safetensors(source), file, rest);
        }
        let source = StateDict::open(path)?;
        self.warnings.extend(source.warnings.iter().cloned());
        let file = WeightFile {
            name,
            format: FileFormat::Pytorch {
                key: source.key.clone(),
            },
            tensors: source.tensors().into_keys().collect(),
        };
        self.put(path, Source::Pytorch(source), file, None)
    }

    /// Adds an ONNX file, and the files of weights beside it.
    fn add_onnx(&mut self, path: &Path, name: String) -> Result<(), FormatError> {
        let OnnxModel {
            format,
            file: source,
            others,
        } = OnnxModel::open(path)?;
        let rest = Some(source.rest()?);
        let file = WeightFile {
            name,
            tensors: cut_names(&format.cuts),
            format: FileFormat::Onnx(format),
        };
        self.put(path, Source::Cut(source), file, rest)?;
        for (name, source, cuts) in others {
            let rest = Some(source.rest()?);
            let file = WeightFile {
                name,
                tensors: cut_names(&cuts),
                format: FileFormat::OnnxData { cuts },
            };
            self.put(path, Source::Cut(source), file, rest)?;
        }
        Ok(())
    }

    /// Adds one file: its tensors in their order, and what is left without them.
    fn put(
        &mut self,
        path: &Path,
        source: Source,
        file: WeightFile,
        rest: Option<Vec<u8>>,
    ) -> Result<(), FormatError> {
        self.documents
            .extend(rest.map(|bytes| (file.header(), bytes)));
        let place = self.sources.len();
        for tensor in &file.tensors {
            if let Some(other) = self.places.insert(tensor.clone(), place) {
                let other = &self.format.files[other].name;
                return Err(FormatError::file(
                    path,
                    format!("it holds `{tensor}`, which `{other}` holds too"),
                ));
            }
        }
        self.sources.push(source);
        self.format.files.push(file);
        Ok(())
    }

    /// What its safetensors files say of themselves, in the `__metadata__` of their headers.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let files = self.sources.iter().filter_map(|source| match source {
            Source::Safetensors(file) => Some(file.metadata()),
            _ => None,
        });
        files.flatten().collect()
    }

    /// The head, where the format itself tells which layer it is.
    pub fn head(&self) -> Option<Head> {
        let file = self.format.files.first()?;
        match &file.format {
            FileFormat::Onnx(format) => onnx::head_of(format, self),
            _ => None,
        }
    }
}

impl TensorSource for ModelFile {
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

    fn reader(&self, name: &str) -> Result<Box<dyn Read + '_>, FormatError> {
        let place = self.places.get(name).copied().unwrap_or(0);
        self.sources[place].source().reader(name)
    }
}

fn cut_names(cuts: &[Cut]) -> Vec<String> {
    cuts.iter().map(|cut| cut.tensor.clone()).collect()
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
