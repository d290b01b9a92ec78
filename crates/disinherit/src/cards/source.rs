//! Where the Fisher information of one touched model comes from.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_registry::{CardReader, CardRow, FisherRows, Registry};
use fiun::{FisherTensor, LayerFisher};
use serde_json::json;
use umig::{Forget, ModelId, Relation, SampleSet, Training, Umig};

use crate::cards::check::{check_card, check_logits, covers};
use crate::cards::kept::KeptCard;
use crate::cards::maker::{CardMaker, Tensors};
use crate::cards::options::FisherOptions;
use crate::draft::Drafts;
use crate::engine::Engine;
use crate::error::{EngineError, Hint};
use crate::features::Features;
use crate::layers::{Layers, Selected};
use crate::model::LoadedModel;
use crate::provenance::{forget_samples, learned, own_samples};

/// The task of computing a card.
const CARD: &str = "card";

/// The FIM of the forget data on an initial model.
pub(crate) struct ForgetFisher {
    pub(crate) head: LayerFisher,
    inner: Inner,
    /// The mean of the model's own FIM over the selected tensors.
    pub(crate) scale: f64,
}

/// The FIM of the forget data below the head.
enum Inner {
    Held(Tensors),
    /// Of a card of nothing else. Read when it is asked for.
    OfCard(KeptCard),
}

impl ForgetFisher {
    /// Of one tensor below the head, if it is known.
    pub(crate) fn layer(
        &self,
        registry: &Registry,
        name: &str,
    ) -> Result<Option<FisherRows>, EngineError> {
        let card = match &self.inner {
            Inner::Held(tensors) => return Ok(tensors.get(name).cloned().map(Into::into)),
            Inner::OfCard(card) => card.reader(registry)?,
        };
        let known = card.header().layers.iter().any(|layer| layer == name);
        known.then(|| Ok(card.layer(registry, name)?)).transpose()
    }
}

/// The card that a model is edited by.
#[derive(Clone)]
pub(crate) struct CardUse {
    pub(crate) card: KeptCard,
    /// Computed just now, and still to be published.
    pub(crate) row: Option<CardRow>,
    /// Computed just now; in a dry run there is no row.
    pub(crate) new: bool,
    /// The name of the draft that keeps it until then.
    pub(crate) draft: Option<String>,
    /// Of the version before, less the classes forgotten since.
    pub(crate) fallback: Option<Fallback>,
}

/// A fallback card: that of the version before, and the classes to leave out.
#[derive(Debug, Clone)]
pub(crate) struct Fallback {
    pub(crate) of: ModelId,
    without: Vec<usize>,
}

/// What the registry has of a touched model's Fisher information.
pub(crate) enum Found {
    /// A card that holds the selected layers.
    Card(KeptCard),
    /// The card of the version before.
    Fallback(KeptCard, Fallback),
    /// None: it is computed from the model's own training data.
    Data,
}

impl Found {
    /// The same, with its card to be opened again where `keep` does not hold.
    #[must_use]
    pub(crate) fn kept_open(self, keep: bool) -> Self {
        match self {
            Self::Card(card) => Self::Card(card.kept_open(keep)),
            Self::Fallback(card, fallback) => Self::Fallback(card.kept_open(keep), fallback),
            Self::Data => Self::Data,
        }
    }
}

impl CardUse {
    /// A card that the registry has.
    pub(crate) fn kept(card: KeptCard, fallback: Option<Fallback>) -> Self {
        Self {
            card,
            row: None,
            new: false,
            draft: None,
            fallback,
        }
    }

    /// The same, with its card open.
    pub(crate) fn opened(&self, registry: &Registry) -> Result<Self, EngineError> {
        Ok(Self {
            card: self.card.opened(registry)?,
            ..self.clone()
        })
    }

