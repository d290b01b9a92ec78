//! What Python says of a request, of how it is to be done, and of a new model: dataclasses of the
//! package (`disinherit._arguments`), read by their attributes.

use std::path::PathBuf;

use disinherit::cards::FisherOptions;
use disinherit::import::{AddModel, NewNetwork};
use disinherit::import::{ImportOptions, TrainedOn as TreeTraining};
use disinherit::nets::{Architecture, Preprocessing};
use disinherit::registry::LossBound;
use disinherit::umig::{Forget, Relation, SampleSet, Shard, Training};
use disinherit::{Alpha, EditDepth, EngineError, FiunOptions, Method, RunOptions, Scale};
use disinherit_lab::{MethodKind, Setup};
use pyo3::prelude::*;

use crate::errors::refused;

/// What must be forgotten, and the models that it came in through.
#[derive(FromPyObject)]
pub(crate) struct Asked {
    classes: Option<Vec<String>>,
    source: Option<String>,
    samples: Option<Vec<String>>,
    pub(crate) initial: Vec<String>,
}

impl Asked {
    /// The one thing that is asked for.
    pub(crate) fn forget(&self) -> Result<Forget, EngineError> {
        match (&self.classes, &self.source, &self.samples) {
            (Some(classes), None, None) => Ok(Forget::classes(classes.iter().cloned())),
            (None, Some(source), None) => Ok(Forget::Source(source.clone())),
            (None, None, Some(samples)) => Ok(Forget::Samples(samples.iter().cloned().collect())),
            _ => Err(EngineError::Setting(
                "say what to forget: give one of `classes=`, `source=` and `samples=`".into(),
            )),
        }
    }
}

/// How a request is to be done.
#[derive(FromPyObject)]
pub(crate) struct Options {
    alpha: Option<f64>,
    rule: bool,
    lambda_: Option<f64>,
    raw: bool,
    merge_scale: Option<f64>,
    target_forget: Option<f64>,
    target_loss: Option<f64>,
    accept_loss: Option<f64>,
    layers: Option<String>,
    estimator: Option<String>,
    jobs: usize,
    dry_run: bool,
    dampen_only: bool,
    depth: String,
    last_stage: bool,
    activations: bool,
    method: Option<String>,
    shard: Option<String>,
}

/// The same as the engine takes it.
pub(crate) struct Way {
    pub(crate) fiun: FiunOptions,
    pub(crate) run: RunOptions,
    pub(crate) shard: Option<Shard>,
    method: Option<MethodKind>,
}

impl Way {
    /// The method that is asked for, or else the one that suits the request.
    pub(crate) fn method(&self, forget: &Forget, has_data: bool) -> Box<dyn Method> {
        let suits = || MethodKind::for_request(forget, has_data, &self.fiun);
        let kind = self.method.unwrap_or_else(suits);
        kind.with(&Setup {
            fiun: self.fiun.clone(),
            ..Setup::for_method(kind)
        })
    }
}

impl Options {
    pub(crate) fn read(&self) -> PyResult<Way> {
        let default = FiunOptions::default();
        let mut fisher = FisherOptions {
            activations: self.activations,
            ..FisherOptions::default()
        };
        if let Some(layers) = &self.layers {
            fisher.layers = layers.parse().map_err(refused)?;
        }
        if let Some(estimator) = &self.estimator {
            fisher.estimator = estimator.parse().map_err(refused)?;
        }
        let fiun = FiunOptions {
            alpha: match (self.alpha, self.rule) {
                (Some(value), _) => Alpha::Value(value),
                (None, true) => Alpha::Rule,
                (None, false) => Alpha::Auto,
            },
            lambda: self.lambda_,
            scale: if self.raw { Scale::Raw } else { Scale::Common },
            merge_scale: self.merge_scale.unwrap_or(default.merge_scale),
            target_forget: self.target_forget,
            target_loss: self.target_loss.unwrap_or(default.target_loss),
            fisher,
            suppress: !self.dampen_only,
            depth: match self.depth.as_str() {
                "auto" => EditDepth::Auto,
                "outputs" => EditDepth::Outputs,
                "features" => EditDepth::Features,
                other => {
                    return Err(refused(format!(
                        "`depth` must be `auto`, `outputs` or `features`, not `{other}`"
                    )));
                }
            },
            last_stage: self.last_stage,
            ..default
        };
        let run = RunOptions {
            jobs: self.jobs,
            dry_run: self.dry_run,
            loss: LossBound {
                target: fiun.target_loss,
                accepted: self.accept_loss,
            },
            ..RunOptions::default()
        };
        let method = self.method.as_deref().map(str::parse).transpose();
        let shard = self.shard.as_deref().map(str::parse).transpose();
        Ok(Way {
            fiun,
            run,
            shard: shard.map_err(refused)?,
            method: method.map_err(refused)?,
        })
    }
}

