//! One model's training: from its parents' weights to its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use disinherit::EngineError;
use disinherit::model::rows;
use disinherit::progress::Progress;
use disinherit_data::DataSet;
use disinherit_nets::{
    Architecture, Array, Compute, EpochReport, Preprocessing, StateDict, TrainingConfig,
    TrainingEvent, TrainingJob, average, initial_state, train,
};
use serde::Serialize;

use crate::baselines::Settings;
use crate::elsewhere::read_trained;

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    /// The training.
    pub config: TrainingConfig,
    /// Tensors whose names start so stay as they are.
    pub frozen: Vec<String>,
    /// Decides the order of samples.
    pub seed: u64,
    /// Decides fresh weights. All roots share it: averages of models that started apart are
    /// worthless.
    pub root_seed: u64,
    /// The checkpoint to take where the model was trained elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained: Option<PathBuf>,
}

impl Training {
    /// The same training for every model, from a method's settings.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            config: settings.training(),
            frozen: Vec::new(),
            seed: settings.seed,
            root_seed: settings.seed,
            trained: None,
        }
    }
}

/// How each model of a graph is trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Trainings {
    /// All alike.
    Same(Training),
    /// Each in its own way, by name.
    ByName(BTreeMap<String, Training>),
}

impl Trainings {
    /// All alike, from a method's settings.
    pub fn same(settings: &Settings) -> Self {
        Self::Same(Training::from_settings(settings))
    }

    /// That of one model.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`] for one that none is known of.
    pub(crate) fn of_model(&self, name: &str) -> Result<Training, EngineError> {
        match self {
            Self::Same(training) => Ok(training.clone()),
            Self::ByName(trainings) => {
                trainings
                    .get(name)
                    .cloned()
                    .ok_or_else(|| EngineError::UnknownModel {
                        name: name.to_owned(),
                        near: None,
                    })
            }
        }
    }
}

/// A parent as its child sees it.
pub(crate) struct ParentWeights {
    /// Its weight in the average.
    pub(crate) weight: f64,
    /// The labels of its outputs.
    pub(crate) labels: Vec<String>,
    /// Its weights.
    pub(crate) state: StateDict,
}

/// One training.
pub(crate) struct TrainingRun<'a> {
    pub(crate) name: &'a str,
    pub(crate) architecture: &'a Architecture,
    pub(crate) preprocessing: &'a Preprocessing,
    /// The labels of the outputs.
    pub(crate) labels: &'a [String],
    pub(crate) set: &'a DataSet,
    pub(crate) training: &'a Training,
    pub(crate) compute: Compute,
}

impl TrainingRun<'_> {
    pub(crate) fn run(
        &self,
        parents: &[ParentWeights],
        verb: &str,
        progress: &dyn Progress,
    ) -> Result<StateDict, EngineError> {
        if let Some(path) = &self.training.trained {
            return read_trained(path, self.architecture);
        }
        let name = self.name;
        let config = &self.training.config;
        let state = self.start(parents)?;
        let rows = rows(self.labels, self.set, &format!("`{name}`"))?;
        let frozen = |tensor: &str| {
            let mut starts = self.training.frozen.iter();
            starts.any(|start| tensor.starts_with(start))
        };
        let stage = progress.stage(
            &format!("{verb} {name}"),
            (config.epochs * self.set.len()) as u64,
        );
        let job = TrainingJob {
            architecture: self.architecture,
            state: &state,
            set: self.set,
            rows: &rows,
            preprocessing: self.preprocessing,
            config,
            frozen: &frozen,
            compute: self.compute,
            seed: self.training.seed,
        };
        let start = Instant::now();
        let trained = train(&job, &mut |event| match event {
            TrainingEvent::Samples(count) => stage.advance(count as u64),
            TrainingEvent::Epoch(EpochReport {
                epoch,
                loss,
                accuracy,
            }) => stage.note(&format!(
                "epoch {epoch}/{}, loss {loss:.3}, accuracy {:.1} %",
                config.epochs,
                accuracy * 100.0
            )),
        });
        let trained = trained.map_err(EngineError::net(name))?;
        let (epochs, samples) = (config.epochs, self.set.len());
        let seconds = start.elapsed().as_secs_f64();
        tracing::info!(model = name, epochs, samples, seconds, "trained");
        Ok(trained.state)
    }

    /// The weights to start from: fresh ones, or the parents' average. A row of the head is the
    /// average of the parents that have an output of that name, and fresh where none has.
    pub(crate) fn start(&self, parents: &[ParentWeights]) -> Result<StateDict, EngineError> {
        let net = || EngineError::net(self.name);
        if parents.iter().all(|parent| parent.labels == self.labels) && !parents.is_empty() {
            let parts: Vec<(f64, &StateDict)> =
                parents.iter().map(|p| (p.weight, &p.state)).collect();
            return average(&parts).map_err(net());
        }
        let mut fresh = initial_state(self.architecture, self.training.root_seed).map_err(net())?;
        if parents.is_empty() {
            return Ok(fresh);
        }
        let head = ["weight", "bias"].map(|part| format!("{}.{part}", self.architecture.head()));
        let bodies: Vec<StateDict> = parents
            .iter()
            .map(|parent| {
                let mut state = parent.state.clone();
                state.retain(|name, _| !head.contains(name));
                state
            })
            .collect();
        let parts: Vec<(f64, &StateDict)> = parents
            .iter()
            .zip(&bodies)
            .map(|(parent, body)| (parent.weight, body))
            .collect();
        for (row, label) in self.labels.iter().enumerate() {
            let rows: Vec<(f64, StateDict)> = parents
                .iter()
                .filter_map(|parent| {
                    let at = parent.labels.iter().position(|known| known == label)?;
                    Some((parent.weight, head_row(&parent.state, &head, at)?))
                })
                .collect();
            if rows.is_empty() {
                continue;
            }
            let rows: Vec<(f64, &StateDict)> = rows.iter().map(|(w, row)| (*w, row)).collect();
            for (name, from) in average(&rows).map_err(net())? {
                if let Some(to) = fresh.get_mut(&name) {
                    let width = from.values.len();
                    if let Some(place) = to.values.get_mut(row * width..(row + 1) * width) {
                        place.copy_from_slice(&from.values);
                    }
                }
            }
        }
        fresh.extend(average(&parts).map_err(net())?);
        Ok(fresh)
    }
}

/// One row of the head's tensors.
fn head_row(state: &StateDict, names: &[String; 2], row: usize) -> Option<StateDict> {
    names
        .iter()
        .map(|name| {
            let array = state.get(name)?;
            let width: usize = array.shape.get(1..)?.iter().product();
            let values = array.values.get(row * width..(row + 1) * width)?.to_vec();
            let shape = vec![width];
            Some((name.clone(), Array { shape, values }))
        })
        .collect()
}
