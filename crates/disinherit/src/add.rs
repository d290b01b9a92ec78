//! Adding a model that was trained elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use disinherit_formats::{Dtype, FormatError, TensorSource};
use disinherit_formats::{HubConfig, ModelFile, find_head, for_pieces, widened};
use disinherit_nets::{Architecture, Input, Kind, Preprocessing, TextShape, check_finite};
use disinherit_registry::{
    AddRecord, Digest, Manifest, ModelRow, NewModel, OperationRecord, Publication, Registry,
};
use umig::{Model, ModelId, Relation, Training, Umig};

use crate::error::{EngineError, Hint};
use crate::format;
use crate::model::{find, manifest, matrix_shape, next_version, now, time_after};

/// The name of a configuration on the Hugging Face Hub.
const CONFIG: &str = "config.json";

/// What is known about the network of a model that somebody brings.
#[derive(Debug, Clone, Default)]
pub struct NewNetwork {
    /// The family; told by `config.json` when not given, or else only the head is known.
    pub kind: Option<Kind>,
    /// The name of the head; found when not given.
    pub head: Option<String>,
    /// The label names of the head's rows; told by `config.json` when not given.
    pub labels: Option<Vec<String>>,
    /// What a network of a known family reads: images of this shape.
    pub images: Option<disinherit_data::ImageShape>,
    /// Different tokens that a network for text reads.
    pub vocabulary: usize,
    /// Tokens of a text that it reads.
    pub length: usize,
    /// Take the head for its own even though another tensor has the same values.
    pub untied: bool,
}

impl NewNetwork {
    /// The network of a model without files, where its family is given and more than the head is known.
    pub fn known(&self, classes: usize) -> Option<Architecture> {
        let kind = self.kind.filter(|kind| *kind != Kind::Head)?;
        Some(known(kind, self, None, classes))
    }
}

/// A checkpoint and what is known about it.
#[derive(Debug, Clone)]
pub struct AddModel {
    /// The model's name; the version is the next free one.
    pub name: String,
    /// A file or folder that [`disinherit_formats::open`] opens.
    pub file: PathBuf,
    /// The network.
    pub architecture: Architecture,
    /// How pixels become numbers.
    pub preprocessing: Preprocessing,
    /// The label names of the head's rows.
    pub labels: Vec<String>,
    /// Its parents by name or id, each with the relation.
    pub parents: Vec<(String, Relation)>,
    /// What it was trained on itself.
    pub training: Vec<Training>,
    /// When it was made, in milliseconds since 1970-01-01 UTC; now when not given.
    pub time: Option<u64>,
    /// Take the head for its own even though another tensor has the same values.
    pub untied: bool,
}

/// The network and the labels of an opened model, from what is given, what its configuration says,
/// and its tensors; with notes for the user.
///
/// # Errors
/// [`EngineError::CannotAdd`] with what to give; [`EngineError::Format`] when its configuration
/// contradicts itself.
pub fn describe(
    path: &Path,
    bundle: &ModelFile,
    given: &NewNetwork,
) -> Result<(Architecture, Vec<String>), EngineError> {
    let refuse = |reason: String, hint| EngineError::CannotAdd {
        reason: format!("{} cannot be added: {reason}", path.display()),
        hint: Some(hint),
    };
    let config = match bundle.documents.get(CONFIG) {
        Some(text) => Some(HubConfig::parse(&path.join(CONFIG), text)?),
        None => None,
    };
    let told = match (&given.labels, &config) {
        (Some(labels), _) => Some(labels.clone()),
        (None, Some(config)) => config.labels(&path.join(CONFIG))?,
        (None, None) => None,
    };
    let count = told.as_ref().map(Vec::len);
    let tensors = bundle.tensors();
    if let Some(kind) = given.kind.filter(|kind| *kind != Kind::Head) {
        let labels =
            told.ok_or_else(|| refuse("its label names are not known".into(), Hint::GiveLabels))?;
        return Ok((known(kind, given, config.as_ref(), labels.len()), labels));
    }
    let head = match bundle.head() {
        Some(head) if given.head.is_none() && count.is_none_or(|count| count == head.outputs) => {
            head
        }
        _ => find_head(&tensors, given.head.as_deref(), count)
            .map_err(|reason| refuse(reason, Hint::GiveHead))?,
    };
    let labels = told.ok_or_else(|| {
        let reason = format!(
            "what the {} rows of its head `{}` mean is not known",
            head.outputs, head.name
        );
        refuse(reason, Hint::GiveLabels)
    })?;
    let of_hub = config.as_ref().and_then(hub_kind);
    if let Some(kind) = of_hub.filter(|_| given.kind.is_none()) {
        let network = known(kind, given, config.as_ref(), labels.len());
        let shape = |name: &str| tensors.get(name).map(|(_, shape)| shape.clone());
        if network.head() == head.name && network.check_shapes(&shape).is_ok() {
            return Ok((network, labels));
        }
    }
    Ok((
        Architecture::for_head(head.name, head.inputs, head.outputs),
        labels,
    ))
}

