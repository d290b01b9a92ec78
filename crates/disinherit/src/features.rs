//! Features, computed once for each backbone and data set.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use disinherit_data::{DataSet, FeatureTable, Samples};
use disinherit_formats::Tensor;
use disinherit_nets::{Capture, Compute, OnnxRuntime, StateDict};
use disinherit_registry::{Digest, FeatureCache, Registry};
use fiun::{Matrix, linear};
use umig::{Forget, ModelId};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::feature_memory::Memory;
use crate::format::GraphRun;
use crate::model::LoadedModel;
use crate::progress::{Progress, Stage};
use crate::runner::Runner;
use crate::runner::run_weights;

/// How the program itself runs graphs: another number where their features become others in last digits.
const GRAPHS: &str = "graphs/2";

/// Runs backbones, each on each data set only once: models that share one share its features.
/// What was computed is kept in memory and, label by label, in the registry's cache, both bounded;
/// a request's choice of alpha, the verification after it and the next request find it there.
///
/// Not to be called from several threads at once: a forward pass uses all of them.
pub struct Features<'a> {
    registry: Arc<Registry>,
    compute: Compute,
    onnx_runtime: Option<OnnxRuntime>,
    disk: Option<FeatureCache>,
    runner: Option<&'a dyn Runner>,
    /// Labels whose features are not written to disk; `None` for all.
    unwritten: Option<BTreeSet<String>>,
    memory: Arc<Mutex<Memory>>,
    /// The model that features were taken for which do not say whose they are.
    owner: Mutex<Option<(Digest, ModelId)>>,
}

impl<'a> Engine<'a> {
    /// Features of the registry's models. Those of what `forget` names are not written to disk.
    pub fn features(&self, forget: Option<&Forget>) -> Features<'a> {
        let features = Features::new(self);
        match forget {
            Some(forget) => features.not_writing(forget),
            None => features,
        }
    }
}

impl<'a> Features<'a> {
    /// Features of the models of an engine's registry. External samples are run by the engine's
    /// runner, and nothing is cached on disk then: ids do not tell whether samples are still what
    /// they were.
    pub fn new(engine: &Engine<'a>) -> Self {
        let registry = engine.shared_registry();
        let bytes = engine.feature_cache();
        let disk = registry.feature_cache(bytes).filter(|_| bytes > 0);
        Self {
            disk: disk.filter(|_| engine.runner().is_none()),
            registry,
            compute: engine.compute(),
            onnx_runtime: engine.onnx_runtime(),
            runner: engine.runner(),
            unwritten: Some(BTreeSet::new()),
            memory: engine.memory(),
            owner: Mutex::default(),
        }
    }

