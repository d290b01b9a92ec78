//! The verdicts with a plain-language reading of each, against the retrained baseline.

use std::collections::BTreeMap;

use disinherit::FORGOTTEN;
use disinherit::evaluation::Verdicts;
use disinherit_lab::{MethodKind, MethodResult, Study, mean};
use maud::{Markup, html};
use umig::Role;

use crate::judged;
use crate::samples::sentence;
use crate::text::{marked, percent};

/// The share of retained accuracy that the paper's bound keeps.
const KEPT: f64 = 0.945;

/// The readings of every FIUn variant, and of a baseline that is shown in its place, in words.
pub(crate) fn draw(study: &Study) -> Markup {
    let own =
        |r: &MethodResult| matches!(r.variant.method, MethodKind::Fiun | MethodKind::Matching);
    let detailed = study.shown().map(|result| result.variant);
    let shown = study
        .results
        .iter()
        .filter(|r| r.failed.is_none() && (own(r) || Some(r.variant) == detailed));
    let retrain = study.result(MethodKind::Retrain.into());
    html! {
        @for result in shown {
            h3 { (result.variant.to_string()) }
            ul {
                @for text in (Reading { study, result, retrain }).all() { li { (marked(&text)) } }
            }
        }
    }
}

/// A number of one model's verdicts.
type Pick = fn(&Verdicts) -> Option<f64>;

/// One method beside the models before and the retrained baseline.
struct Reading<'a> {
    study: &'a Study,
    result: &'a MethodResult,
    retrain: Option<&'a MethodResult>,
}