    /// The model's own FIM of the selected tensors of its head.
    pub(crate) fn own_head(
        &self,
        registry: &Registry,
        model: &LoadedModel,
        selected: &Selected,
    ) -> Result<Tensors, EngineError> {
        let wrap = EngineError::fisher(model.id(), &model.manifest.head);
        let reader = self.card.reader(registry)?;
        let total = match &self.fallback {
            None => reader.total(registry)?,
            Some(fallback) => reader
                .head(registry)?
                .without_classes(&fallback.without)
                .map_err(wrap)?,
        };
        let [weight, bias] = model.head_tensors();
        let mut tensors = Tensors::new();
        if selected.head[0] {
            tensors.insert(weight, total.weight);
        }
        if selected.head[1] {
            tensors.insert(bias, total.bias);
        }
        Ok(tensors)
    }

    /// The mean of all entries of the model's own FIM of its selected tensors, with no more of it in memory at a time
    /// than is read.
    pub(crate) fn mean(
        &self,
        registry: &Registry,
        model: &LoadedModel,
        selected: &Selected,
    ) -> Result<f64, EngineError> {
        let reader = self.card.reader(registry)?;
        if !reader.is_split() {
            return Ok(self.own(registry, model, selected)?.1);
        }
        let head = self.own_head(registry, model, selected)?.into_iter();
        let mut sums: BTreeMap<String, (usize, f64)> = head
            .map(|(name, fisher)| (name, (fisher.len(), fisher.sum())))
            .collect();
        for name in &selected.inner {
            let layer = reader.layer(registry, name)?;
            let count = layer.shape().iter().product();
            sums.insert(name.clone(), (count, layer.sum()?));
        }
        let count: usize = sums.values().map(|(count, _)| count).sum();
        let sum: f64 = sums.values().map(|(_, sum)| sum).sum();
        Ok(sum / count.max(1) as f64)
    }

    /// The model's own FIM of its selected tensors, and the mean of all their entries.
    pub(crate) fn own(
        &self,
        registry: &Registry,
        model: &LoadedModel,
        selected: &Selected,
    ) -> Result<(Tensors, f64), EngineError> {
        let mut tensors = self.own_head(registry, model, selected)?;
        if !selected.inner.is_empty() {
            let inner = self.card.reader(registry)?.inner(registry)?;
            let wanted = |name: &String| selected.inner.contains(name);
            tensors.extend(inner.into_iter().filter(|(name, _)| wanted(name)));
        }
        let count: usize = tensors.values().map(FisherTensor::len).sum();
        let sum: f64 = tensors.values().map(FisherTensor::sum).sum();
        Ok((tensors, sum / count.max(1) as f64))
    }
}

/// Finds and computes the Fisher information that a request reads.
pub(crate) struct Sources<'a> {
    pub(crate) engine: &'a Engine<'a>,
    pub(crate) graph: &'a Umig,
    pub(crate) options: &'a FisherOptions,
    pub(crate) features: &'a Features<'a>,
    pub(crate) dry_run: bool,
}