    /// Who runs external samples.
    pub(crate) fn runner(&self) -> Option<&'a dyn Runner> {
        self.runner
    }

    /// Features that do not say whose they are can be those of one backbone only.
    fn check_owner(&self, model: &LoadedModel, set: &DataSet) -> Result<(), EngineError> {
        let anonymous = set
            .features_of(model.id().name())
            .is_some_and(|table| table.models.is_empty());
        if !anonymous {
            return Ok(());
        }
        let backbone = model.backbone();
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, first) = owner.get_or_insert_with(|| (backbone, model.id().clone()));
        if *known == backbone {
            return Ok(());
        }
        Err(EngineError::BadFeatures(format!(
            "`{}` does not say whose features it holds, and below their heads `{first}` and `{}` are \
             different networks: capture the features of each, and name the model in each file's \
             metadata (`model`), or put them into one folder as NAME.safetensors",
            set.name(),
            model.id()
        )))
    }

    /// Keeps what a request wants forgotten off the disk.
    pub fn not_writing(mut self, forget: &Forget) -> Self {
        self.unwritten = match forget {
            Forget::Classes(labels) => Some(labels.iter().cloned().collect()),
            // Whose samples these are is not known by their labels.
            _ => None,
        };
        self
    }

    /// Drops from the disk what was computed from data that is now forgotten.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn drop_forgotten(&self, forget: &Forget) -> Result<usize, EngineError> {
        let Some(disk) = &self.disk else {
            return Ok(0);
        };
        let labels: Option<Vec<String>> = match forget {
            Forget::Classes(labels) => Some(labels.iter().cloned().collect()),
            _ => None,
        };
        Ok(disk.forget(labels.as_deref())?)
    }

    /// The features of a data set, `[samples, inputs of the head]`.
    ///
    /// # Errors
    /// [`EngineError`] when the data does not fit the network.
    pub fn of(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        progress: &dyn Progress,
    ) -> Result<Arc<Matrix>, EngineError> {
        self.check_owner(model, set)?;
        let set = &*set.seen_by(model.id().name())?;
        let backbone = model.backbone();
        let engine = self.engine_of(model);
        let key = |set: &DataSet| {
            let text = format!("features/2/{backbone}/{}/{engine}", set.digest());
            Digest::from_content(text.as_bytes())
        };
        let whole = key(set);
        let memory = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(features) = memory().get(whole) {
            return Ok(features);
        }
        let mut by_label: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, &label) in set.labels().iter().enumerate() {
            by_label.entry(label).or_default().push(index);
        }
        let mut rows = Rows::new(set.len());
        let mut missing: Vec<(u32, Vec<usize>, Digest)> = Vec::new();
        for (label, indices) in by_label {
            let name = &set.label_names()[label as usize];
            // Digests cost a copy of the samples: only where there is a cache to look in.
            let part = match &self.disk {
                Some(_) => key(&set.select(&indices)),
                None => whole,
            };
            let kept = self.disk.as_ref().and_then(|disk| disk.get(name, part));
            match kept.filter(|kept| kept.rows() == indices.len()) {
                Some(kept) => rows.put(&indices, &kept),
                None => missing.push((label, indices, part)),
            }
        }
        if !missing.is_empty() {
            let mut indices: Vec<usize> = missing.iter().flat_map(|m| &m.1).copied().collect();
            indices.sort_unstable();
            let captured = self.capture(model, &set.select(&indices), progress)?;
            rows.put(&indices, &captured.features);
            self.keep(set, &missing, &rows)?;
        }
        let features = Arc::new(rows.finish()?);
        memory().put(whole, &features);
        Ok(features)
    }

    /// What a model is run by: engines differ in last digits, so one's features are not taken for another's.
    fn engine_of(&self, model: &LoadedModel) -> String {
        match self.onnx_runtime.filter(|_| model.is_head_only()) {
            Some(runtime) => format!("{} {}", self.compute, runtime.build()),
            None if model.is_head_only() => format!("{} {GRAPHS}", self.compute),
            None => self.compute.to_string(),
        }
    }

    /// Samples as a model sees them whose head alone is known: their features. Other models see the samples themselves.
    ///
    /// # Errors
    /// As [`Features::of`].
    pub fn as_seen<'s>(
        &self,
        model: &LoadedModel,
        set: &'s DataSet,
        progress: &dyn Progress,
    ) -> Result<Cow<'s, DataSet>, EngineError> {
        if !model.is_head_only() {
            return Ok(Cow::Borrowed(set));
        }
        let features = self.of(model, set, progress)?;
        Ok(Cow::Owned(as_features(set, &features)?))
    }

    /// The logits that a model's head makes of features, `[samples, outputs]`.
    ///
    /// # Errors
    /// [`EngineError`] when the shapes do not fit.
    pub fn logits(&self, model: &LoadedModel, features: &Matrix) -> Result<Matrix, EngineError> {
        let (weight, bias) = model.head(&self.registry)?;
        linear(features.view(), weight.view(), &bias)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))
    }

    /// Features and logits by a forward pass, kept nowhere.
    ///
    /// # Errors
    /// As [`Features::of`].
    pub fn capture(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        progress: &dyn Progress,
    ) -> Result<Capture, EngineError> {
        self.check_owner(model, set)?;
        let set = &*set.seen_by(model.id().name())?;
        let stage = progress.stage(&format!("running {}", model.id()), set.len() as u64);
        let is_here = !matches!(set.samples(), Samples::Features(_) | Samples::External);
        if model.is_head_only() && is_here {
            let done = &mut |n| stage.advance(n as u64);
            let run = self.graph().run(model, &BTreeMap::new(), set, done)?;
            if let Some(features) = run {
                let logits = self.logits(model, &features)?;
                return Ok(Capture { features, logits });
            }
        }
        self.run(model, &model.state(&self.registry)?, set, stage.as_ref())
    }

    /// The features that a model makes of samples with other tensors in place of some of its own.
    ///
    /// # Errors
    /// As [`Features::of`].
    pub(crate) fn after(
        &self,
        model: &LoadedModel,
        changed: &BTreeMap<String, Tensor>,
        set: &DataSet,
        progress: &dyn Progress,
    ) -> Result<Matrix, EngineError> {
        let stage = progress.stage(&format!("checking {}", model.id()), set.len() as u64);
        let done = &mut |n| stage.advance(n as u64);
        let is_here = !matches!(set.samples(), Samples::Features(_) | Samples::External);
        if model.is_head_only() && is_here {
            let run = self.graph().run(model, changed, set, done)?;
            if let Some(features) = run {
                return Ok(features);
            }
        }
        let state = model.edited_state(model.state(&self.registry)?, changed);
        Ok(self.run(model, &state, set, stage.as_ref())?.features)
    }

    fn graph(&self) -> GraphRun<'_> {
        GraphRun {
            registry: &self.registry,
            runtime: self.onnx_runtime,
        }
    }

    /// What weights in the network of a model make of samples.
    ///
    /// # Errors
    /// As [`Features::of`].
    pub(crate) fn run(
        &self,
        model: &LoadedModel,
        weights: &StateDict,
        set: &DataSet,
        stage: &dyn Stage,
    ) -> Result<Capture, EngineError> {
        run_weights(self.runner, self.compute, model, weights, set, stage)
    }

    fn keep(
        &self,
        set: &DataSet,
        parts: &[(u32, Vec<usize>, Digest)],
        rows: &Rows,
    ) -> Result<(), EngineError> {
        let (Some(disk), Some(unwritten)) = (&self.disk, &self.unwritten) else {
            return Ok(());
        };
        for (label, indices, key) in parts {
            let name = &set.label_names()[*label as usize];
            if !unwritten.contains(name) {
                // A full disk costs time later, and nothing now.
                let _ = disk.put(name, *key, &rows.take(indices)?);
            }
        }
        Ok(())
    }
}