/// A network of a known family.
fn known(
    kind: Kind,
    given: &NewNetwork,
    config: Option<&HubConfig>,
    classes: usize,
) -> Architecture {
    let input = if kind.reads_text() {
        let told = config.and_then(|config| config.number("vocab_size"));
        Input::Text(TextShape {
            vocabulary: told.unwrap_or(given.vocabulary),
            length: given.length,
        })
    } else {
        Input::Images(given.images.unwrap_or(disinherit_data::ImageShape {
            channels: 3,
            height: 32,
            width: 32,
        }))
    };
    Architecture {
        head: None,
        ..Architecture::new(kind, input, classes)
    }
}

/// The family that a configuration describes, if it is a known one.
fn hub_kind(config: &HubConfig) -> Option<Kind> {
    let class = config.architectures.as_ref()?.first()?;
    if class != "BertForSequenceClassification" {
        return None;
    }
    match (
        config.number("hidden_size")?,
        config.number("num_hidden_layers")?,
        config.number("num_attention_heads")?,
    ) {
        (128, 2, 2) => Some(Kind::BertTiny),
        (768, 12, 12) => Some(Kind::BertBase),
        _ => None,
    }
}

/// Adds a model from a file or a folder; see [`add_model_file`].
///
/// # Errors
/// As [`add_model_file`], or [`EngineError::Format`] when the file cannot be used.
pub fn add(registry: &Registry, new: &AddModel) -> Result<ModelId, EngineError> {
    let bundle = disinherit_formats::open(&new.file)?;
    add_model_file(registry, new, &bundle)
}

/// Adds a model: checks that its tensors are those of the architecture and finite, that its parents
/// are known and not younger, then stores and publishes it.
///
/// # Errors
/// [`EngineError`]; nothing is published then.
pub fn add_model_file(
    registry: &Registry,
    new: &AddModel,
    bundle: &ModelFile,
) -> Result<ModelId, EngineError> {
    add_one(registry, new, bundle, Some(bundle))
}

/// Adds a model whose tensors are not in a file.
///
/// # Errors
/// As [`add_model_file`].
pub fn add_tensors(
    registry: &Registry,
    new: &AddModel,
    tensors: &dyn TensorSource,
) -> Result<ModelId, EngineError> {
    add_one(registry, new, tensors, None)
}

fn add_one(
    registry: &Registry,
    new: &AddModel,
    tensors: &dyn TensorSource,
    file: Option<&ModelFile>,
) -> Result<ModelId, EngineError> {
    let mut graph = excerpt(registry, [new])?;
    let entered = enter_known(registry, &mut graph, new)?;
    let model = entered.with_digest(store(registry, new, tensors, file)?);
    let id = model.row.vertex.id.clone();
    let record = OperationRecord::Add(AddRecord {
        model: id.clone(),
        digest: model.row.manifest,
    });
    publish(registry, vec![model], record)?;
    Ok(id)
}

/// The part of the graph that adding models reads: of their names, and of their parents. The rest may be large.
pub(crate) fn excerpt<'m>(
    registry: &Registry,
    models: impl IntoIterator<Item = &'m AddModel>,
) -> Result<Umig, EngineError> {
    let names = models.into_iter().flat_map(|new| {
        let parents = new.parents.iter().map(|(name, _)| &name[..]);
        parents.chain([&new.name[..]])
    });
    Ok(registry.excerpt(names)?)
}

/// Enters a model into a part of the graph; only the whole graph has the name that is nearest to an unknown one.
pub(crate) fn enter_known(
    registry: &Registry,
    part: &mut Umig,
    new: &AddModel,
) -> Result<Entered, EngineError> {
    match enter(part, new) {
        Err(EngineError::UnknownModel { name, near }) => {
            find(&registry.graph()?, &name)?;
            // Somebody has added it since.
            Err(EngineError::UnknownModel { name, near })
        }
        entered => entered,
    }
}

fn publish(
    registry: &Registry,
    models: Vec<NewModel>,
    record: OperationRecord,
) -> Result<(), EngineError> {
    registry.publish(&Publication {
        models,
        ..Publication::new(now(), record)
    })?;
    Ok(())
}

/// A model that the graph has, and whose tensors are still to be stored.
pub(crate) struct Entered {
    vertex: Model,
    parents: Vec<(ModelId, Relation)>,
}

impl Entered {
    /// With its tensors.
    pub(crate) fn with_digest(self, digest: Digest) -> NewModel {
        NewModel {
            row: ModelRow::new(self.vertex, digest),
            parents: self.parents,
        }
    }
}