impl Sources<'_> {
    /// Where the Fisher information of a model is that has some cards in the registry. Refuses a model whose
    /// Fisher information is nowhere to be had, where `must_have`.
    pub(crate) fn find(
        &self,
        model: &LoadedModel,
        cards: &[CardRow],
        selected: &Selected,
        must_have: bool,
    ) -> Result<Found, EngineError> {
        let registry = self.engine.registry();
        let estimator = self.options.estimator.to_string();
        let row = cards.iter().find(|row| row.estimator == estimator);
        let kept = row.map(|row| registry.card_of(row)).transpose()?;
        if let Some(card) = kept.filter(|card| covers(card.header(), selected)) {
            check_card(model, card.header())?;
            return Ok(Found::Card(KeptCard::new(card, row.cloned())));
        }
        let needed = match own_samples(self.engine.data(), model.learned()) {
            Ok(_) => return Ok(Found::Data),
            Err(error @ EngineError::Samples(_)) => return Err(error),
            Err(needed) => needed,
        };
        let fallback = match selected.inner.is_empty() {
            true => self.fallback(model)?,
            false => None,
        };
        match fallback {
            Some((card, fallback)) => Ok(Found::Fallback(card, fallback)),
            None if must_have => Err(needed),
            None => Ok(Found::Data),
        }
    }

    /// The card of those of a model's samples alone that are to be forgotten, where the registry has one that holds
    /// the selected layers.
    pub(crate) fn part(
        &self,
        forget: &Forget,
        model: &LoadedModel,
        cards: &[CardRow],
        selected: &Selected,
    ) -> Result<Option<KeptCard>, EngineError> {
        let Forget::Source(source) = forget else {
            return Ok(None);
        };
        let estimator = self.options.estimator.to_string();
        let Some(row) = cards.iter().find(|row| row.is_part(&estimator, source)) else {
            return Ok(None);
        };
        let card = self.engine.registry().card_of(row)?;
        if !covers(card.header(), selected) {
            return Ok(None);
        }
        check_card(model, card.header())?;
        Ok(Some(KeptCard::new(card, Some(row.clone()))))
    }

    /// For a version that unlearning made and that has no card of its own: the card of the version
    /// that it replaced, where all that was forgotten since are classes. The head has changed in
    /// between, so the card is not exact.
    fn fallback(&self, model: &LoadedModel) -> Result<Option<(KeptCard, Fallback)>, EngineError> {
        let registry = self.engine.registry();
        let before = self
            .graph
            .parents(model.id())
            .into_iter()
            .find(|(_, relation)| matches!(relation, Relation::UnlearnedFrom { .. }))
            .and_then(|(id, _)| self.graph.get(id));
        let Some(before) = before else {
            return Ok(None);
        };
        let Some(digest) = registry.digest(&before.id)? else {
            return Ok(None);
        };
        let name = self.options.estimator.to_string();
        let mut rows = registry.cards(digest)?.into_iter();
        let Some(row) = rows.find(|row| row.estimator == name) else {
            return Ok(None);
        };
        let reader = registry.card_of(&row)?;
        let header = reader.header();
        let then = learned(self.graph, before);
        let (then, now) = (&then.training, &model.learned().training);
        // A training that is gone altogether, or samples that are: the card has them in it for good.
        let only_classes = samples(then).eq(samples(now));
        let still: BTreeSet<&String> = now.iter().flat_map(|t| &t.labels).collect();
        let without: Vec<usize> = (0..header.classes.len())
            .filter(|&class| header.counts[class] > 0 && !still.contains(&header.classes[class]))
            .collect();
        let fits = only_classes && !without.is_empty() && header.outputs == model.manifest.labels;
        Ok(fits.then(|| {
            let fallback = Fallback {
                of: before.id.clone(),
                without,
            };
            (KeptCard::new(reader, Some(row)), fallback)
        }))
    }

    fn maker(&self) -> CardMaker<'_> {
        CardMaker {
            registry: self.engine.registry(),
            options: self.options,
            features: self.features,
            progress: self.engine.progress(),
        }
    }

    /// Computes a model's own card, or takes up the one that a run of this request made that was
    /// stopped.
    pub(crate) fn compute(
        &self,
        model: &LoadedModel,
        selected: &Selected,
    ) -> Result<CardUse, EngineError> {
        let registry = self.engine.registry();
        let own = own_samples(self.engine.data(), model.learned())?;
        let make = || {
            // First what says whose features they are: those of others make other logits anyway.
            let card = self.maker().make(model, &own)?;
            check_logits(registry, model, &own)?;
            Ok::<_, EngineError>(card)
        };
        if self.dry_run {
            return Ok(CardUse {
                new: true,
                ..CardUse::kept(KeptCard::new(CardReader::from(make()?), None), None)
            });
        }
        let settings = FisherOptions {
            layers: Layers::Head,
            ..self.options.clone()
        };
        let settings = json!({
            "fisher": settings.settings(),
            "data": own.digest().to_string(),
            "device": self.engine.compute().to_string(),
        });
        let drafts = Drafts::open(registry, &format!("card {}", model.digest), &settings)?;
        let finished = drafts.get::<CardRow>(CARD).and_then(|row| {
            let reader = registry.card_of(&row).ok()?;
            covers(reader.header(), selected).then_some((row, reader))
        });
        let (row, reader) = match finished {
            Some(finished) => finished,
            None => {
                let row = registry.put_card(&make()?)?;
                drafts.keep([(CARD.to_owned(), &row, vec![row.blob])])?;
                let reader = registry.card_of(&row)?;
                (row, reader)
            }
        };
        Ok(CardUse {
            row: Some(row.clone()),
            new: true,
            draft: Some(drafts.name),
            ..CardUse::kept(KeptCard::new(reader, Some(row)), None)
        })
    }

    /// The FIM of the forget data on an initial model: of the head for classes a slice of its card, for the source
    /// of all of its data the card with all of its layers, for another source its part where the registry has one, otherwise one pass over just those samples.
    pub(crate) fn forget_fisher(
        &self,
        forget: &Forget,
        model: &LoadedModel,
        card: &CardUse,
        selected: &Selected,
    ) -> Result<ForgetFisher, EngineError> {
        let registry = self.engine.registry();
        let scale = card.mean(registry, model, selected)?;
        let of_card = match forget {
            Forget::Classes(labels) => Some(of_classes(registry, model, card, labels)?),
            // The card is of what is forgotten, and of nothing else.
            _ if is_all_of(forget, model) => return self.whole(&card.card, scale),
            _ => {
                let cards = registry.cards(model.digest)?;
                if let Some(part) = self.part(forget, model, &cards, selected)? {
                    return self.whole(&part, scale);
                }
                None
            }
        };
        if let (Some(head), true) = (&of_card, selected.inner.is_empty()) {
            return Ok(ForgetFisher {
                head: head.clone(),
                inner: Inner::Held(Tensors::new()),
                scale,
            });
        }
        let set = forget_samples(self.engine.data(), model.learned(), forget)?;
        let set = set.ok_or_else(|| EngineError::NeedsData {
            why: format!(
                "forgetting {forget} in these layers needs those samples, run through `{}`",
                model.id()
            ),
            hint: Some(Hint::GiveData),
        })?;
        let (head, inner) = self.maker().total(model, &set, selected)?;
        Ok(ForgetFisher {
            head: of_card.unwrap_or(head),
            inner: Inner::Held(inner),
            scale,
        })
    }

    /// All that a card says, as the FIM of the forget data.
    fn whole(&self, card: &KeptCard, scale: f64) -> Result<ForgetFisher, EngineError> {
        let registry = self.engine.registry();
        let reader = card.reader(registry)?;
        Ok(ForgetFisher {
            head: reader.total(registry)?,
            inner: match reader.is_split() {
                true => Inner::OfCard(card.clone()),
                false => Inner::Held(reader.inner(registry)?),
            },
            scale,
        })
    }
}

/// Whether all that a model learnt came from the source that is to be forgotten.
pub(crate) fn is_all_of(forget: &Forget, model: &LoadedModel) -> bool {
    let Forget::Source(source) = forget else {
        return false;
    };
    let training = &model.learned().training;
    let from_it = |training: &Training| training.source.as_ref() == Some(source);
    !training.is_empty() && training.iter().all(from_it)
}

/// The samples of each of some trainings.
fn samples(trainings: &[Training]) -> impl Iterator<Item = &SampleSet> {
    trainings.iter().map(|training| &training.samples)
}

/// The part of a card's FIM of the head that classes have.
fn of_classes(
    registry: &Registry,
    model: &LoadedModel,
    card: &CardUse,
    labels: &BTreeSet<String>,
) -> Result<LayerFisher, EngineError> {
    let reader = card.card.reader(registry)?;
    let classes: Vec<usize> = reader
        .header()
        .classes
        .iter()
        .enumerate()
        .filter(|(_, class)| labels.contains(*class))
        .map(|(index, _)| index)
        .collect();
    let head = reader.head(registry)?;
    head.of_classes(&classes)
        .map_err(EngineError::fisher(model.id(), &model.manifest.head))
}
