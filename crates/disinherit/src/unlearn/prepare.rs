//! Stage 1: the Fisher information of every touched model, and samples to try thresholds on.

use std::collections::BTreeSet;

use data::DataSet;
use fiun::{LayerFisher, Matrix, head_fisher};
use nets::capture;
use store::{FisherCard, Registry};
use umig::{Forget, Model, ModelId, Plan, Umig};

use super::{Alpha, Evidence, Ready, UnlearnOptions};
use crate::error::suggest;
use crate::{EngineError, LoadedModel, Progress, forget_mask, make_card, own_data};

/// What stage 1 works with.
pub(super) struct Preparation<'a> {
    pub(super) registry: &'a Registry,
    pub(super) graph: &'a Umig,
    pub(super) plan: &'a Plan,
    pub(super) train: Option<&'a DataSet>,
    pub(super) options: &'a UnlearnOptions,
    pub(super) progress: &'a dyn Progress,
}

impl Preparation<'_> {
    fn forget(&self) -> &Forget {
        &self.plan.request.forget
    }

    /// One touched model with everything that its edit needs.
    pub(super) fn ready(&self, id: &ModelId) -> Result<Ready, EngineError> {
        let model = LoadedModel::open(self.registry, self.graph, id)?;
        let fisher = &self.options.fisher;
        let estimator = FisherCard::estimator_name(fisher.estimator);
        let kept = self.registry.card(model.digest, &estimator)?;
        let new_card = kept.is_none();
        let wants_evidence = self.options.alpha == Alpha::Auto && self.train.is_some();
        let mut evidence = None;
        let card = match kept {
            Some(card) if !wants_evidence => card,
            kept => {
                let own = self.own(&model)?;
                let set = fisher.subset(&own);
                let captured = self.capture(&model, &set)?;
                let card = match kept {
                    Some(card) => card,
                    None => make_card(&model, &set, &captured, fisher.estimator)?,
                };
                if wants_evidence {
                    evidence = Some(self.evidence(&model, &set, captured.features)?);
                }
                card
            }
        };
        check_head(self.registry, &model, &card)?;
        let is_initial = self.plan.scope.initial.contains(id);
        let forget = is_initial
            .then(|| self.forget_fisher(&model, &card))
            .transpose()?;
        Ok(Ready {
            model,
            card,
            new_card,
            forget,
            evidence,
        })
    }

    fn own(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        let needs = |why: &str| {
            EngineError::NeedsData(format!(
                "`{}` {why}: give its training data (`--data`), or compute its FIM card first \
                 (`disinherit fisher {}`)",
                model.id(),
                model.id()
            ))
        };
        let train = self.train.ok_or_else(|| needs("has no FIM card"))?;
        let own = own_data(&model.vertex, train);
        if own.is_empty() {
            return Err(needs(
                "was, by its provenance, not trained on the data given",
            ));
        }
        Ok(own)
    }

    fn capture(&self, model: &LoadedModel, set: &DataSet) -> Result<nets::Capture, EngineError> {
        let stage = self
            .progress
            .stage(&format!("FIM of {}", model.id()), set.len() as u64);
        let network = model.network(self.registry, self.options.fisher.compute)?;
        capture(&network, set, &model.preprocessing, &mut |n| {
            stage.advance(n as u64)
        })
        .map_err(EngineError::net(model.id()))
    }

    /// The samples that the model's card was made from; where none of them is to be forgotten, the
    /// forget samples of the initial models that reach it are added.
    fn evidence(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        features: Matrix,
    ) -> Result<Evidence, EngineError> {
        let is_forget = forget_mask(self.forget(), set, &model.vertex.training);
        let own = Evidence {
            rows: model.rows(set)?,
            features,
            is_forget,
        };
        if own.is_forget.contains(&true) {
            return Ok(own);
        }
        let mut more = own;
        for id in self
            .plan
            .scope
            .reached_by
            .get(model.id())
            .into_iter()
            .flatten()
        {
            let Some(vertex) = self.graph.get(id) else {
                continue;
            };
            let Some(forget) = self.forget_data(vertex) else {
                continue;
            };
            let forget = self.options.fisher.subset(&forget);
            let Ok(rows) = model.rows(&forget) else {
                continue;
            };
            let captured = self.capture(model, &forget)?;
            let mut values = more.features.into_values();
            values.extend_from_slice(captured.features.values());
            let cols = captured.features.cols();
            more.features = Matrix::new(values.len() / cols.max(1), cols, values)
                .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
            more.rows.extend(rows);
            more.is_forget.extend(vec![true; forget.len()]);
        }
        Ok(more)
    }

    /// A model's own training samples that are to be forgotten, if the data has any.
    fn forget_data(&self, vertex: &Model) -> Option<DataSet> {
        let own = own_data(vertex, self.train?);
        let mask = forget_mask(self.forget(), &own, &vertex.training);
        let picked: Vec<usize> = (0..own.len()).filter(|&i| mask[i]).collect();
        (!picked.is_empty()).then(|| own.select(&picked))
    }

    /// The FIM of the forget data on an initial model: for classes a slice of its card, for single
    /// samples and sources one pass over just those samples.
    fn forget_fisher(
        &self,
        model: &LoadedModel,
        card: &FisherCard,
    ) -> Result<LayerFisher, EngineError> {
        let wrap = EngineError::fisher(model.id(), &model.manifest.head);
        if let Forget::Classes(labels) = self.forget() {
            let classes: Vec<usize> = card
                .classes
                .iter()
                .enumerate()
                .filter(|(_, class)| labels.contains(*class))
                .map(|(index, _)| index)
                .collect();
            return card.fisher.of_classes(&classes).map_err(wrap);
        }
        let set = self.forget_data(&model.vertex).ok_or_else(|| {
            EngineError::NeedsData(format!(
                "forgetting {} needs those samples: give the data that `{}` was trained on (`--data`)",
                self.forget(),
                model.id()
            ))
        })?;
        let captured = self.capture(model, &set)?;
        let residuals = captured
            .residuals(&model.rows(&set)?)
            .map_err(EngineError::net(model.id()))?;
        let classes = set.label_names().len();
        let estimator = self.options.fisher.estimator;
        head_fisher(
            captured.features.view(),
            residuals.view(),
            set.labels(),
            classes,
            estimator,
        )
        .map(|fisher| fisher.total)
        .map_err(wrap)
    }
}

