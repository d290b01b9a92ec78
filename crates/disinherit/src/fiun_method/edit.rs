//! Stage 2: merge, choose alpha, select and dampen, one model at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use disinherit_formats::Tensor;
use fiun::{
    AlphaChoice, DATA_FREE_ALPHA, Dampening, Effort, FisherTensor, HeadPart, HeadProblem, LAMBDAS,
    LayerFisher, LogitSuppression, RowMatch, Search, Selection, largest_ratio, merge, score_trial,
    search_alpha,
};
use umig::ModelId;

use super::options::{Alpha, FiunOptions, Scale};
use super::tensor::{dampen_tensor, suppress_tensor};
use crate::cards::maker::Tensors;
use crate::cards::source::CardUse;
use crate::error::{EngineError, Hint};
use crate::evidence::{Samples, Strength};
use crate::layers::Selected;
use crate::method::Edit;
use crate::model::{LoadedModel, to_state};
use crate::progress::Silent;
use crate::work::Work;

/// The largest threshold tried when every try costs a forward pass: on a common scale, hardly any
/// parameter is selected beyond.
const LARGEST: f64 = 100.0;

/// FIUn at work on one model.
pub(super) struct Dampen<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) options: &'a FiunOptions,
    pub(super) model: &'a LoadedModel,
    pub(super) card: &'a CardUse,
    pub(super) selected: &'a Selected,
}

/// The FIMs that decide one model's edit, tensor by tensor.
pub(super) struct Decision {
    pub(super) forget: Tensors,
    pub(super) own: Tensors,
}

/// What an edit made.
#[derive(Default)]
pub(super) struct Edited {
    /// The tensors that are not what they were.
    pub(super) changed: BTreeMap<String, Tensor>,
    /// What was done to each tensor.
    pub(super) selections: BTreeMap<String, Selection>,
}

