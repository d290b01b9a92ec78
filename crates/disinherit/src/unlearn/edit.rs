//! Stage 2: merge, choose alpha, select and dampen, one model at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::time::Instant;

use fiun::{
    AlphaChoice, DATA_FREE_ALPHA, Dampening, HeadProblem, LAMBDAS, LayerFisher, RowMatch, Scalar,
    Selection, dampen, merge, search_alpha,
};
use half::{bf16, f16};
use store::{Dtype, FisherCard, Registry, Tensor};
use umig::ModelId;

use super::{Alpha, ModelOutcome, Prepared, Ready, Scale, UnlearnOptions};
use crate::{EngineError, Stage};

/// What stage 2 works with.
pub(super) struct Edit<'a> {
    pub(super) registry: &'a Registry,
    pub(super) prepared: &'a Prepared,
    pub(super) options: &'a UnlearnOptions,
    pub(super) ids: &'a BTreeMap<&'a ModelId, ModelId>,
    pub(super) stage: &'a dyn Stage,
}

impl Edit<'_> {
    /// Merges, selects and dampens in one model, and stores its new head.
    pub(super) fn mend(&self, ready: &Ready) -> Result<ModelOutcome, EngineError> {
        let start = Instant::now();
        let model = &ready.model;
        let id = model.id();
        let scope = &self.prepared.plan.scope;
        let initial = scope.reached_by.get(id).cloned().unwrap_or_default();
        let (forget, unmatched) = self.merged(ready, &initial)?;
        let own = self.scaled(ready.card.fisher.total.clone(), &ready.card);
        let (alpha, choice) = self.alpha(ready, &forget, &own)?;
        let lambda = match &choice {
            Some(choice) => choice.lambda,
            None => self.options.lambda.unwrap_or(1.0),
        };
        let dampening =
            Dampening::new(alpha, lambda).map_err(EngineError::fisher(id, &model.manifest.head))?;
        let [weight_name, bias_name] = model.head_tensors();
        let mut tensors = BTreeMap::new();
        let mut changed = BTreeMap::new();
        for (name, forget, own) in [
            (weight_name, forget.weight.values(), own.weight.values()),
            (bias_name, &forget.bias[..], &own.bias[..]),
        ] {
            let mut tensor = model.tensor(self.registry, &name)?;
            let selection = dampen_tensor(&mut tensor, forget, own, dampening)
                .map_err(EngineError::fisher(id, &name))?;
            tensors.insert(name.clone(), selection);
            changed.insert(name, tensor);
        }
        let digest_after = if self.options.dry_run {
            None
        } else {
            Some(self.registry.put_model(model.manifest.clone(), changed)?)
        };
        self.stage.advance(1);
        Ok(ModelOutcome {
            before: id.clone(),
            after: self.ids.get(id).cloned().unwrap_or_else(|| id.clone()),
            role: scope.role(id),
            initial,
            digest_before: model.digest,
            digest_after,
            alpha,
            lambda,
            choice,
            tensors,
            unmatched,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// The FIMs of the forget data that reach a model, rows put where its own labels are, merged.
    fn merged(
        &self,
        ready: &Ready,
        initial: &BTreeSet<ModelId>,
    ) -> Result<(LayerFisher, Vec<String>), EngineError> {
        let wrap = EngineError::fisher(ready.model.id(), &ready.model.manifest.head);
        let own = &ready.card;
        let mut parts = Vec::new();
        let mut unmatched: Option<BTreeSet<String>> = None;
        for source in initial.iter().filter_map(|id| self.prepared.ready.get(id)) {
            let Some(forget) = &source.forget else {
                continue;
            };
            let rows = RowMatch::new(
                &own.outputs,
                own.fisher.total.bias.len(),
                &source.card.outputs,
                forget.bias.len(),
            );
            let matched = rows.and_then(|rows| {
                let missing: BTreeSet<String> = rows.only_in_target.iter().cloned().collect();
                unmatched = Some(match unmatched.take() {
                    None => missing,
                    Some(before) => before.intersection(&missing).cloned().collect(),
                });
                self.scaled(forget.clone(), &source.card).matched(&rows)
            });
            match matched {
                Ok(part) => parts.push(part),
                Err(error) => return Err(wrap(error)),
            }
        }
        let parts: Vec<&LayerFisher> = parts.iter().collect();
        let merged = merge(&parts, self.options.merge_scale).map_err(wrap)?;
        Ok((merged, unmatched.unwrap_or_default().into_iter().collect()))
    }

    /// A FIM on the scale of the comparison: divided by the mean of its own model's FIM, or raw.
    fn scaled(&self, fisher: LayerFisher, card: &FisherCard) -> LayerFisher {
        match self.options.scale {
            Scale::Common => fisher.rescaled(card.fisher.total.mean()),
            Scale::Raw => fisher,
        }
    }

    fn alpha(
        &self,
        ready: &Ready,
        forget: &LayerFisher,
        own: &LayerFisher,
    ) -> Result<(f64, Option<AlphaChoice>), EngineError> {
        let rule = || {
            match self.options.scale {
            Scale::Common => Ok((DATA_FREE_ALPHA, None)),
            Scale::Raw => Err(EngineError::NeedsData(
                "there is no rule for alpha on raw FIMs: give data (`--data`) or a value (`--alpha`)"
                    .into(),
            )),
        }
        };
        match (self.options.alpha, &ready.evidence) {
            (Alpha::Value(alpha), _) => Ok((alpha, None)),
            (Alpha::Rule, _) | (Alpha::Auto, None) => rule(),
            (Alpha::Auto, Some(evidence)) => {
                let usable =
                    evidence.is_forget.contains(&true) && evidence.is_forget.contains(&false);
                if !usable {
                    return rule();
                }
                let (weight, bias) = ready.model.head(self.registry)?;
                let problem = HeadProblem {
                    weight: weight.view(),
                    bias: &bias,
                    forget,
                    own,
                    features: evidence.features.view(),
                    labels: &evidence.rows,
                    is_forget: &evidence.is_forget,
                    lambdas: self
                        .options
                        .lambda
                        .as_ref()
                        .map_or(&LAMBDAS[..], slice::from_ref),
                };
                let choice = search_alpha(problem, self.options.target).map_err(
                    EngineError::fisher(ready.model.id(), &ready.model.manifest.head),
                )?;
                Ok((choice.alpha, Some(choice)))
            }
        }
    }
}

fn dampen_tensor(
    tensor: &mut Tensor,
    forget: &[f32],
    own: &[f32],
    dampening: Dampening,
) -> Result<Selection, fiun::FisherError> {
    fn typed<T: Scalar + bytemuck::Pod>(
        bytes: &mut Vec<u8>,
        forget: &[f32],
        own: &[f32],
        dampening: Dampening,
    ) -> Result<Selection, fiun::FisherError> {
        let mut values: Vec<T> = bytemuck::pod_collect_to_vec(bytes);
        let selection = dampen(&mut values, forget, own, dampening)?;
        *bytes = bytemuck::cast_slice(&values).to_vec();
        Ok(selection)
    }
    let bytes = &mut tensor.bytes;
    match tensor.dtype {
        Dtype::F32 => typed::<f32>(bytes, forget, own, dampening),
        Dtype::F16 => typed::<f16>(bytes, forget, own, dampening),
        Dtype::BF16 => typed::<bf16>(bytes, forget, own, dampening),
        other => Err(fiun::FisherError::Shape {
            what: "the tensor",
            found: format!("elements of type {other:?}"),
            expected: "F32, F16 or BF16".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_float_type_is_edited_in_place() {
        let dampening = Dampening::new(2.0, 1.0).unwrap();
        let shape = vec![2];
        let tensor = |dtype, bytes: Vec<u8>| Tensor {
            dtype,
            shape: shape.clone(),
            bytes,
        };
        let half: Vec<u8> = [1.0, 2.0]
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect();
        let brain: Vec<u8> = [1.0, 2.0]
            .iter()
            .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
            .collect();
        let single = Tensor::from_f32(&shape, &[1.0, 2.0]);
        for mut tensor in [tensor(Dtype::F16, half), tensor(Dtype::BF16, brain), single] {
            let edit = dampen_tensor(&mut tensor, &[4.0, 1.0], &[1.0, 1.0], dampening).unwrap();
            assert_eq!(tensor.to_f32().unwrap(), [0.25, 2.0], "{:?}", tensor.dtype);
            assert_eq!((edit.selected, edit.changed), (1, 1));
        }
        let mut whole = tensor(Dtype::I64, vec![0; 16]);
        let refused = dampen_tensor(&mut whole, &[4.0, 1.0], &[1.0, 1.0], dampening).unwrap_err();
        assert!(refused.to_string().contains("I64"), "{refused}");
    }
}