/// The same samples as features, `[samples, width]`, in place of what they were.
pub(crate) fn as_features(set: &DataSet, features: &Matrix) -> Result<DataSet, EngineError> {
    let table = FeatureTable {
        models: Vec::new(),
        width: features.cols(),
        values: features.values().to_vec(),
        logits: Vec::new(),
    };
    Ok(DataSet::new(
        set.name(),
        Samples::Features(vec![table]),
        set.labels().to_vec(),
        set.label_names().to_vec(),
        set.ids().to_vec(),
    )?)
}

/// A matrix that is put together from rows.
struct Rows {
    count: usize,
    cols: usize,
    values: Vec<f32>,
}

impl Rows {
    fn new(count: usize) -> Self {
        Self {
            count,
            cols: 0,
            values: Vec::new(),
        }
    }

    fn put(&mut self, places: &[usize], from: &Matrix) {
        if self.cols == 0 {
            self.cols = from.cols();
            self.values = vec![0.0; self.count * self.cols];
        }
        for (row, place) in places.iter().enumerate() {
            self.values[place * self.cols..(place + 1) * self.cols]
                .copy_from_slice(from.view().row(row));
        }
    }

    fn take(&self, places: &[usize]) -> Result<Matrix, EngineError> {
        let values = places
            .iter()
            .flat_map(|place| &self.values[place * self.cols..(place + 1) * self.cols])
            .copied()
            .collect();
        matrix(places.len(), self.cols, values)
    }

    fn finish(self) -> Result<Matrix, EngineError> {
        matrix(self.count, self.cols, self.values)
    }
}

fn matrix(rows: usize, cols: usize, values: Vec<f32>) -> Result<Matrix, EngineError> {
    Matrix::new(rows, cols, values).map_err(|error| EngineError::Internal(error.to_string()))
}