/// Whether these options edit the features of whole classes, where a network is run below its head.
#[pyfunction]
pub(crate) fn reaches_features(options: Options) -> PyResult<bool> {
    let way = options.read()?;
    let dampens = way.method.is_none_or(|kind| kind == MethodKind::Fiun);
    Ok(dampens && way.fiun.reaches_features())
}

/// How a model came from a parent: `disinherit.Relation`.
#[derive(FromPyObject)]
pub(crate) struct FromParent {
    kind: String,
    weight: Option<f64>,
    frozen: Vec<String>,
    request: Option<String>,
}

impl FromParent {
    /// Any relation; of a registry, only requests make unlearned versions.
    pub(crate) fn relation(&self) -> PyResult<Relation> {
        match (self.kind.as_str(), &self.request) {
            ("unlearned_from", Some(request)) => Ok(Relation::UnlearnedFrom {
                request: request.clone(),
            }),
            ("unlearned_from", None) => Err(refused(
                "an unlearned version names its request: `Relation(\"unlearned_from\", request=...)`",
            )),
            _ => self.read(),
        }
    }

    fn read(&self) -> PyResult<Relation> {
        Ok(match self.kind.as_str() {
            "fine_tune" => Relation::FineTune,
            "incremental" => Relation::Incremental,
            "transfer" => Relation::Transfer {
                frozen: self.frozen.clone(),
            },
            "federated_average" => Relation::FederatedAverage {
                weight: self.weight.unwrap_or(1.0),
            },
            "distributed_average" => Relation::DistributedAverage,
            "distilled" => Relation::Distilled,
            "merged" => Relation::Merged {
                weight: self.weight,
            },
            "quantised" => Relation::Quantised,
            "adapter" => Relation::Adapter,
            other => {
                return Err(refused(format!(
                    "`parents=` says `{other}`; a model comes from a parent by fine_tune, incremental, \
                     transfer, federated_average, distributed_average, distilled, merged, quantised or adapter"
                )));
            }
        })
    }
}

/// Data that a model was trained on itself: `disinherit.Training`.
#[derive(FromPyObject)]
struct TrainedOn {
    data: String,
    labels: Option<Vec<String>>,
    samples: Option<Vec<String>>,
    source: Option<String>,
}

/// What a family's name and the shape of its images say of a network.
fn network(
    architecture: Option<&str>,
    input: Option<(usize, usize, usize)>,
) -> PyResult<NewNetwork> {
    let kind = architecture.map(str::parse).transpose();
    let shape = |(channels, height, width)| disinherit::data::ImageShape {
        channels,
        height,
        width,
    };
    Ok(NewNetwork {
        kind: kind.map_err(refused)?,
        images: input.map(shape),
        vocabulary: disinherit::data::VOCABULARY,
        length: 128,
        ..NewNetwork::default()
    })
}

/// A new model.
#[derive(FromPyObject)]
pub(crate) struct NewModel {
    pub(crate) name: String,
    architecture: Option<String>,
    pub(crate) head: Option<String>,
    pub(crate) labels: Option<Vec<String>>,
    input: Option<(usize, usize, usize)>,
    parents: Vec<(String, FromParent)>,
    trained_on: Vec<TrainedOn>,
    untied: bool,
}

