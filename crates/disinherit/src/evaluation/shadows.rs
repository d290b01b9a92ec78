//! A model beside the same model retrained, over networks that were trained with other seeds.

use serde::{Deserialize, Serialize};

use super::klom::{Klom, half_of, klom};
use super::log_odds::LogOdds;
use super::u_lira::{ShadowAttack, attack};

/// How a model as a method left it stands beside the same model retrained, over networks of one recipe that
/// were grown with other training seeds, each unlearned and retrained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowVerdict {
    /// The networks.
    pub networks: usize,
    /// The attack sample by sample; nothing with too few networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<ShadowAttack>,
    /// The divergence of the log-odds; nothing with too few networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub klom: Option<Klom>,
}

/// The samples of one kind.
type Pick = fn(&LogOdds) -> &[f32];

const FORGET: Pick = |said| &said.forget;
const RETAIN: Pick = |said| &said.retain;
const HELDOUT: Pick = |said| &said.heldout;

fn picked<'a>(models: &[&'a LogOdds], pick: Pick) -> Vec<&'a [f32]> {
    models.iter().map(|said| pick(said)).collect()
}

impl ShadowVerdict {
    /// Of what a model says as a method left it, and retrained, network by network.
    pub fn new(ours: &[&LogOdds], retrained: &[&LogOdds]) -> Self {
        Self {
            networks: ours.len(),
            attack: attack(&picked(ours, FORGET), &picked(retrained, FORGET)),
            klom: klom_of(ours, retrained),
        }
    }

    /// What the same gives for retrained models among themselves, every second network against the
    /// others: what is to be reached.
    pub fn of_retrained(retrained: &[&LogOdds]) -> Self {
        let said = picked(retrained, FORGET);
        let half = half_of(said.len());
        let [ours, theirs] = [0, 1].map(|first| -> Vec<&[f32]> {
            let half = said.iter().skip(first).step_by(2).take(half);
            half.copied().collect()
        });
        Self {
            networks: retrained.len(),
            attack: attack(&ours, &theirs),
            klom: klom_of(retrained, retrained),
        }
    }
}

/// The divergences; nothing where there is none on any kind of samples.
fn klom_of(ours: &[&LogOdds], retrained: &[&LogOdds]) -> Option<Klom> {
    let of = |pick: Pick| klom(&picked(ours, pick), &picked(retrained, pick));
    let (forget, retain, heldout) = (of(FORGET), of(RETAIN), of(HELDOUT));
    let any = forget.or(retain).or(heldout).is_some();
    any.then_some(Klom {
        models: half_of(ours.len()),
        forget,
        retain,
        heldout,
    })
}
