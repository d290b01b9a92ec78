//! The edit of a model whose inner layers are too large to be held: some rows of a tensor at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use disinherit_formats::Tensor;
use disinherit_registry::{FisherRows, RegistryError, TensorRef};
use fiun::{Dampening, FisherError, FisherTensor, Selection, merge};
use umig::ModelId;

use super::edit::{Dampen, Decision};
use super::tensor::dampen_tensor;
use crate::error::EngineError;
use crate::method::Edit;

/// The FIMs that decide the edit of one layer.
struct Layer<'a> {
    name: &'a str,
    own: FisherRows,
    /// The mean of the model's own FIM.
    mean: f64,
    /// The forget FIM of each initial model, and the mean of that one's own.
    forget: Vec<(FisherRows, f64)>,
}

impl Dampen<'_> {
    /// Whether the model's FIM is kept layer by layer, and nothing reads its edited tensors: no samples are run
    /// through it, and the caller did not ask for them.
    pub(super) fn is_large(&self) -> Result<bool, EngineError> {
        let work = self.work;
        let read = work.engine.data().is_some() || work.options.keep_weights;
        Ok(!read && self.card.card.reader(work.registry())?.is_split())
    }

    /// Merges, selects and dampens: the head as always, each layer below it some rows at a time.
    pub(super) fn in_parts(&self) -> Result<Edit, EngineError> {
        let (work, model, selected) = (self.work, self.model, self.selected);
        let mean = self.card.mean(work.registry(), model, selected)?;
        let own = self.card.own_head(work.registry(), model, selected)?;
        let initial = work.reached_by(model.id());
        let (forget, unmatched) = self.merged(&initial, &own)?;
        let own = own
            .into_iter()
            .map(|(name, fisher)| (name, self.scaled(fisher, mean)))
            .collect();
        let decision = Decision { forget, own };
        let (alpha, _) = self.alpha(&decision, None)?;
        let lambda = self.options.lambda.unwrap_or(1.0);
        let dampening = Dampening::new(alpha, lambda)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        let mut edited = self.edited(&decision, dampening)?;
        let mut stored = BTreeMap::new();
        for name in &selected.inner {
            work.go_on()?;
            let layer = self.layer(name, mean, &initial)?;
            if layer.forget.is_empty() {
                continue;
            }
            let (selection, tensor) = self.dampened(&layer, dampening)?;
            edited.selections.insert(name.clone(), selection);
            stored.extend(tensor.map(|tensor| (name.clone(), tensor)));
        }
        Ok(Edit {
            changed: edited.changed,
            stored,
            tensors: edited.selections,
            alpha: Some(alpha),
            lambda: Some(lambda),
            unmatched,
            ..Edit::default()
        })
    }

    /// The FIMs of one layer.
    fn layer<'n>(
        &self,
        name: &'n str,
        mean: f64,
        initial: &BTreeSet<ModelId>,
    ) -> Result<Layer<'n>, EngineError> {
        let registry = self.work.registry();
        let own = self.card.card.reader(registry)?.layer(registry, name)?;
        let mut forget = Vec::new();
        for source in initial {
            let Some(fisher) = self.work.forget_fishers.get(source) else {
                continue;
            };
            let layer = fisher.layer(registry, name)?;
            let layer = layer.ok_or_else(|| self.lacks(source, name))?;
            self.check_shape("the forget FIM", name, &own, layer.shape())?;
            forget.push((layer, fisher.scale));
        }
        Ok(Layer {
            name,
            own,
            mean,
            forget,
        })
    }

    fn check_shape(
        &self,
        what: &'static str,
        name: &str,
        own: &FisherRows,
        shape: &[usize],
    ) -> Result<(), EngineError> {
        if own.shape() == shape {
            return Ok(());
        }
        Err(EngineError::fisher(self.model.id(), name)(
            FisherError::Shape {
                what,
                found: format!("shape {shape:?}"),
                expected: format!("{:?}", own.shape()),
            },
        ))
    }

    /// Selects and dampens in one layer; the tensor that it becomes, where it is not what it was.
    fn dampened(
        &self,
        layer: &Layer<'_>,
        dampening: Dampening,
    ) -> Result<(Selection, Option<TensorRef>), EngineError> {
        let (registry, model, name) = (self.work.registry(), self.model, layer.name);
        let reference = model.manifest.tensors.get(name).ok_or_else(|| {
            EngineError::Internal(format!("`{}` has no tensor `{name}`", model.id()))
        })?;
        self.check_shape("the parameter tensor", name, &layer.own, &reference.shape)?;
        let mut before = registry.stored_tensor(reference)?;
        let mut after = registry.tensor_writer(!self.work.options.dry_run)?;
        let cols: usize = reference.shape.iter().skip(1).product();
        let row_bytes = (cols * reference.dtype.bitsize() / 8) as u64;
        let mut selection = Selection::default();
        for rows in layer.own.parts() {
            let own = self.scaled(layer.own.rows(rows.clone())?, layer.mean);
            let parts = layer.forget.iter();
            let parts: Vec<FisherTensor> = parts
                .map(|(fisher, mean)| Ok(self.scaled(fisher.rows(rows.clone())?, *mean)))
                .collect::<Result<_, EngineError>>()?;
            let parts: Vec<&FisherTensor> = parts.iter().collect();
            let forget = merge(&parts, self.options.merge_scale)
                .map_err(EngineError::fisher(model.id(), name))?;
            let bytes = rows.start as u64 * row_bytes..rows.end as u64 * row_bytes;
            let mut part = Tensor {
                dtype: reference.dtype,
                shape: own.shape().to_vec(),
                bytes: before.part(bytes)?,
            };
            let edited = dampen_tensor(&mut part, &forget, &own, dampening)
                .map_err(EngineError::fisher(model.id(), name))?;
            selection = selection.plus(edited);
            after
                .write_all(&part.bytes)
                .map_err(RegistryError::io("store", name))?;
        }
        // What did not change stays the blob that it is.
        let tensor = match selection.changed > 0 {
            true => Some(TensorRef {
                digest: after.finish()?,
                ..reference.clone()
            }),
            false => None,
        };
        Ok((selection, tensor))
    }
}
