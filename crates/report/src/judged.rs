//! The judgement in words: how far it is forgotten, beside what, and what stands in the way.

use disinherit::evaluation::{Finding, Judged, Judgement, Reference, ReferenceKind};
use disinherit_lab::{MethodResult, Study};

use crate::headline::Tone;

/// How a judgement is to be taken.
pub(crate) fn tone(judged: &Judged) -> Tone {
    match judged.judgement {
        Judgement::Recognised => Tone::Bad,
        Judgement::Features | Judgement::Indistinguishable | Judgement::RetrainedBaseline => {
            Tone::Good
        }
        Judgement::Outputs if is_unknown(judged) => Tone::Plain,
        Judgement::Outputs => Tone::Warn,
        Judgement::NotMeasured => Tone::Plain,
    }
}

/// Whether it says no more because too little was measured, and not because something was found.
fn is_unknown(judged: &Judged) -> bool {
    let unknown = |finding: &Finding| {
        matches!(
            finding,
            Finding::InsideNotMeasured
                | Finding::NoReference
                | Finding::ProbeNotMeasured
                | Finding::ResetNotMeasured
                | Finding::AreaNotMeasured
                | Finding::FittedNotMeasured
        )
    };
    judged.findings.iter().all(unknown)
}

/// The judgement in a word.
pub(crate) fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Recognised => "NOT forgotten",
        Judgement::Outputs => "outputs",
        Judgement::Features => "features",
        Judgement::Indistinguishable => "indistinguishable",
        Judgement::RetrainedBaseline => "retrained",
        Judgement::NotMeasured => "not judged",
    }
}

/// What the word means.
pub(crate) fn meaning(judged: &Judged) -> String {
    match judged.judgement {
        Judgement::Recognised => "some model still recognises the forget set".into(),
        Judgement::Outputs => {
            let why = judged.findings.first();
            let why = why.map_or(String::new(), |finding| format!(": {finding}"));
            format!("the outputs no longer name it, and no more can be said{why}")
        }
        Judgement::Features => {
            "the outputs no longer name it, and the features hold no more of it \
                                than those of models that never knew it"
                .into()
        }
        Judgement::Indistinguishable => {
            "outputs, features and confidences are like those of models that never knew it".into()
        }
        Judgement::RetrainedBaseline => "trained again without the forget set".into(),
        Judgement::NotMeasured => "no held-out samples of the forget set were evaluated".into(),
    }
}

/// What the models of a study are compared with, in a sentence.
pub(crate) fn beside(reference: Option<&Reference>) -> String {
    let Some(reference) = reference else {
        return "Nothing was retrained, and no model of the network is on record as never having \
                known the forget set: there is nothing to compare the inside of the models with."
            .into();
    };
    match reference.kind {
        ReferenceKind::Retrained => {
            "Compared with the same models, retrained without the forget set.".into()
        }
        ReferenceKind::UntouchedRoot => {
            let names: Vec<String> = reference.models.iter().map(|m| format!("`{m}`")).collect();
            format!(
                "Nothing was retrained. Compared with what {} says of the same samples: a model of \
                 the network that never saw the forget set.",
                names.join(", ")
            )
        }
    }
}

/// How many of a method's models reach alone what is said of it; nothing where all do.
pub(crate) fn alone(study: &Study, result: &MethodResult, judged: &Judged) -> Option<String> {
    let reached = result
        .models
        .iter()
        .filter(|model| {
            let alone = study.judged_model(result, model).judgement;
            alone.reaches(judged.judgement)
        })
        .count();
    let all = result.models.len();
    let counts = judged.judgement.reaches(Judgement::Features) && reached < all;
    counts.then(|| format!("{reached} of {all} models reach it alone"))
}