impl Dampen<'_> {
    /// Merges, selects and dampens.
    pub(super) fn edit(&self, evidence: Option<&Strength>) -> Result<Edit, EngineError> {
        let id = self.model.id();
        let (own, mean) = self
            .card
            .own(self.work.registry(), self.model, self.selected)?;
        let (forget, unmatched) = self.merged(&self.work.reached_by(id), &own)?;
        let decision = Decision {
            forget,
            own: own
                .into_iter()
                .map(|(name, fisher)| (name, self.scaled(fisher, mean)))
                .collect(),
        };
        let (alpha, choice) = self.alpha(&decision, evidence)?;
        let lambda = match &choice {
            Some(choice) => choice.lambda,
            None => self.options.lambda.unwrap_or(1.0),
        };
        let dampening = Dampening::new(alpha, lambda).map_err(self.wrap())?;
        let mut edited = self.edited(&decision, dampening)?;
        if let Some(suppression) = choice
            .as_ref()
            .and_then(|choice| choice.suppression.as_ref())
        {
            self.suppress(suppression, &mut edited)?;
        }
        Ok(Edit {
            changed: edited.changed,
            stored: BTreeMap::new(),
            tensors: edited.selections,
            alpha: Some(alpha),
            lambda: Some(lambda),
            choice,
            unmatched,
            inner: None,
            matched: None,
        })
    }

    /// Wraps an error with the model and its head.
    fn wrap(&self) -> impl FnOnce(fiun::FisherError) -> EngineError {
        EngineError::fisher(self.model.id(), &self.model.manifest.head)
    }

    /// The FIMs of the forget data that reach a model, merged tensor by tensor; the head's rows put
    /// where the model's own labels are.
    pub(super) fn merged(
        &self,
        initial: &BTreeSet<ModelId>,
        own: &Tensors,
    ) -> Result<(Tensors, Vec<String>), EngineError> {
        let model = self.model;
        let [weight, bias] = model.head_tensors();
        let mut parts: BTreeMap<&String, Vec<FisherTensor>> = BTreeMap::new();
        let mut unmatched: Option<BTreeSet<String>> = None;
        let registry = self.work.registry();
        let outputs = self.card.card.reader(registry)?.header().outputs.len();
        for source in initial {
            let forget = self.work.forget_fishers.get(source);
            let (Some(forget), Some(card)) = (forget, self.work.cards.get(source)) else {
                continue;
            };
            let rows = RowMatch::new(
                &model.manifest.labels,
                outputs,
                &card.card.reader(registry)?.header().outputs,
                forget.head.bias.rows(),
            )
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
            let head = matched(model, &forget.head, &rows)?;
            let missing: BTreeSet<String> = rows.only_in_target.iter().cloned().collect();
            unmatched = Some(match unmatched.take() {
                None => missing,
                Some(before) => before.intersection(&missing).cloned().collect(),
            });
            for name in own.keys() {
                let part = if *name == weight {
                    head.weight.clone()
                } else if *name == bias {
                    head.bias.clone()
                } else {
                    let inner = forget.layer(registry, name)?;
                    inner.ok_or_else(|| self.lacks(source, name))?.whole()?
                };
                parts
                    .entry(name)
                    .or_default()
                    .push(self.scaled(part, forget.scale));
            }
        }
        let merged = parts
            .into_iter()
            .map(|(name, list)| {
                let list: Vec<&FisherTensor> = list.iter().collect();
                let fisher = merge(&list, self.options.merge_scale)
                    .map_err(EngineError::fisher(model.id(), name))?;
                Ok((name.clone(), fisher))
            })
            .collect::<Result<_, EngineError>>()?;
        Ok((merged, unmatched.unwrap_or_default().into_iter().collect()))
    }

    /// An initial model whose Fisher information does not have a tensor of this one.
    pub(super) fn lacks(&self, initial: &ModelId, tensor: &str) -> EngineError {
        EngineError::Layers {
            reason: format!(
                "`{}` has a tensor `{tensor}`, the initial model `{initial}` has not",
                self.model.id(),
            ),
            hint: Hint::EditHeadOnly,
        }
    }

    /// A FIM on the scale of the comparison: divided by the mean of its own model's FIM, or raw. A
    /// mean of 0 (a model without any gradient) leaves it as it is.
    pub(super) fn scaled(&self, fisher: FisherTensor, mean: f64) -> FisherTensor {
        match self.options.scale {
            Scale::Common if mean > 0.0 => fisher.times(1.0 / mean),
            _ => fisher,
        }
    }

    /// Selects and dampens in copies of the model's tensors.
    pub(super) fn edited(
        &self,
        decision: &Decision,
        dampening: Dampening,
    ) -> Result<Edited, EngineError> {
        let model = self.model;
        let mut edited = Edited::default();
        for (name, own) in &decision.own {
            let Some(forget) = decision.forget.get(name) else {
                continue;
            };
            let mut tensor = model.tensor(self.work.registry(), name)?;
            let selection = dampen_tensor(&mut tensor, forget, own, dampening)
                .map_err(EngineError::fisher(model.id(), name))?;
            edited.selections.insert(name.clone(), selection);
            // What did not change stays the blob that it is.
            if selection.changed > 0 {
                edited.changed.insert(name.clone(), tensor);
            }
        }
        Ok(edited)
    }

    /// Suppresses the logits of the forgotten labels in what an edit made.
    fn suppress(
        &self,
        suppression: &LogitSuppression,
        edited: &mut Edited,
    ) -> Result<(), EngineError> {
        let model = self.model;
        let [weight, bias] = model.head_tensors();
        let name = match suppression.part {
            HeadPart::Bias => bias,
            HeadPart::Weight => weight,
        };
        let wrap = || EngineError::fisher(model.id(), &name);
        let before = model.tensor(self.work.registry(), &name)?;
        let tensor = edited.changed.remove(&name);
        let mut tensor = tensor.unwrap_or_else(|| before.clone());
        suppress_tensor(&mut tensor, suppression).map_err(wrap())?;
        let (before, after) = (before.to_f32(), tensor.to_f32());
        let pairs = before.iter().flatten().zip(after.iter().flatten());
        let selection = edited.selections.entry(name.clone()).or_default();
        selection.changed = pairs.filter(|(before, after)| before != after).count() as u64;
        edited.changed.insert(name, tensor);
        Ok(())
    }

    pub(super) fn alpha(
        &self,
        decision: &Decision,
        evidence: Option<&Strength>,
    ) -> Result<(f64, Option<AlphaChoice>), EngineError> {
        let evidence = match (self.options.alpha, evidence) {
            (Alpha::Value(alpha), _) => return Ok((alpha, None)),
            (Alpha::Auto, Some(evidence)) => evidence,
            (Alpha::Rule | Alpha::Auto, _) => {
                return match self.options.scale {
                    Scale::Common => Ok((DATA_FREE_ALPHA, None)),
                    Scale::Raw => Err(EngineError::NeedsData {
                        why: "there is no rule for alpha on raw FIMs".into(),
                        hint: Some(Hint::GiveDataOrAlpha),
                    }),
                };
            }
        };
        let choice = match &evidence.samples {
            Samples::Features(features) => self.search_head(decision, evidence, features)?,
            Samples::Whole(_) => self.search_layers(decision, evidence)?,
        };
        Ok((choice.alpha, Some(choice)))
    }

    fn lambdas(&self) -> &[f64] {
        self.options
            .lambda
            .as_ref()
            .map_or(&LAMBDAS[..], slice::from_ref)
    }

    fn search_head(
        &self,
        decision: &Decision,
        evidence: &Strength,
        features: &fiun::Matrix,
    ) -> Result<AlphaChoice, EngineError> {
        let model = self.model;
        let names = model.head_tensors();
        let (weight, bias) = model.head(self.work.registry())?;
        // A part of the head that is not selected is compared with zeros: nothing is edited there.
        let pair = |tensors: &Tensors| -> Result<LayerFisher, EngineError> {
            let shapes = [vec![weight.rows(), weight.cols()], vec![bias.len()]];
            let [first, second] = [0, 1].map(|part| {
                let known = tensors.get(&names[part]).cloned();
                known.unwrap_or_else(|| FisherTensor::zeros(&shapes[part]))
            });
            LayerFisher::new(first, second)
                .map_err(EngineError::fisher(model.id(), &model.manifest.head))
        };
        let problem = HeadProblem {
            weight: weight.view(),
            bias: &bias,
            forget: &pair(&decision.forget)?,
            own: &pair(&decision.own)?,
            features: features.view(),
            labels: &evidence.rows,
            is_forget: &evidence.is_forget,
            lambdas: self.lambdas(),
            suppressible: &evidence.suppressible,
        };
        search_alpha(problem, evidence.target)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))
    }

    /// With inner layers edited, every try is a forward pass.
    fn search_layers(
        &self,
        decision: &Decision,
        evidence: &Strength,
    ) -> Result<AlphaChoice, EngineError> {
        let model = self.model;
        let wrap = || EngineError::fisher(model.id(), &model.manifest.head);
        let original = model.state(self.work.registry())?;
        let (rows, is_forget) = (&evidence.rows, &evidence.is_forget);
        let logits = |alpha, lambda| {
            let dampening = Dampening::new(alpha, lambda).map_err(wrap())?;
            let edited = self.edited(decision, dampening)?;
            let mut state = original.clone();
            state.extend(to_state(&edited.changed));
            let selected = edited.selections.values().map(|s| s.selected).sum();
            Ok::<_, EngineError>((selected, self.logits(&state, evidence)?))
        };
        let before = self.logits(&original, evidence)?;
        let before = score_trial(before.view(), rows, is_forget).map_err(wrap())?;
        let ratios = decision.own.iter().filter_map(|(name, own)| {
            let forget = decision.forget.get(name)?;
            Some(largest_ratio(forget, own))
        });
        let search = Search {
            lambdas: self.lambdas(),
            largest_ratio: ratios.fold(1.0, f64::max).min(LARGEST),
            effort: Effort::SPARING,
            before: (before.forget, before.retain),
            target: evidence.target,
            retain_first: !evidence.suppressible.is_empty(),
        };
        let choice = search.run(&mut |alpha, lambda| {
            let (selected, logits) = logits(alpha, lambda)?;
            Ok::<_, EngineError>(fiun::Trial {
                alpha,
                lambda,
                selected,
                ..score_trial(logits.view(), rows, is_forget).map_err(wrap())?
            })
        })?;
        let mut choice =
            choice.ok_or_else(|| EngineError::Setting("there is no lambda to try".into()))?;
        if !choice.reached && !evidence.suppressible.is_empty() {
            let (_, logits) = logits(choice.alpha, choice.lambda)?;
            choice
                .suppress(
                    logits,
                    rows,
                    is_forget,
                    &evidence.suppressible,
                    evidence.target,
                )
                .map_err(wrap())?;
        }
        Ok(choice)
    }

    fn logits(
        &self,
        state: &disinherit_nets::StateDict,
        evidence: &Strength,
    ) -> Result<fiun::Matrix, EngineError> {
        let Samples::Whole(sets) = &evidence.samples else {
            return Err(EngineError::Internal("there are no samples to run".into()));
        };
        let mut values = Vec::new();
        for set in sets {
            let captured = self.work.features.run(self.model, state, set, &Silent)?;
            values.extend(captured.logits.into_values());
        }
        let rows = evidence.rows.len();
        fiun::Matrix::new(rows, values.len() / rows.max(1), values).map_err(self.wrap())
    }
}

fn matched(
    model: &LoadedModel,
    head: &LayerFisher,
    rows: &RowMatch,
) -> Result<LayerFisher, EngineError> {
    head.matched(rows)
        .map_err(EngineError::fisher(model.id(), &model.manifest.head))
}
