//! The page and the table of a small study, kept as they are written.
//!
//! `data/studies.json` is what `reproduce fl` measured on the embedded digits with two seeds and 40
//! epochs, with rounded numbers, five points of each curve, one warning, and one method that failed.
#![allow(clippy::unwrap_used)]

use disinherit::evaluation::{Estimate, Judgement, ResetRelearning};
use disinherit::registry::RequestId;
use disinherit_lab::Study;
use disinherit_report::{csv, page, picture};

fn studies() -> Vec<Study> {
    serde_json::from_str(include_str!("data/studies.json")).unwrap()
}

/// One element a line, so that a difference is seen where it is.
fn lines(page: &str) -> String {
    page.replace("><", ">\n<")
}

#[test]
fn the_page_of_two_seeds() {
    insta::assert_snapshot!(lines(&page(&studies()).unwrap()));
}

/// What `report` shows of a request: one method, nothing to compare with, no recipe.
#[test]
fn the_page_of_one_request() {
    let mut study = studies().swap_remove(0);
    study.results.truncate(1);
    study.recipe = None;
    insta::assert_snapshot!(lines(&page(&[study]).unwrap()));
}

#[test]
fn the_table_of_two_seeds() {
    insta::assert_snapshot!(csv(&studies()).unwrap());
}

#[test]
fn the_picture_of_a_study() {
    insta::assert_snapshot!(lines(&picture(&studies()[0]).unwrap()));
}

/// Without samples to evaluate nothing is said to be forgotten, and nothing to be left.
#[test]
fn nothing_is_said_about_what_was_not_evaluated() {
    let mut study = studies().swap_remove(0);
    study.results.truncate(1);
    for model in &mut study.results[0].models {
        model.verdicts = Default::default();
    }
    let page = page(&[study]).unwrap();
    assert!(page.contains("<b>not judged</b>"), "{page}");
    assert!(page.contains("Overall: not judged."), "{page}");
    assert!(!page.contains("every touched model recognises"), "{page}");
    assert!(!page.contains("NOT forgotten"), "{page}");
}

/// Where only outputs were looked at, the page says so.
#[test]
fn outputs_alone_say_no_more_than_outputs() {
    let mut study = studies().swap_remove(0);
    for result in &mut study.results {
        for model in &mut result.models {
            model.verdicts.probe = None;
            model.verdicts.relearning = None;
        }
    }
    let page = page(&[study]).unwrap();
    let words = "the outputs no longer name it, and no more can be said: nothing looked inside";
    assert!(
        page.contains(&format!("<b>outputs</b><span>{words}")),
        "{page}"
    );
    assert!(page.contains("Overall: outputs."), "{page}");
    assert!(!page.contains("features no longer"), "{page}");
}

/// The same study with everything measured that the judgement asks for: what the retrained models reach
/// in `retrained`, and FIUn's models in `ours`, as (probe, steps, area, fitted).
fn measured(retrained: [f64; 4], ours: [f64; 4]) -> Study {
    let mut study = studies().swap_remove(0);
    for result in &mut study.results {
        let of = match result.variant.to_string().as_str() {
            "retrain" => retrained,
            _ => ours,
        };
        for model in &mut result.models {
            let once = |value: f64| Estimate {
                mean: value,
                deviation: 0.0,
                count: 1,
            };
            let verdicts = &mut model.verdicts;
            verdicts.probe = Some(of[0]);
            if let Some(relearning) = &mut verdicts.relearning {
                relearning.reset = Some(ResetRelearning {
                    steps: once(of[1]),
                    limit: 64,
                    never: 0,
                    head_alone: false,
                });
            }
            if let Some(membership) = &mut verdicts.membership {
                membership.area = Some(of[2]);
                membership.fitted = Some(once(of[3]));
            }
        }
    }
    study
}

#[test]
fn the_headline_is_how_far_it_is_forgotten() {
    let retrained = [0.85, 20.0, 0.5, 0.52];
    for (ours, word) in [
        ([0.85, 20.0, 0.5, 0.52], "indistinguishable"),
        ([0.86, 19.0, 0.5, 0.75], "features"),
        ([0.97, 20.0, 0.5, 0.52], "outputs"),
        ([0.85, 5.0, 0.5, 0.52], "outputs"),
        ([0.70, 20.0, 0.5, 0.52], "outputs"),
    ] {
        let page = page(&[measured(retrained, ours)]).unwrap();
        let first = page.split("<span>").next().unwrap();
        assert!(first.contains(&format!(">{word}</b>")), "{word}: {first}");
        // A band in each of the three charts, and a dot for each model.
        assert_eq!(page.matches("class=\"band\"").count(), 3);
    }
    let over = page(&[measured(retrained, [0.7, 20.0, 0.5, 0.52])]).unwrap();
    assert!(over.contains("In the way of more: over-erased"), "{over}");
}

/// A model that has too much left and one that has too little are not two that have forgotten.
#[test]
fn errors_of_models_do_not_cancel() {
    let retrained = [0.85, 20.0, 0.5, 0.52];
    let mut study = measured(retrained, retrained);
    let result = &mut study.results[0];
    for (at, model) in result.models.iter_mut().enumerate() {
        model.verdicts.probe = Some(if at % 2 == 0 { 0.97 } else { 0.73 });
    }
    let result = &study.results[0];
    assert_eq!(
        result.models.len() % 2,
        0,
        "the mean is that of the reference"
    );
    assert_eq!(study.judged(result).judgement, Judgement::Outputs);
}

#[test]
fn a_class_that_is_still_recognised_is_not_forgotten() {
    let mut study = studies().swap_remove(0);
    study.results[0].models[1].verdicts.scores.forget.heldout = Some(0.5);
    let page = page(&[study]).unwrap();
    assert!(page.contains("<b>NOT forgotten</b>"), "{page}");
    assert!(page.contains("NOT forgotten in r2@1: 50.0 %"), "{page}");
}

/// A request that a baseline answered shows what the baseline made.
#[test]
fn a_baseline_that_answered_is_shown() {
    let mut study = studies().swap_remove(0);
    study.recipe = None;
    study
        .results
        .retain(|result| result.variant.to_string() == "retrain");
    let page = page(&[study]).unwrap();
    assert!(page.contains("<b>retrained</b>"), "{page}");
    assert!(page.contains("<b>0.0 %</b><span>worst held-out"), "{page}");
    assert!(page.contains("97.3 % → 0.0 %"), "{page}");
}

#[test]
fn what_others_wrote_stays_text() {
    let mut study = studies().swap_remove(0);
    let nasty = r#"<script>alert("1")</script>&'"#;
    study.title = nasty.into();
    study.device = nasty.into();
    study.models[0].parents.clear();
    for result in &mut study.results {
        result.warnings = vec![nasty.into()];
        result.request = RequestId::new(nasty);
        for model in &mut result.models {
            model.verdicts.drift = [(nasty.to_owned(), 1.0)].into();
            let tensors = &mut model.outcome.tensors;
            *tensors = tensors.values().map(|s| (nasty.to_owned(), *s)).collect();
        }
    }
    for model in &mut study.models {
        for (_, relation) in &mut model.parents {
            *relation = nasty.into();
        }
    }
    let picture = picture(&study).unwrap();
    assert!(!picture.contains("<script"), "{picture}");
    let page = page(&[study]).unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.matches("&lt;script&gt;").count() > 10, "{page}");
}

#[test]
fn nothing_to_report_on_is_refused() {
    assert!(page(&[]).is_err());
    let mut study = studies().swap_remove(0);
    study.models.clear();
    assert!(picture(&study).is_err());
}