impl NewModel {
    /// What is known about its network.
    pub(crate) fn network(&self) -> PyResult<NewNetwork> {
        let named = network(self.architecture.as_deref(), self.input)?;
        Ok(NewNetwork {
            head: self.head.clone(),
            labels: self.labels.clone(),
            untied: self.untied,
            ..named
        })
    }

    /// Its parents, each with the relation.
    pub(crate) fn parents(&self) -> PyResult<Vec<(String, Relation)>> {
        let parents = self.parents.iter();
        parents
            .map(|(name, how)| Ok((name.clone(), how.read()?)))
            .collect()
    }

    /// What the engine adds.
    pub(crate) fn model(
        self,
        file: PathBuf,
        architecture: Architecture,
        labels: Vec<String>,
        parents: Vec<(String, Relation)>,
    ) -> AddModel {
        let training = self.trained_on.into_iter().map(|trained| {
            let seen = trained.labels.unwrap_or_else(|| labels.clone());
            let mut training = Training::new(&trained.data, seen);
            training.source = trained.source;
            if let Some(samples) = trained.samples {
                training.samples = SampleSet::Listed(samples.into_iter().collect());
            }
            training
        });
        AddModel {
            name: self.name,
            file,
            training: training.collect(),
            architecture,
            preprocessing: Preprocessing::default(),
            labels,
            parents,
            time: None,
            untied: self.untied,
        }
    }
}

/// A model of a graph without weights: `disinherit._arguments.NewVertex`.
#[derive(FromPyObject)]
pub(crate) struct NewVertex {
    pub(crate) name: String,
    pub(crate) parents: Vec<(String, FromParent)>,
    pub(crate) time: Option<u64>,
    pub(crate) labels: Vec<String>,
    trained_on: Vec<SeenData>,
}

/// Data that such a model was trained on, with all that a graph can say of it.
#[derive(FromPyObject)]
struct SeenData {
    data: String,
    labels: Option<Vec<String>>,
    samples: Option<Vec<String>>,
    source: Option<String>,
    split: Option<String>,
    digest: Option<String>,
    all_samples: bool,
}

impl NewVertex {
    /// What it was trained on; where labels are not said, those of its outputs.
    pub(crate) fn training(&self) -> Vec<Training> {
        let seen = self.trained_on.iter();
        seen.map(|seen| Training {
            digest: seen.digest.clone(),
            split: seen.split.clone(),
            source: seen.source.clone(),
            samples: match &seen.samples {
                Some(samples) => SampleSet::Listed(samples.iter().cloned().collect()),
                None if seen.all_samples => SampleSet::All,
                None => SampleSet::Unknown,
            },
            ..Training::new(&seen.data, seen.labels.as_ref().unwrap_or(&self.labels))
        })
        .collect()
    }
}

/// What holds for all models of a tree: `disinherit._arguments.TreeOptions`.
#[derive(FromPyObject)]
pub(crate) struct TreeOptions {
    labels: Option<Vec<String>>,
    head: Option<String>,
    architecture: Option<String>,
    input: Option<(usize, usize, usize)>,
    trained_on: Vec<TrainedOn>,
    infer_parents: Option<f64>,
    untied: bool,
    pub(crate) dry_run: bool,
}

impl TreeOptions {
    pub(crate) fn read(self) -> PyResult<ImportOptions> {
        let named = network(self.architecture.as_deref(), self.input)?;
        let trained = self.trained_on.into_iter().map(|trained| TreeTraining {
            data: trained.data,
            labels: trained.labels,
            samples: match trained.samples {
                Some(samples) => SampleSet::Listed(samples.into_iter().collect()),
                None => SampleSet::Unknown,
            },
            source: trained.source,
        });
        Ok(ImportOptions {
            network: NewNetwork {
                head: self.head,
                labels: self.labels,
                untied: self.untied,
                ..named
            },
            preprocessing: Preprocessing::default(),
            trained_on: trained.collect(),
            infer_parents: self.infer_parents,
        })
    }
}
