//! A model in some form: its tensors, and what else the form holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use store::{Checkpoint, Dtype, StoreError, Tensor, TensorSource};

use crate::pytorch::StateDict;
use crate::{ExchangeError, folder};

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
    /// The name of the document that holds a safetensors file's header.
    pub(crate) fn header(&self) -> String {
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
            _ => "safetensors",
        };
        match (self.folder, self.files.len()) {
            (false, _) => kind.to_owned(),
            (true, 1) => format!("folder, {kind}"),
            (true, shards) => format!("folder, {kind} in {shards} shards"),
        }
    }
}

/// One open file.
pub(crate) enum Source {
    Safetensors(Checkpoint),
    Pytorch(StateDict),
}

impl Source {
    fn source(&self) -> &dyn TensorSource {
        match self {
            Self::Safetensors(file) => file,
            Self::Pytorch(file) => file,
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

    /// Adds a file of weights under a name.
    pub(crate) fn add(&mut self, path: &Path, name: String) -> Result<(), ExchangeError> {
        let (source, format, tensors) = if is_safetensors(path)? {
            let file = Checkpoint::open(path)?;
            let order = file.order();
            (Source::Safetensors(file), Format::Safetensors, order)
        } else {
            let file = StateDict::open(path)?;
            self.warnings.extend(file.warnings.iter().cloned());
            let format = Format::Pytorch {
                key: file.key.clone(),
            };
            let order = file.tensors().into_keys().collect();
            (Source::Pytorch(file), format, order)
        };
        let file = WeightFile {
            name,
            format,
            tensors,
        };
        if let Source::Safetensors(source) = &source {
            self.documents
                .insert(file.header(), source.preamble().to_vec());
        }
        let place = self.sources.len();
        for tensor in &file.tensors {
            if let Some(other) = self.places.insert(tensor.clone(), place) {
                let other = &self.form.files[other].name;
                return Err(ExchangeError::file(
                    path,
                    format!("it holds `{tensor}`, which `{other}` holds too"),
                ));
            }
        }
        self.sources.push(source);
        self.form.files.push(file);
        Ok(())
    }
}

impl TensorSource for Bundle {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let sources = self.sources.iter();
        sources
            .flat_map(|source| source.source().tensors())
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, StoreError> {
        let place = self.places.get(name).copied().unwrap_or(0);
        self.sources[place].source().tensor(name)
    }
}

/// Opens a model: a safetensors file, a PyTorch state dict, an index of shards, or a folder with one
/// of them.
///
/// # Errors
/// [`ExchangeError`] saying what is wrong and what to do.
pub fn open(path: &Path) -> Result<Bundle, ExchangeError> {
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

/// Whether a file begins as a safetensors file does: the length of a header, and a brace. Whatever
/// does not look like anything else is taken for one too, so that its reader says what is wrong.
fn is_safetensors(path: &Path) -> Result<bool, ExchangeError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let pytorch = ["pt", "pth", "bin", "ckpt", "pkl", "pickle"];
    let named = pytorch.contains(&extension.to_lowercase().as_str());
    let mut start = [0; 9];
    let mut file = File::open(path).map_err(ExchangeError::io(path))?;
    let mut read = 0;
    while read < start.len() {
        match file
            .read(&mut start[read..])
            .map_err(ExchangeError::io(path))?
        {
            0 => break,
            count => read += count,
        }
    }
    let brace = read == start.len() && start[8] == b'{';
    let pickled = start.starts_with(b"PK") || start[0] == 0x80;
    Ok(brace || !(named || pickled))
}
