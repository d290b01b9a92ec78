//! How far did it forget, what did it cost, can it be trusted: in one look.

use disinherit::FORGOTTEN;
use disinherit::evaluation::{Judged, Judgement};
use disinherit_lab::{Compared, MethodKind, Study};
use maud::{Markup, html};
use umig::Role;

use crate::judged;
use crate::limits::honest;
use crate::text::{duration, marked, percent};

/// The loss of retained accuracy, in shares, that is marked as bad.
const LOSS: f64 = 0.02;

/// Values with more characters are set smaller.
const LONG: usize = 13;

/// How a fact is to be taken: a class of the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Warn,
    Plain,
}

impl Tone {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Plain => "plain",
        }
    }
}

/// A number and what it is.
pub(crate) struct Fact {
    pub(crate) tone: Tone,
    pub(crate) value: String,
    pub(crate) words: String,
}

pub(crate) fn draw(study: &Study) -> Markup {
    html! {
        div class="cards" {
            @for fact in facts(study) {
                div class={ "card " (fact.tone.name()) } {
                    b class=[(fact.value.len() > LONG).then_some("long")] { (fact.value) }
                    span { (fact.words) }
                }
            }
        }
        p class="honest" { (marked(&honest(study.shown()))) }
    }
}

/// The five facts of a study.
pub(crate) fn facts(study: &Study) -> [Fact; 5] {
    let compared = study.compared();
    let touched: Vec<&Compared> = compared
        .iter()
        .filter(|m| m.role != Role::Untouched)
        .collect();
    [
        judged(study),
        left(&touched),
        change(&touched),
        time(study),
        untouched(study, compared.len() - touched.len()),
    ]
}

fn left(touched: &[&Compared]) -> Fact {
    let worst = touched
        .iter()
        .filter_map(|m| m.after.forget.heldout)
        .reduce(f64::max);
    Fact {
        tone: match worst {
            Some(worst) if worst <= FORGOTTEN => Tone::Good,
            Some(_) => Tone::Bad,
            None => Tone::Plain,
        },
        value: percent(worst),
        words: match worst {
            Some(_) => format!(
                "worst held-out accuracy left on the forget set, over {} models",
                touched.len()
            ),
            None => "no held-out samples of the forget set were evaluated".into(),
        },
    }
}

fn change(touched: &[&Compared]) -> Fact {
    let lost = touched
        .iter()
        .filter_map(|m| Some(m.before.retain.heldout? - m.after.retain.heldout?))
        .reduce(f64::max);
    Fact {
        tone: match lost {
            Some(lost) if lost > LOSS => Tone::Bad,
            Some(_) => Tone::Good,
            None => Tone::Plain,
        },
        value: lost.map_or("-".into(), |lost| {
            format!("{:+.1}", 0.0 - (lost * 1000.0).round() / 10.0)
        }),
        words: match lost {
            Some(_) => "points: the worst change of held-out accuracy on the retain set".into(),
            None => "no held-out samples of the retain set were evaluated".into(),
        },
    }
}

fn time(study: &Study) -> Fact {
    let shown = study.shown();
    let measured = shown.filter(|result| result.variant.method != MethodKind::Retrain);
    Fact {
        tone: Tone::Plain,
        value: shown.map_or("-".into(), |result| duration(result.cost.seconds)),
        words: match measured.and_then(|result| study.time_ratio(result.variant)) {
            _ if shown.is_some() && measured.is_none() => "in all, of retraining".into(),
            Some(ratio) => format!("in all: {:.2} % of the time of retraining", ratio * 100.0),
            None => "in all; retraining was not measured".into(),
        },
    }
}

fn judged(study: &Study) -> Fact {
    let nothing = || Judged {
        judgement: Judgement::NotMeasured,
        findings: Vec::new(),
    };
    let judged = study
        .shown()
        .map_or_else(nothing, |shown| study.judged(shown));
    Fact {
        tone: judged::tone(&judged),
        value: judged::word(judged.judgement).into(),
        words: judged::meaning(&judged),
    }
}

fn untouched(study: &Study, count: usize) -> Fact {
    let same = study.untouched_are_same();
    Fact {
        tone: if same { Tone::Good } else { Tone::Bad },
        value: count.to_string(),
        words: if same {
            "untouched models, byte for byte what they were".into()
        } else {
            "untouched models, and they CHANGED".into()
        },
    }
}