/// Enters a model into the graph. What the graph refuses is refused before anything is written.
pub(crate) fn enter(graph: &mut Umig, new: &AddModel) -> Result<Entered, EngineError> {
    let id = next_version(graph, &new.name)?;
    if new.labels.len() != new.architecture.classes {
        return Err(EngineError::CannotAdd {
            reason: format!(
                "`{id}` has {} label names for {} outputs",
                new.labels.len(),
                new.architecture.classes
            ),
            hint: Some(Hint::GiveLabels),
        });
    }
    if !matches!(new.architecture.input, Input::Features(_)) {
        new.preprocessing
            .check(new.architecture.input.channels())
            .map_err(EngineError::net(&id))?;
    }
    let parents: Vec<(ModelId, Relation)> = new
        .parents
        .iter()
        .map(|(name, relation)| Ok((find(graph, name)?.id.clone(), relation.clone())))
        .collect::<Result<_, EngineError>>()?;
    let parent_ids: Vec<ModelId> = parents.iter().map(|(id, _)| id.clone()).collect();
    let vertex = Model {
        time: new.time.unwrap_or_else(|| time_after(graph, &parent_ids)),
        id,
        labels: new.labels.clone(),
        training: new.training.clone(),
        superseded: false,
    };
    graph.add(vertex.clone(), parents.clone())?;
    Ok(Entered { vertex, parents })
}

/// Checks a model's tensors and stores them.
pub(crate) fn store(
    registry: &Registry,
    new: &AddModel,
    tensors: &dyn TensorSource,
    file: Option<&ModelFile>,
) -> Result<Digest, EngineError> {
    Ok(registry.put_checkpoint(checked(registry, new, tensors, file)?, tensors)?)
}

/// Checks a model's tensors. Returns its manifest, without them.
pub(crate) fn checked(
    registry: &Registry,
    new: &AddModel,
    tensors: &dyn TensorSource,
    file: Option<&ModelFile>,
) -> Result<Manifest, EngineError> {
    check(tensors, &new.architecture, &new.name)?;
    if !new.untied {
        check_tied(tensors, new.architecture.head(), &new.name)?;
    }
    let mut manifest = manifest(&new.architecture, &new.preprocessing, &new.labels)?;
    if let Some(bundle) = file {
        format::keep(registry, &mut manifest, bundle)?;
    }
    Ok(manifest)
}

/// Checks that a file holds the tensors of an architecture, one after the other: it may be larger
/// than memory.
fn check(file: &dyn TensorSource, network: &Architecture, id: &str) -> Result<(), EngineError> {
    let known = file.tensors();
    let [weight, bias] = ["weight", "bias"].map(|part| format!("{}.{part}", network.head()));
    // A head of an unknown network may do without.
    let no_bias = network.kind == Kind::Head && !known.contains_key(&bias);
    let floats = |name: &str| {
        if no_bias && name == bias {
            return Some(vec![network.classes]);
        }
        let (dtype, shape) = known.get(name)?;
        let float = matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
        // A head whose network is not known may be a convolution.
        let shape = match network.kind == Kind::Head && name == weight {
            true => matrix_shape(shape).to_vec(),
            false => shape.clone(),
        };
        float.then_some(shape)
    };
    network
        .check_shapes(&floats)
        .map_err(EngineError::net(id))?;
    for (name, _) in network.tensors().map_err(EngineError::net(id))? {
        if no_bias && name == bias {
            continue;
        }
        let Some((dtype, _)) = known.get(&name) else {
            continue;
        };
        let mut before = 0;
        for_pieces(&mut *file.reader(&name)?, |piece| {
            let values = widened(*dtype, piece).unwrap_or_default();
            let checked = check_finite(&name, before, &values).map_err(EngineError::net(id));
            before += values.len();
            checked.map_err(Piece::Refused)
        })
        .map_err(|error| match error {
            Piece::Refused(error) => error,
            Piece::Unread(error) => FormatError::io("read", &name)(error).into(),
        })?;
    }
    Ok(())
}

/// What a piece of a tensor came to.
enum Piece {
    Refused(EngineError),
    Unread(io::Error),
}

impl From<io::Error> for Piece {
    fn from(error: io::Error) -> Self {
        Self::Unread(error)
    }
}

/// Refuses a head that is another tensor too: its rows cannot be dampened alone.
fn check_tied(file: &dyn TensorSource, head: &str, id: &str) -> Result<(), EngineError> {
    let name = format!("{head}.weight");
    let tensors = file.tensors();
    let Some(own) = tensors.get(&name) else {
        return Ok(());
    };
    let digest = |name: &str| {
        let digest = Digest::from_reader(&mut *file.reader(name)?);
        digest.map_err(FormatError::io("read", name))
    };
    let mut weight: Option<Digest> = None;
    for (other, shape) in &tensors {
        if *other == name || shape != own {
            continue;
        }
        let weight = match weight {
            Some(weight) => weight,
            None => *weight.insert(digest(&name)?),
        };
        if digest(other)? == weight {
            return Err(EngineError::CannotAdd {
                reason: format!(
                    "the head `{head}` of `{id}` is tied to `{other}`: both are the same weights, and \
                     what is dampened in one would be missing in the other"
                ),
                hint: Some(Hint::AddUntied),
            });
        }
    }
    Ok(())
}