/// Refuses labels that no model has.
pub(super) fn check_labels(graph: &Umig, forget: &Forget) -> Result<(), EngineError> {
    let Forget::Classes(labels) = forget else {
        return Ok(());
    };
    let known: BTreeSet<&str> = graph
        .models()
        .flat_map(|model| model.labels.iter().map(String::as_str))
        .collect();
    for label in labels {
        if !known.is_empty() && !known.contains(label.as_str()) {
            let hint = suggest(label, known.iter().copied());
            let list: Vec<&str> = known.iter().take(20).copied().collect();
            return Err(EngineError::UnknownLabel {
                label: label.clone(),
                hint: format!("{hint}; the models' labels are {}", list.join(", ")),
            });
        }
    }
    Ok(())
}

/// Refuses to empty a model: one that was trained on nothing but the forget data.
pub(super) fn check_remainder(model: &Model, forget: &Forget) -> Result<(), EngineError> {
    let emptied = !model.training.is_empty()
        && model
            .training
            .iter()
            .all(|training| forget.remainder(training).is_none());
    let labels_gone = match forget {
        Forget::Classes(gone) => {
            !model.labels.is_empty() && model.labels.iter().all(|label| gone.contains(label))
        }
        _ => false,
    };
    if emptied || labels_gone {
        return Err(EngineError::NothingRetained(format!(
            "`{}` was itself trained on nothing but {forget}; take it out of use instead of \
             unlearning",
            model.id
        )));
    }
    Ok(())
}

fn check_head(
    registry: &Registry,
    model: &LoadedModel,
    card: &FisherCard,
) -> Result<(), EngineError> {
    let (weight, bias) = model.head(registry)?;
    let total = &card.fisher.total;
    let fits = (weight.rows(), weight.cols(), bias.len())
        == (total.weight.rows(), total.weight.cols(), total.bias.len());
    if fits {
        return Ok(());
    }
    Err(EngineError::Fisher {
        model: model.id().clone(),
        tensor: model.manifest.head.clone(),
        source: fiun::FisherError::Shape {
            what: "the FIM card",
            found: format!("a head of {}x{}", total.weight.rows(), total.weight.cols()),
            expected: format!("{}x{}", weight.rows(), weight.cols()),
        },
    })
}
