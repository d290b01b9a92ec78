//! Shadow networks: grown with other training seeds, then unlearned and retrained as the study's own is.

use std::collections::BTreeMap;
use std::path::Path;

use disinherit::Engine;
use disinherit::evaluation::{Depth, LogOdds, ShadowVerdict, Verdicts};
use disinherit::progress::{Progress, Stage};
use disinherit_registry::{Registry, RegistryError};
use umig::ModelId;

use super::kept::{Kept, Said};
use super::network::{Network, Sets};
use super::options::StudyOptions;
use super::results::MethodResult;
use crate::baselines::MethodKind;
use crate::error::LabError;
use crate::grow::{grow, shadow};
use crate::variant::Variant;

/// What was done to models: a method, or nothing.
pub(super) type Left = Option<Variant>;

/// What the models of the study's own network say that is known already.
pub(super) type Known = BTreeMap<Left, Said>;

/// What the models of every network say, the study's own first.
type Networks = BTreeMap<Left, Vec<Said>>;

impl Network<'_> {
    /// Grows the shadow networks that are asked for, one after the other, and writes into the verdicts how
    /// the models before and after each method stand beside retrained ones. A method that fails on a shadow
    /// gets a warning in place of its verdicts.
    pub(super) fn beside_shadows(
        &self,
        sets: &Sets<'_>,
        mut known: Known,
        before: &mut BTreeMap<ModelId, Verdicts>,
        results: &mut [MethodResult],
    ) -> Result<(), LabError> {
        let mut kinds = vec![None, Some(retrain())];
        let fine = |variant: &Variant| {
            let mut failed = results.iter().filter(|r| r.failed.is_some());
            *variant != retrain() && !failed.any(|r| r.variant == *variant)
        };
        kinds.extend(self.order().into_iter().filter(fine).map(Some));
        let mut said = Networks::new();
        let progress = self.engine.progress();
        let all = progress.stage("shadow networks", self.options.shadows as u64);
        for number in 0..=self.options.shadows {
            let found: Vec<Result<Said, LabError>> = match number {
                0 => kinds
                    .iter()
                    .map(|kind| match known.remove(kind) {
                        Some(said) => Ok(said),
                        None => self.said(*kind, sets),
                    })
                    .collect(),
                number => self.shadow(number, &kinds)?,
            };
            for (kind, found) in kinds.clone().into_iter().zip(found) {
                match (found, kind) {
                    (Ok(found), kind) => said.entry(kind).or_default().push(found),
                    (Err(error), Some(variant)) if variant != retrain() => {
                        kinds.retain(|other| *other != kind);
                        said.remove(&kind);
                        warn(results, variant, &error);
                    }
                    (Err(error), _) => return Err(error),
                }
            }
            all.advance(u64::from(number > 0));
        }
        for id in self.edited()? {
            for (kind, verdict) in verdicts(&said, id) {
                let place = match kind {
                    None => before.get_mut(id),
                    Some(variant) => verdicts_of(results, variant, id),
                };
                if let Some(place) = place {
                    place.shadows = Some(verdict);
                }
            }
        }
        Ok(())
    }

    /// What the models of one shadow network say, by what was done to them: as it was kept, or after the
    /// network was grown.
    fn shadow(
        &self,
        number: usize,
        kinds: &[Left],
    ) -> Result<Vec<Result<Said, LabError>>, LabError> {
        let keep = self.options.keep.as_ref();
        let folder = keep.map(|keep| keep.join(format!("shadow-{number}")));
        let kept = Kept(folder.clone());
        let known = kinds.iter().map(|kind| kept.said(*kind));
        let known: Vec<Option<Said>> = known.collect::<Result<_, _>>()?;
        if let Some(known) = known.into_iter().collect::<Option<Vec<Said>>>() {
            return Ok(known.into_iter().map(Ok).collect());
        }
        let recipe = shadow(self.recipe, number);
        let progress = Numbered {
            inner: self.engine.progress(),
            number,
        };
        let engine = Engine::new(registry(folder.as_deref())?)
            .with_data(self.splits)
            .with_compute(self.engine.compute())
            .with_progress(&progress)
            .with_feature_cache(0);
        grow(&engine, &recipe, &self.splits.train)?;
        let graph = engine.registry().graph()?;
        let options = StudyOptions {
            depth: Depth::OUTPUTS,
            publish: None,
            keep: folder,
            shadows: 0,
            ..self.options.clone()
        };
        let network = Network::new(
            &engine,
            self.splits,
            &recipe,
            &options,
            &graph,
            self.request,
        )?;
        let sets = network.sets(network.edited()?)?;
        let said = kinds.iter().map(|kind| network.said(*kind, &sets));
        Ok(said.collect())
    }
}

fn retrain() -> Variant {
    MethodKind::Retrain.into()
}

/// The registry of a shadow network.
fn registry(folder: Option<&Path>) -> Result<Registry, RegistryError> {
    let Some(folder) = folder else {
        return Registry::in_memory();
    };
    match Registry::open(folder) {
        Err(RegistryError::NoRegistry(_)) => Registry::create(folder),
        other => other,
    }
}

/// The verdicts on one model, by what was done to it.
fn verdicts(said: &Networks, id: &ModelId) -> Vec<(Left, ShadowVerdict)> {
    let of = |kind: &Left| -> Option<Vec<&LogOdds>> {
        let networks = said.get(kind)?.iter();
        networks.map(|said| said.get(id)).collect()
    };
    let Some(retrained) = of(&Some(retrain())) else {
        return Vec::new();
    };
    let verdict = |kind: &Left| match kind {
        Some(variant) if *variant == retrain() => Some(ShadowVerdict::of_retrained(&retrained)),
        kind => Some(ShadowVerdict::new(&of(kind)?, &retrained)),
    };
    said.keys()
        .filter_map(|kind| Some((*kind, verdict(kind)?)))
        .collect()
}

/// The verdicts on one model as a method left it.
fn verdicts_of<'a>(
    results: &'a mut [MethodResult],
    variant: Variant,
    id: &ModelId,
) -> Option<&'a mut Verdicts> {
    let mut results = results.iter_mut();
    let result = results.find(|result| result.variant == variant)?;
    let model = result.models.iter_mut().find(|model| model.id == *id)?;
    Some(&mut model.verdicts)
}

fn warn(results: &mut [MethodResult], variant: Variant, error: &LabError) {
    let mut results = results.iter_mut();
    if let Some(result) = results.find(|result| result.variant == variant) {
        result
            .warnings
            .push(format!("not compared over shadow networks: {error}"));
    }
}

/// Shows the stages of a shadow network under its number.
struct Numbered<'a> {
    inner: &'a dyn Progress,
    number: usize,
}

impl Progress for Numbered<'_> {
    fn stage(&self, title: &str, total: u64) -> Box<dyn Stage + '_> {
        self.inner
            .stage(&format!("{}: {title}", self.number), total)
    }
}
