//! The page and the table of a small study, kept as they are written.
//!
//! `data/studies.json` is what `reproduce fl` measured on the embedded digits with two seeds and 40
//! epochs, with rounded numbers, five points of each curve, one warning, and one method that failed.
#![allow(clippy::unwrap_used)]

use disinherit::Study;
use disinherit_report::{csv, page};

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

#[test]
fn the_table_of_two_seeds() {
    insta::assert_snapshot!(csv(&studies()).unwrap());
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
        result.request = nasty.into();
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
    let page = page(&[study]).unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.matches("&lt;script&gt;").count() > 10, "{page}");
}

#[test]
fn nothing_to_report_on_is_refused() {
    assert!(page(&[]).is_err());
}
