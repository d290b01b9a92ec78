//! The verdicts with a plain-language reading of each, against the retrained models.

use disinherit::{Method, MethodResult, Study, Variant, Verdicts};
use umig::Role;

use crate::methods::relearning_steps;
use crate::text::{escape, percent};

/// A probe that is better than the retrained model's by more than this sees something.
const PROBE: f64 = 0.03;

/// Relearning in less than this share of the retrained model's steps is a memory.
const FASTER: f64 = 0.5;

/// How deep the forgetting went, judged against retraining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// As deep as retraining, as far as was measured.
    Deep,
    /// The outputs have forgotten, the inside has not.
    SkinDeep,
    /// The outputs have not forgotten either.
    NotForgotten,
    /// There is nothing to compare with.
    Unknown,
}

/// The judgement on one method.
pub(crate) fn depth(study: &Study, result: &MethodResult) -> Depth {
    let worst = result
        .models
        .iter()
        .filter_map(|m| m.verdicts.scores.forget.heldout)
        .fold(0.0, f64::max);
    if worst > disinherit::FORGOTTEN {
        return Depth::NotForgotten;
    }
    let Some(retrain) = study.result(Method::Retrain.into()) else {
        return Depth::Unknown;
    };
    let pair = |pick: fn(&Verdicts) -> Option<f64>| result.mean(pick).zip(retrain.mean(pick));
    let (probe, steps) = (pair(|v| v.probe), pair(relearning_steps));
    if probe.is_none() && steps.is_none() {
        return Depth::Unknown;
    }
    let seen = probe.is_some_and(|(ours, theirs)| ours > theirs + PROBE);
    let remembered = steps.is_some_and(|(ours, theirs)| ours < theirs * FASTER);
    if seen || remembered {
        Depth::SkinDeep
    } else {
        Depth::Deep
    }
}

/// The readings of every dampening method, in words.
pub(crate) fn draw(study: &Study) -> String {
    let shown: Vec<&MethodResult> = study
        .results
        .iter()
        .filter(|r| r.failed.is_none() && r.variant.method == Method::Fiun)
        .collect();
    shown
        .iter()
        .map(|result| {
            let items: String = readings(study, result)
                .into_iter()
                .map(|text| format!("<li>{}</li>\n", escape(&text)))
                .collect();
            format!("<h3>{}</h3>\n<ul>\n{items}</ul>\n", result.variant)
        })
        .collect()
}

fn readings(study: &Study, result: &MethodResult) -> Vec<String> {
    let mut list = Vec::new();
    let retrain = study.result(Method::Retrain.into());
    let touched = || study.models.iter().filter(|m| m.role != Role::Untouched);
    let before = |pick: fn(&Verdicts) -> Option<f64>| {
        disinherit::mean(touched().filter_map(|m| pick(&m.before)))
    };
    let again = |pick: fn(&Verdicts) -> Option<f64>| retrain.and_then(|r| r.mean(pick));
    let beside = |pick: fn(&Verdicts) -> Option<f64>| {
        format!(
            "{} before, {} after, {} retrained",
            percent(before(pick)),
            percent(result.mean(pick)),
            percent(again(pick))
        )
    };
    accuracy(study, result, &mut list);
    if let Some((label, share)) = drift(result) {
        list.push(format!(
            "Where the forgotten samples go: most often to `{label}` ({}).",
            percent(Some(share))
        ));
    }
    if result
        .mean(|v| v.membership.map(|m| m.called_member))
        .is_some()
    {
        list.push(format!(
            "Membership: an attack on confidence, entropy and loss calls so much of the forget data \
             training data: {}. It is right {} of the time where it was learnt; near 50 % it knows \
             nothing and its calls mean nothing.",
            beside(|v| v.membership.map(|m| m.called_member)),
            percent(result.mean(|v| v.membership.map(|m| m.attack_accuracy)))
        ));
    }
    let ratio = |v: &Verdicts| {
        v.membership
            .and_then(|m| m.likelihood_ratio)
            .map(|l| l.area)
    };
    if result.mean(ratio).is_some() {
        list.push(format!(
            "Sample by sample, calibrated by the retrained model, the area under the curve is {} \
             (50 % is chance).",
            percent(result.mean(ratio))
        ));
    }
    if let Some(divergence) = result.mean(|v| v.distance.map(|d| d.forget_divergence)) {
        list.push(format!(
            "Outputs on the forget data are {divergence:.3} bit (Jensen-Shannon, of at most 1) from \
             those of the retrained models; on held-out retained data {:.3} bit.",
            result
                .mean(|v| v.distance.map(|d| d.retain_divergence))
                .unwrap_or_default()
        ));
    }
    if result.mean(|v| v.probe).is_some() {
        list.push(format!(
            "Linear probe on the features: {}. Read it against the retrained models, which never \
             saw the class: what they reach anyone can reach.",
            beside(|v| v.probe)
        ));
    }
    if let (Some(ours), theirs) = (result.mean(relearning_steps), again(relearning_steps)) {
        let against = theirs.map_or(String::new(), |t| format!("; retrained models need {t:.0}"));
        list.push(format!(
            "Relearning: the class is half back after {ours:.0} steps of 16 samples on average\
             {against}."
        ));
    }
    list.push(summary(depth(study, result), result.variant));
    list
}

fn accuracy(study: &Study, result: &MethodResult, list: &mut Vec<String>) {
    for model in &result.models {
        let scores = &model.verdicts.scores;
        let kept = study.models.iter().find(|m| m.id == model.id);
        let kept = kept.and_then(|m| m.before.scores.retain.heldout);
        if scores
            .forget
            .heldout
            .is_some_and(|left| left > disinherit::FORGOTTEN)
        {
            list.push(format!(
                "NOT forgotten in {}: {} of held-out samples are still named.",
                model.id,
                percent(scores.forget.heldout)
            ));
        }
        let lost = kept.zip(scores.retain.heldout);
        if let Some((was, is)) = lost.filter(|(was, is)| *is < was * 0.945) {
            list.push(format!(
                "{} lost more than the paper's 5.5 % of its retained accuracy: {} before, {} after.",
                model.id,
                percent(Some(was)),
                percent(Some(is))
            ));
        }
    }
    if list.is_empty() {
        list.push(
            "Every touched model names at most 1 % of held-out forgotten samples, and keeps at \
             least 94.5 % of its accuracy on the rest."
                .into(),
        );
    }
}

fn drift(result: &MethodResult) -> Option<(String, f64)> {
    let mut sum: std::collections::BTreeMap<&String, f64> = Default::default();
    for model in &result.models {
        for (label, share) in &model.verdicts.drift {
            *sum.entry(label).or_default() += share / result.models.len() as f64;
        }
    }
    let top = sum.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((top.0.clone(), top.1))
}

fn summary(depth: Depth, variant: Variant) -> String {
    match depth {
        Depth::Deep => "In all: as far as was measured, no more is left than in the retrained \
                        models."
            .into(),
        Depth::SkinDeep if variant.all_layers => {
            "In all: the outputs have forgotten, the inner features have not, although every layer \
             was edited."
                .into()
        }
        Depth::SkinDeep => {
            "In all: skin-deep. The models no longer name the class, but their inner \
                            features hold more of it than those of retrained models. Compare \
                            `fiun+all`, which edits every layer."
                .into()
        }
        Depth::NotForgotten => "In all: NOT forgotten everywhere.".into(),
        Depth::Unknown => "In all: there is no retrained model to compare with, so how deep the \
                           forgetting goes is unknown."
            .into(),
    }
}