impl Reading<'_> {
    fn all(&self) -> Vec<String> {
        let mut list = self.accuracy();
        list.extend(self.drift());
        list.extend(self.probe());
        list.extend(self.relearning());
        list.extend(self.areas());
        list.extend(self.membership());
        list.extend(self.likelihood_ratio());
        list.extend(self.distance());
        list.extend(self.summary());
        list
    }

    /// A number before, after and of the retrained baseline; nothing where there is none after.
    fn beside(&self, pick: Pick) -> Option<String> {
        let after = self.result.mean(pick)?;
        let touched = self.study.models.iter();
        let touched = touched.filter(|m| m.role != Role::Untouched);
        let before = mean(touched.filter_map(|m| pick(&m.before)));
        let retrained = self.retrain.and_then(|r| r.mean(pick));
        let roots = self.study.models.iter().filter_map(|m| m.root.as_ref());
        let root = mean(roots.filter_map(|root| pick(&root.verdicts)));
        let reference = match (retrained, root) {
            (None, Some(root)) => format!("{} of the untouched root", percent(Some(root))),
            _ => format!("{} retrained", percent(retrained)),
        };
        Some(format!(
            "{} before, {} after, {reference}",
            percent(before),
            percent(Some(after)),
        ))
    }

    fn accuracy(&self) -> Vec<String> {
        let models = self.result.models.iter();
        let of_samples: Vec<String> = models
            .filter_map(|model| Some(sentence(&model.id, model.verdicts.samples.as_ref()?)))
            .collect();
        if !of_samples.is_empty() {
            return of_samples;
        }
        if self.result.mean(|v| v.scores.forget.heldout).is_none() {
            let training = self.beside(|v| v.scores.forget.train);
            let training = training.map_or(String::new(), |numbers| {
                format!(" Accuracy on its training samples: {numbers}.")
            });
            return vec![format!(
                "No held-out samples of the forget set were evaluated.{training}"
            )];
        }
        let mut list = Vec::new();
        for model in &self.result.models {
            let scores = &model.verdicts.scores;
            if scores.forget.heldout.is_some_and(|left| left > FORGOTTEN) {
                list.push(format!(
                    "NOT forgotten in {}: {} of the held-out samples are still recognised.",
                    model.id,
                    percent(scores.forget.heldout)
                ));
            }
            let before = self.study.models.iter().find(|m| m.id == model.id);
            let before = before.and_then(|m| m.before.scores.retain.heldout);
            let lost = before.zip(scores.retain.heldout);
            if let Some((was, is)) = lost.filter(|(was, is)| *is < was * KEPT) {
                list.push(format!(
                    "{} lost more of its retained accuracy than the paper's bound of 5.5 %: {} \
                     before, {} after.",
                    model.id,
                    percent(Some(was)),
                    percent(Some(is))
                ));
            }
        }
        if list.is_empty() {
            list.push(
                "Outputs: every touched model recognises at most 1 % of the held-out samples of \
                 the forget set, and keeps at least 94.5 % of its accuracy on the rest."
                    .into(),
            );
        }
        list
    }

    fn drift(&self) -> Option<String> {
        let mut sum: BTreeMap<&String, f64> = BTreeMap::new();
        for model in &self.result.models {
            for (label, share) in &model.verdicts.drift {
                *sum.entry(label).or_default() += share / self.result.models.len() as f64;
            }
        }
        let (label, share) = sum.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(format!(
            "The samples of the forget set are most often taken for `{label}` ({}).",
            percent(Some(share))
        ))
    }

    fn membership(&self) -> Option<String> {
        let called = self.beside(|v| v.membership.map(|m| m.called_member))?;
        let right = self
            .result
            .mean(|v| v.membership.map(|m| m.attack_accuracy));
        Some(format!(
            "Membership inference: the share of the forget set that an attack on confidence, \
             entropy and loss calls training data is {called}. The attack is right {} of the time \
             on the data that it learnt from; near 50 % its calls mean nothing.",
            percent(right)
        ))
    }

    fn likelihood_ratio(&self) -> Option<String> {
        let ratio = |v: &Verdicts| Some(v.membership?.likelihood_ratio?.area);
        let area = self.result.mean(ratio)?;
        Some(format!(
            "Membership inference sample by sample, calibrated by the retrained baseline: the area \
             under the curve is {} (50 % is chance).",
            percent(Some(area))
        ))
    }

    fn distance(&self) -> Option<String> {
        let forget = self
            .result
            .mean(|v| v.distance.map(|d| d.forget_divergence))?;
        let retain = self
            .result
            .mean(|v| v.distance.map(|d| d.retain_divergence))
            .unwrap_or_default();
        Some(format!(
            "Outputs on the forget set are {forget:.3} bit (Jensen-Shannon divergence, at most 1) \
             from those of the retrained baseline; on held-out samples of the retain set \
             {retain:.3} bit."
        ))
    }

    fn probe(&self) -> Option<String> {
        let numbers = self.beside(|v| v.probe)?;
        Some(format!(
            "Linear probe on the penultimate layer: {numbers}. Compare with models that never saw \
             the forget set: what they reach can be reached without it."
        ))
    }

    /// Relearning from a neutral row, and from the head as it is.
    fn relearning(&self) -> Vec<String> {
        let mut list = Vec::new();
        let steps = |pick: Pick| {
            let ours = self.result.mean(pick)?;
            let theirs = self.retrain.and_then(|r| r.mean(pick));
            let against = theirs.map_or(String::new(), |steps| {
                format!("; the retrained baseline needs {steps:.1}")
            });
            Some(format!("{ours:.1} steps of 16 samples on average{against}"))
        };
        if let Some(steps) = steps(|v| Some(v.measured().reset?.mean)) {
            let mut models = self.result.models.iter();
            let alone = match models.any(|model| model.verdicts.measured().head_alone) {
                true => " The head alone is trained, on features that stay as they are.",
                false => "",
            };
            list.push(format!(
                "Relearning from a neutral row: half of the accuracy is back after {steps}. Every \
                 model starts with the mean of the retained rows in place of the forgotten one, so \
                 that only what is below the head counts.{alone}"
            ));
        }
        if let Some(steps) = steps(Verdicts::relearning_steps) {
            list.push(format!(
                "Relearning from the head as it is: half of the accuracy is back after {steps}. It \
                 says above all how low the forgotten row is; a mask never comes back."
            ));
        }
        list
    }

    /// Membership by confidence, and by an attack that is fitted.
    fn areas(&self) -> Vec<String> {
        let area = self.beside(|v| Some(v.measured().area?.mean)).map(|numbers| {
            format!(
                "Membership by confidence, trained-on against held-out samples of the forget set: \
                 the area under the curve is {numbers}; 50 % is chance, and below it is as telling \
                 as above."
            )
        });
        let fitted = self.beside(|v| Some(v.measured().fitted?.mean)).map(|numbers| {
            format!(
                "Membership by an attacker who holds half of the samples and fits on features and \
                 logits: the area under the curve is {numbers}."
            )
        });
        [area, fitted].into_iter().flatten().collect()
    }

    /// The judgement, and everything that stands in the way of more.
    fn summary(&self) -> Vec<String> {
        let judged = self.study.judged(self.result);
        let word = judged::word(judged.judgement);
        let alone = judged::alone(self.study, self.result, &judged);
        let alone = alone.map_or(String::new(), |text| format!(" ({text})"));
        let mut list = vec![format!(
            "Overall: {word}{alone}. {}.",
            judged::meaning(&judged)
        )];
        let findings = judged.findings.iter();
        list.extend(findings.map(|finding| format!("In the way of more: {finding}.")));
        list
    }
}
